// The space becomes smaller: what was there is there, on a device that is cut off, too; what does not fit is refused; a power cut at any
// request leaves the old size, or the new one; and a space that has become smaller is as good as one that was made so.
#include "engine/admin/device_change.h"
#include "engine/admin/mounted_devices.h"
#include "engine/sim/filler_test_internal.h"

namespace cowfs::sim {
namespace {

using Kind = DeviceChange::Kind;

constexpr u64 step_bytes = 4 * mib;

// A filesystem, full of files up to some share, of which some were removed again.
class Shrinking {
 public:
  Shrinking(const FormatSettings& format, u64 files, u64 seed) : random_(seed), images_(make_devices(format)) {
    mounted([&] {
      filler_.make_directories(format.slices);
      filesystem_->run(0, [&] { return filler_.fill_some(files); });
    });
  }

  // Random blocks are written anew, and every other file is removed.
  void age() {
    mounted([&] {
      const Filler::Overwriting load{.seed = random_.next(), .direct = true, .sync_every = 16};
      filesystem_->run(0, [&] { return filler_.overwrite(load); });
    });
  }
  void remove_every_other() {
    mounted([&] { filesystem_->run(0, [&] { return filler_.remove_every_other(); }); });
  }

  Status change(const DeviceChange& change) {
    open();
    const Status done = run(change);
    images_ = filesystem_->crash_images_all_lost();
    filesystem_.reset();
    return done;
  }
  Status resize(u64 bytes, u16 member = 0) {
    return change({.kind = Kind::resize, .member = member, .capacity_bytes = bytes});
  }
  void cut(u64 bytes, u16 member = 0) { images_[member] = images_[member].resized(bytes); }
  // With power cut at a request of one device. Answers whether it came to that.
  bool cut_short(const DeviceChange& change, std::size_t device, u64 at) {
    open();
    filesystem_->share_power();
    filesystem_->device(device).set_faults({.power_cut_at = at});
    (void)run(change);
    const bool is_cut = filesystem_->device(device).power_is_cut();
    filesystem_->power_cut();
    images_ = filesystem_->crash_images(random_);
    filesystem_.reset();
    return is_cut;
  }
  std::vector<u64> requests_of(const DeviceChange& change) {
    open();
    EXPECT_TRUE(run(change).ok());
    std::vector<u64> counts;
    for (std::size_t i = 0; i < filesystem_->device_count(); ++i) counts.push_back(requests(filesystem_->device(i)));
    filesystem_.reset();
    return counts;
  }

  void expect_whole() {
    EXPECT_TRUE(none(findings_in(images_)));
    mounted([&] { check_files(*filesystem_, filler_); });
  }
  void fill_up() {
    mounted([&] {
      fill(*filesystem_, filler_, 0);
      check_files(*filesystem_, filler_);
    });
  }
  u64 space_bytes() {
    u64 bytes = 0;
    mounted([&] { bytes = filesystem_->assembled().superblock.capacity_blocks * block_bytes; });
    return bytes;
  }
  u64 usable_bytes() {
    u64 bytes = 0;
    mounted([&] { bytes = usable_blocks(*filesystem_) * block_bytes; });
    return bytes;
  }
  const Images& images() const { return images_; }
  Images& images() { return images_; }

 private:
  // As one that is not mounted: a change of it makes the same requests each time.
  void open() { filesystem_ = std::make_unique<SimulatedFilesystem>(images_, MountSettings{.cores = 1}); }
  Status run(const DeviceChange& change) {
    std::vector<device::Device*> devices;
    for (std::size_t i = 0; i < filesystem_->device_count(); ++i)
      if (filesystem_->has_device(i)) devices.push_back(&filesystem_->device(i));
    return filesystem_->run(0, [&] { return admin::change_devices(devices, change, nullptr, {}, {}); });
  }
  template <typename Function>
  void mounted(Function function) {
    MountSettings settings = random_settings(random_);
    settings.degraded = true;
    filesystem_ = std::make_unique<SimulatedFilesystem>(images_, settings);
    filler_.use(*filesystem_);
    const Status opened = filesystem_->mount();
    ASSERT_TRUE(opened.ok()) << to_text(opened.error());
    function();
    const Status closed = filesystem_->close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
    images_ = filesystem_->crash_images_all_lost();
    filesystem_.reset();
  }

  Random random_;
  Images images_;
  std::unique_ptr<SimulatedFilesystem> filesystem_;
  Filler filler_;
};

// The last, among which the new size comes to count, and some of those before.
std::vector<u64> some_requests(u64 count, u64 drawn, Random& random) {
  constexpr u64 last = 8;
  std::vector<u64> some;
  for (u64 i = 0; i < std::min(last, count); ++i) some.push_back(count - i);
  for (u64 i = 0; i < drawn / share_of_seeds + 1; ++i) some.push_back(1 + random.below(count));
  return some;
}

FormatSettings alone(u16 slices) { return {.device_bytes = 128 * mib, .slices = slices, .region_bytes = 64 * mib}; }

TEST(Shrink, what_was_there_is_there_and_the_rest_can_be_filled) {
  for (const u64 seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Shrinking one(alone(static_cast<u16>(1 << seed % 3)), 76, seed);
    if (seed % 2 == 0) one.age();
    one.remove_every_other();
    const u64 bytes = 80 * mib + seed * block_bytes;
    const Status done = one.resize(bytes);
    ASSERT_TRUE(done.ok()) << to_text(done.error());
    one.expect_whole();
    if (seed % 3 != 0) one.cut(bytes);
    one.expect_whole();
    EXPECT_EQ(one.space_bytes(), bytes);
    one.fill_up();
    one.expect_whole();
    if (HasFailure()) return;
  }
}

// Whatever fits by what users may fill fits in fact; what does not is refused, and nothing is written.
TEST(Shrink, what_does_not_fit_is_refused_before_anything_is_written) {
  for (const u64 seed : seeds(2)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Shrinking one(alone(static_cast<u16>(1 << seed % 3)), 64, seed);
    one.age();
    u64 refused = 0;
    for (u64 bytes = 124 * mib; bytes > 68 * mib; bytes -= step_bytes) {
      const Images before = one.images();
      const Status done = one.resize(bytes);
      if (done) {
        one.cut(bytes);
      } else {
        ++refused;
        EXPECT_EQ(done.error().code, Code::space_still_needed) << to_text(done.error());
        EXPECT_TRUE(one.images() == before) << bytes / mib;
      }
      if (done) one.expect_whole();
      if (HasFailure()) return;
    }
    EXPECT_GT(refused, 0u);
    one.fill_up();
    one.expect_whole();
  }
}

TEST(Shrink, what_cannot_be_moved_keeps_the_space_as_it_is) {
  Shrinking one(alone(1), 76, 1);
  one.remove_every_other();
  for (u64 at = 70 * mib; at < 73 * mib; at += block_bytes) one.images()[0].flip_bit(at, 0);
  const Status done = one.resize(66 * mib);
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, Code::extent_damaged_in_place) << to_text(done.error());
  EXPECT_EQ(one.space_bytes(), 128 * mib);
}

TEST(Shrink, a_power_cut_leaves_the_old_size_or_the_new_one) {
  Shrinking whole(alone(2), 84, 1);
  whole.remove_every_other();
  const Images before = whole.images();
  const u64 bytes = 80 * mib;
  const DeviceChange smaller{.kind = Kind::resize, .capacity_bytes = bytes};
  const u64 count = whole.requests_of(smaller).front();
  Random random(1);
  for (const u64 at : some_requests(count, 30, random)) {
    SCOPED_TRACE("power cut at request " + std::to_string(at) + " of " + std::to_string(count));
    whole.images() = before;
    EXPECT_TRUE(whole.cut_short(smaller, 0, at));
    const u64 left = whole.space_bytes();
    EXPECT_TRUE(left == bytes || left == 128 * mib) << left;
    if (left == bytes) whole.cut(bytes);
    whole.expect_whole();
    ASSERT_TRUE(whole.resize(bytes).ok());
    whole.cut(bytes);
    whole.expect_whole();
    if (HasFailure()) return;
  }
}

FormatSettings pool_of(u64 devices, u8 replicas) {
  return {.device_bytes = 96 * mib, .devices = devices, .replicas = replicas, .slices = 2, .region_bytes = 64 * mib};
}

TEST(Shrink, a_device_of_several_is_cut_off) {
  for (const u8 replicas : {u8{1}, u8{2}}) {
    SCOPED_TRACE(int{replicas});
    Shrinking one(pool_of(3, replicas), 160 / replicas, replicas);
    one.remove_every_other();
    const u64 before = one.space_bytes();
    const Status done = one.resize(48 * mib, 1);
    ASSERT_TRUE(done.ok()) << to_text(done.error());
    one.expect_whole();
    one.cut(48 * mib, 1);
    EXPECT_LT(one.space_bytes(), before);
    one.expect_whole();
    one.fill_up();
    one.expect_whole();
  }
}

// The others have room for what is stored, and not for the whole space.
TEST(Shrink, a_device_goes_whose_chunks_have_no_room_elsewhere) {
  struct Case {
    const char* name;
    FormatSettings format;
    Kind kind;
  };
  for (const Case& c : {Case{"remove, no copies", pool_of(3, 1), Kind::remove},
                        Case{"evacuate, no copies", pool_of(2, 1), Kind::evacuate},
                        Case{"remove, two copies", pool_of(3, 2), Kind::remove}}) {
    SCOPED_TRACE(c.name);
    Shrinking one(c.format, 50 * (c.format.devices - 1), 1);
    one.remove_every_other();
    const u64 before = one.space_bytes();
    const Status done = one.change({.kind = c.kind, .member = 1});
    ASSERT_TRUE(done.ok()) << to_text(done.error());
    one.images().erase(one.images().begin() + 1);
    EXPECT_LT(one.space_bytes(), before);
    one.expect_whole();
    one.fill_up();
    one.expect_whole();
  }
}

// Clients write meanwhile, and afterwards.
TEST(Shrink, a_device_goes_while_it_is_used) {
  for (const u64 seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    ScenarioSettings settings{.seed = seed, .format = pool_of(3, static_cast<u8>(1 + seed % 2)), .clients = 3};
    settings.loads = {{.kind = Load::full, .file_bytes_max = 600 * kib, .data_bytes_max = 20 * mib}};
    Scenario scenario(settings);
    ASSERT_TRUE(scenario.mount(random_settings(random))) << none(scenario.problems());
    scenario.run_clients(600);
    const u64 before = scenario.filesystem().assembled().device->capacity().value;
    const bool is_cut = seed % 3 == 0;
    const DeviceChange change{.kind = is_cut ? Kind::resize : Kind::remove,
                              .member = 1,
                              .capacity_bytes = is_cut ? std::optional{48 * mib} : std::nullopt};
    scenario.work_beside("a device that goes", [&scenario, change] {
      return admin::change_mounted(scenario.filesystem().state(), scenario.filesystem().assembled(), change, nullptr, {}, {});
    });
    scenario.run_clients(300);
    EXPECT_LT(scenario.filesystem().assembled().device->capacity().value, before);
    scenario.work_beside("nothing", {});
    scenario.run_clients(60);
    scenario.expect_exact();
    scenario.close();
    ASSERT_TRUE(none(scenario.problems()));
    Images left = scenario.images();
    if (is_cut)
      left[1] = left[1].resized(48 * mib);
    else
      left.erase(left.begin() + 1);
    EXPECT_TRUE(none(findings_in(left)));
    if (HasFailure()) return;
  }
}

TEST(Shrink, a_power_cut_leaves_a_pool_whole) {
  struct Case {
    const char* name;
    FormatSettings format;
    DeviceChange change;
  };
  for (const Case& c : {Case{"resize", pool_of(2, 1), {.kind = Kind::resize, .member = 1, .capacity_bytes = 48 * mib}},
                        Case{"evacuate", pool_of(3, 2), {.kind = Kind::evacuate, .member = 0}}}) {
    SCOPED_TRACE(c.name);
    Shrinking whole(c.format, 90, 1);
    whole.remove_every_other();
    const Images before = whole.images();
    const std::vector<u64> counts = whole.requests_of(c.change);
    Random random(1);
    for (std::size_t device = 0; device < counts.size(); ++device) {
      for (const u64 at : some_requests(counts[device], 4, random)) {
        SCOPED_TRACE("power cut at request " + std::to_string(at) + " of device " + std::to_string(device));
        whole.images() = before;
        EXPECT_TRUE(whole.cut_short(c.change, device, at));
        whole.expect_whole();
        const Status again = whole.change(c.change);
        ASSERT_TRUE(again.ok()) << to_text(again.error());
        whole.expect_whole();
        if (HasFailure()) return;
      }
    }
  }
}

TEST(Shrink, what_is_impossible_is_refused) {
  Shrinking one(alone(1), 8, 1);
  Shrinking two(pool_of(2, 2), 8, 1);
  struct Case {
    const char* name;
    Shrinking& where;
    DeviceChange change;
    Code expected;
  };
  for (const Case& c :
       {Case{
            "larger than the device", one, {.kind = Kind::resize, .capacity_bytes = 256 * mib}, Code::device_too_small},
        Case{"no room for the journal", one, {.kind = Kind::resize, .capacity_bytes = 4 * mib}, Code::device_too_small},
        Case{"nothing", one, {.kind = Kind::resize, .capacity_bytes = 0}, Code::device_too_small},
        Case{"the only other copy", two, {.kind = Kind::evacuate, .member = 0}, Code::pool_chunks_unplaced},
        Case{"a chunk", two, {.kind = Kind::resize, .member = 1, .capacity_bytes = mib}, Code::device_too_small}}) {
    SCOPED_TRACE(c.name);
    const Images before = c.where.images();
    const Status done = c.where.change(c.change);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, c.expected) << to_text(done.error());
    EXPECT_TRUE(c.where.images() == before);
  }
}

}  // namespace
}  // namespace cowfs::sim
