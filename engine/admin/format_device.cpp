#include "engine/admin/format_device.h"

#include <blkid/blkid.h>
#include <sys/random.h>

#include <cerrno>
#include <charconv>
#include <ctime>

#include "engine/admin/device_session.h"
#include "engine/device/aligned_buffer.h"
#include "engine/format/journal.h"
#include "engine/journal/journal.h"
#include "engine/pool/plan.h"
#include "engine/pool/pool.h"
#include "engine/pool/superblocks.h"
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
    header.checksum_kind = superblock.metadata_checksum;
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

namespace {

Result<Superblock> plan_superblock(const FormatOptions& options, const Identity& identity, Bytes capacity, u64 bucket_bytes) {
  Superblock superblock{};
  superblock.uuid = identity.filesystem;
  superblock.device_uuid = identity.device;
  superblock.hash_seed = identity.hash_seed;
  superblock.sequence = 1;
  superblock.features_required = format::feature_counters | (options.single_flush ? format::feature_single_flush : 0);
  superblock.device_count = 1;
  superblock.created_ns = identity.created_ns;
  std::memcpy(superblock.label, options.label.data(), std::min(options.label.size(), sizeof superblock.label - 1));
  const format::GeometryRequest request{.capacity = capacity,
                                        .bucket_bytes = bucket_bytes,
                                        .slices = options.slices,
                                        .cores = options.cores,
                                        .journal_bytes = options.journal_bytes};
  const Status planned = format::plan_geometry(request, superblock);
  if (!planned) return planned.error();
  if (options.region_bytes != 0) superblock.region_bytes = options.region_bytes;
  superblock.data_checksum = static_cast<u8>(options.data_checksum);
  superblock.metadata_checksum = static_cast<u8>(options.metadata_checksum);
  format::seal(superblock);
  const Status valid = format::validate(superblock);
  if (!valid) return valid.error();
  return superblock;
}

// Everything but the superblocks.
Task<Status> write_empty(device::Device& device, const Superblock& superblock) {
  Status done = co_await write_slice_headers(device, superblock);
  if (done) done = co_await journal::Journal::initialise(device, superblock);
  if (done) done = co_await device.flush();
  co_return done;
}

Task<Status> format_alone(device::Device& device, const FormatOptions& options, const Identity& identity) {
  const Result<Superblock> superblock = plan_superblock(options, identity, device.capacity(), options.bucket_bytes);
  if (!superblock) co_return superblock.error();
  Status done = co_await write_empty(device, *superblock);
  if (done) done = co_await pool::write_superblocks(device, *superblock);
  co_return done;
}

// Headers and journal are copied; from the first data bucket on there are stripes.
pool::Redundancy redundancy_of(const FormatOptions& options, u64 first_data_bucket) {
  const ErasureCoding& code = options.erasure;
  if (code.data_shards == 0) return {.copies = options.replicas};
  return {.copies = static_cast<u8>(code.parity_shards + 1),
          .data_shards = code.data_shards,
          .parity_shards = code.parity_shards,
          .copied_buckets = first_data_bucket};
}

// Of `bytes` on devices, what can be used.
u64 usable_bytes(u64 bytes, const FormatOptions& options) {
  const ErasureCoding& code = options.erasure;
  if (code.data_shards == 0) return bytes / std::max<u64>(options.replicas, 1);
  return bytes * code.data_shards / (code.data_shards + u64{code.parity_shards});
}

Result<format::PoolMap> plan_map(const std::vector<device::Device*>& devices, const FormatOptions& options,
                                 const Identity& identity, const Superblock& sized) {
  std::vector<pool::NewMember> members;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    pool::NewMember& member = members.emplace_back();
    member.device = identity.device;
    member.device[0] = static_cast<u8>(member.device[0] ^ i >> 8);
    member.device[1] = static_cast<u8>(member.device[1] ^ i);
    if (i < options.device_labels.size()) member.label = options.device_labels[i];
    member.capacity_blocks = devices[i]->capacity().value / block_bytes;
  }
  Result<format::PoolMap> map = pool::plan(members, redundancy_of(options, sized.first_data_bucket), sized.bucket_blocks);
  if (!map) return map;
  map->sequence = 1;
  map->session = identity.hash_seed;
  return map;
}

// The size of a bucket, and how much is copied, come from that of the space, which is known in whole chunks of buckets only
// later.
Task<Status> format_pool(const std::vector<device::Device*>& devices, const FormatOptions& options, const Identity& identity) {
  Bytes space{0};
  for (const device::Device* device : devices) {
    if (device->capacity() < format::device_bytes_min) co_return Error{Code::device_too_small, device->capacity().value};
    space.value += usable_bytes(device->capacity().value, options);
  }
  const Result<Superblock> sized = plan_superblock(options, identity, space, options.bucket_bytes);
  if (!sized) co_return sized.error();
  const u64 bucket_bytes = sized->bucket_blocks * block_bytes;
  Result<format::PoolMap> map = plan_map(devices, options, identity, *sized);
  if (!map) co_return map.error();
  // The space ends with a block that no bucket has, as a device does.
  space.value = map->buckets(sized->bucket_blocks) * bucket_bytes + block_bytes;
  FormatOptions exact = options;
  if (map->is_striped()) {
    exact.slices = sized->slices;
    exact.journal_bytes = sized->journal_buckets * bucket_bytes;
  }
  Result<Superblock> superblock = plan_superblock(exact, identity, space, bucket_bytes);
  if (!superblock) co_return superblock.error();
  assert(!map->is_striped() || superblock->first_data_bucket <= map->copied_buckets());
  superblock->features_required = superblock->features_required | format::feature_pool;
  map->filesystem = format::filesystem_id(*superblock);
  pool::Pool made(*superblock, std::move(*map), devices, false);
  Status done = co_await write_empty(made, *superblock);
  if (done) done = co_await made.publish();
  co_return done;
}

}  // namespace

Task<Status> format_devices(std::vector<device::Device*> devices, FormatOptions options, Identity identity) {
  if (devices.size() == 1 && options.replicas == 1 && options.erasure.data_shards == 0)
    co_return co_await format_alone(*devices[0], options, identity);
  co_return co_await format_pool(devices, options, identity);
}

Task<bool> carries_ours(device::Device& device) {
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(device);
  co_return found || (found.error().code != Code::superblock_magic_mismatch && found.error().code != Code::device_too_small);
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

Task<Status> format_unless_taken(std::vector<device::Device*> devices, FormatOptions options) {
  for (std::size_t i = 0; i < devices.size() && !options.force; ++i) {
    if (co_await admin::carries_ours(*devices[i])) co_return Error{Code::device_has_signature, 0, {.device = static_cast<u32>(i)}};
  }
  co_return co_await admin::format_devices(std::move(devices), std::move(options), admin::random_identity());
}

}  // namespace

std::optional<ErasureCoding> parse_erasure_code(std::string_view text) {
  unsigned data = 0, parity = 0;
  const char* const end = text.data() + text.size();
  const std::from_chars_result first = std::from_chars(text.data(), end, data);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != '+') return std::nullopt;
  const std::from_chars_result second = std::from_chars(first.ptr + 1, end, parity);
  const bool in_range = data >= format::data_shards_min && data <= format::data_shards_max && parity >= 1 &&
                        parity <= format::parity_shards_max;
  if (second.ec != std::errc{} || second.ptr != end || !in_range) return std::nullopt;
  return ErasureCoding{static_cast<u8>(data), static_cast<u8>(parity)};
}

Status format_devices(const FormatOptions& options) {
  for (std::size_t i = 0; i < options.devices.size() && !options.force; ++i) {
    const Result<std::string> signature = admin::find_signature(options.devices[i]);
    const Place place{.device = static_cast<u32>(i)};
    if (!signature) return Error{signature.error().code, signature.error().value, place};
    if (!signature->empty()) return Error{Code::device_has_signature, 0, place};
  }
  const auto session = admin::DeviceSession::open(options.devices, device::OpenMode::read_write);
  if (!session) return session.error();
  FormatOptions chosen = options;
  if (chosen.cores == 0) chosen.cores = static_cast<unsigned>(runtime::allowed_processors().size());
  const std::vector<device::Device*> devices = (*session)->devices();
  return (*session)->run([&devices, &chosen] { return format_unless_taken(devices, chosen); });
}

}  // namespace cowfs
