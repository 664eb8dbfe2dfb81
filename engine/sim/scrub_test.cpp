// Scrub: what was damaged on one device is found and made good, what has no copy is named, and work under way is no damage.
#include "engine/admin/scrub.h"

#include <fcntl.h>

#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 file_bytes = 6 * mib;
constexpr int files = 3;

std::string file_name(int number) { return "/directory/file" + std::to_string(number); }

Task<Status> write_files(fs::Operations* operations) {
  Status done = co_await operations->mkdir("/directory", 0755);
  for (int number = 0; number < files && done; ++number) {
    const std::string name = file_name(number);
    const Result<FileHandle> file = co_await operations->open(name, O_RDWR | O_CREAT, 0644);
    if (!file) co_return file.error();
    const std::vector<std::byte> data(file_bytes, static_cast<std::byte>(number + 1));
    const Result<u64> written = co_await operations->write(*file, 0, data);
    if (!written) co_return written.error();
    done = co_await operations->fsync(*file);
    if (done) done = co_await operations->close(*file);
  }
  co_return done;
}

// Blocks of all files that cannot be read, or hold something else.
Task<Result<u64>> bad_blocks(fs::Operations* operations) {
  u64 bad = 0;
  for (int number = 0; number < files; ++number) {
    const std::string name = file_name(number);
    const Result<FileHandle> file = co_await operations->open(name, O_RDONLY | O_DIRECT, 0);
    if (!file) co_return file.error();
    device::AlignedBuffer block(block_bytes);
    for (u64 at = 0; at < file_bytes; at += block_bytes) {
      const Result<u64> read = co_await operations->read(*file, at, block.span());
      const bool is_same = read && std::all_of(block.span().begin(), block.span().end(), [number](std::byte byte) {
                             return byte == static_cast<std::byte>(number + 1);
                           });
      bad += !is_same;
    }
    const Status closed = co_await operations->close(*file);
    if (!closed) co_return closed.error();
  }
  co_return bad;
}

class Mount {
 public:
  Mount(Images images, MountSettings settings = {}) : filesystem(std::move(images), settings) {
    const Status mounted = filesystem.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
  ScrubReport scrub(ScrubOptions options = {}) {
    Result<ScrubReport> report = filesystem.run(0, [this, &options] {
      return admin::scrub(filesystem.state(), filesystem.assembled(), options);
    });
    EXPECT_TRUE(report.ok()) << to_text(report.error());
    return report ? std::move(*report) : ScrubReport{};
  }
  void write() {
    const Status written = filesystem.run(0, [this] { return write_files(&filesystem.operations()); });
    EXPECT_TRUE(written.ok()) << to_text(written.error());
  }
  u64 bad() {
    const Result<u64> count = filesystem.run(0, [this] { return bad_blocks(&filesystem.operations()); });
    EXPECT_TRUE(count.ok()) << to_text(count.error());
    return count ? *count : ~0ull;
  }
  Images closed() {
    const Status done = filesystem.close();
    EXPECT_TRUE(done.ok()) << to_text(done.error());
    return filesystem.images();
  }
  SimulatedFilesystem filesystem;
};

Images written(u64 devices, u8 replicas, ErasureCoding erasure = {}) {
  Mount mount(make_devices({.device_bytes = 128 * mib, .devices = devices, .replicas = replicas, .erasure = erasure}));
  mount.write();
  return mount.closed();
}

std::string text(const ScrubReport& report) {
  std::string all;
  for (const ScrubFinding& finding : report.findings) {
    all += finding.what + " " + finding.path + (finding.lost ? " lost" : "") + (finding.repaired ? " repaired" : "");
    for (const auto& copy : finding.copies)
      all += " " + std::to_string(copy.device) + ":" + std::to_string(copy.offset_bytes) + " " + copy.error;
    all += "\n";
  }
  return all;
}

TEST(Scrub, finds_nothing_on_a_sound_filesystem) {
  for (const u8 replicas : {u8{1}, u8{2}, u8{3}}) {
    Mount mount(written(3, replicas));
    const ScrubReport report = mount.scrub();
    EXPECT_TRUE(report.finished);
    EXPECT_EQ(report.damaged, 0u) << text(report);
    EXPECT_GE(report.bytes, replicas * files * file_bytes);
  }
  Mount mount(written(5, 1, {3, 2}));
  const ScrubReport report = mount.scrub();
  EXPECT_EQ(report.damaged, 0u) << text(report);
  EXPECT_GE(report.bytes, files * file_bytes * 5 / 3);
}

// Superblocks, the map, the ring, headers, the journal, nodes and data: all on one device, in many places.
TEST(Scrub, everything_that_was_damaged_on_one_device_is_repaired_and_it_can_stand_alone) {
  for (u64 seed : seeds(8)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Mount mount(written(2, 2));
    device::SimDevice& device = mount.filesystem.device(1);
    device.damage(format::superblock_second_copy * block_bytes, block_bytes);
    device.damage(512 * kib, 4 * mib);  // ring and headers
    for (int i = 0; i < 2000; ++i) device.damage(round_down(random.below(60 * mib) + mib, block_bytes), block_bytes);
    const ScrubReport first = mount.scrub();
    EXPECT_GT(first.damaged, 100u);
    EXPECT_EQ(first.repaired, first.damaged) << text(first);
    EXPECT_EQ(first.lost, 0u) << text(first);
    for (const ScrubFinding& finding : first.findings)
      for (const auto& copy : finding.copies) EXPECT_EQ(copy.device, 1u) << finding.what;
    EXPECT_GT(device.counts().damaged_copies, 100u);
    EXPECT_EQ(mount.filesystem.device(0).counts().damaged_copies, 0u);
    const ScrubReport second = mount.scrub();
    EXPECT_EQ(second.damaged, 0u) << text(second);
    const Images images = mount.closed();
    MountSettings degraded;
    degraded.degraded = true;
    EXPECT_EQ(Mount({{}, images[1]}, degraded).bad(), 0u);
  }
}

// Blocks and parity in stripes, all on one device: it can stand in for others again.
TEST(Scrub, blocks_and_parity_that_were_damaged_in_stripes_are_repaired) {
  constexpr u64 devices = 5;
  for (u64 seed : seeds(4)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const u64 damaged = random.below(devices);
    Mount mount(written(devices, 1, {3, 2}));
    device::SimDevice& device = mount.filesystem.device(damaged);
    for (int i = 0; i < 4000; ++i) device.damage(round_down(random.below(60 * mib) + 8 * mib, block_bytes), block_bytes);
    const ScrubReport first = mount.scrub();
    const auto is_parity = [](const ScrubFinding& finding) { return finding.what == "parity"; };
    EXPECT_GT(std::count_if(first.findings.begin(), first.findings.end(), is_parity), 10);
    EXPECT_GT(std::count_if(first.findings.begin(), first.findings.end(), std::not_fn(is_parity)), 10);
    EXPECT_EQ(first.repaired, first.damaged) << text(first);
    for (const ScrubFinding& finding : first.findings)
      for (const auto& copy : finding.copies) EXPECT_TRUE(finding.what != "data" || copy.device == damaged);
    const ScrubReport second = mount.scrub();
    EXPECT_EQ(second.damaged, 0u) << text(second);
    const Images images = mount.closed();
    MountSettings degraded;
    degraded.degraded = true;
    for (u64 one = 0; one < devices; ++one) {
      for (u64 other = one + 1; other < devices; ++other) {
        if (one == damaged || other == damaged) continue;
        Images left = images;
        left[one] = left[other] = device::Image{};
        EXPECT_EQ(Mount(left, degraded).bad(), 0u) << "without devices " << one << " and " << other;
      }
    }
  }
}

TEST(Scrub, two_copies_damaged_in_different_blocks_are_both_repaired) {
  Mount mount(written(2, 2));
  constexpr u64 apart = 2 * format::node_bytes;  // so that no node is lost
  for (u64 at = 12 * mib; at < 100 * mib; at += 2 * apart) {
    mount.filesystem.device(0).damage(at, block_bytes);
    mount.filesystem.device(1).damage(at + apart, block_bytes);
  }
  const ScrubReport report = mount.scrub();
  for (const ScrubFinding& finding : report.findings) EXPECT_TRUE(finding.what != "data" || finding.repaired) << text(report);
  EXPECT_GT(report.repaired, 500u);
  EXPECT_EQ(mount.bad(), 0u);
}

TEST(Scrub, with_one_copy_what_is_lost_is_named_and_the_rest_can_be_read) {
  Mount mount(written(1, 1));
  u64 damaged = 0;
  for (u64 at = 16 * mib; at < 24 * mib; at += mib, ++damaged) mount.filesystem.device().damage(at, block_bytes);
  const ScrubReport report = mount.scrub();
  u64 data = 0;
  for (const ScrubFinding& finding : report.findings) {
    if (finding.what != "data") continue;
    ++data;
    EXPECT_TRUE(finding.lost);
    EXPECT_TRUE(finding.path.starts_with("/directory/file")) << finding.path;
    ASSERT_EQ(finding.copies.size(), 1u);
    EXPECT_EQ(finding.copies[0].device, 0u);
    EXPECT_EQ(finding.copies[0].offset_bytes / (512 * kib), finding.bucket);
  }
  EXPECT_GT(data, 0u);
  EXPECT_EQ(mount.bad(), data) << text(report);
}

TEST(Scrub, one_that_was_stopped_goes_on_where_it_was_also_after_a_mount) {
  const Images images = written(2, 2);
  const u64 all = Mount(images).scrub().buckets;
  Mount mount(images);
  u64 told = 0;
  const ScrubReport first = mount.scrub({.progress = [&told](const ScrubProgress&) { return ++told < 20; }});
  EXPECT_FALSE(first.finished);
  EXPECT_GT(first.buckets, 4u);
  EXPECT_LT(first.buckets, all);
  Mount later(mount.closed());
  const ScrubReport second = later.scrub();
  EXPECT_TRUE(second.finished);
  EXPECT_GE(first.buckets + second.buckets, all);
  EXPECT_LT(second.buckets, all);
  EXPECT_EQ(later.scrub().buckets, all);
  EXPECT_EQ(later.scrub({.from_start = true}).buckets, all);
}

TEST(Scrub, does_not_read_faster_than_it_was_told_to) {
  Mount mount(written(2, 2));
  const u64 began_ns = mount.filesystem.run(0, []() -> Task<u64> { co_return runtime::this_reactor().now_ns(); });
  const ScrubReport report = mount.scrub({.bytes_per_second = 16 * mib});
  const u64 ended_ns = mount.filesystem.run(0, []() -> Task<u64> { co_return runtime::this_reactor().now_ns(); });
  EXPECT_GT(ended_ns - began_ns, report.bytes * 1'000'000'000 / (16 * mib) * 9 / 10);
}

}  // namespace
}  // namespace cowfs::sim
