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
  Change(Images images, DeviceChange change)
      : change_(std::move(change)), filesystem_(std::move(images), {.cores = 1}) {}

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

// Filesystems by how much may be lost: nothing, or one device.
struct Redundancy {
  const char* name;
  Images images;
  bool has_spare = true;
};

std::vector<Redundancy> redundancies() {
  return {{"1 copy on 2", loaded(2, 1), false},
          {"2 copies on 2", loaded(2, 2)},
          {"2+1", in_stripes({2, 1})},
          {"3+2", in_stripes({3, 2})}};
}

void expect_there_without_any(const Images& images) {
  for (std::size_t lost = 0; lost < images.size(); ++lost) {
    Images left = images;
    left[lost] = Image{};
    EXPECT_TRUE(space_of(left, true).ok()) << "without " << lost;
    EXPECT_TRUE(none(findings_in(left)));
  }
}

TEST(DeviceChange, an_added_device_makes_the_space_larger_also_where_several_are_needed) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const u64 devices = one.images.size();
    const Images after = changed(with(one.images, Image(device_bytes)), {.kind = Kind::add});
    EXPECT_GE(space(after), space(one.images) * (devices + 1) / devices - 4 * mib);
    EXPECT_TRUE(none(findings_in(after)));
    if (one.has_spare) expect_there_without_any(after);
  }
}

// Also where nothing may be lost: what lies on a device that is to go moves to a spare one.
TEST(DeviceChange, what_is_removed_moves_to_a_spare_and_the_device_forgets_that_it_belonged) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const Images spared = changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare});
    EXPECT_EQ(space(spared), space(one.images));
    const Images after = changed(spared, {.kind = Kind::remove, .member = 0});
    EXPECT_EQ(space_of(after).error().code, Code::superblock_magic_mismatch);
    const Images left(after.begin() + 1, after.end());
    EXPECT_EQ(space({left.rbegin(), left.rend()}), space(one.images));
    EXPECT_TRUE(none(findings_in(left)));
    Images back = after;
    back[0] = spared[0];
    EXPECT_EQ(space_of(back).error().code, Code::pool_device_foreign);
    if (one.has_spare) expect_there_without_any(left);
  }
}

TEST(DeviceChange, the_room_of_a_spare_is_used_when_it_is_resized) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const u64 devices = one.images.size();
    const Images spared = changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare});
    const Images after = changed(spared, {.kind = Kind::resize, .member = static_cast<u16>(devices)});
    EXPECT_GE(space(after), space(spared) * (devices + 1) / devices - 4 * mib);
    if (one.has_spare) expect_there_without_any(after);
  }
}

// Of a device that is missing, from the others.
TEST(DeviceChange, what_a_lost_device_had_moves_to_a_spare_and_it_is_let_go) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    Images images = changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare});
    images[1] = Image{};
    images = changed(images, {.kind = Kind::remove, .member = 1});
    images.erase(images.begin() + 1);
    EXPECT_EQ(space(images), space(one.images));
    expect_there_without_any(images);
  }
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

TEST(DeviceChange, stripes_use_what_devices_have_become_larger_when_there_are_enough) {
  const Images before = in_stripes({2, 1});
  Images images = before;
  for (u16 member = 0; member < images.size(); ++member) {
    images[member] = images[member].resized(2 * device_bytes);
    images = changed(images, {.kind = Kind::resize, .member = member});
  }
  EXPECT_GE(space(images), space(before) + 2 * device_bytes - 8 * mib);
  expect_there_without_any(images);
}

constexpr u64 behind_superblocks = 2 * mib;

TEST(DeviceChange, damage_of_another_device_does_not_come_twice) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    Images images = changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare});
    for (u64 at = behind_superblocks; at < device_bytes - behind_superblocks; at += block_bytes)
      images[0].flip_bit(at, 3);
    Images after = changed(images, {.kind = Kind::evacuate, .member = 1});
    after[1] = Image{};
    EXPECT_TRUE(space_of(after, true).ok());
  }
}

TEST(DeviceChange, what_cannot_be_read_where_it_lies_comes_from_the_others) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    const Images spared = changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare});
    Change change(spared, {.kind = Kind::remove, .member = 1});
    for (u64 at = behind_superblocks; at < device_bytes - behind_superblocks; at += 3 * block_bytes)
      change.filesystem().device(1).make_unreadable(at, block_bytes);
    const Status done = change.run();
    ASSERT_TRUE(done.ok()) << to_text(done.error());
    Images left = change.images();
    left.erase(left.begin() + 1);
    expect_there_without_any(left);
  }
}

// It was given up by the flush, which had the others remember the new map.
TEST(DeviceChange, nothing_counts_on_a_device_that_fails_to_keep_it) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Change change(changed(with(one.images, Image(device_bytes)), {.kind = Kind::spare}),
                  {.kind = Kind::evacuate, .member = 0});
    change.filesystem().device(one.images.size()).set_faults({.flush_error_at = 3, .for_good = true});
    const Status done = change.run();
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, Code::device_io_failed) << to_text(done.error());
    Images left = change.images();
    left.back() = Image{};
    EXPECT_TRUE(space_of(left, true).ok());
    left[1] = Image{};
    const Result<u64> without = space_of(left, true);
    EXPECT_EQ(without.ok(), one.has_spare) << to_text(without.error());
  }
}

TEST(DeviceChange, what_is_refused_changes_nothing) {
  const Images two = loaded(2, 2), three = loaded(3, 1), alone = loaded(1, 1), striped = in_stripes({2, 1});
  Images labelled = changed(striped, {.kind = Kind::label, .member = 1, .label = "rack"});
  labelled = changed(with(labelled, Image(device_bytes)), {.kind = Kind::spare, .label = "rack"});
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
        Case{"evacuate, too few for stripes",
             striped,
             {.kind = Kind::evacuate, .member = 0},
             Code::pool_chunks_unplaced},
        Case{"remove, too few for stripes", striped, {.kind = Kind::remove, .member = 0}, Code::pool_chunks_unplaced},
        Case{"remove, no other label", labelled, {.kind = Kind::remove, .member = 0}, Code::pool_chunks_unplaced},
        Case{"add to stripes, too small", with(striped, Image(128 * kib)), {.kind = Kind::add}, Code::device_too_small},
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
  const Images striped = in_stripes({2, 1});
  const Images striped_spared = changed(with(striped, Image(device_bytes)), {.kind = Kind::spare});
  struct Case {
    const char* name;
    Images images;
    DeviceChange change;
    std::size_t comes_or_goes;
  };
  for (const Case& c : {Case{"add", with(two, Image(device_bytes)), {.kind = Kind::add}, 2},
                        Case{"evacuate", spared, {.kind = Kind::evacuate, .member = 0}, 9},
                        Case{"remove", spared, {.kind = Kind::remove, .member = 1}, 1},
                        Case{"add to stripes", with(striped, Image(device_bytes)), {.kind = Kind::add}, 3},
                        Case{"evacuate in stripes", striped_spared, {.kind = Kind::evacuate, .member = 0}, 9},
                        Case{"remove from stripes", striped_spared, {.kind = Kind::remove, .member = 1}, 1},
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
        ASSERT_TRUE(mounted.ok()) << "cut at request " << cut << " of device " << device << ": "
                                  << to_text(mounted.error());
      }
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
