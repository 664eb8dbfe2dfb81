// Devices that go and come back while the filesystem is mounted and used: nobody notices, nothing is lost, and a power cut at any
// request leaves the one that comes stale, or with everything.
#include "engine/admin/mounted_devices.h"

#include <functional>

#include "engine/sim/mounted_test_internal.h"
#include "engine/sim/seed_run.h"

namespace cowfs::sim {
namespace {

struct Redundancy {
  const char* name;
  FormatSettings format;
};

std::vector<Redundancy> redundancies() {
  return {{"2 copies on 2", copies_on(2, 2)}, {"2 copies on 3", copies_on(3, 2)}, {"2+1", shards(2, 1)}, {"3+2", shards(3, 2)}};
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
                        Case{"no room", {Kind::evacuate, 0}, nullptr, Code::pool_chunks_unplaced}}) {
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
        Mount later(refilled.mount.filesystem.crash_images(random));
        EXPECT_TRUE(later.has("/degraded", 2));
        if (!later.is_current(1)) continue;
        Images without = later.closed();  // the others may learn of it from this mount only
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
