// The files of a fio job on a mounted cowfs; see fio_client.h.
#pragma once
#include <cerrno>

#include "harness/cowfs_target.h"

namespace cowbench::harness {

template <typename Charge>
class CowfsFiles {
 public:
  explicit CowfsFiles(cowfs::Filesystem& filesystem) : target_(filesystem, false) {}

  // The file becomes the next index. Yields a negative errno when it cannot be opened.
  cowfs::Task<i64> open(const std::string& path, int flags) {
    const i64 handle = co_await target_.open(path, flags, 0600);
    if (handle >= 0) handles_.push_back(handle);
    co_return handle;
  }
  cowfs::Task<void> close() {
    for (const i64 handle : handles_) co_await target_.close(handle);
    handles_.clear();
  }
  auto read(u32 file, MutableByteSpan into, u64 offset) { return target_.pread(handles_[file], into, offset); }
  auto write(u32 file, ByteSpan from, u64 offset) { return target_.pwrite(handles_[file], from, offset); }
  auto trim(u32 file, u64 offset, u64 bytes) { return target_.punch_hole(handles_[file], offset, bytes); }
  auto sync(u32 file, bool) { return target_.fsync(handles_[file]); }

 private:
  CowfsTarget<Charge> target_;
  std::vector<i64> handles_;
};

}  // namespace cowbench::harness
