// A target that stores nothing and answers each call as the loadfile expects, so that a run on it measures the generator:
// the nanoseconds an operation costs before any filesystem does work. Names of files to create are reported missing and
// directories are empty, so every lookup and scan is asked for. Content cannot be verified on it.
#pragma once
#include <algorithm>
#include <cerrno>

#include "harness/target_calls.h"
#include "workloads/loadfile.h"

namespace cowbench::harness {

class NullTarget {
 public:
  void begin(const workloads::Op& op) {
    const bool creates = op.kind == workloads::OpKind::nt_create && op.disposition == workloads::Disposition::create;
    result_ = op.must_succeed ? 0 : -ENOENT;
    lookup_ = creates ? -ENOENT : result_;
    bytes_left_ = op.returned;
  }

  Ready<i64> stat(const std::string&, FileStat&) { return {lookup_}; }
  Ready<i64> open(const std::string&, int, u32) { return {result_}; }
  Ready<i64> close(i64) { return {0}; }
  Ready<i64> pread(i64, MutableByteSpan into, u64) { return {moved(into.size())}; }
  Ready<i64> pwrite(i64, ByteSpan from, u64) { return {moved(from.size())}; }
  Ready<i64> fsync(i64) { return {0}; }
  Ready<i64> truncate(i64, u64) { return {0}; }
  Ready<i64> fstat(i64, FileStat&) { return {0}; }
  Ready<i64> unlink(const std::string&) { return {result_}; }
  Ready<i64> rename(const std::string&, const std::string&) { return {result_}; }
  Ready<i64> mkdir(const std::string&, u32) { return {result_}; }
  Ready<i64> rmdir(const std::string&) { return {result_}; }
  Ready<i64> fdatasync_directory(const std::string&) { return {0}; }
  Ready<i64> statvfs(const std::string&) { return {0}; }
  Ready<i64> utime(const std::string&, i64, i64) { return {0}; }
  Ready<i64> lock(i64, u64, u64) { return {0}; }
  Ready<i64> unlock(i64, u64, u64) { return {0}; }
  Ready<i64> getxattr(const std::string&, const char*, MutableByteSpan) { return {0}; }
  Ready<i64> fgetxattr(i64, const char*, MutableByteSpan) { return {0}; }
  Ready<i64> fsetxattr(i64, const char*, ByteSpan) { return {0}; }
  Ready<i64> open_directory(const std::string&) { return {0}; }
  Ready<i64> read_directory(i64, MutableByteSpan) { return {0}; }
  Ready<i64> close_directory(i64) { return {0}; }

 private:
  i64 moved(u64 bytes) {
    const u64 now = std::min(bytes, bytes_left_);
    bytes_left_ -= now;
    return static_cast<i64>(now);
  }

  i64 result_ = 0;
  i64 lookup_ = 0;
  u64 bytes_left_ = 0;
};
static_assert(TargetCalls<NullTarget>);

}  // namespace cowbench::harness
