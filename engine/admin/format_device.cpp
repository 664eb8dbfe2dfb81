#include "engine/admin/format_device.h"

#include <blkid/blkid.h>
#include <sys/random.h>

#include <cerrno>
#include <ctime>

#include "engine/admin/superblocks.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/file_device.h"
#include "engine/format/journal.h"
#include "engine/journal/journal.h"
#include "engine/runtime/cores.h"
#include "engine/runtime/topology.h"

namespace cowfs::admin {

using format::Superblock;

namespace {

void fill_random(void* into, std::size_t bytes) {
  const ssize_t got = getrandom(into, bytes, 0);
  assert(got == static_cast<ssize_t>(bytes));
}

format::Uuid random_uuid() {
  format::Uuid uuid;
  fill_random(uuid.data(), uuid.size());
  uuid[6] = static_cast<u8>((uuid[6] & 0x0f) | 0x40);  // RFC 9562, version 4
  uuid[8] = static_cast<u8>((uuid[8] & 0x3f) | 0x80);
  return uuid;
}

Task<Status> write_slice_headers(device::Device& device, const Superblock& superblock) {
  const u64 bytes = superblock.slices * 2ull * block_bytes;
  device::AlignedBuffer raw(bytes);
  for (u16 id = 0; id < superblock.slices; ++id) {
    format::SliceHeader header{};
    header.filesystem = format::filesystem_id(superblock);
    header.slice = id;
    header.sequence = 1;
    header.publish_epoch = 1;
    header.next_inode = 1;
    format::seal_slice_header(header);
    std::memcpy(raw.data() + (id * 2ull + 1) * block_bytes, &header, sizeof header);
  }
  co_return co_await device.write(superblock.slice_headers_block * block_bytes, raw.span());
}

}  // namespace

Identity random_identity() {
  Identity identity{random_uuid(), random_uuid(), 0, static_cast<u64>(std::time(nullptr)) * 1'000'000'000};
  fill_random(&identity.hash_seed, sizeof identity.hash_seed);
  return identity;
}

Task<Result<Superblock>> format_device(device::Device& device, FormatOptions options, Identity identity) {
  Superblock superblock{};
  superblock.uuid = identity.filesystem;
  superblock.device_uuid = identity.device;
  superblock.hash_seed = identity.hash_seed;
  superblock.sequence = 1;
  superblock.features_required = format::feature_counters | (options.single_flush ? format::feature_single_flush : 0);
  superblock.device_count = 1;
  superblock.created_ns = identity.created_ns;
  std::memcpy(superblock.label, options.label.data(), std::min(options.label.size(), sizeof superblock.label - 1));
  format::GeometryRequest request;
  request.capacity = device.capacity();
  request.bucket_bytes = options.bucket_bytes;
  request.slices = options.slices;
  request.cores = options.cores;
  request.journal_bytes = options.journal_bytes;
  const Status planned = format::plan_geometry(request, superblock);
  if (!planned) co_return planned.error();
  format::seal(superblock);
  const Status valid = format::validate(superblock);
  if (!valid) co_return valid.error();

  Status done = co_await write_slice_headers(device, superblock);
  if (done) done = co_await journal::Journal::initialise(device, superblock);
  if (done) done = co_await device.flush();
  if (done) done = co_await write_superblocks(device, superblock);
  if (!done) co_return done.error();
  co_return superblock;
}

Result<std::string> find_signature(const std::string& path) {
  blkid_probe probe = blkid_new_probe_from_filename(path.c_str());
  if (probe == nullptr) return Error{Code::device_open_failed, static_cast<u64>(errno)};
  blkid_probe_enable_superblocks(probe, 1);
  blkid_probe_enable_partitions(probe, 1);
  std::string found;
  const char* value = nullptr;
  if (blkid_do_safeprobe(probe) != 1) {
    const bool known = blkid_probe_lookup_value(probe, "TYPE", &value, nullptr) == 0 ||
                       blkid_probe_lookup_value(probe, "PTTYPE", &value, nullptr) == 0;
    found = known ? value : "more than one signature";
  }
  blkid_free_probe(probe);
  return found;
}

}  // namespace cowfs::admin

namespace cowfs {

namespace {

Task<Status> format_one(device::Device* device, FormatOptions options) {
  if (!options.force) {
    const Result<admin::SuperblockFound> ours = co_await admin::read_superblock(*device);
    const bool none = !ours && (ours.error().code == Code::superblock_magic_mismatch ||
                                ours.error().code == Code::device_too_small);
    if (!none) co_return Error{Code::device_has_signature};
  }
  const Result<format::Superblock> made = co_await admin::format_device(*device, options, admin::random_identity());
  co_return made ? Status{} : Status{made.error()};
}

}  // namespace

Status format_devices(const FormatOptions& options) {
  if (options.devices.size() != 1) return Error{Code::device_count_unsupported, options.devices.size()};
  if (!options.force) {
    const Result<std::string> signature = admin::find_signature(options.devices[0]);
    if (!signature) return signature.error();
    if (!signature->empty()) return Error{Code::device_has_signature};
  }
  const auto device = device::open_device(options.devices[0], device::OpenMode::read_write);
  if (!device) return device.error();
  runtime::CoresSettings settings;
  settings.cores = 1;
  settings.pin = false;
  const auto cores = runtime::Cores::start(settings);
  if (!cores) return cores.error();
  device::Device* target = device->get();
  FormatOptions chosen = options;
  if (chosen.cores == 0) chosen.cores = static_cast<unsigned>(runtime::allowed_processors().size());
  const Status done = (*cores)->run(0, [target, &chosen] { return format_one(target, chosen); });
  (*cores)->stop();
  return done;
}

}  // namespace cowfs
