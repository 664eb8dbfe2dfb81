// The files of fio jobs as they lie on a target before a round: preallocated, written in full and synced, so that a
// filesystem which overwrites in place does so, and nothing of them in a cache.
#pragma once
#include <string>
#include <vector>

#include "engine/engine.h"
#include "harness/outcome.h"
#include "harness/uring_files.h"
#include "workloads/fio_stream.h"

namespace cowbench::harness {

// A file of a clone, where it lies on a target.
struct FioPath {
  std::string path;  // below the target's directory, begins with a slash
  u64 bytes = 0;
};
// A clone's own files lie in a directory of its own, where cowfs keeps them on the clone's core; those that filename=
// names lie beside these directories and are shared.
std::vector<FioPath> fio_paths(const workloads::FioJob& job, u32 clone);

// All files of all jobs, each once, as large as the largest wish.
std::vector<FioPath> all_fio_paths(const std::vector<workloads::FioJob>& jobs);

// Failures failed: the system call's; interrupted.
Action lay_out_in_directory(const std::string& directory, const std::vector<FioPath>& files);

// Makes them from core `core`, which then owns them where they lie in directories of their own. Failure failed: the
// engine's error.
Action lay_out_on_cowfs(cowfs::Filesystem& filesystem, u32 core, const std::vector<FioPath>& files);

// Where each file of a clone begins when all files of all clones share one device, one behind the other.
// Failure request: the device is too small.
class DeviceLayout {
 public:
  static Outcome<DeviceLayout> plan(const std::vector<workloads::FioJob>& jobs, u64 device_bytes);
  u64 base(const std::string& path) const;

 private:
  std::vector<std::pair<std::string, u64>> bases_;
};

}  // namespace cowbench::harness
