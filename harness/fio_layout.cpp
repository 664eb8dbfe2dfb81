#include "harness/fio_layout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "harness/command.h"
#include "harness/io_memory.h"
#include "workloads/payload.h"

namespace cowbench::harness {
namespace {

constexpr u64 chunk_bytes = cowfs::mib;

// Writes `bytes` of it; the last chunk is rounded up to whole blocks for direct I/O and cut off afterwards.
Action fill_file(int descriptor, const FioPath& file, ByteSpan chunk) {
  if (fallocate(descriptor, 0, 0, static_cast<off_t>(file.bytes)) != 0 && errno != EOPNOTSUPP)
    return system_failure("preallocate " + file.path, errno);
  for (u64 at = 0; at < file.bytes; at += chunk_bytes) {
    const u64 now = std::min(chunk_bytes, cowfs::round_up(file.bytes - at, cowfs::block_bytes));
    const ssize_t written = pwrite(descriptor, chunk.data(), now, static_cast<off_t>(at));
    if (written != static_cast<ssize_t>(now)) return system_failure("write " + file.path, written < 0 ? errno : ENOSPC);
    if (interrupted()) return Failure{FailureKind::interrupted, "interrupted", ""};
  }
  if (ftruncate(descriptor, static_cast<off_t>(file.bytes)) != 0) return system_failure("cut " + file.path, errno);
  return fsync(descriptor) == 0 ? Action(Done{}) : Action(system_failure("sync " + file.path, errno));
}

Outcome<IoMemory> random_chunk() {
  auto memory = IoMemory::map(1, chunk_bytes);
  if (memory) workloads::fill_payload(workloads::PayloadKind::random, 1, 0, memory->buffer(0));
  return memory;
}

cowfs::Task<cowfs::Status> fill_on_cowfs(cowfs::Filesystem& filesystem, cowfs::FileHandle handle, u64 bytes, ByteSpan chunk) {
  for (u64 at = 0; at < bytes; at += chunk_bytes) {
    const auto written = co_await filesystem.write(handle, at, chunk.first(std::min(chunk_bytes, bytes - at)));
    if (!written) co_return written.error();
  }
  co_return co_await filesystem.fsync(handle);
}

// `wrong`: which file could not be made, and why.
cowfs::Task<void> make_on_cowfs(cowfs::Filesystem& filesystem, const std::vector<FioPath>& files, ByteSpan chunk,
                                std::string& wrong) {
  for (const FioPath& file : files) {
    const auto slash = file.path.rfind('/');
    cowfs::Status done;
    if (slash > 0) done = co_await filesystem.mkdir(file.path.substr(0, slash), 0700);
    if (!done && cowfs::to_errno(done.error().code) == EEXIST) done = cowfs::Status();
    if (done) {
      const auto handle = co_await filesystem.open(file.path, O_RDWR | O_CREAT | O_DIRECT, 0600);
      if (handle) {
        done = co_await fill_on_cowfs(filesystem, *handle, file.bytes, chunk);
        const cowfs::Status closed = co_await filesystem.close(*handle);
        if (done) done = closed;
      } else {
        done = handle.error();
      }
    }
    if (done) continue;
    wrong = "make " + file.path + ": " + cowfs::to_text(done.error());
    co_return;
  }
}

}  // namespace

std::vector<FioPath> fio_paths(const workloads::FioJob& job, u32 clone) {
  std::vector<FioPath> paths;
  const std::string own = job.file_names.empty() ? fmt::format("/{}.{}", job.name, clone) : "";
  for (const workloads::FioFile& file : fio_files(job, clone)) paths.push_back({own + "/" + file.name, file.bytes});
  return paths;
}

std::vector<FioPath> all_fio_paths(const std::vector<workloads::FioJob>& jobs) {
  std::vector<FioPath> all;
  for (const workloads::FioJob& job : jobs) {
    for (u32 clone = 0; clone < job.clones; ++clone) {
      for (FioPath& path : fio_paths(job, clone)) {
        const auto known = std::ranges::find(all, path.path, &FioPath::path);
        if (known == all.end()) all.push_back(std::move(path));
        else known->bytes = std::max(known->bytes, path.bytes);
      }
    }
  }
  return all;
}

Action lay_out_in_directory(const std::string& directory, const std::vector<FioPath>& files) {
  const auto chunk = random_chunk();
  if (!chunk) return chunk.failure();
  for (const FioPath& file : files) {
    const std::string path = directory + file.path;
    std::error_code error;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
    // Past the page cache where the filesystem can: nothing of the files is cached then.
    int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
    if (descriptor < 0 && errno == EINVAL) descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return system_failure("make " + path, errno);
    const Action filled = fill_file(descriptor, {path, file.bytes}, chunk->buffer(0));
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
    close(descriptor);
    if (!filled) return filled;
  }
  return Done{};
}

Action lay_out_on_cowfs(cowfs::Filesystem& filesystem, u32 core, const std::vector<FioPath>& files) {
  const auto chunk = random_chunk();
  if (!chunk) return chunk.failure();
  const ByteSpan bytes = chunk->buffer(0);
  std::string wrong;
  filesystem.run(core, [&] { return make_on_cowfs(filesystem, files, bytes, wrong); });
  if (wrong.empty()) return Done{};
  return Failure{FailureKind::failed, "cowfs: " + wrong, ""};
}

Outcome<DeviceLayout> DeviceLayout::plan(const std::vector<workloads::FioJob>& jobs, u64 device_bytes) {
  DeviceLayout layout;
  u64 end = 0;
  for (const FioPath& file : all_fio_paths(jobs)) {
    layout.bases_.emplace_back(file.path, end);
    end += cowfs::round_up(file.bytes, cowfs::mib);
  }
  if (end > device_bytes)
    return Failure{FailureKind::request, fmt::format("the jobs' files take {} bytes, the device has {}", end, device_bytes),
                   "make the device larger with --size, or the files smaller"};
  return layout;
}

u64 DeviceLayout::base(const std::string& path) const {
  const auto known = std::ranges::find(bases_, path, &std::pair<std::string, u64>::first);
  assert(known != bases_.end());
  return known->second;
}

}  // namespace cowbench::harness
