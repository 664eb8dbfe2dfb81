#include "engine/sim/simulated_filesystem.h"

#include <algorithm>

#include "engine/admin/format_device.h"
#include "engine/pool/superblocks.h"

namespace cowfs::sim {

namespace {

device::SimDeviceSettings with_seed(device::SimDeviceSettings settings, u64 seed) {
  settings.seed = seed;
  return settings;
}

// Small regions, and nothing that does not depend on the seed.
Task<Status> format_small(std::vector<device::Device*> devices, FormatSettings settings) {
  Random random(settings.seed);
  admin::Identity identity;
  for (auto* uuid : {&identity.filesystem, &identity.device}) {
    for (auto& byte : *uuid) byte = static_cast<u8>(random.next());
  }
  identity.hash_seed = random.next();
  FormatOptions options;
  options.slices = settings.slices;
  options.journal_bytes = settings.journal_bytes;
  options.region_bytes = settings.region_bytes;
  options.single_flush = settings.single_flush;
  options.replicas = settings.replicas;
  options.data_checksum = settings.data_checksum;
  options.metadata_checksum = settings.metadata_checksum;
  options.erasure = settings.erasure;
  co_return co_await admin::format_devices(std::move(devices), options, identity);
}

constexpr u64 token_portion = 32;
constexpr u64 write_through_draw = 0x7417;  // drawn apart

}  // namespace

Task<Result<u64>> RationedState::acquire(u64 wanted) {
  ++requests_.tokens;
  if (device::strikes(faults_.tokens_refused_at, faults_.for_good)) co_return u64{0};
  co_return co_await FilesystemState::acquire(std::min(wanted, token_portion));
}

Task<Result<slice::LeaseGrant>> RationedState::lease(u16 slice, std::size_t count, slice::Watermark watermark) {
  ++requests_.leases;
  if (device::strikes(faults_.lease_refused_at, faults_.for_good)) co_return slice::LeaseGrant{};
  co_return co_await FilesystemState::lease(slice, count, watermark);
}

MountSettings random_settings(Random& random) {
  MountSettings settings;
  settings.seed = random.next();
  settings.cores = static_cast<u16>(1 + random.below(4));
  settings.cache_bytes = (2 + random.below(3) * 3) * mib;
  settings.node_cache_bytes = random.one_in(2) ? 1 * mib : 16 * mib;
  if (random.one_in(2)) settings.dirty_expire_ns = 1'000'000 * (1 + random.below(50));
  if (random.one_in(2)) settings.commit_interval_ns = 1'000'000 * (1 + random.below(20));
  if (random.one_in(3)) settings.inodes_max = 16;
  settings.discard = random.one_in(3);
  settings.device.slow_one_in = random.one_in(2) ? 50 : 0;
  settings.device.unit_bytes = random.one_in(2) ? 512 : 4096;
  settings.device.write_through = Random(settings.seed ^ write_through_draw).one_in(2);
  return settings;
}

Images make_devices(const FormatSettings& settings) {
  runtime::SimCores cores({.cores = 1, .seed = settings.seed});
  std::vector<std::unique_ptr<device::SimDevice>> devices;
  std::vector<device::Device*> targets;
  for (u64 i = 0; i < settings.devices; ++i) {
    const device::SimDeviceSettings one{.seed = settings.seed + i};
    targets.push_back(devices.emplace_back(std::make_unique<device::SimDevice>(Bytes{settings.device_bytes}, one)).get());
  }
  const Status made = cores.run(0, [&targets, settings] { return format_small(targets, settings); });
  assert(made.ok());
  cores.settle();
  Images images;
  for (const auto& device : devices) images.push_back(device->image());
  return images;
}

Image make_filesystem(const FormatSettings& settings) {
  assert(settings.devices == 1);
  return std::move(make_devices(settings).front());
}

SimulatedFilesystem::SimulatedFilesystem(Image image, const MountSettings& settings)
    : SimulatedFilesystem(Images{std::move(image)}, settings) {}

SimulatedFilesystem::SimulatedFilesystem(Images images, const MountSettings& settings)
    : settings_(settings),
      cores_({.cores = settings.cores,
              .seed = settings.seed,
              .steps_max = settings.steps_max,
              .clock_jumps = settings.clock_jumps}) {
  for (Image& image : images) {
    std::unique_ptr<device::SimDevice>& device = devices_.emplace_back();
    const u64 seed = settings.seed + devices_.size() - 1;
    if (image.size() > 0) device = std::make_unique<device::SimDevice>(std::move(image), with_seed(settings.device, seed));
  }
}

SimulatedFilesystem::~SimulatedFilesystem() { abandon(); }

Status SimulatedFilesystem::mount() {
  std::vector<device::Device*> named;
  for (const auto& device : devices_)
    if (device != nullptr) named.push_back(device.get());
  const pool::AssembleOptions how{.degraded = settings_.degraded};
  Result<pool::Assembled> assembled = cores_.run(0, [&named, how] { return pool::assemble(named, how); });
  if (!assembled) return assembled.error();
  assembled_ = std::move(*assembled);
  if (settings_.changes.data_checksum || settings_.changes.metadata_checksum) {
    const Status changed = cores_.run(0, [this] { return admin::change_options(&assembled_, settings_.changes); });
    if (!changed) return changed;
  }
  fs::FilesystemSettings settings;
  settings.core.cache_bytes = settings_.cache_bytes;
  settings.core.populate_cache = false;
  settings.core.dirty_expire_ns = settings_.dirty_expire_ns;
  settings.core.inodes_max = settings_.inodes_max;
  settings.core.name_places = settings_.name_places;
  settings.core.node_bytes = settings_.node_cache_bytes / cores_.count();
  settings.core.node_fill = btree::NodeFill{settings_.node_fill_bytes};
  settings.commit_interval_ns = settings_.commit_interval_ns;
  settings.discard = settings_.discard;
  settings.io_limit_ns = settings_.io_limit_ns;
  state_ = std::make_unique<RationedState>(assembled_.superblock, std::vector<device::Device*>{assembled_.device},
                                           cores_.count(), settings);
  operations_ = std::make_unique<fs::Operations>(*state_);
  return cores_.run(0, [this] { return state_->open(); });
}

Status SimulatedFilesystem::close() {
  const Status closed = cores_.run(0, [this] { return state_->close(); });
  operations_.reset();
  state_.reset();
  cores_.settle();
  return closed;
}

void SimulatedFilesystem::abandon() {
  if (state_ == nullptr) return;
  cores_.run(0, [this] { return state_->abandon(); });
  operations_.reset();
  state_.reset();
  cores_.settle();
}

device::SimDevice& SimulatedFilesystem::exchange_device(std::size_t index, Image image) {
  exchanged_.push_back(std::move(devices_[index]));
  const u64 seed = settings_.seed + devices_.size() + exchanged_.size();
  devices_[index] = std::make_unique<device::SimDevice>(std::move(image), with_seed(settings_.device, seed));
  new_.insert(devices_[index].get());
  return *devices_[index];
}

device::SimDevice& SimulatedFilesystem::add_device(Image image) {
  devices_.emplace_back();
  return exchange_device(devices_.size() - 1, std::move(image));
}

void SimulatedFilesystem::power_cut() {
  for (const auto& device : devices_)
    if (device != nullptr && !device->power_is_cut()) device->power_cut();
}

void SimulatedFilesystem::share_power() {
  for (const auto& device : devices_) device->set_power_observer([this] { power_cut(); });
}

namespace {

bool has_superblock(const Image& image) {
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  return cores.run(0, [&device] { return pool::read_superblock(device); }).ok();
}

}  // namespace

template <typename Show>
Images SimulatedFilesystem::images_of(Show show) const {
  Images images;
  for (const auto& device : devices_) {
    images.push_back(device != nullptr && !left_out_.contains(device.get()) ? show(*device) : Image{});
    if (new_.contains(device.get()) && !has_superblock(images.back())) images.back() = Image{};
  }
  return images;
}

// Now and then all devices but one have got everything: what lies on several has reached all but one.
Images SimulatedFilesystem::crash_images(Random& random) const {
  if (devices_.size() > 1 && random.one_in(3)) return crash_images_one_lost(random.below(devices_.size()));
  return images_of([&random](const device::SimDevice& device) { return device.crash_image(random); });
}

Images SimulatedFilesystem::crash_images_all_lost() const {
  return images_of([](const device::SimDevice& device) { return device.crash_image_all_lost(); });
}

Images SimulatedFilesystem::crash_images_one_lost(std::size_t lost) const {
  return images_of([unlucky = devices_[lost].get()](const device::SimDevice& device) {
    if (&device == unlucky) return device.crash_image_all_lost();
    return device.crash_image([](std::size_t, u64) { return true; });
  });
}

Images SimulatedFilesystem::images() const {
  return images_of([](const device::SimDevice& device) { return device.image(); });
}

}  // namespace cowfs::sim
