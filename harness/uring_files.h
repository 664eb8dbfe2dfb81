// Files of the kernel for a job with depth: one io_uring for the thread, files and buffers registered, and all operations
// that lanes have prepared submitted at once when no lane can go on. See fio_client.h.
#pragma once
#include <liburing.h>

#include <coroutine>
#include <memory>
#include <queue>
#include <vector>

#include "engine/runtime/task.h"
#include "harness/outcome.h"
#include "harness/target_calls.h"

namespace cowbench::harness {

struct OpenedFile {
  int descriptor = -1;
  u64 base = 0;  // added to every offset: a part of a device stands for a file
};

class UringFiles {
  enum class Call : u8 { read, write, trim, fsync, fdatasync };

 public:
  // Prepared when it is awaited, resumed with what the system call would return. Lives in the frame that awaits it.
  struct Operation {
    UringFiles& files;
    Call call;
    u32 file;
    std::byte* data;
    u64 offset;
    u64 bytes;
    std::coroutine_handle<> waiter = {};
    i64 result = 0;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> lane) {
      waiter = lane;
      files.prepare(*this);
    }
    i64 await_resume() const noexcept { return result; }
  };
  struct Sleep {
    UringFiles& files;
    u64 deadline_ns;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> lane) { files.sleepers_.push({deadline_ns, lane}); }
    void await_resume() const noexcept {}
  };

  // Takes the descriptors. `memory`: where all buffers lie. `depth`: operations in flight at most.
  // Failure failed: no io_uring, or it refuses the files or the memory.
  static Outcome<std::unique_ptr<UringFiles>> create(std::vector<OpenedFile> files, MutableByteSpan memory, u32 depth);
  ~UringFiles();
  UringFiles(const UringFiles&) = delete;
  UringFiles& operator=(const UringFiles&) = delete;

  Operation read(u32 file, MutableByteSpan into, u64 offset) {
    return {*this, Call::read, file, into.data(), offset, into.size()};
  }
  Operation write(u32 file, ByteSpan from, u64 offset) {
    return {*this, Call::write, file, const_cast<std::byte*>(from.data()), offset, from.size()};
  }
  Operation trim(u32 file, u64 offset, u64 bytes) { return {*this, Call::trim, file, nullptr, offset, bytes}; }
  Operation sync(u32 file, bool data_only) {
    return {*this, data_only ? Call::fdatasync : Call::fsync, file, nullptr, 0, 0};
  }
  // Resumes at or after `deadline_ns` of CLOCK_MONOTONIC.
  Sleep sleep_until(u64 deadline_ns) { return {*this, deadline_ns}; }

  // Runs until `task` is done. Failure failed: the ring's.
  Action run(cowfs::runtime::Task<void> task);

 private:
  struct Sleeper {
    u64 deadline_ns;
    std::coroutine_handle<> lane;
    bool operator>(const Sleeper& other) const { return deadline_ns > other.deadline_ns; }
  };

  UringFiles() = default;
  void prepare(Operation& operation);
  int wait();
  void resume_answered();
  void resume_due();

  std::vector<OpenedFile> files_;
  io_uring ring_ = {};
  bool ring_made_ = false;
  u32 in_flight_ = 0;
  std::priority_queue<Sleeper, std::vector<Sleeper>, std::greater<>> sleepers_;
};

}  // namespace cowbench::harness
