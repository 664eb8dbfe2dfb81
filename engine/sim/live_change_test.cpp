// Devices come and go, and what lies on them moves, while the filesystem is mounted and used: nobody notices, nothing is lost, and a
// power cut at any request leaves each chunk in one of its two places, whole.
#include "engine/pool/live_change.h"

#include "engine/admin/scrub.h"
#include "engine/device/aligned_buffer.h"
#include "engine/sim/mounted_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr u64 device_bytes = 80 * mib;
constexpr u16 leaving = 0;
constexpr u64 behind_superblocks = 2 * mib;

u64 chunks_on(Mount& mount, u16 member) { return mount.filesystem.assembled().pool->map().chunks_on(member); }

u64 free_blocks(Mount& mount) {
  const Result<SpaceUse> use = mount.filesystem.run(0, [&] { return mount.filesystem.state().space_use(); });
  EXPECT_TRUE(use.ok());
  return use ? use->blocks_free : 0;
}

Status take_in(Mount& mount, Kind kind, u64 bytes = device_bytes) {
  device::SimDevice* fresh = &mount.filesystem.add_device(Image(bytes));
  return mount.change({.kind = kind}, fresh);
}

// Does something on a core again and again until it is told to stop.
class Beside {
 public:
  Beside(Mount& mount, runtime::CoreIndex core) : mount_(mount), core_(core) {}
  virtual ~Beside() = default;

 protected:
  void begin() {
    mount_.filesystem.cores().spawn_on(core_, [this] { return run(); });
  }
  void stop() {
    stopped_ = true;
    mount_.filesystem.run(core_, [this] { return ended_.drained(); });
  }
  bool is_stopped() const { return stopped_; }
  virtual Task<void> once() = 0;

  Mount& mount_;

 private:
  Task<void> run() {
    ended_.spawn(repeat());
    co_return;
  }
  Task<void> repeat() {
    while (!stopped_) co_await once();
  }

  const runtime::CoreIndex core_;
  bool stopped_ = false;
  runtime::Gate ended_;
};

// Writes one file after the other, and reads what it wrote some time ago.
class BusyClient final : Beside {
 public:
  explicit BusyClient(Mount& mount) : Beside(mount, 1) { begin(); }
  // The files, and what they hold.
  std::vector<std::pair<std::string, u8>> end() {
    stop();
    return files_;
  }

 private:
  Task<void> once() override {
    const u8 value = ++written_;
    const std::string path = "/busy " + std::to_string(value % 6);
    const Status written = co_await write_file(&mount_.filesystem.operations(), path, value);
    EXPECT_TRUE(written.ok()) << to_text(written.error());
    std::erase_if(files_, [&path](const auto& file) { return file.first == path; });
    files_.emplace_back(path, value);
    const auto& [oldest, content] = files_.front();
    const Result<bool> held = co_await holds(&mount_.filesystem.operations(), oldest, content);
    EXPECT_TRUE(held.ok() && *held) << oldest << ": " << (held ? "" : to_text(held.error()));
  }

  u8 written_ = 0;
  std::vector<std::pair<std::string, u8>> files_;
};

struct Redundancy {
  const char* name;
  FormatSettings format;
  bool has_spare;  // any device may be lost
};

std::vector<Redundancy> redundancies() {
  return {{"1 copy on 2", copies_on(2, 1), false},
          {"2 copies on 2", copies_on(2, 2), true},
          {"2+1", shards(2, 1), true},
          {"2+2", shards(2, 2), true}};
}

// With a spare device that was taken in.
struct Spared : Mount {
  Spared(const Images& images, u64 seed) : Mount(images, seed), coming(static_cast<u16>(images.size())) {
    const Status taken = take_in(*this, Kind::spare);
    EXPECT_TRUE(taken.ok()) << to_text(taken.error());
    for (std::size_t i = 0; i < filesystem.device_count(); ++i) before.push_back(requests(filesystem.device(i)));
  }
  Status evacuate(DeviceWork work = {}) { return change({Kind::evacuate, leaving}, nullptr, std::move(work)); }
  Status evacuate_beside_clients() {
    filesystem.cores().spawn_on(1, [this] { return write_beside(&filesystem.operations()); });
    return evacuate();
  }
  u64 requests_of(std::size_t device) { return requests(filesystem.device(device)) - before[device]; }
  const u16 coming;
  std::vector<u64> before;
};

// Of one device, what can be used.
u64 brings(const FormatSettings& format) {
  const ErasureCoding& code = format.erasure;
  return code.data_shards == 0 ? device_bytes / format.replicas : device_bytes * code.data_shards / format.devices;
}

Images without(Images images, std::size_t device) {
  images[device] = Image{};
  return images;
}

void expect_files(const Images& images, const std::vector<std::pair<std::string, u8>>& files) {
  Mount later(images);
  for (const auto& [path, value] : files) EXPECT_TRUE(later.has(path, value)) << path;
  EXPECT_TRUE(none(findings_in(images)));
}

TEST(LiveChange, what_lies_on_a_device_moves_to_a_spare_one_while_clients_write) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 1);
    const u64 chunks = chunks_on(mount, leaving);
    ASSERT_GT(chunks, 0u);
    BusyClient client(mount);
    const Status evacuated = mount.evacuate();
    ASSERT_TRUE(evacuated.ok()) << to_text(evacuated.error());
    std::vector<std::pair<std::string, u8>> files = client.end();
    files.emplace_back("/before", 1);
    EXPECT_EQ(chunks_on(mount, leaving), 0u);
    EXPECT_EQ(chunks_on(mount, mount.coming), chunks);
    for (const auto& [path, value] : files) EXPECT_TRUE(mount.has(path, value)) << path;
    EXPECT_TRUE(mount.write("/after", 4).ok());
    files.emplace_back("/after", 4);
    const Images images = mount.closed();
    expect_files(images, files);
    expect_files(without(images, leaving), files);
    if (one.has_spare) expect_files(without(without(images, leaving), 1), files);
  }
}

// Nothing is missing then, so nobody has to ask for a degraded mount.
TEST(LiveChange, one_that_fails_when_it_is_empty_is_not_needed) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 1);
    ASSERT_TRUE(mount.evacuate().ok());
    ASSERT_TRUE(mount.change({Kind::offline, leaving}).ok());
    ASSERT_TRUE(mount.write("/after", 2).ok());
    SimulatedFilesystem later(mount.closed(), {});
    const Status mounted = later.mount();
    EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  }
}

TEST(LiveChange, a_device_that_is_removed_forgets_that_it_belonged) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 1);
    mount.filesystem.cores().spawn_on(1, [&mount] { return write_beside(&mount.filesystem.operations()); });
    const Status removed = mount.change({Kind::remove, leaving});
    ASSERT_TRUE(removed.ok()) << to_text(removed.error());
    EXPECT_EQ(mount.filesystem.assembled().pool->map().members.size(), one.format.devices);
    EXPECT_TRUE(mount.write("/after", 4).ok());
    Images images = mount.closed();
    EXPECT_EQ(SimulatedFilesystem({images[leaving]}, {}).mount().error().code, Code::superblock_magic_mismatch);
    images.erase(images.begin() + leaving);
    expect_files(images, {{"/before", 1}, {"/beside", 3}, {"/after", 4}});
    if (one.has_spare) expect_files(without(images, 0), {{"/before", 1}, {"/beside", 3}, {"/after", 4}});
  }
}

// A device that was taken in is used at once, by whoever writes.
TEST(LiveChange, an_added_device_makes_the_space_larger) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Mount mount(loaded(one.format));
    const u64 before = free_blocks(mount), brought = brings(one.format) / block_bytes;
    mount.filesystem.cores().spawn_on(1, [&mount] { return write_beside(&mount.filesystem.operations()); });
    const Status added = take_in(mount, Kind::add);
    ASSERT_TRUE(added.ok()) << to_text(added.error());
    EXPECT_GT(free_blocks(mount), before + brought / 2);
    std::vector<std::pair<std::string, u8>> files = {{"/before", 1}, {"/beside", 3}};
    for (u8 i = 1; files.size() * file_bytes / block_bytes < before + 4 * file_bytes / block_bytes; ++i) {
      const std::string path = "/more " + std::to_string(i);
      ASSERT_TRUE(mount.write(path, i).ok()) << path;
      files.emplace_back(path, i);
    }
    EXPECT_GT(chunks_on(mount, static_cast<u16>(one.format.devices)), 0u);
    const Images images = mount.closed();
    expect_files(images, files);
    if (one.has_spare) expect_files(without(images, one.format.devices), files);
  }
}

// What was read to be moved was read from any copy: the damage of one was in both then, and the good one gone (seed 7100462).
TEST(LiveChange, damage_of_another_device_does_not_come_twice) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 4);
    device::SimDevice& damaged = mount.filesystem.device(0);
    for (u64 at = behind_superblocks; at < damaged.capacity().value - behind_superblocks; at += block_bytes)
      damaged.flip_bit(at, 3);
    ASSERT_TRUE(mount.change({Kind::evacuate, 1}).ok());
    EXPECT_TRUE(mount.has("/before", 1));
    expect_files(without(mount.closed(), 1), {{"/before", 1}});
  }
}

TEST(LiveChange, what_cannot_be_read_where_it_lies_comes_from_the_others) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 5);
    device::SimDevice& device = mount.filesystem.device(leaving);
    for (u64 at = behind_superblocks; at < device.capacity().value - behind_superblocks; at += 3 * block_bytes)
      device.make_unreadable(at, block_bytes);
    const Status evacuated = mount.evacuate_beside_clients();
    ASSERT_TRUE(evacuated.ok()) << to_text(evacuated.error());
    const Images left = without(mount.closed(), leaving);
    expect_files(left, {{"/before", 1}, {"/beside", 3}});
    expect_files(without(left, 1), {{"/before", 1}, {"/beside", 3}});
  }
}

// Reads again and again what begins in copies and goes on in stripes, which is one request of the pool that makes another one.
class BoundaryReader final : Beside {
 public:
  explicit BoundaryReader(Mount& mount) : Beside(mount, 1) { begin(); }
  u64 end() {
    stop();
    return reads_;
  }

 private:
  Task<void> once() override {
    pool::Pool& pool = *mount_.filesystem.assembled().pool;
    device::AlignedBuffer buffer(2 * block_bytes);
    const Status read = co_await pool.read(pool.stripes().layout().begins_at() - block_bytes, buffer.span());
    EXPECT_TRUE(read.ok()) << to_text(read.error());
    ++reads_;
  }

  u64 reads_ = 0;
};

// The inner one waited for the exchange, which waited for the outer one.
TEST(LiveChange, a_request_that_is_made_of_another_does_not_hold_up_an_exchange) {
  Spared mount(loaded(shards(2, 1)), 1);
  BoundaryReader reader(mount);
  EXPECT_TRUE(mount.evacuate().ok());
  EXPECT_GT(reader.end(), 100u);
}

// Scrubs, and counts what is found.
class Scrubber final : Beside {
 public:
  explicit Scrubber(Mount& mount) : Beside(mount, 0) { begin(); }
  u64 end() {
    stop();
    return findings_;
  }

 private:
  Task<void> once() override {
    ScrubOptions options;
    options.from_start = true;
    options.progress = [this](const ScrubProgress&) { return !is_stopped(); };
    const Result<ScrubReport> report =
        co_await admin::scrub(mount_.filesystem.state(), mount_.filesystem.assembled(), options);
    EXPECT_TRUE(report.ok());
    findings_ += report ? report->findings.size() : 0;
  }

  u64 findings_ = 0;
};

// What was read of superblocks while a new map was being written looked like damage (seed 7001582).
TEST(LiveChange, a_scrub_finds_no_damage_in_what_changes) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 3);
    Scrubber scrubber(mount);
    ASSERT_TRUE(mount.evacuate().ok());
    EXPECT_EQ(scrubber.end(), 0u);
  }
}

TEST(LiveChange, a_spare_device_becomes_space) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 1);
    const u64 before = free_blocks(mount);
    ASSERT_TRUE(mount.change({Kind::resize, mount.coming}).ok());
    EXPECT_GT(free_blocks(mount), before + brings(one.format) / block_bytes / 2);
    expect_files(mount.closed(), {{"/before", 1}});
  }
}

TEST(LiveChange, what_is_refused_changes_nothing) {
  const Images two = loaded(copies_on(2, 2)), striped = loaded(shards(2, 1));
  struct Case {
    const char* name;
    Images images;
    DeviceChange change;
    Image fresh;
    Code expected;
  };
  for (const Case& c :
       {Case{"no room", two, {Kind::evacuate, 0}, {}, Code::pool_chunks_unplaced},
        Case{"no room either", two, {Kind::remove, 1}, {}, Code::pool_chunks_unplaced},
        Case{"unknown", two, {Kind::remove, 2}, {}, Code::pool_member_unknown},
        Case{"too small", two, {.kind = Kind::add}, Image(1 * mib), Code::device_too_small},
        Case{"carries a filesystem", two, {.kind = Kind::add}, make_filesystem({}), Code::device_has_signature},
        Case{"too few for stripes", striped, {Kind::evacuate, 0}, {}, Code::pool_chunks_unplaced},
        Case{"too few for stripes then", striped, {Kind::remove, 2}, {}, Code::pool_chunks_unplaced},
        Case{"too small for stripes", striped, {.kind = Kind::add}, Image(1 * mib), Code::device_too_small}}) {
    SCOPED_TRACE(c.name);
    Mount mount(c.images);
    device::SimDevice* fresh = c.fresh.size() > 0 ? &mount.filesystem.add_device(c.fresh) : nullptr;
    const u64 sequence = mount.filesystem.assembled().pool->map().sequence;
    const Status refused = mount.change(c.change, fresh);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, c.expected) << to_text(refused.error());
    EXPECT_EQ(mount.filesystem.assembled().pool->map().sequence, sequence);
    if (fresh != nullptr) {
      EXPECT_EQ(fresh->counts().writes, 0u);
    }
  }
}

TEST(LiveChange, what_is_stopped_goes_on_when_it_is_asked_for_again) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    Spared mount(loaded(one.format), 1);
    DeviceWork work;
    work.progress = [](u64 done, u64) { return done == 0; };
    const u64 chunks = chunks_on(mount, leaving);
    EXPECT_EQ(mount.evacuate(work).error().code, Code::pool_move_stopped);
    EXPECT_LT(chunks_on(mount, leaving), chunks);
    EXPECT_GT(chunks_on(mount, leaving), chunks / 2);
    ASSERT_TRUE(mount.write("/after", 2).ok());
    ASSERT_TRUE(mount.evacuate().ok());
    const Images images = mount.closed();
    expect_files(images, {{"/before", 1}, {"/after", 2}});
    expect_files(without(images, leaving), {{"/before", 1}, {"/after", 2}});
  }
}

TEST(LiveChange, a_power_cut_at_any_request_leaves_each_chunk_in_one_of_its_places) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const Images images = loaded(one.format);
    Spared whole(images, 1);
    ASSERT_TRUE(whole.evacuate_beside_clients().ok());
    Random random(1);
    for (std::size_t device = 0; device <= images.size(); ++device) {
      for (const u64 cut : some_moments(whole.requests_of(device), random)) {
        SCOPED_TRACE("request " + std::to_string(cut) + " of device " + std::to_string(device));
        Spared mount(images, 1);
        ASSERT_TRUE(mount.write("/synced", 2).ok());
        mount.filesystem.share_power();
        mount.filesystem.device(device).set_faults({.power_cut_at = cut});
        (void)mount.evacuate();
        mount.filesystem.power_cut();
        Mount later(mount.filesystem.crash_images(random));
        EXPECT_TRUE(later.has("/before", 1));
        EXPECT_TRUE(later.has("/synced", 2));
        const Status again = later.change({Kind::evacuate, leaving});
        EXPECT_TRUE(again.ok()) << to_text(again.error());
        const Images left = without(later.closed(), leaving);
        expect_files(left, {{"/before", 1}, {"/synced", 2}});
        if (one.has_spare) expect_files(without(left, 1), {{"/before", 1}, {"/synced", 2}});
      }
    }
  }
}

TEST(LiveChange, another_device_that_is_lost_meanwhile_is_not_noticed) {
  for (const Redundancy& one : redundancies()) {
    if (!one.has_spare) continue;
    SCOPED_TRACE(one.name);
    const Images images = loaded(one.format);
    Spared whole(images, 2);
    ASSERT_TRUE(whole.evacuate().ok());
    Random random(2);
    for (std::size_t device = 0; device <= images.size(); ++device) {
      for (const u64 at : some_moments(whole.requests_of(device), random)) {
        SCOPED_TRACE("request " + std::to_string(at) + " of device " + std::to_string(device));
        Spared mount(images, 2);
        const bool hangs = random.one_in(2);
        mount.filesystem.device(device).set_faults({.hang_at = hangs ? at : 0, .vanish_at = hangs ? 0 : at});
        (void)mount.evacuate();
        ASSERT_TRUE(mount.write("/after", 3).ok());
        EXPECT_TRUE(mount.has("/before", 1));
        expect_files(without(mount.closed(), device), {{"/before", 1}, {"/after", 3}});
      }
    }
  }
}

// One that failed the flush was given up, since nothing lay on it, and what had been copied to it counted there.
TEST(LiveChange, nothing_counts_on_a_device_that_fails_before_it_does) {
  for (const Redundancy& one : redundancies()) {
    SCOPED_TRACE(one.name);
    const Images images = loaded(one.format);
    for (u64 flush = 1; flush <= (one.has_spare ? 4u : 1u); ++flush) {
      SCOPED_TRACE("flush " + std::to_string(flush));
      Spared mount(images, 6);
      mount.filesystem.device(mount.coming).set_faults({.flush_error_at = flush, .for_good = true});
      EXPECT_FALSE(mount.evacuate().ok());
      EXPECT_TRUE(mount.has("/before", 1));
      expect_files(without(mount.closed(), mount.coming), {{"/before", 1}});
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
