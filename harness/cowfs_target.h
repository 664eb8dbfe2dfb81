// The calls of a workload on a mounted cowfs: a thin skin that turns the engine's results into what a system call would
// return. A call costs the engine's own coroutine and nothing else; handles are packed into the number that a workload
// holds, so there is no table of them. One CowfsTarget for each client, used on that client's core.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <coroutine>
#include <map>
#include <string>
#include <vector>

#include "engine/base/assert.h"
#include "engine/engine.h"
#include "engine/runtime/sync.h"
#include "harness/target_calls.h"

namespace cowbench::harness {

// What a call pays beyond the engine's work. The second makes one real system call, the cheapest there is, for each that
// the same call takes on a kernel filesystem: what is left of the advantage is not that of living in the process.
struct NoCharge {
  static void pay(unsigned) {}
};
struct SystemCallCharge {
  static void pay(unsigned calls) {
    for (; calls > 0; --calls) syscall(SYS_getppid);
  }
};

namespace internal {

// Awaits an engine task in place and converts its result: no coroutine of its own, so no frame.
template <typename T, typename Convert>
class EngineCall {
 public:
  EngineCall(cowfs::Task<cowfs::Result<T>> task, Convert convert)
      : task_(std::move(task)), awaiter_(task_.operator co_await()), convert_(convert) {}
  bool await_ready() const noexcept { return awaiter_.await_ready(); }
  bool await_suspend(std::coroutine_handle<> awaiting) const noexcept { return awaiter_.await_suspend(awaiting); }
  i64 await_resume() const {
    auto result = awaiter_.await_resume();
    if (!result) return -i64{cowfs::to_errno(result.error().code)};
    if constexpr (std::is_void_v<T>) {
      return convert_();
    } else {
      return convert_(*result);
    }
  }

 private:
  cowfs::Task<cowfs::Result<T>> task_;
  typename cowfs::Task<cowfs::Result<T>>::Awaiter awaiter_;
  Convert convert_;
};

}  // namespace internal

template <typename Charge>
class CowfsTarget {
  template <typename T>
  using Task = cowfs::Task<T>;
  using FileHandle = cowfs::FileHandle;

 public:
  // `extended_attributes`: fgetxattr and fsetxattr will be used. The engine reaches attributes by path, so the paths of
  // open files are then kept.
  CowfsTarget(cowfs::Filesystem& filesystem, bool extended_attributes)
      : filesystem_(filesystem), extended_attributes_(extended_attributes) {}

  auto stat(const std::string& path, FileStat& into) {
    Charge::pay(1);
    return call(filesystem_.stat(path, true), [&into](const cowfs::Attributes& found) { return fill(found, into); });
  }
  auto open(const std::string& path, int flags, u32 mode) {
    Charge::pay(1);
    return call(filesystem_.open(path, flags, mode), [this, &path](const FileHandle& handle) {
      if (extended_attributes_) paths_[pack(handle)] = path;
      return pack(handle);
    });
  }
  auto close(i64 handle) {
    Charge::pay(1);
    if (extended_attributes_) paths_.erase(handle);
    return done(filesystem_.close(unpack(handle)));
  }
  auto pread(i64 handle, MutableByteSpan into, u64 offset) {
    Charge::pay(1);
    return count(filesystem_.read(unpack(handle), offset, into));
  }
  auto pwrite(i64 handle, ByteSpan from, u64 offset) {
    Charge::pay(1);
    return count(filesystem_.write(unpack(handle), offset, from));
  }
  auto fsync(i64 handle) {
    Charge::pay(1);
    return done(filesystem_.fsync(unpack(handle)));
  }
  auto truncate(i64 handle, u64 bytes) {
    Charge::pay(1);
    return done(filesystem_.truncate(unpack(handle), bytes));
  }
  auto punch_hole(i64 handle, u64 offset, u64 bytes) {
    Charge::pay(1);
    return done(filesystem_.allocate(unpack(handle), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes));
  }
  auto fstat(i64 handle, FileStat& into) {
    Charge::pay(1);
    return call(filesystem_.stat(unpack(handle)), [&into](const cowfs::Attributes& found) { return fill(found, into); });
  }
  auto unlink(const std::string& path) {
    Charge::pay(1);
    return done(filesystem_.unlink(path));
  }
  auto rename(const std::string& from, const std::string& to) {
    Charge::pay(1);
    return call<void>(filesystem_.rename(from, to, 0), [this, &from, &to] {
      if (extended_attributes_) move_paths(from, to);
      return i64{0};
    });
  }
  auto mkdir(const std::string& path, u32 mode) {
    Charge::pay(1);
    return done(filesystem_.mkdir(path, mode));
  }
  auto rmdir(const std::string& path) {
    Charge::pay(1);
    return done(filesystem_.rmdir(path));
  }
  Task<i64> fdatasync_directory(const std::string& path) {
    Charge::pay(3);
    const auto directory = co_await filesystem_.open(path, O_RDONLY | O_DIRECTORY, 0);
    if (!directory) co_return -i64{cowfs::to_errno(directory.error().code)};
    const cowfs::Status synced = co_await filesystem_.fsync(*directory);
    const cowfs::Status closed = co_await filesystem_.close(*directory);
    if (!synced) co_return -i64{cowfs::to_errno(synced.error().code)};
    co_return closed ? 0 : -i64{cowfs::to_errno(closed.error().code)};
  }
  auto statvfs(const std::string&) {
    Charge::pay(1);
    return call(filesystem_.space_use(), [](const cowfs::SpaceUse&) { return i64{0}; });
  }
  auto utime(const std::string& path, i64 access_seconds, i64 modify_seconds) {
    Charge::pay(1);
    return done(filesystem_.set_times(path, to_ns(access_seconds), to_ns(modify_seconds)));
  }
  // The engine does not queue for locks, so this waits by asking again.
  Task<i64> lock(i64 handle, u64 offset, u64 length) {
    Charge::pay(1);
    while (true) {
      const cowfs::Status locked = co_await filesystem_.lock(unpack(handle), offset, length);
      if (locked) co_return 0;
      const int error = cowfs::to_errno(locked.error().code);
      if (error != EAGAIN) co_return -i64{error};
      co_await cowfs::runtime::yield();
    }
  }
  auto unlock(i64 handle, u64 offset, u64 length) {
    Charge::pay(1);
    return done(filesystem_.unlock(unpack(handle), offset, length));
  }
  auto getxattr(const std::string& path, const char* name, MutableByteSpan into) {
    Charge::pay(1);
    return count(filesystem_.get_xattr(path, name, into));
  }
  auto fgetxattr(i64 handle, const char* name, MutableByteSpan into) {
    Charge::pay(1);
    return count(filesystem_.get_xattr(path_of(handle), name, into));
  }
  auto fsetxattr(i64 handle, const char* name, ByteSpan from) {
    Charge::pay(1);
    return done(filesystem_.set_xattr(path_of(handle), name, from));
  }
  auto open_directory(const std::string& path) {
    Charge::pay(2);  // open and fstat, as opendir
    return call(filesystem_.open(path, O_RDONLY | O_DIRECTORY, 0), [this](const FileHandle& handle) {
      scans_.push_back({pack(handle), 0});
      return pack(handle);
    });
  }
  auto read_directory(i64 handle, MutableByteSpan into) {
    Charge::pay(1);
    return call(filesystem_.read_directory(unpack(handle), scan(handle).cookie, into),
                [this, handle](const cowfs::DirectoryRead& read) {
                  scan(handle).cookie = read.next_cookie;
                  return static_cast<i64>(read.bytes);
                });
  }
  auto close_directory(i64 handle) {
    Charge::pay(1);
    std::swap(scan(handle), scans_.back());
    scans_.pop_back();
    return done(filesystem_.close(unpack(handle)));
  }

 private:
  struct Scan {
    i64 handle;
    u64 cookie;
  };

  // A pointer of user space has 47 bits; the core's number goes above them, and the sign stays clear.
  static constexpr unsigned pointer_bits = 47;
  static i64 pack(const FileHandle& handle) {
    const u64 pointer = reinterpret_cast<u64>(handle.file);
    assert(pointer >> pointer_bits == 0);
    return static_cast<i64>(pointer | u64{handle.core} << pointer_bits);
  }
  static FileHandle unpack(i64 handle) {
    const u64 packed = static_cast<u64>(handle);
    return {reinterpret_cast<void*>(packed & ((u64{1} << pointer_bits) - 1)), static_cast<u16>(packed >> pointer_bits)};
  }

  static constexpr u64 second_ns = 1'000'000'000;
  static u64 to_ns(i64 seconds) { return static_cast<u64>(seconds) * second_ns; }
  static i64 fill(const cowfs::Attributes& found, FileStat& into) {
    into = {found.size, static_cast<i64>(found.access_ns / second_ns), static_cast<i64>(found.modify_ns / second_ns),
            S_ISDIR(found.mode)};
    return 0;
  }

  template <typename T, typename Convert>
  static auto call(Task<cowfs::Result<T>> task, Convert convert) {
    return internal::EngineCall<T, Convert>(std::move(task), convert);
  }
  static auto done(Task<cowfs::Status> task) {
    return call(std::move(task), [] { return i64{0}; });
  }
  static auto count(Task<cowfs::Result<u64>> task) {
    return call(std::move(task), [](u64 bytes) { return static_cast<i64>(bytes); });
  }

  Scan& scan(i64 handle) {
    for (auto at = scans_.rbegin();; ++at) {
      assert(at != scans_.rend());
      if (at->handle == handle) return *at;
    }
  }
  // Open files keep their handles when they, or a directory above them, get another name.
  void move_paths(const std::string& from, const std::string& to) {
    for (auto& [handle, path] : paths_)
      if (path == from || path.starts_with(from + "/")) path.replace(0, from.size(), to);
  }
  const std::string& path_of(i64 handle) {
    assert(extended_attributes_);
    return paths_[handle];
  }

  cowfs::Filesystem& filesystem_;
  const bool extended_attributes_;
  std::vector<Scan> scans_;  // open ones; a workload has one at a time, or one for each level that it descends
  std::map<i64, std::string> paths_;
};
static_assert(TargetCalls<CowfsTarget<NoCharge>>);

}  // namespace cowbench::harness
