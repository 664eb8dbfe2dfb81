// For benches of work beside clients: the file that they use, and what they notice.
#pragma once
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <vector>

#include "engine/admin/bench_image_internal.h"
#include "engine/base/random.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs {

constexpr u64 clients = 8;
constexpr u64 ns_per_second = 1'000'000'000;

inline u64 file_bytes() { return is_tiny_bench() ? 8 * mib : 2 * gib; }
inline u64 client_ns() { return is_tiny_bench() ? ns_per_second / 20 : 8 * ns_per_second; }

inline Task<void> write_file(Filesystem& filesystem) {
  const Result<FileHandle> file = co_await filesystem.open("/file", O_CREAT | O_RDWR, 0644);
  expect_ok(file);
  std::vector<std::byte> data(mib);
  Random random(1);
  for (u64 at = 0; at < file_bytes(); at += data.size()) {
    for (std::size_t i = 0; i < data.size(); i += block_bytes) data[i] = static_cast<std::byte>(random.next());
    const Result<u64> written = co_await filesystem.write(*file, at, data);
    expect_ok(written);
  }
  expect_ok(co_await filesystem.fsync(*file));
  expect_ok(co_await filesystem.close(*file));
}

// Reads and writes by turns, each of one block somewhere in the file.
inline Task<void> run_client(Filesystem& filesystem, u64 seed, std::vector<u64>& latencies, std::atomic<u64>& running) {
  const Result<FileHandle> file = co_await filesystem.open("/file", O_RDWR | O_DIRECT, 0644);
  expect_ok(file);
  Random random(seed);
  device::AlignedBuffer block(block_bytes);
  const auto now_ns = [] { return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count()); };
  const u64 end_ns = now_ns() + client_ns();
  for (u64 began_ns = now_ns(); began_ns < end_ns; began_ns = now_ns()) {
    const u64 at = random.below(file_bytes() / block_bytes) * block_bytes;
    Result<u64> moved = co_await filesystem.read(*file, at, block.span());
    expect_ok(moved);
    latencies.push_back(now_ns() - began_ns);
    began_ns = now_ns();
    moved = co_await filesystem.write(*file, random.below(file_bytes() / block_bytes) * block_bytes, block.span());
    expect_ok(moved);
    latencies.push_back(now_ns() - began_ns);
  }
  expect_ok(co_await filesystem.close(*file));
  running.fetch_sub(1);
  running.notify_all();
}

inline void wait_for(std::atomic<u64>& running) {
  for (u64 left = running.load(); left > 0; left = running.load()) running.wait(left);
}

inline void report_latencies(benchmark::State& state, const std::vector<std::vector<u64>>& latencies) {
  std::vector<u64> all;
  for (const auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  state.counters["p50_us"] = static_cast<double>(all[all.size() / 2]) / 1000;
  state.counters["p99_us"] = static_cast<double>(all[all.size() * 99 / 100]) / 1000;
  state.counters["operations"] = static_cast<double>(all.size());
}

}  // namespace cowfs
