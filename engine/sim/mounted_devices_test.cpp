// Devices that go and come back while the filesystem is mounted and used: nobody notices, nothing is lost, and a power cut at any
// request leaves the one that comes stale, or with everything.
#include "engine/admin/mounted_devices.h"

#include <fcntl.h>

#include <functional>

#include "engine/sim/scenario.h"
#include "engine/sim/seed_run.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

using Kind = DeviceChange::Kind;

constexpr u64 file_bytes = 3 * mib;
constexpr format::Uuid new_uuid{7, 7, 7};

// Every block of `path` holds `value`.
Task<Status> write_file(fs::Operations* operations, std::string path, u8 value) {
  const Result<FileHandle> file = co_await operations->open(path, O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  const std::vector<std::byte> data(file_bytes, std::byte{value});
  const Result<u64> written = co_await operations->write(*file, 0, data);
  if (!written) co_return written.error();
  const Status synced = co_await operations->fsync(*file);
  if (!synced) co_return synced;
  co_return co_await operations->close(*file);
}

Task<Result<bool>> holds(fs::Operations* operations, std::string path, u8 value) {
  const Result<FileHandle> file = co_await operations->open(path, O_RDONLY, 0);
  if (!file) co_return file.error();
  std::vector<std::byte> data(file_bytes);
  const Result<u64> read = co_await operations->read(*file, 0, data);
  if (!read) co_return read.error();
  const Status closed = co_await operations->close(*file);
  if (!closed) co_return closed.error();
  const bool is_same = std::all_of(data.begin(), data.end(), [value](std::byte byte) { return byte == std::byte{value}; });
  co_return *read == file_bytes && is_same;
}

struct Redundancy {
  const char* name;
  FormatSettings format;
};

FormatSettings copies_on(u64 devices, u8 replicas) {
  return {.device_bytes = 80 * mib, .devices = devices, .replicas = replicas, .slices = 2};
}

FormatSettings shards(u8 data, u8 parity) {
  FormatSettings format = copies_on(data + u64{parity}, 1);
  format.erasure = {data, parity};
  return format;
}

std::vector<Redundancy> redundancies() {
  return {{"2 copies on 2", copies_on(2, 2)}, {"2 copies on 3", copies_on(3, 2)}, {"2+1", shards(2, 1)}, {"3+2", shards(3, 2)}};
}

class Mount {
 public:
  explicit Mount(Images images, u64 seed = 1) : filesystem(std::move(images), settings(seed)) {
    const Status mounted = filesystem.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
  static MountSettings settings(u64 seed) {
    MountSettings settings{.seed = seed};
    settings.degraded = true;
    return settings;
  }

  Status write(const std::string& path, u8 value) {
    return filesystem.run(0, [&] { return write_file(&filesystem.operations(), path, value); });
  }
  bool has(const std::string& path, u8 value) {
    const Result<bool> same = filesystem.run(0, [&] { return holds(&filesystem.operations(), path, value); });
    EXPECT_TRUE(same.ok()) << path << ": " << to_text(same.error());
    return same.ok() && *same;
  }
  Status change(DeviceChange change, device::Device* found = nullptr, DeviceWork work = {}) {
    return filesystem.run(
        0, [&] { return admin::change_mounted(filesystem.state(), filesystem.assembled(), change, found, work); });
  }
  Status replace(u16 member, device::Device* fresh) {
    return filesystem.run(
        0, [&] { return admin::replace_mounted(filesystem.state(), filesystem.assembled(), member, fresh, new_uuid, {}); });
  }
  bool is_current(u16 member) { return filesystem.assembled().pool->is_current(member); }
  Images closed() {
    const Status done = filesystem.close();
    EXPECT_TRUE(done.ok()) << to_text(done.error());
    return filesystem.images();
  }
  SimulatedFilesystem filesystem;
};

Images loaded(const FormatSettings& format) {
  Mount mount(make_devices(format));
  EXPECT_TRUE(mount.write("/before", 1).ok());
  return mount.closed();
}

// Nobody is missing, and everything is there whichever device is lost.
void expect_whole(const Images& images, const std::vector<std::pair<std::string, u8>>& files) {
  {
    SimulatedFilesystem all(images, {});
    const Status mounted = all.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
  for (std::size_t lost = 0; lost < images.size(); ++lost) {
    SCOPED_TRACE("without " + std::to_string(lost));
    Images left = images;
    left[lost] = Image{};
    Mount mount(left);
    for (const auto& [path, value] : files) EXPECT_TRUE(mount.has(path, value)) << path;
    EXPECT_TRUE(none(findings_in(left)));
  }
}

Task<void> write_beside(fs::Operations* operations) {
  const Status written = co_await write_file(operations, "/beside", 3);
  EXPECT_TRUE(written.ok()) << to_text(written.error());
}

TEST(MountedDevices, one_that_was_lost_comes_back_while_clients_write) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const Images before = loaded(one.format);
    Images without = before;
    without[1] = Image{};
    Mount mount(without);
    ASSERT_TRUE(mount.write("/degraded", 2).ok());
    device::SimDevice* back = &mount.filesystem.exchange_device(1, before[1]);
    mount.filesystem.cores().spawn_on(1, [&mount] { return write_beside(&mount.filesystem.operations()); });
    const Status online = mount.change({Kind::online, 1}, back);
    ASSERT_TRUE(online.ok()) << to_text(online.error());
    EXPECT_TRUE(mount.is_current(1));
    ASSERT_TRUE(mount.write("/after", 4).ok());
    expect_whole(mount.closed(), {{"/before", 1}, {"/degraded", 2}, {"/beside", 3}, {"/after", 4}});
  }
}

TEST(MountedDevices, another_one_takes_the_place_of_one_that_is_lost_in_the_middle) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Mount mount(loaded(one.format));
    mount.filesystem.device(0).power_cut();
    ASSERT_TRUE(mount.write("/degraded", 2).ok());
    EXPECT_FALSE(mount.is_current(0));
    const Status gone = mount.change({Kind::online, 0});
    EXPECT_FALSE(gone.ok());
    device::SimDevice* fresh = &mount.filesystem.exchange_device(0, Image(one.format.device_bytes));
    const Status replaced = mount.replace(0, fresh);
    ASSERT_TRUE(replaced.ok()) << to_text(replaced.error());
    ASSERT_TRUE(mount.write("/after", 3).ok());
    mount.filesystem.device(1).power_cut();
    ASSERT_TRUE(mount.write("/without 1", 4).ok());
    const Images images = mount.closed();
    Images left = images;
    left[1] = Image{};
    Mount later(left);
    for (const auto& [path, value] : {std::pair("/before", 1), {"/degraded", 2}, {"/after", 3}, {"/without 1", 4}})
      EXPECT_TRUE(later.has(path, static_cast<u8>(value))) << path;
  }
}

Task<void> until(std::function<bool()> is_so) {
  constexpr u64 look_ns = 100'000;
  while (!is_so()) co_await runtime::sleep_until(runtime::this_reactor().now_ns() + look_ns);
}

Task<void> write_and_tell(fs::Operations* operations, bool* done) {
  co_await write_beside(operations);
  *done = true;
}

// What it hangs on fails when another one has its place.
TEST(MountedDevices, what_one_failed_to_do_says_nothing_of_the_one_that_takes_its_place) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Mount mount(loaded(one.format));
    SimulatedFilesystem& filesystem = mount.filesystem;
    device::SimDevice& before = filesystem.device(1);
    const u64 asked = requests(before);
    bool written = false;
    before.set_faults({.hang_at = 1});
    filesystem.cores().spawn_on(1, [&] { return write_and_tell(&filesystem.operations(), &written); });
    filesystem.run(0, [&] { return until([&] { return requests(before) > asked; }); });
    ASSERT_TRUE(mount.change({Kind::offline, 1}).ok());
    device::SimDevice* fresh = &filesystem.exchange_device(1, Image(one.format.device_bytes));
    const Status replaced = mount.replace(1, fresh);
    EXPECT_TRUE(replaced.ok()) << to_text(replaced.error());
    filesystem.run(0, [&] { return until([&written] { return written; }); });
    EXPECT_TRUE(mount.is_current(1));
    expect_whole(mount.closed(), {{"/before", 1}, {"/beside", 3}});
  }
}

TEST(MountedDevices, one_is_taken_offline_and_comes_back_where_it_was) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Mount mount(loaded(one.format));
    ASSERT_TRUE(mount.change({Kind::offline, 1}).ok());
    EXPECT_FALSE(mount.is_current(1));
    ASSERT_TRUE(mount.write("/degraded", 2).ok());
    EXPECT_EQ(SimulatedFilesystem(mount.filesystem.images(), {}).mount().error().code, Code::pool_device_stale);
    const Status online = mount.change({Kind::online, 1});
    ASSERT_TRUE(online.ok()) << to_text(online.error());
    expect_whole(mount.closed(), {{"/before", 1}, {"/degraded", 2}});
  }
}

TEST(MountedDevices, a_label_is_set) {
  Mount mount(loaded(copies_on(2, 2)));
  ASSERT_TRUE(mount.change({Kind::label, 0, "rack"}).ok());
  EXPECT_EQ(mount.change({Kind::label, 1, "rack"}).error().code, Code::pool_chunks_unplaced);
  EXPECT_TRUE(mount.change({Kind::label, 1, "other"}).ok());
  Mount later(mount.closed());
  EXPECT_EQ(format::label_text(later.filesystem.assembled().pool->map().members[0].label), "rack");
  EXPECT_EQ(format::label_text(later.filesystem.assembled().pool->map().members[1].label), "other");
}

TEST(MountedDevices, what_is_refused_changes_nothing) {
  const Images two = loaded(copies_on(2, 2));
  Images left = two;
  left[1] = Image{};
  Images other;
  {
    FormatSettings format = copies_on(2, 2);
    format.seed = 5;
    other = loaded(format);
  }
  struct Case {
    const char* name;
    DeviceChange change;
    const Image* found;
    Code expected;
  };
  for (const Case& c : {Case{"the only copy", {Kind::offline, 0}, nullptr, Code::pool_copies_needed},
                        Case{"unknown", {Kind::offline, 2}, nullptr, Code::pool_member_unknown},
                        Case{"missing", {Kind::online, 1}, nullptr, Code::superblock_devices_missing},
                        Case{"foreign", {Kind::online, 1}, &other[1], Code::pool_device_foreign},
                        Case{"another member", {Kind::online, 1}, &two[0], Code::pool_device_foreign},
                        Case{"unmounted only", {Kind::evacuate, 0}, nullptr, Code::pool_change_unmounted}}) {
    SCOPED_TRACE(c.name);
    Mount mount(left);
    device::Device* found = c.found != nullptr ? &mount.filesystem.exchange_device(1, *c.found) : nullptr;
    const u64 sequence = mount.filesystem.assembled().pool->map().sequence;
    const Status refused = mount.change(c.change, found);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, c.expected) << to_text(refused.error());
    EXPECT_EQ(mount.filesystem.assembled().pool->map().sequence, sequence);
    EXPECT_TRUE(mount.is_current(0));
    if (found != nullptr) {
      EXPECT_EQ(found->counts().writes, 0u);
    }
  }
  EXPECT_EQ(Mount(two).replace(1, nullptr).error().code, Code::pool_member_needed);
  EXPECT_EQ(Mount({make_filesystem({})}).change({Kind::offline, 0}).error().code, Code::pool_alone);
}

// Each half was mounted without the other: taking one for the other's old state would lose what it has.
TEST(MountedDevices, one_that_was_changed_meanwhile_is_refused) {
  const Images both = loaded(copies_on(2, 2));
  Images first = both, second = both;
  first[1] = second[0] = Image{};
  Mount apart(second);
  ASSERT_TRUE(apart.write("/apart", 2).ok());
  const Images changed = apart.closed();
  Mount mount(first);
  device::SimDevice* found = &mount.filesystem.exchange_device(1, changed[1]);
  EXPECT_EQ(mount.change({Kind::online, 1}, found).error().code, Code::pool_split_brain);
  EXPECT_EQ(found->counts().writes, 0u);
}

TEST(MountedDevices, what_is_stopped_leaves_it_stale_and_can_be_begun_again) {
  Mount mount(loaded(copies_on(2, 2)));
  ASSERT_TRUE(mount.change({Kind::offline, 1}).ok());
  u64 told = 0;
  DeviceWork work;
  work.progress = [&told](u64, u64) { return ++told < 9; };
  EXPECT_EQ(mount.change({Kind::online, 1}, nullptr, work).error().code, Code::pool_refill_stopped);
  EXPECT_FALSE(mount.is_current(1));
  ASSERT_TRUE(mount.write("/after", 2).ok());
  EXPECT_TRUE(mount.change({Kind::online, 1}).ok());
  expect_whole(mount.closed(), {{"/before", 1}, {"/after", 2}});
}

TEST(MountedDevices, one_that_has_not_answered_yet_has_to_wait) {
  Mount mount(loaded(copies_on(2, 2)));
  mount.filesystem.device(1).set_faults({.hang_at = 1});
  ASSERT_TRUE(mount.write("/hung", 2).ok());
  ASSERT_FALSE(mount.is_current(1));
  EXPECT_EQ(mount.change({Kind::online, 1}).error().code, Code::pool_device_silent);
  const u64 answered_ns = mount.filesystem.cores().now_ns() + device::SimDeviceSettings{}.hang_ns;
  mount.filesystem.run(0, [answered_ns] { return runtime::sleep_until(answered_ns); });
  EXPECT_TRUE(mount.change({Kind::online, 1}).ok());
  expect_whole(mount.closed(), {{"/before", 1}, {"/hung", 2}});
}

TEST(MountedDevices, a_refill_is_no_faster_than_it_was_told_to) {
  Mount mount(loaded(copies_on(2, 2)));
  ASSERT_TRUE(mount.change({Kind::offline, 1}).ok());
  DeviceWork work;
  work.bytes_per_second = 16 * mib;
  const u64 began_ns = mount.filesystem.cores().now_ns();
  ASSERT_TRUE(mount.change({Kind::online, 1}, nullptr, work).ok());
  EXPECT_GT(mount.filesystem.cores().now_ns() - began_ns, 2'000'000'000u);  // 36 MiB or so
}

// A refill, with clients beside it; where a device is lost, or the power goes, at a request after it began.
struct Refilled {
  Refilled(const Images& images, u64 seed) : mount(images, seed) {
    EXPECT_TRUE(mount.change({Kind::offline, 1}).ok());
    EXPECT_TRUE(mount.write("/degraded", 2).ok());
    for (std::size_t i = 0; i < mount.filesystem.device_count(); ++i) before.push_back(requests(mount.filesystem.device(i)));
  }
  Status run() { return mount.change({Kind::online, 1}); }
  u64 requests_of(std::size_t device) { return requests(mount.filesystem.device(device)) - before[device]; }
  Mount mount;
  std::vector<u64> before;
};

// The last, in which the new map comes to count, and some of those before.
std::vector<u64> some_moments(u64 count, Random& random) {
  std::vector<u64> moments;
  for (u64 i = 0; i < std::min<u64>(count, 8); ++i) moments.push_back(count - i);
  for (u64 i = 0; i < 8 / share_of_seeds + 1; ++i) moments.push_back(1 + random.below(count));
  return moments;
}

TEST(MountedDevices, a_power_cut_at_any_request_leaves_it_stale_or_with_everything) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const Images images = loaded(one.format);
    Refilled whole(images, 1);
    ASSERT_TRUE(whole.run().ok());
    Random random(1);
    for (std::size_t device = 0; device < images.size(); ++device) {
      for (const u64 cut : some_moments(whole.requests_of(device), random)) {
        SCOPED_TRACE("request " + std::to_string(cut) + " of device " + std::to_string(device));
        Refilled refilled(images, 1);
        refilled.mount.filesystem.share_power();
        refilled.mount.filesystem.device(device).set_faults({.power_cut_at = cut});
        (void)refilled.run();
        refilled.mount.filesystem.power_cut();
        const Images left = refilled.mount.filesystem.crash_images(random);
        Mount later(left);
        EXPECT_TRUE(later.has("/degraded", 2));
        if (!later.is_current(1)) continue;
        Images without = left;
        without[device == 1 ? 0 : device] = Image{};
        EXPECT_TRUE(Mount(without).has("/degraded", 2));
      }
    }
  }
}

TEST(MountedDevices, another_one_that_is_lost_at_any_request_of_a_refill_is_not_noticed) {
  for (const Redundancy& one : {Redundancy{"3 copies", copies_on(3, 3)}, Redundancy{"2+2", shards(2, 2)}}) {
    SCOPED_TRACE(one.name);
    const Images images = loaded(one.format);
    Refilled whole(images, 1);
    ASSERT_TRUE(whole.run().ok());
    Random random(2);
    for (const std::size_t device : {std::size_t{0}, std::size_t{2}}) {
      for (const u64 at : some_moments(whole.requests_of(device), random)) {
        SCOPED_TRACE("request " + std::to_string(at) + " of device " + std::to_string(device));
        Refilled refilled(images, 1);
        refilled.mount.filesystem.device(device).set_faults({.power_cut_at = at});
        const Status done = refilled.run();
        ASSERT_TRUE(done.ok()) << to_text(done.error());
        ASSERT_TRUE(refilled.mount.write("/after", 3).ok());
        Images left = refilled.mount.closed();
        left[device] = Image{};
        Mount later(left);
        EXPECT_TRUE(later.is_current(1));
        EXPECT_TRUE(later.has("/degraded", 2));
        EXPECT_TRUE(later.has("/after", 3));
      }
    }
  }
}

// Whatever happens to the one that comes back, it is stale as before.
TEST(MountedDevices, one_that_fails_while_it_comes_back_is_stale_and_nobody_notices) {
  const Images images = loaded(copies_on(2, 2));
  Refilled whole(images, 1);
  ASSERT_TRUE(whole.run().ok());
  Random random(3);
  for (const u64 at : some_moments(whole.requests_of(1), random)) {
    for (const bool hangs : {false, true}) {
      SCOPED_TRACE("request " + std::to_string(at));
      Refilled refilled(images, 1);
      refilled.mount.filesystem.device(1).set_faults({.hang_at = hangs ? at : 0, .vanish_at = hangs ? 0 : at});
      (void)refilled.run();
      ASSERT_TRUE(refilled.mount.write("/after", 3).ok());
      Images left = refilled.mount.closed();
      left[1] = Image{};
      Mount later(left);
      EXPECT_TRUE(later.has("/degraded", 2));
      EXPECT_TRUE(later.has("/after", 3));
    }
  }
}

TEST(MountedDevices, one_that_comes_back_is_not_noticed_and_may_stand_for_another) {
  u64 came_back = 0;
  for (u64 seed : seeds(60)) {
    SeedOptions options{.seed = seed, .operations = 160, .faults = {Fault::device_lost}};
    if (seed % 2 == 0) options.replicas = 2;
    if (seed % 2 != 0) options.erasure = ErasureCoding{2, static_cast<u8>(1 + seed % 3 / 2)};
    const SeedResult result = run_seed(options);
    ASSERT_TRUE(none(result.problems)) << "seed " << seed << ": " << result.configuration;
    came_back += result.points[static_cast<std::size_t>(Point::pool_member_refilled)];
  }
  EXPECT_GT(came_back, 0u);
}

}  // namespace
}  // namespace cowfs::sim
