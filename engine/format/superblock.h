// The superblock: who this device is, and where everything else lies. Copies stand at block 1, at block
// superblock_second_copy, and in the last block of the device; the valid copy with the highest sequence wins.
//
// The first device's layout, in blocks:
//   0 unused | 1 superblock | .. | second copy | commit ring | slice headers | journal | data buckets .. | last copy
#pragma once
#include <array>
#include <string>

#include "engine/base/result.h"
#include "engine/codec/checksum.h"
#include "engine/format/address.h"

namespace cowfs::format {

constexpr u64 superblock_magic = 0x53424b5346574f43;  // "COWFSKBS"
constexpr u32 format_version = 2;
constexpr u64 superblock_first_copy = 1;
constexpr u64 superblock_second_copy = 64;

// Bits of features_required.
constexpr u64 feature_counters = 1;      // slice 0 may have a counters tree
constexpr u64 feature_single_flush = 2;  // a commit may be flushed together with what it commits
constexpr u64 feature_lost_extents = 4;  // a repair made extents that are lost
constexpr u64 feature_pool = 8;          // the device is a member of a pool (pool_map.h): sizes are those of the pool's space

constexpr u64 commit_slot_blocks = 4;
constexpr u64 commit_slots = 64;

constexpr u16 slices_max = 4096;
constexpr u64 data_buckets_per_slice_min = 16;
constexpr u64 default_region_bytes = 64 * mib;
constexpr u32 default_usable_percent = 92;

using Uuid = std::array<u8, 16>;

struct Superblock {  // 4096 bytes
  le32 checksum;               // crc32c of every byte after it
  le32 version;                // format_version
  le64 magic;
  Uuid uuid;                   // of the filesystem
  Uuid device_uuid;
  char label[64];              // NUL-padded
  char device_label[64];
  le64 sequence;               // grows with each rewrite
  le64 features_required;      // unknown bit: refuse
  le64 features_optional;      // unknown bit: read-only
  le64 created_ns;
  le16 device_index;
  le16 device_count;
  le16 slices;                 // power of two
  le16 block_kib;              // block_bytes / 1024
  le64 capacity_blocks;        // of this device, as it was at format
  le64 bucket_blocks;
  le64 bucket_count;           // whole buckets on this device
  le64 first_data_bucket;
  le64 commit_ring_block;      // first block; commit_slots * commit_slot_blocks long
  le64 slice_headers_block;    // first block; two blocks a slice, used in turn
  le64 journal_first_bucket;
  le64 journal_buckets;
  le64 region_bytes;           // files are dealt to slices in pieces of this size
  le64 hash_seed;              // of dirent_hash
  le32 usable_percent;         // of data buckets that users may fill; the rest keeps copygc moving
  u8 data_checksum;            // ChecksumKind of data written from now on; each extent says its own
  u8 metadata_checksum;        // the same of metadata; not none
  le16 reserved_word;
  le64 map_sequence;           // of the pool map that counts; without a pool 0
  u8 reserved[4096 - 312];
};
static_assert(sizeof(Superblock) == 4096);

u64 short_id(const Uuid& uuid);  // its first 8 bytes
inline u64 filesystem_id(const Superblock& superblock) { return short_id(superblock.uuid); }
inline bool is_of_pool(const Superblock& superblock) { return (superblock.features_required & feature_pool) != 0; }

// Sets magic, version and checksum.
void seal(Superblock& superblock);

// Errors: superblock_magic_mismatch, superblock_checksum_mismatch, superblock_version_unsupported,
// superblock_feature_unsupported, superblock_geometry_invalid, superblock_checksum_kind_invalid.
Status validate(const Superblock& superblock);

std::string to_text(const Superblock& superblock);
// Up to its NUL; what is not printable as '?'.
std::string label_text(std::span<const char> label);

struct GeometryRequest {
  Bytes capacity;
  u64 bucket_bytes = 0;   // 0: from capacity, 512 KiB to 8 MiB
  u16 slices = 0;         // 0: from capacity and cores
  u64 cores = 0;          // that will work on it; 0: not known. As with any number of slices, others can
  u64 journal_bytes = 0;  // 0: from capacity
};

// Fills in every size and place, and the usual checksums; identity, labels, device numbers, hash seed and sequence are the
// caller's.
// Errors: device_too_small (value: capacity; also when the journal or the slices asked for do not fit);
// superblock_geometry_invalid (value: a bucket size or number of slices that is no power of two, or out of range).
Status plan_geometry(const GeometryRequest& request, Superblock& superblock);

constexpr Bytes device_bytes_min{64 * mib};

}  // namespace cowfs::format
