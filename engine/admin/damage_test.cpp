// Damaged images: single flipped bytes in every kind of metadata, and devices that are no intact cowfs device at all. A
// mount gives an error or the right bytes; check finds it and says where; nothing crashes or hangs.
#include <sys/stat.h>

#include "engine/admin/image_test_internal.h"
#include "engine/admin/read_only_device.h"
#include "engine/codec/crc32c.h"
#include "engine/journal/recovery.h"

namespace cowfs::admin {
namespace {

constexpr u64 image_bytes = 256 * mib;

struct Target {
  std::string name;
  u64 offset = 0;
  u64 bytes = 0;
};

class NodeTargets final : public btree::NodeVisitor {
 public:
  NodeTargets(std::string name, std::vector<Target>& targets) : name_(std::move(name)), targets_(targets) {}
  Status visit(const format::NodePointer& pointer, const format::NodeHeader&, ByteSpan) override {
    const format::Address address{pointer.address};
    targets_.push_back({"node of " + name_, address.offset_bytes(), pointer.image_bytes});
    return {};
  }
  void damaged(const format::NodePointer&, const btree::SlotRange&, const Error& error) override {
    ADD_FAILURE() << to_text(error);
  }

 private:
  std::string name_;
  std::vector<Target>& targets_;
};

Task<void> collect(ReadOnlyDevice* opened, std::vector<Target>* targets) {
  const format::Superblock& superblock = opened->superblock();
  const Result<journal::History> history = co_await journal::read_history(opened->device(), superblock);
  EXPECT_OK(history);
  if (!history) co_return;
  const u64 slot = history->last.value % format::commit_slots;
  targets->push_back({"newest commit block",
                      (superblock.commit_ring_block + slot * format::commit_slot_blocks) * block_bytes,
                      sizeof(format::CommitBlock) + history->tails.size() * sizeof(format::EntryPointer)});
  for (const journal::HistoryEntry& entry : history->entries) {
    targets->push_back({"journal entry", format::Address{entry.pointer.address}.offset_bytes(), entry.pointer.bytes});
  }
  MediumReader reader(opened->device());
  for (u16 slice = 0; slice < superblock.slices; ++slice) {
    const SliceHeaderFound headers = co_await read_slice_header(opened->device(), superblock, slice);
    if (!headers.newest) co_return;
    const format::SliceHeader& header = *headers.newest;
    const u64 place = superblock.slice_headers_block + slice * 2ull + header.sequence % 2;
    targets->push_back({"slice header", place * block_bytes, 488});
    targets->push_back({"rest of a slice header", place * block_bytes + 488, block_bytes - 488});
    const format::Address list{header.space_list_address};
    targets->push_back({"space list", list.offset_bytes(), header.space_buckets * sizeof(format::MetadataBucket)});
    for (u8 id = 0; id < format::tree_count; ++id) {
      const format::TreeId tree = static_cast<format::TreeId>(id);
      NodeTargets nodes(std::string(format::name(tree)), *targets);
      const format::NodeIdentity identity{format::filesystem_id(superblock), slice, tree};
      const btree::Root root{header.roots[id], header.levels[id]};
      const Status walked = co_await btree::walk(reader, identity, root, nodes);
      EXPECT_OK(walked);
    }
  }
}

// Checkpointed trees and history to replay: as a crash leaves it. Made once for all tests.
struct Crashed {
  std::unique_ptr<TestImage> image;
  Model model;
  std::vector<Target> targets;
};

const Crashed& crashed() {
  static const Crashed made = [] {
    Crashed result;
    const TestImage live(image_bytes);
    EXPECT_OK(format_image(live));
    for (u64 round = 0; round < 2; ++round) {
      auto mounted = mount_image(live, false);
      EXPECT_OK(mounted);
      Filesystem* filesystem = mounted->get();
      Model* model = &result.model;
      filesystem->run(0, [filesystem, model, round] { return run_load(filesystem, model, round); });
      if (round == 1) result.image = std::make_unique<TestImage>(live);
      const Status closed = filesystem->unmount();
      EXPECT_OK(closed);
    }
    const auto opened = ReadOnlyDevice::open(result.image->path());
    EXPECT_OK(opened);
    ReadOnlyDevice* device = opened->get();
    std::vector<Target>* targets = &result.targets;
    device->run([device, targets] { return collect(device, targets); });
    return result;
  }();
  return made;
}

// Never wrong data; and check says something.
void expect_noticed(const Target& target, u64 offset, u8 bits) {
  const Crashed& sound = crashed();
  SCOPED_TRACE(testing::Message() << target.name << " at " << target.offset << " + " << offset - target.offset << " ^ "
                                  << static_cast<unsigned>(bits));
  sound.image->flip(offset, bits);
  {
    const auto mounted = mount_image(*sound.image, true);
    if (mounted) {
      const ReadBack result = read_back_on(**mounted, sound.model);
      EXPECT_TRUE(result.wrong.empty()) << result.wrong.front();
    }
  }
  CheckOptions options;
  options.data = false;
  const Result<CheckReport> report = check(sound.image->path(), options);
  EXPECT_FALSE(report.ok() && report->clean());
  sound.image->flip(offset, bits);
}

TEST(Damage, the_image_itself_is_sound_and_has_everything) {
  const Crashed& sound = crashed();
  std::set<std::string> kinds;
  for (const Target& target : sound.targets) kinds.insert(target.name);
  for (const char* kind :
       {"newest commit block", "journal entry", "slice header", "space list", "node of inodes", "node of dirents",
        "node of xattrs", "node of extents", "node of leases", "node of alloc", "node of backpointers"}) {
    EXPECT_TRUE(kinds.contains(kind)) << kind;
  }
  const Result<CheckReport> report = check(sound.image->path(), {});
  ASSERT_TRUE(report.ok()) << to_text(report.error());
  EXPECT_TRUE(report->clean()) << findings_text(*report);
}

TEST(Damage, flipped_bytes_in_metadata_are_noticed) {
  const u64 seed = 20261121;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  std::map<std::string, unsigned> tried;
  for (const Target& target : crashed().targets) {
    if (target.bytes == 0 || tried[target.name] > 24) continue;
    for (int i = 0; i < 4; ++i) {
      ++tried[target.name];
      // The first ones in the header, where every field means something.
      const u64 at = i < 2 ? random.below(std::min<u64>(target.bytes, 96)) : random.below(target.bytes);
      expect_noticed(target, target.offset + at, static_cast<u8>(1 + random.below(255)));
    }
  }
}

TEST(Damage, every_byte_of_small_structures) {
  for (const char* name : {"newest commit block", "slice header"}) {
    for (const Target& target : crashed().targets) {
      if (target.name != name) continue;
      for (u64 at = 0; at < std::min<u64>(target.bytes, 88); ++at) expect_noticed(target, target.offset + at, 0x10);
      break;
    }
  }
}

TEST(Damage, a_data_block_is_an_error_and_a_finding_with_its_path) {
  const Crashed& sound = crashed();
  const std::vector<std::byte> wanted = bytes_of_piece(sound.model.at("/round0/a/file118").front());
  const std::vector<std::byte> all = sound.image->read(0, image_bytes);
  u64 offset = 0;
  for (u64 at = 0; at < image_bytes && offset == 0; at += block_bytes) {
    if (std::memcmp(all.data() + at, wanted.data(), block_bytes) == 0) offset = at;
  }
  ASSERT_NE(offset, 0u);
  sound.image->flip(offset + 100, 4);
  const Result<CheckReport> report = check(sound.image->path(), {});
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->findings_total, 1u) << findings_text(*report);
  EXPECT_EQ(report->findings[0].name, "data_checksum_wrong");
  EXPECT_EQ(report->findings[0].path, "/round0/a/file118");
  {
    const auto mounted = mount_image(*sound.image, true);
    ASSERT_TRUE(mounted.ok());
    const ReadBack result = read_back_on(**mounted, sound.model);
    EXPECT_TRUE(result.wrong.empty());
    EXPECT_EQ(result.refused, 1u);
  }
  sound.image->flip(offset + 100, 4);
}

TEST(Damage, superblock_copies_stand_in_for_each_other) {
  const TestImage image(64 * mib);
  EXPECT_OK(format_image(image));
  const u64 copies[] = {block_bytes, 64 * block_bytes, 64 * mib - block_bytes};
  for (u64 keep = 0; keep < 3; ++keep) {
    for (u64 copy = 0; copy < 3; ++copy) {
      if (copy != keep) image.flip(copies[copy] + 200, 1);
    }
    const Result<SuperblockShown> shown = show_superblock(image.path());
    ASSERT_TRUE(shown.ok()) << to_text(shown.error());
    EXPECT_EQ(shown->notes.size(), 2u);
    const Result<CheckReport> report = check(image.path(), {});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report->findings_total, 2u) << findings_text(*report);
    EXPECT_EQ(report->findings[0].name, "superblock_copy_damaged");
    for (u64 copy = 0; copy < 3; ++copy) {
      if (copy != keep) image.flip(copies[copy] + 200, 1);
    }
  }
  for (u64 copy : copies) image.flip(copy + 200, 1);
  EXPECT_EQ(check(image.path(), {}).error().code, Code::superblock_checksum_mismatch);
}

format::Superblock superblock_of(const TestImage& image) {
  format::Superblock superblock;
  std::memcpy(&superblock, image.read(block_bytes, block_bytes).data(), block_bytes);
  return superblock;
}

TEST(Damage, devices_that_cannot_be_mounted_say_why) {
  struct Case {
    const char* name;
    Code expected;
    void (*spoil)(const TestImage& image);
  };
  const auto reseal = [](const TestImage& image, void (*change)(format::Superblock & superblock)) {
    format::Superblock superblock = superblock_of(image);
    change(superblock);
    superblock.checksum = codec::crc32c(bytes_of(superblock).subspan(4));
    for (u64 place : {block_bytes, 64 * block_bytes, 64 * mib - block_bytes})
      image.overwrite(place, bytes_of(superblock));
  };
  static const auto resealed = reseal;
  const Case cases[] = {
      {"nothing on it", Code::superblock_magic_mismatch,
       [](const TestImage& image) {
         const std::vector<std::byte> zeros(block_bytes);
         for (u64 place : {block_bytes, 64 * block_bytes, 64 * mib - block_bytes}) image.overwrite(place, zeros);
       }},
      {"other version", Code::superblock_version_unsupported,
       [](const TestImage& image) { resealed(image, [](format::Superblock& s) { s.version = 7; }); }},
      {"unknown feature", Code::superblock_feature_unsupported,
       [](const TestImage& image) { resealed(image, [](format::Superblock& s) { s.features_required = 1ull << 40; }); }},
      {"impossible sizes", Code::superblock_geometry_invalid,
       [](const TestImage& image) { resealed(image, [](format::Superblock& s) { s.bucket_blocks = 3; }); }},
      {"cut off", Code::device_truncated,
       [](const TestImage& image) { std::filesystem::resize_file(image.path(), 40 * mib); }},
      {"nearly nothing left", Code::device_too_small,
       [](const TestImage& image) { std::filesystem::resize_file(image.path(), block_bytes); }},
      {"empty", Code::device_too_small, [](const TestImage& image) { std::filesystem::resize_file(image.path(), 0); }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const TestImage image(64 * mib);
    EXPECT_OK(format_image(image));
    c.spoil(image);
    const auto mounted = mount_image(image, false);
    ASSERT_FALSE(mounted.ok());
    EXPECT_EQ(mounted.error().code, c.expected) << to_text(mounted.error());
    const Result<CheckReport> report = check(image.path(), {});
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.error().code, c.expected) << to_text(report.error());
  }
}

}  // namespace
}  // namespace cowfs::admin
