// Damage of every kind to every sealed structure: each is found, with the right code, and nothing crashes.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/format/journal.h"
#include "engine/format/node.h"
#include "engine/format/superblock.h"

namespace cowfs::format {
namespace {

constexpr u64 filesystem = 0x1122334455667788;
using Image = std::vector<std::byte>;

void append(Image& image, ByteSpan bytes) {
  const std::size_t size = image.size();
  image.resize(size + bytes.size());
  std::copy(bytes.begin(), bytes.end(), image.data() + size);
}

template <typename T>
T& at(Image& image, std::size_t offset = 0) {
  return *reinterpret_cast<T*>(image.data() + offset);
}

// Of nodes.
void reseal(Image& image) { at<le64>(image) = seal_checksum(image, at<NodeHeader>(image).checksum_kind); }

// A leaf with three keys and values of 5 bytes, or an interior node with three children.
struct NodeSample {
  Image image;
  NodePointer pointer;
  NodeIdentity identity{filesystem, 3, TreeId::extents};
  u8 level;

  explicit NodeSample(u8 node_level = 0) : level(node_level) {
    const u16 value_bytes = level == 0 ? 5 : sizeof(NodePointer);
    const u32 count = 3;
    NodeHeader header{};
    header.magic = node_magic;
    header.filesystem = filesystem;
    header.address = Address::of(0, 77).value;
    header.epoch = 9;
    header.count = count;
    header.slice = 3;
    header.tree = static_cast<u8>(TreeId::extents);
    header.level = level;
    header.first = PackedKey::of({1, 0, 0});
    header.last = PackedKey::of({9, 0, 0});
    header.checksum_kind = static_cast<u8>(ChecksumKind::crc32c);
    const u32 bytes = static_cast<u32>(sizeof header + count * (sizeof(Slot) + value_bytes));
    header.image_bytes = bytes;
    append(image, bytes_of(header));
    for (u16 i = 0; i < count; ++i) {
      const Slot slot{u64{i} + 1, 0, 0, static_cast<u16>(bytes - (i + 1) * value_bytes), value_bytes};
      append(image, bytes_of(slot));
    }
    const NodePointer child{Address::of(0, 99).value, 8, 1234, 4096};
    for (u32 i = 0; i < count; ++i) append(image, bytes_of(child).first(value_bytes));
    seal();
  }
  void seal() {
    reseal(image);
    pointer = {u64{at<NodeHeader>(image).address}, u64{at<NodeHeader>(image).epoch}, seal_mark(at<le64>(image)),
               static_cast<u32>(image.size())};
  }
  Status validate() const { return validate_node(image, pointer, identity, level); }
  Slot& slot(u32 i) { return at<Slot>(image, sizeof(NodeHeader) + i * sizeof(Slot)); }
};

struct EntrySample {
  Image image;
  EntryPointer pointer;

  EntrySample() {
    EntryHeader header{};
    header.filesystem = filesystem;
    header.address = Address::of(0, 1000).value;
    header.epoch = 40;
    header.records = 3;
    header.stream = 1;
    header.session = 2;
    header.previous = {Address::of(0, 900).value, 39, 5, 100};
    header.sequence = 17;
    header.checksum_kind = static_cast<u8>(ChecksumKind::crc64);
    append(image, bytes_of(header));
    for (u16 i = 0; i < 3; ++i) {
      const u16 value_bytes = static_cast<u16>(i == 2 ? 0 : 10 * i);
      const RecordHeader record{i,
                                static_cast<u8>(TreeId::dirents),
                                static_cast<u8>(i == 2 ? UpdateKind::erase : UpdateKind::upsert),
                                value_bytes,
                                u16{0},
                                PackedKey::of({i + 1u, 2, 3})};
      append(image, bytes_of(record));
      image.resize(image.size() + value_bytes, std::byte{0x77});
    }
    at<EntryHeader>(image).bytes = static_cast<u32>(image.size());
    seal();
  }
  void seal() {
    seal_entry(image);
    const auto& header = at<EntryHeader>(image);
    pointer = {u64{header.address}, u64{header.epoch}, seal_mark(header.checksum), static_cast<u32>(image.size())};
  }
  Status validate() const { return validate_entry(image, filesystem, pointer); }
  RecordHeader& record(u32 i) {
    return at<RecordHeader>(image, sizeof(EntryHeader) + i * sizeof(RecordHeader) + (i == 2 ? 10 : 0));
  }
};

Image sample_commit(u32 streams = 2) {
  Image image;
  CommitBlock block{};
  block.filesystem = filesystem;
  block.epoch = 50;
  block.oldest_needed = 30;
  block.bytes = static_cast<u32>(sizeof block + streams * sizeof(EntryPointer));
  block.streams = streams;
  block.checksum_kind = static_cast<u8>(ChecksumKind::xxh3);
  append(image, bytes_of(block));
  const EntryPointer tail{Address::of(0, 1000).value, 49, 3, 200};
  for (u32 i = 0; i < streams; ++i) append(image, bytes_of(tail));
  seal_commit(image);
  return image;
}

SliceHeader sample_slice_header() {
  SliceHeader header{};
  header.filesystem = filesystem;
  header.slice = 5;
  header.checkpoint_epoch = 7;
  header.publish_epoch = 8;
  header.roots[1] = {Address::of(0, 500).value, 7, 9, 4096};
  header.levels[1] = 2;
  header.space_buckets = 3;
  header.space_list_address = 4711;
  header.checksum_kind = static_cast<u8>(ChecksumKind::crc64);
  seal_slice_header(header);
  return header;
}

Superblock sample_superblock() {
  Superblock superblock{};
  superblock.uuid = {1, 2, 3, 4, 5, 6, 7, 8};
  superblock.device_count = 1;
  EXPECT_TRUE(plan_geometry({.capacity = Bytes{gib}}, superblock).ok());
  seal(superblock);
  return superblock;
}

// Each structure as bytes, with its own validation.
struct Sealed {
  const char* name;
  Image image;
  std::function<Status(const Image&)> validate;
};

std::vector<Sealed> every_structure() {
  std::vector<Sealed> all;
  for (const u8 level : {0, 1}) {
    const NodeSample node(level);
    all.push_back({"node", node.image, [node](const Image& image) {
                     return validate_node(image, node.pointer, node.identity, node.level);
                   }});
  }
  const EntrySample entry;
  all.push_back(
      {"entry", entry.image, [entry](const Image& image) { return validate_entry(image, filesystem, entry.pointer); }});
  all.push_back({"commit", sample_commit(), [](const Image& image) { return validate_commit(image, filesystem); }});
  Image header;
  append(header, bytes_of(sample_slice_header()));
  all.push_back({"slice header", header, [](const Image& image) {
                   SliceHeader decoded;
                   std::memcpy(&decoded, image.data(), sizeof decoded);
                   return validate_slice_header(decoded, filesystem, 5);
                 }});
  Image superblock;
  append(superblock, bytes_of(sample_superblock()));
  all.push_back({"superblock", superblock, [](const Image& image) {
                   Superblock decoded;
                   std::memcpy(&decoded, image.data(), sizeof decoded);
                   return validate(decoded);
                 }});
  return all;
}

TEST(Format, sealed_structures_are_valid_and_every_flipped_byte_is_found) {
  for (Sealed& sealed : every_structure()) {
    SCOPED_TRACE(sealed.name);
    ASSERT_TRUE(sealed.validate(sealed.image).ok()) << to_text(sealed.validate(sealed.image).error());
    for (std::size_t i = 0; i < sealed.image.size(); ++i) {
      for (const u8 flip : {0x01, 0x40, 0xff}) {
        Image damaged = sealed.image;
        damaged[i] ^= std::byte{flip};
        const Status status = sealed.validate(damaged);
        ASSERT_FALSE(status.ok()) << "byte " << i;
        ASSERT_EQ(error_class(status.error().code), ErrorClass::corrupt) << name(status.error().code);
      }
    }
  }
}

// Damage under a checksum that is right, as a bug or an attacker would leave it: bounds hold all the same.
TEST(Format, resealed_random_damage_never_crashes) {
  const u64 seed = 2024;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  for (int round = 0; round < 20000; ++round) {
    NodeSample node(static_cast<u8>(random.below(2)));
    for (u64 hits = 1 + random.below(3); hits > 0; --hits)
      node.image[8 + random.below(node.image.size() - 8)] = static_cast<std::byte>(random.next());
    reseal(node.image);
    node.pointer.checksum = seal_mark(at<le64>(node.image));
    (void)node.validate();
    EntrySample entry;
    for (u64 hits = 1 + random.below(3); hits > 0; --hits)
      entry.image[12 + random.below(entry.image.size() - 12)] = static_cast<std::byte>(random.next());
    entry.seal();
    if (!entry.validate().ok()) continue;
    RecordReader reader(entry.image);
    Record record;
    u32 records = 0;
    while (reader.next(record)) ++records;
    ASSERT_EQ(records, u32{at<EntryHeader>(entry.image).records});
  }
}

// Kinds may be changed, so every structure may have any of them.
TEST(Format, structures_are_sealed_with_any_kind_but_none) {
  for (const ChecksumKind kind : checksum_kinds) {
    SCOPED_TRACE(name(kind));
    const bool sound = kind != ChecksumKind::none;
    const u8 stored = static_cast<u8>(kind);
    NodeSample node;
    at<NodeHeader>(node.image).checksum_kind = stored;
    node.seal();
    EXPECT_EQ(node.validate().ok(), sound);
    EntrySample entry;
    at<EntryHeader>(entry.image).checksum_kind = stored;
    entry.seal();
    EXPECT_EQ(entry.validate().ok(), sound);
    Image commit = sample_commit();
    at<CommitBlock>(commit).checksum_kind = stored;
    seal_commit(commit);
    EXPECT_EQ(validate_commit(commit, filesystem).ok(), sound);
    SliceHeader header = sample_slice_header();
    header.checksum_kind = stored;
    seal_slice_header(header);
    EXPECT_EQ(validate_slice_header(header, filesystem, 5).ok(), sound);
  }
}

TEST(Format, random_bytes_are_refused) {
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    Image noise(sizeof(Superblock) + random.below(100));
    for (std::byte& byte : noise) byte = static_cast<std::byte>(random.next());
    const NodePointer node{random.next(), random.next(), static_cast<u32>(random.next()),
                           static_cast<u32>(random.below(6000))};
    EXPECT_FALSE(validate_node(noise, node, {filesystem, 0, TreeId::inodes}, static_cast<u8>(random.next())).ok());
    const EntryPointer entry{random.next(), random.next(), static_cast<u32>(random.next()),
                             static_cast<u32>(random.below(6000))};
    EXPECT_FALSE(validate_entry(noise, filesystem, entry).ok());
    EXPECT_FALSE(validate_commit(ByteSpan(noise).first(random.below(200)), filesystem).ok());
    EXPECT_FALSE(validate(at<Superblock>(noise)).ok());
    EXPECT_FALSE(validate_slice_header(at<SliceHeader>(noise), filesystem, 0).ok());
  }
}

TEST(ValidateNode, each_reason) {
  struct Case {
    const char* name;
    std::function<void(NodeSample&)> damage;
    bool seal;
    Code expected;
    u8 level = 0;
  };
  const Case cases[] = {
      {"magic", [](NodeSample& n) { at<NodeHeader>(n.image).magic = 1; }, true, Code::btree_node_magic_mismatch},
      {"checksum", [](NodeSample& n) { n.image[150] ^= std::byte{1}; }, false, Code::btree_node_checksum_mismatch},
      {"no checksum", [](NodeSample& n) { at<NodeHeader>(n.image).checksum_kind = 0; }, true, Code::btree_node_checksum_mismatch},
      {"checksum kind", [](NodeSample& n) { at<NodeHeader>(n.image).checksum_kind = 9; }, true, Code::btree_node_checksum_mismatch},
      {"other checksum kind", [](NodeSample& n) { at<NodeHeader>(n.image).checksum_kind = 2; }, false,
       Code::btree_node_checksum_mismatch},
      {"misdirected", [](NodeSample& n) { n.pointer.address = 5; }, false, Code::btree_node_pointer_mismatch},
      {"lost write", [](NodeSample& n) { n.pointer.epoch = 10; }, false, Code::btree_node_pointer_mismatch},
      {"other image", [](NodeSample& n) { n.pointer.checksum = 10; }, false, Code::btree_node_pointer_mismatch},
      {"filesystem", [](NodeSample& n) { n.identity.filesystem = 1; }, false, Code::btree_node_identity_mismatch},
      {"slice", [](NodeSample& n) { n.identity.slice = 1; }, false, Code::btree_node_identity_mismatch},
      {"tree", [](NodeSample& n) { n.identity.tree = TreeId::alloc; }, false, Code::btree_node_identity_mismatch},
      {"level", [](NodeSample& n) { n.level = 1; }, false, Code::btree_node_identity_mismatch},
      {"image too long", [](NodeSample& n) { n.pointer.image_bytes = node_bytes + 1; }, false,
       Code::btree_node_layout_invalid},
      {"image too short", [](NodeSample& n) { n.pointer.image_bytes = 95; }, false, Code::btree_node_layout_invalid},
      {"count", [](NodeSample& n) { at<NodeHeader>(n.image).count = u16{9}; }, true, Code::btree_node_layout_invalid},
      {"range",
       [](NodeSample& n) {
         at<NodeHeader>(n.image).last = PackedKey::of({0, 5, 0});
       },
       true, Code::btree_node_layout_invalid},
      {"order", [](NodeSample& n) { n.slot(2).inode = u64{2}; }, true, Code::btree_node_layout_invalid},
      {"key outside", [](NodeSample& n) { n.slot(2).inode = u64{10}; }, true, Code::btree_node_layout_invalid},
      {"value in slots", [](NodeSample& n) { n.slot(0).value_offset = u16{100}; }, true,
       Code::btree_node_layout_invalid},
      {"value past end", [](NodeSample& n) { n.slot(0).value_bytes = u16{6}; }, true, Code::btree_node_layout_invalid},
      {"values overlap", [](NodeSample& n) { n.slot(1).value_bytes = u16{6}; }, true, Code::btree_node_layout_invalid},
      {"first child", [](NodeSample& n) { n.slot(0).offset = u64{1}; }, true, Code::btree_node_layout_invalid, 1},
      {"child younger", [](NodeSample& n) { at<NodePointer>(n.image, n.slot(1).value_offset).epoch = u64{10}; }, true,
       Code::btree_node_layout_invalid, 1},
      {"child absent", [](NodeSample& n) { at<NodePointer>(n.image, n.slot(1).value_offset).address = u64{0}; }, true,
       Code::btree_node_layout_invalid, 1},
      {"no children", [](NodeSample& n) { at<NodeHeader>(n.image).count = u16{0}; }, true,
       Code::btree_node_layout_invalid, 1},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    NodeSample sample(c.level);
    c.damage(sample);
    if (c.seal) sample.seal();
    const Status status = sample.validate();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected) << to_text(status.error());
    EXPECT_EQ(status.error().place.slice, sample.identity.slice);
  }
}

TEST(ValidateEntry, each_reason) {
  struct Case {
    const char* name;
    std::function<void(EntrySample&)> damage;
    bool seal;
    Code expected;
  };
  const Case cases[] = {
      {"magic", [](EntrySample& e) { e.image[8] ^= std::byte{1}; }, false, Code::journal_entry_magic_mismatch},
      {"checksum", [](EntrySample& e) { e.image[100] ^= std::byte{1}; }, false, Code::journal_entry_checksum_mismatch},
      {"filesystem", [](EntrySample& e) { at<EntryHeader>(e.image).filesystem = 1; }, true,
       Code::journal_entry_pointer_mismatch},
      {"misdirected", [](EntrySample& e) { e.pointer.address = 8; }, false, Code::journal_entry_pointer_mismatch},
      {"stale", [](EntrySample& e) { e.pointer.epoch = 41; }, false, Code::journal_entry_pointer_mismatch},
      {"other entry", [](EntrySample& e) { e.pointer.checksum = 41; }, false, Code::journal_entry_pointer_mismatch},
      {"cut off", [](EntrySample& e) { e.pointer.bytes = static_cast<u32>(e.image.size() + 1); }, false,
       Code::journal_entry_layout_invalid},
      {"epoch",
       [](EntrySample& e) { at<EntryHeader>(e.image).epoch = e.pointer.epoch = epoch_max + 1; }, true,
       Code::journal_entry_layout_invalid},
      {"chain forwards", [](EntrySample& e) { at<EntryHeader>(e.image).previous.epoch = 41; }, true,
       Code::journal_entry_layout_invalid},
      {"too many records", [](EntrySample& e) { at<EntryHeader>(e.image).records = 4; }, true,
       Code::journal_entry_layout_invalid},
      {"too few records", [](EntrySample& e) { at<EntryHeader>(e.image).records = 2; }, true,
       Code::journal_entry_layout_invalid},
      {"derived tree", [](EntrySample& e) { e.record(0).tree = static_cast<u8>(TreeId::alloc); }, true,
       Code::journal_entry_layout_invalid},
      {"unknown tree", [](EntrySample& e) { e.record(0).tree = 200; }, true, Code::journal_entry_layout_invalid},
      {"unknown kind", [](EntrySample& e) { e.record(1).kind = 3; }, true, Code::journal_entry_layout_invalid},
      {"erase with a value", [](EntrySample& e) { e.record(1).kind = 2; }, true, Code::journal_entry_layout_invalid},
      {"value too long", [](EntrySample& e) { e.record(1).value_bytes = u16{60000}; }, true,
       Code::journal_entry_layout_invalid},
      {"value past end",
       [](EntrySample& e) {
         e.record(2).kind = 1;
         e.record(2).value_bytes = u16{1};
       },
       true, Code::journal_entry_layout_invalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EntrySample sample;
    c.damage(sample);
    if (c.seal) sample.seal();
    const Status status = sample.validate();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected) << to_text(status.error());
  }
}

TEST(RecordReader, round_trip) {
  const EntrySample sample;
  RecordReader reader(sample.image);
  Record record;
  for (u16 i = 0; i < 3; ++i) {
    ASSERT_TRUE(reader.next(record));
    EXPECT_EQ(record.slice, i);
    EXPECT_EQ(record.key, (Key{i + 1u, 2, 3}));
    EXPECT_EQ(record.kind, i == 2 ? UpdateKind::erase : UpdateKind::upsert);
    EXPECT_EQ(record.value.size(), i == 2 ? 0u : 10u * i);
  }
  EXPECT_FALSE(reader.next(record));
}

TEST(ValidateCommit, each_reason) {
  struct Case {
    const char* name;
    std::function<void(Image&)> damage;
    bool seal;
    Code expected;
  };
  const Case cases[] = {
      {"magic", [](Image& i) { i[8] ^= std::byte{1}; }, false, Code::commit_block_magic_mismatch},
      {"checksum", [](Image& i) { i[70] ^= std::byte{1}; }, false, Code::commit_block_checksum_mismatch},
      {"filesystem", [](Image& i) { at<CommitBlock>(i).filesystem = 2; }, true, Code::commit_block_identity_mismatch},
      {"streams", [](Image& i) { at<CommitBlock>(i).streams = commit_streams_max + 1; }, false,
       Code::commit_block_layout_invalid},
      {"streams and bytes", [](Image& i) { at<CommitBlock>(i).streams = 3; }, false, Code::commit_block_layout_invalid},
      {"cut off", [](Image& i) { i.pop_back(); }, false, Code::commit_block_layout_invalid},
      {"no epoch", [](Image& i) { at<CommitBlock>(i).epoch = 0; }, true, Code::commit_block_layout_invalid},
      {"needs the future", [](Image& i) { at<CommitBlock>(i).oldest_needed = 52; }, true,
       Code::commit_block_layout_invalid},
      {"tail of the future", [](Image& i) { at<EntryPointer>(i, sizeof(CommitBlock)).epoch = 51; }, true,
       Code::commit_block_layout_invalid},
      {"no tail", [](Image& i) { at<EntryPointer>(i, sizeof(CommitBlock)).address = 0; }, true,
       Code::commit_block_layout_invalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Image image = sample_commit();
    c.damage(image);
    if (c.seal) seal_commit(image);
    const Status status = validate_commit(image, filesystem);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected) << to_text(status.error());
  }
  EXPECT_TRUE(validate_commit(sample_commit(0), filesystem).ok());
  EXPECT_TRUE(validate_commit(sample_commit(commit_streams_max), filesystem).ok());
}

TEST(ValidateSliceHeader, each_reason) {
  struct Case {
    const char* name;
    std::function<void(SliceHeader&)> damage;
    bool seal;
    Code expected;
  };
  const Case cases[] = {
      {"magic", [](SliceHeader& h) { h.magic = 1; }, false, Code::slice_header_magic_mismatch},
      {"checksum", [](SliceHeader& h) { h.inodes = 1; }, false, Code::slice_header_checksum_mismatch},
      {"filesystem", [](SliceHeader& h) { h.filesystem = 1; }, true, Code::slice_header_identity_mismatch},
      {"slice", [](SliceHeader& h) { h.slice = 6; }, true, Code::slice_header_identity_mismatch},
      {"epochs", [](SliceHeader& h) { h.publish_epoch = 6; }, true, Code::slice_header_layout_invalid},
      {"epoch", [](SliceHeader& h) { h.publish_epoch = epoch_max + 1; }, true, Code::slice_header_layout_invalid},
      {"level of nothing", [](SliceHeader& h) { h.levels[0] = 1; }, true, Code::slice_header_layout_invalid},
      {"level", [](SliceHeader& h) { h.levels[1] = node_level_max + 1; }, true, Code::slice_header_layout_invalid},
      {"root of no tree", [](SliceHeader& h) { h.roots[tree_count] = h.roots[1]; }, true,
       Code::slice_header_layout_invalid},
      {"root image", [](SliceHeader& h) { h.roots[1].image_bytes = node_bytes + 1; }, true,
       Code::slice_header_layout_invalid},
      {"space list", [](SliceHeader& h) { h.space_buckets = 0; }, true, Code::slice_header_layout_invalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    SliceHeader header = sample_slice_header();
    c.damage(header);
    if (c.seal) seal_slice_header(header);
    const Status status = validate_slice_header(header, filesystem, 5);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected) << to_text(status.error());
  }
}

}  // namespace
}  // namespace cowfs::format
