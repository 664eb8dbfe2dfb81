// The calls of a workload as system calls: a kernel filesystem as a target. Every call blocks its thread and is done when
// it returns. Direct system calls and nothing else: no buffers of our own, no stdio, no path copies.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "harness/target_calls.h"

namespace cowbench::harness {

class PosixFs {
 public:
  using Call = Ready<i64>;

  Call stat(const std::string& path, FileStat& into) {
    struct ::stat status;
    return converted(::stat(path.c_str(), &status), status, into);
  }
  Call open(const std::string& path, int flags, u32 mode) { return result(::open(path.c_str(), flags, mode)); }
  Call close(i64 handle) { return result(::close(static_cast<int>(handle))); }
  Call pread(i64 handle, MutableByteSpan into, u64 offset) {
    return result(::pread(static_cast<int>(handle), into.data(), into.size(), static_cast<off_t>(offset)));
  }
  Call pwrite(i64 handle, ByteSpan from, u64 offset) {
    return result(::pwrite(static_cast<int>(handle), from.data(), from.size(), static_cast<off_t>(offset)));
  }
  Call fsync(i64 handle) { return result(::fsync(static_cast<int>(handle))); }
  Call truncate(i64 handle, u64 bytes) { return result(::ftruncate(static_cast<int>(handle), static_cast<off_t>(bytes))); }
  Call fstat(i64 handle, FileStat& into) {
    struct ::stat status;
    return converted(::fstat(static_cast<int>(handle), &status), status, into);
  }
  Call unlink(const std::string& path) { return result(::unlink(path.c_str())); }
  Call rename(const std::string& from, const std::string& to) { return result(::rename(from.c_str(), to.c_str())); }
  Call mkdir(const std::string& path, u32 mode) { return result(::mkdir(path.c_str(), mode)); }
  Call rmdir(const std::string& path) { return result(::rmdir(path.c_str())); }
  Call fdatasync_directory(const std::string& path) {
    const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY);
    if (directory < 0) return {-errno};
    const Call synced = result(::fdatasync(directory));
    ::close(directory);
    return synced;
  }
  Call statvfs(const std::string& path) {
    struct ::statvfs status;
    return result(::statvfs(path.c_str(), &status));
  }
  Call utime(const std::string& path, i64 access_seconds, i64 modify_seconds) {
    const timespec times[2] = {{access_seconds, 0}, {modify_seconds, 0}};
    return result(::utimensat(AT_FDCWD, path.c_str(), times, 0));
  }
  Call lock(i64 handle, u64 offset, u64 length) { return change_lock(handle, F_WRLCK, offset, length); }
  Call unlock(i64 handle, u64 offset, u64 length) { return change_lock(handle, F_UNLCK, offset, length); }
  Call getxattr(const std::string& path, const char* name, MutableByteSpan into) {
    return result(::getxattr(path.c_str(), name, into.data(), into.size()));
  }
  Call fgetxattr(i64 handle, const char* name, MutableByteSpan into) {
    return result(::fgetxattr(static_cast<int>(handle), name, into.data(), into.size()));
  }
  Call fsetxattr(i64 handle, const char* name, ByteSpan from) {
    return result(::fsetxattr(static_cast<int>(handle), name, from.data(), from.size(), 0));
  }
  // glibc's opendir looks at the descriptor once; so does this, or a scan would be one call cheaper than dbench's.
  Call open_directory(const std::string& path) {
    const int directory = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return {-errno};
    struct ::stat status;
    ::fstat(directory, &status);
    return {directory};
  }
  Call read_directory(i64 handle, MutableByteSpan into) {
    return result(::syscall(SYS_getdents64, static_cast<int>(handle), into.data(), into.size()));
  }
  Call close_directory(i64 handle) { return close(handle); }

 private:
  static Call result(i64 returned) { return {returned < 0 ? -i64{errno} : returned}; }
  static Call converted(int returned, const struct ::stat& status, FileStat& into) {
    if (returned < 0) return {-i64{errno}};
    into = {static_cast<u64>(status.st_size), status.st_atim.tv_sec, status.st_mtim.tv_sec, S_ISDIR(status.st_mode)};
    return {0};
  }
  static Call change_lock(i64 handle, short type, u64 offset, u64 length) {
    struct ::flock request = {};
    request.l_type = type;
    request.l_whence = SEEK_SET;
    request.l_start = static_cast<off_t>(offset);
    request.l_len = static_cast<off_t>(length);
    return result(::fcntl(static_cast<int>(handle), F_SETLKW, &request));
  }
};
static_assert(TargetCalls<PosixFs>);

}  // namespace cowbench::harness
