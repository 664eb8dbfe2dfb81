// The whole engine on simulated cores and simulated devices: one seed, one history. A mount owns its cores and its
// devices; what survives it are their images, from which the next mount starts, with any number of cores.
#pragma once
#include <functional>
#include <memory>
#include <set>

#include "engine/admin/change_options.h"
#include "engine/device/sim_device.h"
#include "engine/fs/filesystem_state.h"
#include "engine/fs/operations.h"
#include "engine/pool/assemble.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::sim {

using device::Image;
using Images = std::vector<Image>;  // of the devices of one filesystem; an empty one: it is missing
using runtime::Task;

struct FormatSettings {
  u64 device_bytes = 64 * mib;  // of each
  u64 devices = 1;
  u8 replicas = 1;
  ErasureCoding erasure = {};

  // Devices any of which may be lost.
  u64 spare_devices() const { return erasure.data_shards > 0 ? erasure.parity_shards : replicas - 1u; }
  u16 slices = 4;
  u64 region_bytes = 256 * kib;
  u64 journal_bytes = 8 * mib;
  bool single_flush = true;
  ChecksumKind data_checksum = ChecksumKind::crc32c;
  ChecksumKind metadata_checksum = ChecksumKind::crc32c;
  u64 seed = 1;
};

struct MountSettings {
  u64 seed = 1;
  u16 cores = 2;
  u64 cache_bytes = 4 * mib;  // a core
  u64 node_cache_bytes = 16 * mib;
  u32 node_fill_bytes = btree::Node::capacity_bytes;
  u64 dirty_expire_ns = 30'000'000'000;
  u64 commit_interval_ns = 1'000'000'000;
  std::size_t inodes_max = 128 * 1024;
  std::size_t name_places = 4096;
  bool discard = false;
  bool degraded = false;
  u64 steps_max = 1'000'000'000;  // of one run(), see SimSettings
  u64 io_limit_ns = 1'000'000'000;
  bool clock_jumps = false;  // of the wall clock
  admin::OptionChanges changes = {};  // made before the mount
  device::SimDeviceSettings device = {};
};

// Requests for space that are refused although there is some: the count of each kind from the moment the faults are set,
// as in device::SimFaults.
struct SpaceFaults {
  u64 tokens_refused_at = 0;  // the right to fill blocks: the filesystem is full, for whoever asks
  u64 lease_refused_at = 0;   // buckets for a slice
  bool for_good = false;
};

struct SpaceRequests {
  u64 tokens = 0;
  u64 leases = 0;
};

// Everything that a seed can vary without changing what must come out.
MountSettings random_settings(Random& random);

// The images of a new filesystem.
Images make_devices(const FormatSettings& settings);
// Of one device.
Image make_filesystem(const FormatSettings& settings);

// A filesystem that can be told to run out of space. Tokens come in small portions, so that it is asked often.
class RationedState final : public fs::FilesystemState {
 public:
  using FilesystemState::FilesystemState;
  Task<Result<u64>> acquire(u64 wanted) override;
  Task<Result<slice::LeaseGrant>> lease(u16 slice, std::size_t count, slice::Watermark watermark) override;

  void set_faults(const SpaceFaults& faults) { faults_ = faults; }
  const SpaceRequests& requests() const { return requests_; }

 private:
  SpaceFaults faults_;  // counting down
  SpaceRequests requests_;
};

class SimulatedFilesystem {
 public:
  SimulatedFilesystem(Image image, const MountSettings& settings);
  SimulatedFilesystem(Images images, const MountSettings& settings);
  ~SimulatedFilesystem();
  SimulatedFilesystem(const SimulatedFilesystem&) = delete;
  SimulatedFilesystem& operator=(const SimulatedFilesystem&) = delete;

  // Errors: of assembling, of recovery. Afterwards only abandon() or destruction.
  Status mount();
  Status close();
  void abandon();
  bool is_mounted() const { return state_ != nullptr; }

  u16 core_count() const { return cores_.count(); }
  runtime::SimCores& cores() { return cores_; }
  std::size_t device_count() const { return devices_.size(); }
  bool has_device(std::size_t index) const { return devices_[index] != nullptr; }
  // Precondition: it is not missing.
  device::SimDevice& device(std::size_t index = 0) { return *devices_[index]; }
  // A device in the place of one, which no image shows from then on; nothing knows of it yet. In images it is missing until it
  // has a superblock, as whoever mounts would leave it out.
  device::SimDevice& exchange_device(std::size_t index, Image image);
  // One more, of which the same is true.
  device::SimDevice& add_device(Image image);
  // From now on it is missing in images.
  void leave_out(const device::Device* device) { left_out_.insert(device); }
  void power_cut();  // on all devices
  // When the power of one device goes, it goes for all.
  void share_power();
  pool::Assembled& assembled() { return assembled_; }
  // Of all devices: what a power cut may leave, each by itself; that at its worst; what is there if nothing is lost.
  Images crash_images(Random& random) const;
  Images crash_images_all_lost() const;
  // All but one device have got everything; it has nothing of what was not flushed.
  Images crash_images_one_lost(std::size_t lost) const;
  Images images() const;
  RationedState& state() { return *state_; }
  fs::Operations& operations() { return *operations_; }

  // Runs `task` (a coroutine of an object that outlives it) on a core.
  template <typename Function>
  auto run(runtime::CoreIndex core, Function function) {
    return cores_.run(core, std::move(function));
  }

 private:
  template <typename Show>
  Images images_of(Show show) const;

  MountSettings settings_;
  runtime::SimCores cores_;
  std::vector<std::unique_ptr<device::SimDevice>> devices_;  // null: missing
  std::vector<std::unique_ptr<device::SimDevice>> exchanged_;
  std::set<const device::SimDevice*> new_;  // in their places
  std::set<const device::Device*> left_out_;
  pool::Assembled assembled_;
  std::unique_ptr<RationedState> state_;
  std::unique_ptr<fs::Operations> operations_;
};

}  // namespace cowfs::sim
