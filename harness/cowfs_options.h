// The options of a cowfs target, as "cowfs:cache=1G,spin_us=20" spells them.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/checksum_kind.h"
#include "engine/base/types.h"
#include "engine/engine.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;
using cowfs::u64;

// What is absent keeps the engine's default, or the harness's.
struct CowfsOptions {
  std::optional<u64> cache_bytes;       // page cache
  std::optional<u64> node_cache_bytes;  // btree nodes
  std::optional<u64> cores;             // fewer than the pin plan has
  std::optional<u64> spin_us;           // look for work this long before sleeping
  std::optional<u64> commit_ms;         // the longest that unsynced work stays in memory
  std::optional<u64> discard;           // 0 or 1
  std::optional<u64> populate;          // 0 or 1: touch the cache's memory at mount
  std::optional<u64> slices;
  std::optional<u64> bucket_bytes;
  std::optional<u64> journal_bytes;
  std::optional<u64> replicas;
  std::optional<cowfs::ErasureCoding> erasure;
  std::optional<u64> single_flush;      // 0 or 1: commits flush once, mounts verify the last epoch
  std::optional<cowfs::ChecksumKind> data_checksum;
  std::optional<cowfs::ChecksumKind> metadata_checksum;  // not none
};

// `text`: what stands behind "cowfs:"; may be empty. Failures request: an unknown name (the known ones are listed), a
// value that is none, a name given twice.
Outcome<CowfsOptions> parse_cowfs_options(std::string_view text);

// "cache, node_cache, cores, ...": for help and errors.
std::string known_cowfs_options();

}  // namespace cowbench::harness
