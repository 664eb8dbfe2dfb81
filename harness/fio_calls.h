// What a client of a fio job asks of its target and of whoever runs it.
#pragma once
#include <concepts>
#include <string>
#include <string_view>

#include "harness/fio_progress.h"
#include "harness/round_phases.h"
#include "harness/target_calls.h"
#include "workloads/fio_stream.h"

namespace cowbench::harness {

using workloads::FioJob;
using workloads::FioOp;

// What latencies are recorded of; the order of tables.
enum class FioLatency : u8 { read, write, trim, sync, read_response, write_response, trim_response, verify };
constexpr size_t fio_latency_kinds = 8;
static_assert(fio_latency_kinds <= latency_kinds_max);
std::string_view name(FioLatency kind);

// Open files by their index; each call yields what a system call returns.
template <typename Files>
concept FioFiles = requires(Files& files, u32 file, MutableByteSpan into, ByteSpan from, u64 offset, u64 bytes, bool data_only) {
  { files.read(file, into, offset) } -> CallResult;
  { files.write(file, from, offset) } -> CallResult;
  { files.trim(file, offset, bytes) } -> CallResult;
  { files.sync(file, data_only) } -> CallResult;
};

// The clock, when to stop, and where results go; sleep_until() and turn() are awaited by lanes.
template <typename Host>
concept FioHost = requires(Host& host, u64 ns, size_t kind, const std::string& text) {
  { host.now_ns() } -> std::convertible_to<u64>;
  { host.stop_requested() } -> std::convertible_to<bool>;
  { host.sleep_until(ns) } -> AwaitableVoid;
  { host.turn() } -> AwaitableVoid;
  host.count(ns, true);
  host.record_latency(kind, ns);
  host.record_response(kind, ns);
  host.mismatch(text);  // a block is not what was written
  host.remark(text);
};

struct FioClientOptions {
  const FioJob* job = nullptr;  // outlives the client
  u32 clone = 0;
  u64 seed = 0;
  u64 runtime_ns = 0;  // after which this clone stops although the round goes on; 0: with the round
  CloneProgress progress = {};  // of jobs with verify=
};

}  // namespace cowbench::harness
