// What the processes of a torture share: settings, witnesses, and what each of them does.
#pragma once
#include <atomic>
#include <string>

#include "harness/dbench_client.h"
#include "harness/torture.h"

namespace cowbench::harness {

// Follows from the seed of a round alone.
struct TortureSettings {
  u32 lives = 1;
  u32 cores = 1;
  u16 slices = 0;
  u64 cache_bytes = 0;
  u64 commit_interval_ns = 0;
  bool sync_open = false, sync_directories = false, sync_writes = false;
  std::string text() const;
};
TortureSettings torture_settings(u64 seed);

enum TortureState : u32 { state_begun, state_formatted, state_running, state_over };

// One client's. Written by it alone, read after its death.
struct alignas(128) Witness {
  std::atomic<u64> begun;  // operations
};

constexpr u32 torture_clients_max = 256;

// Shared between processes; all zero at first.
struct TortureMemory {
  std::atomic<u32> state;
  std::atomic<u32> failed;
  char failure[4000];  // valid once failed is set
  u64 fsyncs, files, bytes;  // of the verifier
  Witness clients[torture_clients_max];

  void fail(std::string_view why);
};

struct TortureLife {
  const TortureRequest& request;
  const TortureSettings& settings;
  std::string device;
  u64 seed = 0;         // of payloads
  bool format = false;  // first
  TortureMemory& memory;
};

// Bodies of processes. They end by failing or, but for the worker, by returning.
void torture_worker(const TortureLife& life);
void torture_recovery(const TortureLife& life);
void torture_verifier(const TortureLife& life);

}  // namespace cowbench::harness
