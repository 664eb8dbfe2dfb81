// Geometry, with sums for a 1 TiB device: 1 MiB buckets, so a million of them; 256 slices of 4096 buckets; 1 GiB of
// journal, 0.1 per cent. The commit ring and the slice headers fit before the first journal bucket.
#include "engine/format/superblock.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "engine/codec/crc32c.h"

namespace cowfs::format {
namespace {

constexpr u64 bucket_bytes_min = 512 * kib;
constexpr u64 bucket_bytes_max = 8 * mib;
constexpr u64 journal_bytes_min = 8 * mib;
constexpr u64 journal_bytes_usual_min = 16 * mib;
constexpr u64 journal_bytes_max = gib;
constexpr u64 small_device_bytes = 256 * mib;
constexpr u64 slice_buckets_min = 64;
constexpr u64 slice_capacity_bytes = 4 * gib;
constexpr u64 default_slices_max = 256;
constexpr u64 commit_ring_first_block = 128;
constexpr u64 capacity_blocks_max = 1ull << 48;

constexpr u64 known_required_features = feature_counters | feature_single_flush | feature_lost_extents | feature_pool;

u32 checksum_of(const Superblock& superblock) { return codec::crc32c(bytes_of(superblock).subspan(sizeof(le32))); }

u64 default_bucket_bytes(u64 capacity) {
  if (capacity < 4 * gib) return bucket_bytes_min;
  if (capacity <= 1024 * gib) return mib;
  if (capacity <= 4096 * gib) return 2 * mib;
  if (capacity <= 16384 * gib) return 4 * mib;
  return bucket_bytes_max;
}

// Cores that are a power of two have one slice each, since what the slices of a core write at one time goes to as many
// places. Of others each has two or three.
u64 slices_for(u64 cores) { return std::bit_ceil(std::has_single_bit(cores) ? cores : 2 * cores); }

u64 default_slices(u64 capacity, u64 data_buckets, u64 cores) {
  u64 slices = std::bit_floor(std::clamp<u64>(capacity / slice_capacity_bytes, 1, default_slices_max));
  const u64 unknown_cores = capacity >= gib ? 4 : 1;
  slices = std::max(slices, slices_for(cores > 0 ? std::min(cores, default_slices_max) : unknown_cores));
  while (slices > 1 && data_buckets / slices < slice_buckets_min) slices /= 2;
  return slices;
}

u64 default_journal_bytes(u64 capacity) {
  const u64 least = capacity < small_device_bytes ? journal_bytes_min : journal_bytes_usual_min;
  return std::clamp(capacity / 32, least, journal_bytes_max);
}

std::string uuid_text(const Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", uuid[i]);
  }
  return text;
}

std::string kind_text(u8 stored) {
  return is_checksum_kind(stored) ? std::string(name(static_cast<ChecksumKind>(stored)))
                                  : fmt::format("unknown kind {}", stored);
}

// The first number that contradicts the others; nothing when they agree. No sum below can overflow: each term is
// bounded before it is used.
std::optional<u64> contradiction(const Superblock& s) {
  const auto outside = [](u64 value, u64 least, u64 most) { return value < least || value > most; };
  if (s.block_kib != block_bytes / kib) return s.block_kib;
  if (s.device_count == 0 || s.device_index >= s.device_count) return s.device_index;
  if (!std::has_single_bit(u16{s.slices}) || s.slices > slices_max) return s.slices;
  const u64 bucket_blocks = s.bucket_blocks;
  if (!std::has_single_bit(bucket_blocks) ||
      outside(bucket_blocks, bucket_bytes_min / block_bytes, bucket_bytes_max / block_bytes))
    return bucket_blocks;
  if (outside(s.capacity_blocks, device_bytes_min.value / block_bytes, capacity_blocks_max)) return s.capacity_blocks;
  // The last block holds a copy of the superblock.
  if (s.bucket_count != (s.capacity_blocks - 1) / bucket_blocks) return s.bucket_count;
  const u64 buckets = s.bucket_count;
  if (outside(s.journal_first_bucket, 1, buckets)) return s.journal_first_bucket;
  const u64 reserved_blocks = s.journal_first_bucket * bucket_blocks;
  const u64 ring_blocks = commit_slots * commit_slot_blocks;
  if (outside(s.commit_ring_block, superblock_second_copy + 1, reserved_blocks)) return s.commit_ring_block;
  if (s.slice_headers_block < s.commit_ring_block + ring_blocks) return s.slice_headers_block;
  if (s.slice_headers_block > reserved_blocks || reserved_blocks - s.slice_headers_block < 2ull * s.slices)
    return s.slice_headers_block;
  if (outside(s.journal_buckets, journal_bytes_min / (bucket_blocks * block_bytes), buckets)) return s.journal_buckets;
  if (s.first_data_bucket != s.journal_first_bucket + s.journal_buckets || s.first_data_bucket >= buckets)
    return s.first_data_bucket;
  if (s.region_bytes == 0 || s.region_bytes % block_bytes != 0) return s.region_bytes;
  if (outside(s.usable_percent, 1, 100)) return s.usable_percent;
  return std::nullopt;
}

}  // namespace

std::string label_text(std::span<const char> label) {
  std::string text;
  for (const char character : label) {
    if (character == '\0') break;
    text += character >= ' ' && character <= '~' ? character : '?';
  }
  return text;
}

u64 short_id(const Uuid& uuid) {
  u64 id;
  std::memcpy(&id, uuid.data(), sizeof id);
  return id;
}

void seal(Superblock& superblock) {
  superblock.magic = superblock_magic;
  superblock.version = format_version;
  superblock.checksum = checksum_of(superblock);
}

Status validate(const Superblock& superblock) {
  if (superblock.magic != superblock_magic) return Error{Code::superblock_magic_mismatch, superblock.magic};
  if (superblock.checksum != checksum_of(superblock))
    return Error{Code::superblock_checksum_mismatch, superblock.checksum};
  if (superblock.version != format_version) return Error{Code::superblock_version_unsupported, superblock.version};
  if ((superblock.features_required & ~known_required_features) != 0)
    return Error{Code::superblock_feature_unsupported, superblock.features_required};
  if (const auto wrong = contradiction(superblock)) return Error{Code::superblock_geometry_invalid, *wrong};
  if (!is_checksum_kind(superblock.data_checksum))
    return Error{Code::superblock_checksum_kind_invalid, superblock.data_checksum};
  const u8 metadata = superblock.metadata_checksum;
  if (!is_checksum_kind(metadata) || metadata == static_cast<u8>(ChecksumKind::none))
    return Error{Code::superblock_checksum_kind_invalid, metadata};
  return {};
}

std::string to_text(const Superblock& s) {
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) {
    text += fmt::format("{:<22} {}\n", name, value);
  };
  const u64 bucket_bytes = s.bucket_blocks * block_bytes;
  line("uuid", uuid_text(s.uuid));
  line("device uuid", uuid_text(s.device_uuid));
  line("label", label_text(s.label));
  line("device label", label_text(s.device_label));
  line("device", fmt::format("{} of {}", u16{s.device_index}, u16{s.device_count}));
  line("version", fmt::format("{}", u32{s.version}));
  line("features required", fmt::format("{:#x}", u64{s.features_required}));
  line("features optional", fmt::format("{:#x}", u64{s.features_optional}));
  line("sequence", fmt::format("{}", u64{s.sequence}));
  line("created", fmt::format("{} ns since 1970", u64{s.created_ns}));
  line("capacity", fmt::format("{} bytes", s.capacity_blocks * block_bytes));
  line("block", fmt::format("{} KiB", u16{s.block_kib}));
  line("bucket", fmt::format("{} KiB", bucket_bytes / kib));
  line("buckets", fmt::format("{}, data from {}", u64{s.bucket_count}, u64{s.first_data_bucket}));
  line("slices", fmt::format("{}", u16{s.slices}));
  line("commit ring",
       fmt::format("block {}, {} places of {} blocks", u64{s.commit_ring_block}, commit_slots, commit_slot_blocks));
  line("slice headers", fmt::format("block {}", u64{s.slice_headers_block}));
  line("journal", fmt::format("{} buckets from {}, {} MiB", u64{s.journal_buckets}, u64{s.journal_first_bucket},
                              s.journal_buckets * bucket_bytes / mib));
  line("region", fmt::format("{} MiB", s.region_bytes / mib));
  line("usable", fmt::format("{} per cent", u32{s.usable_percent}));
  line("data checksum", kind_text(s.data_checksum));
  line("metadata checksum", kind_text(s.metadata_checksum));
  line("checksum", fmt::format("{:08x}", u32{s.checksum}));
  return text;
}

Status plan_geometry(const GeometryRequest& request, Superblock& superblock) {
  const u64 capacity = round_down(request.capacity.value, block_bytes);
  if (capacity < device_bytes_min.value) return Error{Code::device_too_small, request.capacity.value};
  const u64 bucket_bytes = request.bucket_bytes != 0 ? request.bucket_bytes : default_bucket_bytes(capacity);
  if (!std::has_single_bit(bucket_bytes) || bucket_bytes < bucket_bytes_min || bucket_bytes > bucket_bytes_max)
    return Error{Code::superblock_geometry_invalid, bucket_bytes};
  if (request.slices != 0 && (!std::has_single_bit(request.slices) || request.slices > slices_max))
    return Error{Code::superblock_geometry_invalid, request.slices};

  const u64 bucket_blocks = bucket_bytes / block_bytes;
  const u64 bucket_count = (capacity / block_bytes - 1) / bucket_blocks;
  const u64 journal_bytes =
      request.journal_bytes != 0 ? std::max(request.journal_bytes, journal_bytes_min) : default_journal_bytes(capacity);
  if (journal_bytes >= capacity) return Error{Code::device_too_small, request.capacity.value};
  const u64 journal_buckets = round_up(journal_bytes, bucket_bytes) / bucket_bytes;
  const u64 slices = request.slices != 0
                         ? request.slices
                         : default_slices(capacity, bucket_count - std::min(bucket_count, journal_buckets), request.cores);
  const u64 slice_headers_block = commit_ring_first_block + commit_slots * commit_slot_blocks;
  const u64 journal_first_bucket = round_up(slice_headers_block + 2 * slices, bucket_blocks) / bucket_blocks;
  const u64 first_data_bucket = journal_first_bucket + journal_buckets;
  if (first_data_bucket + slices * data_buckets_per_slice_min > bucket_count)
    return Error{Code::device_too_small, request.capacity.value};

  superblock.block_kib = static_cast<u16>(block_bytes / kib);
  superblock.capacity_blocks = capacity / block_bytes;
  superblock.bucket_blocks = bucket_blocks;
  superblock.bucket_count = bucket_count;
  superblock.slices = static_cast<u16>(slices);
  superblock.commit_ring_block = commit_ring_first_block;
  superblock.slice_headers_block = slice_headers_block;
  superblock.journal_first_bucket = journal_first_bucket;
  superblock.journal_buckets = journal_buckets;
  superblock.first_data_bucket = first_data_bucket;
  superblock.region_bytes = default_region_bytes;
  superblock.usable_percent = default_usable_percent;
  superblock.data_checksum = static_cast<u8>(ChecksumKind::crc32c);
  superblock.metadata_checksum = static_cast<u8>(ChecksumKind::crc32c);
  return {};
}

}  // namespace cowfs::format
