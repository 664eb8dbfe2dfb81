#include "engine/sim/seed_run.h"

#include <algorithm>
#include <array>

#include "engine/admin/mounted_devices.h"
#include "engine/sim/cut_point.h"
#include "engine/sim/scenario.h"

namespace cowfs::sim {

namespace {

constexpr std::array fault_names{
    "none",         "clock-jump",        "memory",           "power-cut",     "read-error",   "write-error",     "flush-error",
    "short-read",   "short-write",       "hung",             "vanished",      "stale",        "lost-write",      "lost-flush",
    "misdirected-write", "misdirected-read", "flipped-write", "flipped-read", "flipped-at-rest", "reverted", "unreadable",
    "device-lost"};
static_assert(fault_names.size() == fault_count);

constexpr u64 unreadable_bytes = 1 * mib;
constexpr u64 steps_max = 30'000'000;    // who needs more goes in circles
constexpr u64 one_sync_in = 16;          // with a power cut beside the clients
constexpr u64 scrub_one_in = 4;
constexpr u64 scrub_draw = 0x5c7ab;
constexpr u64 return_draw = 0x2e702;
constexpr u64 cut_draw = 0xc07a7;
constexpr u64 change_draw = 0xde51c;
constexpr u64 shrink_draw = 0x5412c;
constexpr u64 flips = 64;
constexpr u64 written_bytes = 24 * mib;  // of the device: superblocks, journal and the first buckets

u64 one_of(Random& random, std::initializer_list<u64> choices) { return choices.begin()[random.below(choices.size())]; }

// So little memory, and reads so slow, that much happens while somebody waits.
MountSettings narrow_settings(Random& random) {
  MountSettings settings = random_settings(random);
  settings.cache_bytes = one_of(random, {512 * kib, 2 * mib, 8 * mib});
  settings.node_cache_bytes = one_of(random, {128 * kib, 1 * mib, 16 * mib});
  settings.device.read_ns_max = one_of(random, {100'000, 5'000'000});
  settings.device.slow_one_in = one_of(random, {0, 4, 50});
  settings.steps_max = steps_max;
  return settings;
}

void make_least(Random& random, MountSettings& settings) {
  if (random.one_in(2)) settings.cache_bytes = 256 * kib;
  if (random.one_in(2)) settings.node_cache_bytes = 0;
  if (random.one_in(2)) settings.inodes_max = 1;
  if (random.one_in(2)) settings.name_places = 1;
}

bool is_of_device(Fault fault) { return fault > Fault::memory; }

// What the device did not say, the engine can only find out: by an error, never by wrong bytes.
bool is_silent(Fault fault) { return fault >= Fault::lost_write && fault < Fault::unreadable; }

// Where everything has another copy, nobody notices.
bool is_of_one_device(Fault fault) { return is_of_device(fault) && fault != Fault::power_cut; }

bool is_of_the_only_device(Fault fault) {
  return fault == Fault::vanished || fault == Fault::stale || fault == Fault::reverted;
}

std::string redundancy_text(const FormatSettings& format) {
  if (format.erasure.data_shards == 0) return std::to_string(format.replicas) + " copies";
  return std::to_string(format.erasure.data_shards) + "+" + std::to_string(format.erasure.parity_shards) + " shards";
}

class History {
 public:
  History(const SeedOptions& options, PointRecord& points)
      : options_(options),
        points_(points),
        random_(options.seed),
        kinds_(options.seed),
        returning_(options.seed ^ return_draw),
        changing_(options.seed ^ change_draw),
        shrinking_(options.seed ^ shrink_draw) {}

  SeedResult run() {
    ScenarioSettings settings = random_scenario(random_);
    result_.fault = draw_fault();
    draw_devices(settings.format);
    spare_devices_ = settings.format.spare_devices();
    const bool is_covered = settings.format.spare_devices() > 0 && is_of_one_device(result_.fault);
    settings.errors_expected = is_of_device(result_.fault) && !is_covered;
    settings.corruption_expected = is_silent(result_.fault) && !is_covered;
    settings.format.data_checksum = checked_where_needed(settings.format.data_checksum);
    settings.history_may_be_lost = result_.fault == Fault::stale;
    settings.device_damaged = is_of_one_device(result_.fault);
    const u64 rounds = is_of_device(result_.fault) ? 1 : 1 + random_.below(3);
    operations_ = options_.operations / rounds / settings.clients + 1;
    result_.configuration = "fault " + std::string(name(result_.fault)) + ", " + std::to_string(settings.clients) +
                            " clients, " + std::to_string(settings.format.slices) + " slices, " +
                            std::to_string(rounds) + " mounts, " +
                            redundancy_text(settings.format) + " on " +
                            std::to_string(settings.format.devices) + " devices, " +
                            (settings.format.single_flush ? "one flush" : "two flushes") + ", checksums " +
                            std::string(name(settings.format.data_checksum)) + " and " +
                            std::string(name(settings.format.metadata_checksum));
    Scenario scenario(settings);
    draw_scrub(scenario, settings, settings.format.replicas > 1 && (is_covered || !is_of_device(result_.fault)));
    if (options_.watch) {
      scenario.set_watch([this](std::size_t client, const Operation& operation) {
        options_.watch(result_.script.size(), client, operation);
      });
    }
    if (!settings.errors_expected && random_.one_in(2)) scenario.try_crashes_after_syncs(one_sync_in);
    for (u64 round = 0; round < rounds && scenario.sound(); ++round) {
      mount(scenario);
      if (!scenario.sound() || is_of_device(result_.fault)) break;
      draw_changes(scenario);
      load(scenario, round);
      if (scenario.sound()) scenario.expect_exact();
      close(scenario);
      if (scenario.sound()) draw_shrink(scenario, settings);
    }
    if (scenario.sound()) {
      if (is_of_device(result_.fault)) {
        meet_fault(scenario);
      } else {
        mount(scenario);
        if (scenario.sound()) {
          scenario.expect_exact();
          close(scenario);
        }
      }
    }
    result_.problems = scenario.problems();
    return std::move(result_);
  }

 private:
  Fault draw_fault() {
    if (options_.faults.empty()) return random_.one_in(4) ? Fault::power_cut : static_cast<Fault>(random_.below(fault_count));
    return options_.faults[random_.below(options_.faults.size())];
  }

  // One device, or several with as many copies as there is room for.
  void draw_devices(FormatSettings& format) {
    if (is_of_the_only_device(result_.fault)) return;
    const bool is_asked_for = result_.fault == Fault::device_lost || options_.replicas || options_.erasure;
    if (is_asked_for || random_.one_in(3)) format.devices = 2 + random_.below(3);
    if (format.devices == 1) return;
    format.replicas = static_cast<u8>(1 + random_.below(std::min<u64>(format.devices, 3)));
    if (options_.replicas) format.replicas = *options_.replicas;
    if (format.devices > 2 && !options_.replicas && random_.one_in(2)) {
      const u8 parity_max = static_cast<u8>(format.devices - format::data_shards_min);
      format.erasure.parity_shards = static_cast<u8>(1 + random_.below(parity_max));
      format.erasure.data_shards = static_cast<u8>(format.devices - format.erasure.parity_shards);
    }
    if (options_.erasure) {
      format.erasure = *options_.erasure;
      format.devices = format.erasure.data_shards + u64{format.erasure.parity_shards};
    }
    if (format.erasure.data_shards > 0) format.replicas = 1;
    format.device_bytes += 8 * mib;  // what does not fill a chunk is lost
  }

  bool is_scrubbed() const { return Random(options_.seed ^ scrub_draw).one_in(scrub_one_in); }

  // In some histories a scrub runs beside the clients, and finds bits that were flipped just before, on one device. Drawn apart, so
  // that the rest of a history does not depend on it.
  void draw_scrub(Scenario& scenario, const ScenarioSettings& settings, bool has_other_copies) {
    if (!is_scrubbed()) return;
    Random random(options_.seed ^ scrub_draw);
    result_.configuration += ", scrubbed";
    const bool may_flip = has_other_copies || settings.corruption_expected;
    scenario.scrub_beside([this, &scenario, random, may_flip]() mutable {
      if (!may_flip) return;
      const std::size_t device = struck_.value_or(options_.seed % scenario.filesystem().device_count());
      for (u64 i = 0; i < flips; ++i) flip(random, scenario.filesystem().device(device));
    });
  }

  static void flip(Random& random, device::SimDevice& device) {
    device.flip_bit(random.below(written_bytes), static_cast<unsigned>(random.below(8)));
  }

  void mount(Scenario& scenario) {
    MountSettings settings = narrow_settings(random_);
    if (options_.cores) settings.cores = *options_.cores;
    settings.clock_jumps = result_.fault == Fault::clock_jump;
    if (kinds_.one_in(3)) settings.changes.data_checksum = checked_where_needed(random_data_checksum(kinds_));
    if (kinds_.one_in(3)) settings.changes.metadata_checksum = random_metadata_checksum(kinds_);
    if (result_.fault == Fault::memory) make_least(random_, settings);
    scenario.mount(settings);
  }

  // In half of the histories in which a device of several is lost it comes back while the clients work, or another one takes its
  // place; when it has everything, another one is lost. Drawn apart.
  void draw_return(Scenario& scenario) {
    if (result_.fault != Fault::device_lost || spare_devices_ == 0 || !returning_.one_in(2)) return;
    comes_back_ = true;
    result_.configuration += ", a lost device comes back";
    scenario.work_beside("a device that comes back", [this, &scenario] { return bring_back(&scenario); });
  }

  Task<Status> bring_back(Scenario* scenario) {
    constexpr u64 look_ns = 1'000'000;
    SimulatedFilesystem& filesystem = scenario->filesystem();
    pool::Assembled& assembled = filesystem.assembled();
    const u16 member = static_cast<u16>(*struck_);
    while (scenario->clients_run() && assembled.pool->is_current(member))
      co_await runtime::sleep_until(runtime::this_reactor().now_ns() + look_ns);
    if (assembled.pool->is_current(member)) co_return Status{};
    // What a scrub was to find may be in its superblocks.
    const bool is_replaced = is_scrubbed() || returning_.one_in(2);
    const device::SimDevice& before = filesystem.device(member);
    Image image = is_replaced ? Image(before.capacity().value) : before.crash_image(returning_);
    device::SimDevice* const device = &filesystem.exchange_device(member, std::move(image));
    const DeviceChange online{.kind = DeviceChange::Kind::online, .member = member};
    const format::Uuid uuid{7, 7, 7};
    const DeviceWork work;
    const Status done = is_replaced ? co_await admin::replace_mounted(filesystem.state(), assembled, member, device, uuid, work)
                                    : co_await admin::change_mounted(filesystem.state(), assembled, online, device, uuid, work);
    if (done) lose_another(filesystem);
    co_return done;
  }

  void lose_another(SimulatedFilesystem& filesystem) {
    std::size_t next = returning_.below(filesystem.device_count());
    while (next == *struck_ || std::find(lost_.begin(), lost_.end(), next) != lost_.end())
      next = (next + 1) % filesystem.device_count();
    filesystem.device(next).set_faults({.power_cut_at = 1 + returning_.below(options_.operations)});
    std::erase(lost_, *struck_);
    lost_.push_back(next);
  }

  // In half of the histories a device is used up to a smaller size after some mounts; clients that may not be refused space keep what
  // they need. Drawn apart.
  void draw_shrink(Scenario& scenario, const ScenarioSettings& settings) {
    constexpr u64 needed_percent = 30;
    if (settings.format.erasure.data_shards > 0 || !shrinking_.one_in(2)) return;
    const u64 least = settings.refusals == Refusals::none ? needed_percent : 0;
    const u16 member = static_cast<u16>(shrinking_.below(scenario.images().size()));
    result_.configuration += ", made smaller";
    scenario.shrink(member, least + shrinking_.below(100 - least), shrinking_.one_in(2));
  }

  // In a third of the histories of pools a device is taken in while the clients work: as more space, or to take what is on another one,
  // which then may be let go. Where a device has a fault, that may fail. Drawn apart.
  void draw_changes(Scenario& scenario) {
    const pool::Pool* pool = scenario.filesystem().assembled().pool.get();
    if (pool == nullptr || comes_back_) return;
    if (changing_.one_in(3)) {
      result_.configuration += ", a device is taken in";
      scenario.work_beside("a device that is taken in", [this, &scenario] { return take_in(&scenario.filesystem()); });
    } else if (!pool->map().is_striped() && result_.fault != Fault::device_lost && shrinking_.one_in(2)) {
      result_.configuration += ", a device is emptied";
      scenario.work_beside("a device that is emptied", [this, &scenario] { return empty(&scenario.filesystem()); });
    }
  }

  // The others may have room for what is stored, if the space becomes smaller.
  Task<Status> empty(SimulatedFilesystem* filesystem) {
    pool::Assembled& assembled = filesystem->assembled();
    const u16 leaving = static_cast<u16>(shrinking_.below(assembled.pool->map().members.size()));
    const DeviceChange emptied{.kind = DeviceChange::Kind::evacuate, .member = leaving};
    const DeviceWork work;
    const Status done = co_await admin::change_mounted(filesystem->state(), assembled, emptied, nullptr, fresh_uuid_, work);
    const bool is_refused = !done && error_class(done.error().code) == ErrorClass::space;
    co_return is_refused || is_of_device(result_.fault) ? Status{} : done;
  }

  Task<Status> take_in(SimulatedFilesystem* filesystem) {
    pool::Assembled& assembled = filesystem->assembled();
    u64 bytes = 0;
    for (std::size_t i = 0; i < filesystem->device_count(); ++i)
      bytes = std::max(bytes, filesystem->device(i).capacity().value);
    device::SimDevice* const fresh = &filesystem->add_device(Image(bytes));
    ++fresh_uuid_.back();
    const u16 leaving = static_cast<u16>(changing_.below(assembled.pool->map().members.size()));
    const bool is_spare = changing_.one_in(2);
    const DeviceChange taken{.kind = is_spare ? DeviceChange::Kind::spare : DeviceChange::Kind::add};
    const DeviceWork work;
    Status done = co_await admin::change_mounted(filesystem->state(), assembled, taken, fresh, fresh_uuid_, work);
    const DeviceChange emptied{.kind = DeviceChange::Kind::evacuate, .member = leaving};
    if (done && is_spare) done = co_await admin::change_mounted(filesystem->state(), assembled, emptied, nullptr, fresh_uuid_, work);
    if (done && is_spare && spare_devices_ > 0 && changing_.one_in(2)) done = co_await let_go(filesystem, leaving);
    co_return is_of_device(result_.fault) ? Status{} : done;
  }

  // A mount without it, while it may still belong, is degraded.
  Task<Status> let_go(SimulatedFilesystem* filesystem, u16 member) {
    pool::Assembled& assembled = filesystem->assembled();
    filesystem->leave_out(assembled.pool->member(member));
    const DeviceChange removed{.kind = DeviceChange::Kind::remove, .member = member};
    const DeviceWork work;
    co_return co_await admin::change_mounted(filesystem->state(), assembled, removed, nullptr, fresh_uuid_, work);
  }

  // Only checksums find silent faults and flipped bits.
  ChecksumKind checked_where_needed(ChecksumKind kind) const {
    const bool may_lie = is_silent(result_.fault) || is_scrubbed();
    return may_lie && kind == ChecksumKind::none ? ChecksumKind::crc32c : kind;
  }

  void close(Scenario& scenario) {
    trace(scenario);
    scenario.close();
  }

  void load(Scenario& scenario, u64 round) {
    if (options_.script) {
      scenario.run_lists(round < options_.script->size() ? (*options_.script)[round] : std::vector<Operations>{});
    } else {
      scenario.run_clients(operations_);
    }
    result_.script.push_back(scenario.performed());
    for (const Operations& list : result_.script.back()) result_.operations += list.size();
  }

  void trace(Scenario& scenario) {
    result_.trace_hash = std::rotl(result_.trace_hash, 7) ^ scenario.filesystem().cores().trace_hash();
    for (std::size_t i = 0; i < scenario.filesystem().device_count(); ++i)
      result_.trace_hash = std::rotl(result_.trace_hash, 7) ^ scenario.filesystem().device(i).trace_hash();
  }

  // The fault strikes somewhere in the load; afterwards the power goes, and what is left is recovered.
  void meet_fault(Scenario& scenario) {
    SimulatedFilesystem& filesystem = scenario.filesystem();
    const std::size_t struck = random_.below(filesystem.device_count());
    struck_ = struck;
    device::SimDevice& device = filesystem.device(struck);
    device.set_faults(draw_faults());
    const std::vector<std::size_t> others = draw_others(filesystem, struck);
    if (result_.fault == Fault::device_lost) {
      lost_ = {struck};
      lost_.insert(lost_.end(), others.begin(), others.end());
      for (const std::size_t other : others) filesystem.device(other).set_faults(draw_faults());
    }
    draw_return(scenario);
    draw_changes(scenario);
    if (result_.fault == Fault::power_cut) filesystem.share_power();
    if (result_.fault == Fault::unreadable) {
      device.make_unreadable(round_down(random_.below(device.capacity().value - unreadable_bytes), block_bytes),
                             unreadable_bytes);
    }
    {
      const std::unique_ptr<CutPoint> cut = draw_cut_point(device);
      load(scenario, 0);
    }
    if (result_.fault == Fault::flipped_at_rest) {
      flip_bits(device);
      for (const std::size_t other : others) flip_bits(filesystem.device(other));
    }
    trace(scenario);
    if (device.has_vanished()) scenario.expect_given_up();
    if (result_.fault == Fault::stale) {
      const bool vanished = device.has_vanished();
      device.come_back_stale();
      if (vanished) scenario.expect_given_up();
    }
    if (!scenario.sound()) return;
    filesystem.power_cut();
    scenario.abandon();
    Images images = filesystem.crash_images(random_);
    const bool is_gone = result_.fault == Fault::device_lost && filesystem.assembled().device->copies() > 1;
    for (const std::size_t lost : lost_)
      if (is_gone && random_.one_in(2)) images[lost] = Image{};
    scenario.expect_recovers(std::move(images), random_.next());
  }

  // Two of three power cuts strike behind a point instead of at the drawn request. Drawn apart.
  std::unique_ptr<CutPoint> draw_cut_point(device::SimDevice& device) {
    Random random(options_.seed ^ cut_draw);
    if (result_.fault != Fault::power_cut || random.one_in(3)) return nullptr;
    device.set_faults({});
    auto cut = std::make_unique<CutPoint>(random, points_, device);
    result_.configuration += ", power cut behind " + std::string(cowfs::name(cut->point()));
    return cut;
  }

  // With more than one to spare, others meet the same.
  std::vector<std::size_t> draw_others(SimulatedFilesystem& filesystem, std::size_t struck) {
    std::vector<std::size_t> others;
    const u64 spare = std::max<u64>(spare_devices_, 1) - 1;
    for (u64 i = random_.below(spare + 1); i > 0; --i) {
      const std::size_t other = random_.below(filesystem.device_count());
      if (other != struck && std::find(others.begin(), others.end(), other) == others.end()) others.push_back(other);
    }
    return others;
  }

  void flip_bits(device::SimDevice& device) {
    for (u64 i = 0; i < flips; ++i) flip(random_, device);
  }

  device::SimFaults draw_faults() {
    device::SimFaults faults;
    const u64 at = 1 + random_.below(options_.operations);
    faults.for_good = random_.one_in(4);
    switch (result_.fault) {
      case Fault::power_cut:
        faults.power_cut_at = 2 * at;
        break;
      case Fault::device_lost:
        faults.power_cut_at = 1 + at / 4;
        break;
      case Fault::read_error:
        faults.read_error_at = 1 + at / 8;
        break;
      case Fault::write_error:
        faults.write_error_at = at;
        break;
      case Fault::flush_error:
        faults.flush_error_at = 1 + at / 8;
        break;
      case Fault::short_read:
        faults.short_read_at = 1 + at / 8;
        break;
      case Fault::short_write:
        faults.short_write_at = at;
        break;
      case Fault::vanished:
        faults.vanish_at = 2 * at;
        break;
      case Fault::stale:
        faults.vanish_at = 2 * at;
        faults.remember_at = 1 + random_.below(1 + at / 8);
        break;
      case Fault::reverted:
        faults.revert_at = 2 * at;
        faults.remember_at = 1 + random_.below(1 + at / 8);
        break;
      case Fault::hung:
        faults.hang_at = 2 * at;
        break;
      case Fault::lost_write:
        faults.lost_write_at = at;
        break;
      case Fault::lost_flush:
        faults.lost_flush_at = 1 + at / 8;
        break;
      case Fault::misdirected_write:
        faults.misdirected_write_at = at;
        break;
      case Fault::misdirected_read:
        faults.misdirected_read_at = 1 + at / 8;
        break;
      case Fault::flipped_write:
        faults.flipped_write_at = at;
        break;
      case Fault::flipped_read:
        faults.flipped_read_at = 1 + at / 8;
        break;
      case Fault::none:
      case Fault::clock_jump:
      case Fault::memory:
      case Fault::flipped_at_rest:
      case Fault::unreadable:
        break;
    }
    return faults;
  }

  const SeedOptions& options_;
  PointRecord& points_;
  Random random_;
  Random kinds_;  // of checksums
  u64 operations_ = 0;  // of one client in one mount
  Random returning_;    // of devices
  Random changing_;     // of devices
  Random shrinking_;    // of the space
  std::optional<std::size_t> struck_;  // the device that has the fault
  std::vector<std::size_t> lost_;  // devices, at the end
  format::Uuid fresh_uuid_{9, 9};  // of the device that was taken in last
  u64 spare_devices_ = 0;
  bool comes_back_ = false;  // one of the lost
  SeedResult result_;
};

}  // namespace

const char* name(Fault fault) { return fault_names[static_cast<std::size_t>(fault)]; }

std::optional<Fault> fault_of(std::string_view text) {
  const auto found = std::find(fault_names.begin(), fault_names.end(), text);
  if (found == fault_names.end()) return std::nullopt;
  return static_cast<Fault>(found - fault_names.begin());
}

SeedResult run_seed(const SeedOptions& options) {
  PointRecord points(~options.seed);
  SeedResult result = History(options, points).run();
  result.points = points.counts();
  return result;
}

u64 operation_count(const Script& script) {
  u64 count = 0;
  for (const auto& round : script) {
    for (const Operations& list : round) count += list.size();
  }
  return count;
}

}  // namespace cowfs::sim
