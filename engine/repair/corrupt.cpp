// What is planted is written in memory, over the devices, with the pool's own writes: so all copies have it, and parity fits it.
// A device that has it alone is one whose part of these writes is kept.
#include "engine/repair/corrupt.h"

#include <sys/stat.h>

#include <algorithm>

#include "engine/admin/check_device.h"
#include "engine/admin/device_session.h"
#include "engine/device/overlay_device.h"
#include "engine/pool/assemble.h"

namespace cowfs::repair {

using runtime::Task;

namespace {

constexpr u64 attempts_max = 64;

template <typename T>
Task<void> answer_into(Task<T> task, std::optional<T>* answer) {
  answer->emplace(co_await task);
}

// Whole blocks; of stripes, whole ones.
struct Around {
  Around(device::Device& device, u64 bucket_bytes, u64 offset, u64 bytes)
      : first(round_down(offset, block_bytes)), end(round_up(offset + bytes, block_bytes)) {
    if (!device.is_striped(first)) return;
    const u64 stripe_bytes = device.stripe_blocks() * block_bytes;
    const u64 bucket = round_down(first, bucket_bytes);
    first = bucket + round_down(first - bucket, stripe_bytes);
    end = std::min(bucket + round_up(end - bucket, stripe_bytes), bucket + bucket_bytes);
  }
  u64 first, end;
};

// What lies outside of the device reads as zeros.
Task<Status> read_bytes(device::Device* device, u64 offset, MutableByteSpan into) {
  if (into.empty()) co_return Status{};
  const u64 first = round_down(offset, block_bytes);
  device::AlignedBuffer raw(round_up(offset + into.size(), block_bytes) - first);
  const Status read = co_await device->read(first, raw.span());
  std::memcpy(into.data(), raw.data() + (offset - first), into.size());
  co_return read;
}

Task<Status> write_bytes(device::Device* device, u64 bucket_bytes, u64 offset, ByteSpan from) {
  if (from.empty()) co_return Status{};  // of a list nothing is left
  const Around around(*device, bucket_bytes, offset, from.size());
  device::AlignedBuffer raw(around.end - around.first);
  const Status read = co_await device->read(around.first, raw.span());
  if (!read) co_return read;
  std::memcpy(raw.data() + (offset - around.first), from.data(), from.size());
  co_return co_await device->write(around.first, raw.span());
}

Task<Result<admin::CheckReport>> check(std::vector<device::Device*> devices, bool data) {
  const pool::AssembleOptions how{.read_only = true};
  const Result<pool::Assembled> assembled = co_await pool::assemble(std::move(devices), how);
  if (!assembled) co_return assembled.error();
  admin::CheckOptions options;
  options.data = data;
  co_return co_await admin::check_assembled(*assembled, std::move(options));
}

bool names(const Result<admin::CheckReport>& report, const std::string& finding_class) {
  return report && std::any_of(report->findings.begin(), report->findings.end(),
                               [&](const admin::Finding& one) { return one.name == finding_class; });
}

// The devices, and as one what is in memory over them.
struct View {
  explicit View(const std::vector<device::Device*>& devices) : overlay(devices) {}
  device::OverlayDevices overlay;
  pool::Assembled assembled;

  device::Device* member(u16 number) const {
    if (assembled.pool == nullptr) return number == 0 ? assembled.device : nullptr;
    return number < assembled.pool->map().members.size() ? assembled.pool->member(number) : nullptr;
  }
  std::size_t place_of(const device::Device* device) const {
    const std::vector<device::Device*> all = overlay.devices();
    return static_cast<std::size_t>(std::find(all.begin(), all.end(), device) - all.begin());
  }
};

class Corruption {
 public:
  Corruption(const std::vector<device::Device*>& devices, const RunTask& run, const CorruptOptions& options)
      : devices_(devices), run_(run), options_(options) {}

  Result<Planted> plant_one() {
    const Result<admin::CheckReport> before = checked(devices_, false);
    if (!before) return before.error();
    if (!before->clean()) return Planted{{}, "it is damaged already: " + before->findings.front().name};
    View sound(devices_);
    if (const Status assembled = assemble(sound); !assembled) return assembled.error();
    auto history = answer<Result<journal::History>>(
        [&sound] { return journal::read_history(*sound.assembled.device, sound.assembled.superblock); });
    if (!history) return history.error();
    if (options_.member && sound.member(*options_.member) == nullptr)
      return Planted{{}, "the filesystem has no device with this number"};
    const format::Superblock& superblock = sound.assembled.superblock;
    const MetadataEditor editor(medium_of(*sound.assembled.device, superblock), superblock, std::move(*history));
    std::string impossible;
    for (u64 attempt = 0; attempt < attempts_max; ++attempt) {
      Result<Planted> planted = attempt_at(editor, options_.seed + attempt * 1'000'003);
      if (!planted || !planted->what.empty()) return planted;
      if (!planted->impossible.empty()) impossible = planted->impossible;
    }
    if (impossible.empty())
      impossible = "wherever it was tried, newer updates in the journal undo it: mount and unmount first";
    return Planted{{}, impossible};
  }

 private:
  template <typename T>
  T answer(std::function<Task<T>()> make) const {
    std::optional<T> answer;
    run_([&make, &answer] { return answer_into(make(), &answer); });
    return std::move(*answer);
  }

  Status assemble(View& view) const {
    const pool::AssembleOptions how{.read_only = true};
    auto assembled = answer<Result<pool::Assembled>>([&] { return pool::assemble(view.overlay.devices(), how); });
    if (!assembled) return assembled.error();
    view.assembled = std::move(*assembled);
    return {};
  }

  Result<admin::CheckReport> checked(const std::vector<device::Device*>& devices, bool data) const {
    return answer<Result<admin::CheckReport>>([&] { return check(devices, data); });
  }

  Medium medium_of(device::Device& device, const format::Superblock& superblock) const {
    const u64 bucket_bytes = superblock.bucket_blocks * block_bytes;
    return {[this, &device](u64 offset, MutableByteSpan into) {
              (void)answer<Status>([&] { return read_bytes(&device, offset, into); });
            },
            [this, &device, bucket_bytes](u64 offset, ByteSpan from) {
              (void)answer<Status>([&] { return write_bytes(&device, bucket_bytes, offset, from); });
            }};
  }

  // On the member that was asked for, or any.
  Planted plant_in_superblocks(View& view, u64 seed) const {
    format::Superblock superblock = view.assembled.superblock;
    u16 number = options_.member.value_or(0);
    if (const pool::Pool* pool = view.assembled.pool.get(); pool != nullptr) {
      superblock.map_sequence = pool->map().sequence;
      number = options_.member.value_or(static_cast<u16>(seed % pool->map().members.size()));
    }
    device::Device& member = *view.member(number);
    return repair::plant_in_superblocks(medium_of(member, superblock), member.capacity().value / block_bytes,
                                        superblock, seed);
  }

  // Nothing when check does not name it.
  Result<Planted> attempt_at(const MetadataEditor& editor, u64 seed) const {
    View view(devices_);
    if (const Status assembled = assemble(view); !assembled) return assembled.error();
    const bool is_of_superblocks = options_.finding_class == "superblock_copy_damaged";
    const Medium medium = medium_of(*view.assembled.device, view.assembled.superblock);
    Planted planted =
        is_of_superblocks ? plant_in_superblocks(view, seed) : plant(editor, medium, options_.finding_class, seed);
    if (planted.what.empty()) return planted;
    const bool data = options_.finding_class.starts_with("data_");
    if (!names(checked(view.overlay.devices(), data), options_.finding_class)) return Planted{};
    if (options_.member) return keep_on(view, std::move(planted));
    const Status kept = answer<Status>([&view] { return view.overlay.write_out(); });
    if (!kept) return kept.error();
    return planted;
  }

  Result<u64> changed_on(View& view, std::size_t place) const {
    return answer<Result<u64>>([&] { return view.overlay.changed_blocks(place); });
  }

  // Only what the member has of it.
  Result<Planted> keep_on(View& view, Planted planted) const {
    const bool has_copies = view.assembled.device->copies() > 1;
    if (has_copies && !planted.is_plain_damage)
      return Planted{
          {},
          "this device's copy would be right by itself, so that nobody could tell which one is: only in all copies"};
    const std::size_t wanted = view.place_of(view.member(*options_.member));
    for (std::size_t place = 0; place < devices_.size(); ++place) {
      const Result<u64> changed = changed_on(view, place);
      if (!changed) return changed.error();
      const bool is_right = place == wanted ? *changed > 0 : has_copies || *changed == 0;
      if (!is_right) return Planted{{}, "wherever it was tried, it lies on another device"};
    }
    const Status kept = answer<Status>([&] { return view.overlay.write_out_to(wanted); });
    if (!kept) return kept.error();
    return planted;
  }

  const std::vector<device::Device*>& devices_;
  const RunTask& run_;
  const CorruptOptions& options_;
};

bool is_block_device(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

}  // namespace

Result<Planted> corrupt_devices(const std::vector<device::Device*>& devices, const RunTask& run,
                                const CorruptOptions& options) {
  return Corruption(devices, run, options).plant_one();
}

Result<Planted> corrupt(const admin::DeviceNames& devices, const CorruptOptions& options) {
  const bool any_block_device = std::any_of(devices.names.begin(), devices.names.end(), is_block_device);
  if (any_block_device && !options.force) return Planted{{}, "it is a block device: --force says that it is meant"};
  const auto session = admin::DeviceSession::open(devices, device::OpenMode::read_write);
  if (!session) return session.error();
  const RunTask run = [&session](std::function<Task<void>()> task) { (*session)->run(std::move(task)); };
  return corrupt_devices((*session)->devices(), run, options);
}

}  // namespace cowfs::repair
