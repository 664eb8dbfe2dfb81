// One seed, one history: the seed draws which points are forced, a configuration, then a fault, then the load, and everything
// that happens. The same seed gives the same trace on any machine.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/points.h"
#include "engine/engine.h"
#include "engine/sim/operation.h"

namespace cowfs::sim {

// What one history may meet, besides slow requests and unflushed writes that a power cut tears, reorders and loses.
enum class Fault : u8 {
  none,        // closed, mounted again with other cores, compared exactly
  clock_jump,  // the same, and the wall clock jumps all the time
  memory,      // the same, and some budgets are as small as they may be
  power_cut,   // at any request
  read_error,  // EIO, once or for good
  write_error,
  flush_error,
  short_read,  // the device moves fewer bytes than asked for, once or for good
  short_write,
  hung,      // one request, longer than the engine waits
  vanished,  // the device is gone from a request on
  stale,     // the same, and it comes back as it was at an earlier flush
  lost_write,  // acknowledged, never stored
  lost_flush,
  misdirected_write,
  misdirected_read,
  flipped_write,  // one bit, on the way to the medium
  flipped_read,
  flipped_at_rest,
  reverted,    // the device is as it was at an earlier flush, and says nothing
  unreadable,  // a range of the medium, for good
  device_lost,  // one of several, at any request
};
constexpr unsigned fault_count = static_cast<unsigned>(Fault::device_lost) + 1;
const char* name(Fault fault);
std::optional<Fault> fault_of(std::string_view name);

// Operations by round (a mount) and client.
using Script = std::vector<std::vector<Operations>>;

struct SeedOptions {
  u64 seed = 1;
  u64 operations = 300;               // of all clients together
  std::vector<Fault> faults = {};     // to draw from; empty: all
  std::optional<u16> cores = {};      // of every mount; otherwise drawn
  std::optional<u8> replicas = {};    // on 2 to 4 devices; otherwise drawn
  std::optional<ErasureCoding> erasure = {};  // on as many devices; otherwise drawn
  std::optional<Script> script = {};  // instead of drawn operations
  // Hears of each operation before it is done.
  std::function<void(std::size_t round, std::size_t client, const Operation& operation)> watch = {};
};

struct SeedResult {
  u64 trace_hash = 0;
  u64 operations = 0;
  Fault fault = Fault::none;
  std::string configuration;  // for people
  Script script;              // what was done
  PointCounts points{};       // how often each fired
  std::vector<std::string> problems;
};

SeedResult run_seed(const SeedOptions& options);

u64 operation_count(const Script& script);

}  // namespace cowfs::sim
