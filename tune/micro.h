// How fast the kernels of checksums and erasure codes are on one core of this host. Each candidate runs for some milliseconds a
// round, all of them in every round, in an order drawn anew: what disturbs one round disturbs all of it, and pairs compare.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "results/statistics.h"

namespace cowbench::tune {

using cowfs::u32;
using cowfs::u64;

// The same memory again and again, or always the next of memory that is larger than the caches.
enum class Cache { hot, cold };

struct Candidate {
  std::string setting;  // "crc32c", "4+2"
  std::string task;     // "copy with checksum", "encode"
  std::string kernel;   // "folding-avx512"
  std::string needs;    // processor features: "sse42,avx512"
  u64 bytes = 0;        // of a block or shard
  Cache cache = Cache::hot;
  bool chosen = false;  // what the engine takes, with the processor features that it may use
  u64 data_bytes = 0;   // of one run
  std::function<void()> run;
};

struct Measured {
  Candidate candidate;
  std::vector<double> gb_s_rounds;  // of data
  double gb_s = 0;                  // median
};

struct MicroRequest {
  u32 rounds = 8;
  double milliseconds = 4;  // of a candidate in a round
  u64 cold_bytes = 256 << 20;
  u64 seed = 1;
};

// Every kernel that this processor has, for blocks of 4 to 64 KiB. "none" only copies.
std::vector<Measured> measure_checksums(const MicroRequest& request);
// Every kernel for some codes, encoding and recovering as many lost shards as there is parity, shards of 4 and 64 KiB.
std::vector<Measured> measure_erasure_codes(const MicroRequest& request);

// Of the kernels that the engine takes, at the size and cache that count (4 KiB copied with a checksum; 64 KiB shards; hot): what
// the setting costs for each 4 KiB of data, against none.
struct Cost {
  const Measured* measured = nullptr;
  results::Estimate ns_for_4_kib;
  std::optional<results::PairedRatio> speed;  // this / the fastest other kernel for the same
};
// Cheapest first; without none itself.
std::vector<Cost> costs(const std::vector<Measured>& measured);

}  // namespace cowbench::tune
