// Devices of a filesystem that is not mounted come, go, move and grow: what was there is there, what is refused changes nothing,
// and a power cut at any request leaves a filesystem that mounts.
#include "engine/admin/device_change.h"

#include <fcntl.h>

#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

using Kind = DeviceChange::Kind;

constexpr u64 device_bytes = 96 * mib;
constexpr u64 file_bytes = 12 * mib;

Task<Status> write_file(fs::Operations* operations) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  std::vector<std::byte> data(file_bytes);
  for (std::size_t at = 0; at < data.size(); at += block_bytes) data[at] = static_cast<std::byte>(at / block_bytes);
  const Result<u64> written = co_await operations->write(*file, 0, data);
  if (!written) co_return written.error();
  co_return co_await operations->close(*file);
}

Task<Result<bool>> file_is_there(fs::Operations* operations) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDONLY, 0);
  if (!file) co_return file.error();
  std::vector<std::byte> data(file_bytes);
  const Result<u64> read = co_await operations->read(*file, 0, data);
  if (!read) co_return read.error();
  bool is_same = *read == file_bytes;
  for (std::size_t at = 0; at < data.size(); at += block_bytes)
    is_same = is_same && data[at] == static_cast<std::byte>(at / block_bytes);
  const Status closed = co_await operations->close(*file);
  if (!closed) co_return closed.error();
  co_return is_same;
}

Images loaded(const FormatSettings& format) {
  SimulatedFilesystem filesystem(make_devices(format), {});
  EXPECT_TRUE(filesystem.mount().ok());
  EXPECT_TRUE(filesystem.run(0, [&] { return write_file(&filesystem.operations()); }).ok());
  EXPECT_TRUE(filesystem.close().ok());
  return filesystem.images();
}

Images loaded(u64 devices, u8 replicas) {
  return loaded({.device_bytes = device_bytes, .devices = devices, .replicas = replicas, .slices = 1});
}

Images in_stripes(ErasureCoding code) {
  FormatSettings format{.device_bytes = device_bytes, .slices = 1};
  format.devices = code.data_shards + u64{code.parity_shards};
  format.erasure = code;
  return loaded(format);
}

// What a mount of the images finds: their space, or why there is none.
Result<u64> space_of(const Images& images, bool degraded = false) {
  MountSettings settings;
  settings.degraded = degraded;
  SimulatedFilesystem filesystem(images, settings);
  const Status mounted = filesystem.mount();
  if (!mounted) return mounted.error();
  const Result<bool> there = filesystem.run(0, [&] { return file_is_there(&filesystem.operations()); });
  EXPECT_TRUE(there.ok() && *there);
  const u64 bytes = filesystem.assembled().device->capacity().value;
  EXPECT_TRUE(filesystem.close().ok());
  return bytes;
}

// The devices of a filesystem, and of `add` behind them the new one; a change of them.
class Change {
 public:
  Change(Images images, DeviceChange change) : change_(std::move(change)), filesystem_(std::move(images), {.cores = 1}) {}

  Status run() {
    std::vector<device::Device*> devices;
    for (std::size_t i = 0; i < filesystem_.device_count(); ++i)
      if (filesystem_.has_device(i)) devices.push_back(&filesystem_.device(i));
    device::Device* added = nullptr;
    if (change_.kind == Kind::add || change_.kind == Kind::spare) added = devices.back(), devices.pop_back();
    const format::Uuid uuid{9, 9, 9, 9};
    return filesystem_.run(0, [&] { return admin::change_devices(devices, change_, added, uuid, {}); });
  }
  SimulatedFilesystem& filesystem() { return filesystem_; }
  Images images() { return filesystem_.crash_images_all_lost(); }
  u64 writes() {
    u64 count = 0;
    for (std::size_t i = 0; i < filesystem_.device_count(); ++i) count += filesystem_.device(i).counts().writes;
    return count;
  }

 private:
  DeviceChange change_;
  SimulatedFilesystem filesystem_;
};

Images changed(const Images& images, const DeviceChange& change) {
  Change one(images, change);
  const Status done = one.run();
  EXPECT_TRUE(done.ok()) << to_text(done.error());
  return one.images();
}

Images with(Images images, Image more) {
  images.push_back(std::move(more));
  return images;
}

u64 space(const Images& images) {
  const Result<u64> bytes = space_of(images);
  EXPECT_TRUE(bytes.ok()) << to_text(bytes.error());
  return bytes ? *bytes : 0;
}

TEST(DeviceChange, an_added_device_makes_the_space_larger_also_where_copies_need_two) {
  for (const u8 replicas : {u8{1}, u8{2}}) {
    const Images before = loaded(2, replicas);
    const Images after = changed(with(before, Image(device_bytes)), {.kind = Kind::add});
    const u64 old_bytes = space(before);
    EXPECT_GE(space(after), old_bytes * 3 / 2 - 4 * mib) << int{replicas};
    EXPECT_TRUE(none(findings_in(after)));
  }
}

TEST(DeviceChange, an_added_device_takes_part_in_everything) {
  const Images after = changed(with(loaded(2, 2), Image(device_bytes)), {.kind = Kind::add});
  EXPECT_TRUE(space_of({after[0], after[1], {}}, true).ok());
  EXPECT_TRUE(space_of({after[0], {}, after[2]}, true).ok());
  EXPECT_TRUE(space_of({{}, after[1], after[2]}, true).ok());
}

// Without copies, too: what lies on a device that is to go moves to a spare one.
TEST(DeviceChange, what_is_removed_moves_to_a_spare_and_the_device_forgets_that_it_belonged) {
  for (const u8 replicas : {u8{1}, u8{2}}) {
    const Images before = loaded(2, replicas);
    const Images spared = changed(with(before, Image(device_bytes)), {.kind = Kind::spare});
    EXPECT_EQ(space(spared), space(before));
    const Images after = changed(spared, {.kind = Kind::remove, .member = 0});
    EXPECT_EQ(space_of(after).error().code, Code::superblock_magic_mismatch);
    EXPECT_EQ(space({after[2], after[1]}), space(before));
    EXPECT_TRUE(none(findings_in({after[1], after[2]})));
    EXPECT_TRUE(space_of({spared[0], after[1], after[2]}).error().code == Code::pool_device_foreign);
    if (replicas > 1) {
      EXPECT_TRUE(space_of({after[2], {}}, true).ok());
    }
  }
}

TEST(DeviceChange, the_room_of_a_spare_is_used_when_it_is_resized) {
  const Images spared = changed(with(loaded(2, 1), Image(device_bytes)), {.kind = Kind::spare});
  EXPECT_GE(space(changed(spared, {.kind = Kind::resize, .member = 2})), space(spared) * 3 / 2 - 4 * mib);
}

TEST(DeviceChange, a_device_that_was_offline_comes_back) {
  Images images = changed(loaded(3, 2), {.kind = Kind::offline, .member = 2});
  EXPECT_EQ(space_of(images).error().code, Code::pool_device_stale);
  images = changed(images, {.kind = Kind::online, .member = 2});
  EXPECT_GT(space(images), 0u);
}

TEST(DeviceChange, in_stripes_devices_go_offline_up_to_the_parity_and_come_back) {
  const Images before = in_stripes({2, 2});
  Images images = changed(before, {.kind = Kind::label, .member = 1, .label = "rack"});
  EXPECT_EQ(space(images), space(before));
  images = changed(images, {.kind = Kind::offline, .member = 1});
  images = changed(images, {.kind = Kind::offline, .member = 3});
  Change third(images, {.kind = Kind::offline, .member = 0});
  EXPECT_EQ(third.run().error().code, Code::pool_copies_needed);
  EXPECT_EQ(third.writes(), 0u);
  EXPECT_TRUE(space_of(images, true).ok());
  images = changed(images, {.kind = Kind::online, .member = 1});
  images = changed(images, {.kind = Kind::online, .member = 3});
  EXPECT_EQ(space(images), space(before));
  EXPECT_TRUE(space_of({{}, images[1], {}, images[3]}, true).ok());
}

TEST(DeviceChange, a_device_that_has_become_larger_makes_the_space_larger) {
  for (const u64 devices : {u64{1}, u64{2}}) {
    const Images before = loaded(devices, 1);
    Images grown = before;
    grown[0] = before[0].resized(2 * device_bytes);
    const u64 old_bytes = space(before);
    const Images after = changed(grown, {.kind = Kind::resize, .member = 0});
    EXPECT_GE(space(after), old_bytes + device_bytes - 4 * mib);
    EXPECT_TRUE(none(findings_in(after)));
  }
}

TEST(DeviceChange, damage_of_the_other_copy_does_not_come_twice) {
  constexpr u64 behind_superblocks = 2 * mib;
  Images images = changed(with(loaded(2, 2), Image(device_bytes)), {.kind = Kind::spare});
  for (u64 at = behind_superblocks; at < device_bytes - behind_superblocks; at += block_bytes) images[0].flip_bit(at, 3);
  const Images after = changed(images, {.kind = Kind::evacuate, .member = 1});
  EXPECT_TRUE(space_of({after[0], {}, after[2]}, true).ok());
}

TEST(DeviceChange, what_is_refused_changes_nothing) {
  const Images two = loaded(2, 2), three = loaded(3, 1), alone = loaded(1, 1), striped = in_stripes({2, 1});
  struct Case {
    const char* name;
    Images images;
    DeviceChange change;
    Code expected;
  };
  for (const Case& c :
       {Case{"offline, the only copy", three, {.kind = Kind::offline, .member = 1}, Code::pool_copies_needed},
        Case{"evacuate, no room", two, {.kind = Kind::evacuate, .member = 0}, Code::pool_chunks_unplaced},
        Case{"remove, no room", two, {.kind = Kind::remove, .member = 1}, Code::pool_chunks_unplaced},
        Case{"unknown", two, {.kind = Kind::remove, .member = 2}, Code::pool_member_unknown},
        Case{"evacuate, stripes", striped, {.kind = Kind::evacuate, .member = 0}, Code::pool_stripes_fixed},
        Case{"add, stripes", with(striped, Image(device_bytes)), {.kind = Kind::add}, Code::pool_stripes_fixed},
        Case{"resize, stripes", striped, {.kind = Kind::resize, .member = 0}, Code::pool_stripes_fixed},
        Case{"remove, stripes", striped, {.kind = Kind::remove, .member = 0}, Code::pool_stripes_fixed},
        Case{"one device", alone, {.kind = Kind::offline}, Code::pool_alone},
        Case{"add, too small", with(two, Image(128 * kib)), {.kind = Kind::add}, Code::device_too_small}}) {
    SCOPED_TRACE(c.name);
    Change change(c.images, c.change);
    const Status done = change.run();
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, c.expected) << to_text(done.error());
    EXPECT_EQ(change.writes(), 0u);
  }
}

TEST(DeviceChange, two_copies_are_not_given_one_label) {
  const Images labelled = changed(loaded(2, 2), {.kind = Kind::label, .member = 0, .label = "rack"});
  Change same(labelled, {.kind = Kind::label, .member = 1, .label = "rack"});
  EXPECT_EQ(same.run().error().code, Code::pool_chunks_unplaced);
  EXPECT_EQ(same.writes(), 0u);
  EXPECT_GT(space(changed(labelled, {.kind = Kind::label, .member = 1, .label = "other"})), 0u);
}

// The last requests, among which the new map comes to count, and some of those before.
std::vector<u64> some_cuts(u64 requests, Random& random) {
  constexpr u64 last = 14, before = 8;
  std::vector<u64> cuts;
  for (u64 i = 0; i < std::min(last, requests); ++i) cuts.push_back(requests - i);
  for (u64 i = 0; i < before / share_of_seeds + 1; ++i) cuts.push_back(1 + random.below(requests));
  return cuts;
}

// With all devices, or without the one that is new or leaves.
TEST(DeviceChange, a_power_cut_leaves_a_filesystem_that_mounts) {
  const Images two = loaded(2, 2);
  const Images spared = changed(with(loaded(2, 1), Image(device_bytes)), {.kind = Kind::spare});
  struct Case {
    const char* name;
    Images images;
    DeviceChange change;
    std::size_t comes_or_goes;
  };
  for (const Case& c : {Case{"add", with(two, Image(device_bytes)), {.kind = Kind::add}, 2},
                        Case{"evacuate", spared, {.kind = Kind::evacuate, .member = 0}, 9},
                        Case{"remove", spared, {.kind = Kind::remove, .member = 1}, 1},
                        Case{"offline", loaded(3, 2), {.kind = Kind::offline, .member = 1}, 1},
                        Case{"label", two, {.kind = Kind::label, .member = 1, .label = "x"}, 9}}) {
    SCOPED_TRACE(c.name);
    Change whole(c.images, c.change);
    ASSERT_TRUE(whole.run().ok());
    Random random(1);
    for (std::size_t device = 0; device < c.images.size(); ++device) {
      for (const u64 cut : some_cuts(requests(whole.filesystem().device(device)), random)) {
        Change change(c.images, c.change);
        change.filesystem().share_power();
        change.filesystem().device(device).set_faults({.power_cut_at = cut});
        (void)change.run();
        change.filesystem().power_cut();
        const Images left = change.filesystem().crash_images(random);
        Result<u64> mounted = space_of(left, true);
        Images without = left;
        if (!mounted && c.comes_or_goes < left.size()) {
          without[c.comes_or_goes] = Image{};
          mounted = space_of(without, true);
        }
        ASSERT_TRUE(mounted.ok()) << "cut at request " << cut << " of device " << device << ": " << to_text(mounted.error());
      }
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
