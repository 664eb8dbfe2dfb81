#include "engine/repair/corrupt.h"

#include <sys/stat.h>

#include "engine/admin/check_device.h"
#include "engine/admin/device_session.h"
#include "engine/device/overlay_device.h"

namespace cowfs::repair {

using runtime::Task;

namespace {

constexpr u64 attempts_max = 64;

device::AlignedBuffer blocks_around(u64 offset, u64 bytes, u64* first) {
  *first = round_down(offset, block_bytes);
  return device::AlignedBuffer(round_up(offset + bytes, block_bytes) - *first);
}

// What lies outside of the device reads as zeros.
Task<Status> read_bytes(device::Device* device, u64 offset, MutableByteSpan into) {
  u64 first = 0;
  device::AlignedBuffer raw = blocks_around(offset, into.size(), &first);
  const Status read = co_await device->read(first, raw.span());
  std::memcpy(into.data(), raw.data() + (offset - first), into.size());
  co_return read;
}

Task<Status> write_bytes(device::Device* device, u64 offset, ByteSpan from) {
  u64 first = 0;
  device::AlignedBuffer raw = blocks_around(offset, from.size(), &first);
  const Status read = co_await device->read(first, raw.span());
  if (!read) co_return read;
  std::memcpy(raw.data() + (offset - first), from.data(), from.size());
  co_return co_await device->write(first, raw.span());
}

Medium medium_of(admin::DeviceSession& session, device::Device& device) {
  return {[&session, &device](u64 offset, MutableByteSpan into) {
            (void)session.run([&device, offset, into] { return read_bytes(&device, offset, into); });
          },
          [&session, &device](u64 offset, ByteSpan from) {
            (void)session.run([&device, offset, from] { return write_bytes(&device, offset, from); });
          }};
}

Result<admin::CheckReport> checked(admin::DeviceSession& session, device::Device& device, bool data) {
  admin::CheckOptions options;
  options.data = data;
  return session.run([&device, options] { return admin::check_device(device, options); });
}

bool names(const Result<admin::CheckReport>& report, const std::string& finding_class) {
  if (!report) return false;
  for (const admin::Finding& finding : report->findings)
    if (finding.name == finding_class) return true;
  return false;
}

Task<Status> keep(device::OverlayDevice* changed, device::Device* device) {
  const Status written = co_await changed->write_out(0, device->capacity().value / block_bytes);
  if (!written) co_return written;
  device::IoAwaiter flush = device->flush();
  co_return co_await flush;
}

bool is_block_device(const std::string& path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
}

}  // namespace

Result<Planted> corrupt(const std::string& path, const CorruptOptions& options) {
  if (is_block_device(path) && !options.force) return Planted{{}, "it is a block device: --force says that it is meant"};
  auto session = admin::DeviceSession::open(path, device::OpenMode::read_write);
  if (!session) return session.error();
  device::Device& device = *(*session)->devices().front();
  const Result<admin::CheckReport> before = checked(**session, device, false);
  if (!before) return before.error();
  if (!before->clean()) return Planted{{}, "it is damaged already: " + before->findings.front().name};

  const auto found = (*session)->run([&device] { return pool::read_superblock(device); });
  if (!found) return found.error();
  auto history = (*session)->run([&] { return journal::read_history(device, found->superblock); });
  if (!history) return history.error();
  const MetadataEditor editor(medium_of(**session, device), found->superblock, std::move(*history));
  const bool data = options.finding_class.starts_with("data_");
  std::string impossible;
  for (u64 attempt = 0; attempt < attempts_max; ++attempt) {
    device::OverlayDevice changed(device);
    const Planted planted =
        plant(editor, medium_of(**session, changed), options.finding_class, options.seed + attempt * 1'000'003);
    if (!planted.impossible.empty()) impossible = planted.impossible;
    if (planted.what.empty() || !names(checked(**session, changed, data), options.finding_class)) continue;
    const Status kept = (*session)->run([&] { return keep(&changed, &device); });
    if (!kept) return kept.error();
    return planted;
  }
  if (impossible.empty()) impossible = "wherever it was tried, newer updates in the journal undo it: mount and unmount first";
  return Planted{{}, impossible};
}

}  // namespace cowfs::repair
