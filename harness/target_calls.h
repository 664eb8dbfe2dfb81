// The calls that a workload makes on a target, shaped like POSIX so that a kernel filesystem and cowfs look the same.
// A target implements them as members that return awaitables: a ready one where the call blocks, a coroutine where it
// can wait without blocking its core.
#pragma once
#include <concepts>
#include <cstring>
#include <string>
#include <string_view>

#include "engine/base/types.h"

namespace cowbench::harness {

using cowfs::ByteSpan;
using cowfs::i64;
using cowfs::MutableByteSpan;
using cowfs::u16;
using cowfs::u32;
using cowfs::u64;
using cowfs::u8;

// What a workload looks at in a file's attributes.
struct FileStat {
  u64 size = 0;  // bytes
  i64 access_seconds = 0;
  i64 modify_seconds = 0;
  bool is_directory = false;
};

// The result of a call that did not have to wait.
template <typename T>
struct Ready {
  T value;
  bool await_ready() const noexcept { return true; }
  template <typename Handle>
  void await_suspend(Handle) const noexcept {}
  T await_resume() const noexcept { return value; }
};
template <>
struct Ready<void> {
  bool await_ready() const noexcept { return true; }
  template <typename Handle>
  void await_suspend(Handle) const noexcept {}
  void await_resume() const noexcept {}
};

namespace internal {
template <typename T>
decltype(auto) awaiter_of(T&& awaitable) {
  if constexpr (requires { static_cast<T&&>(awaitable).operator co_await(); }) {
    return static_cast<T&&>(awaitable).operator co_await();
  } else {
    return static_cast<T&&>(awaitable);
  }
}
template <typename T>
using Awaited = decltype(awaiter_of(std::declval<T>()).await_resume());
}  // namespace internal

// An awaitable that yields what a system call returns: 0 or more, or a negative errno.
template <typename T>
concept CallResult = std::convertible_to<internal::Awaited<T>, i64>;
template <typename T>
concept AwaitableVoid = std::same_as<internal::Awaited<T>, void>;

// What every argument means:
//   path       absolute within the target; the caller keeps the string until the call is done. Spans likewise.
//   handle     what open() or open_directory() returned, used by the client that opened it and by nobody else
//   flags      O_RDONLY or O_RDWR, with O_CREAT, O_TRUNC, O_DIRECTORY, O_SYNC, as <fcntl.h> spells them
//   open       -EISDIR for O_RDWR on a directory
//   pread, pwrite          return the bytes moved; a read past the end returns fewer
//   fsync                  returns when data and metadata are on the medium
//   truncate               cuts an open file, or makes it longer with a hole
//   fdatasync_directory    opens the directory, makes its entries durable, closes it
//   utime                  sets whole seconds since 1970
//   lock, unlock           an exclusive byte-range lock of the client (waits), as fcntl's: length 0 is up to the end
//   open_directory, read_directory, close_directory
//              a scan; read_directory fills the span with as many records as fit (see DirectoryRecords), returns the
//              bytes it filled, 0 at the end. "." and ".." are among the entries. Entries may be unlinked meanwhile.
//              (glibc's opendir adds an fstat, which dbench therefore pays for at each scan.)
//   getxattr, fgetxattr    return the value's size
template <typename Target>
concept TargetCalls = requires(Target& target, const std::string& path, i64 handle, int flags, u32 mode, FileStat& stat,
                               MutableByteSpan into, ByteSpan from, u64 offset, u64 length, i64 seconds, const char* name) {
  { target.stat(path, stat) } -> CallResult;
  { target.open(path, flags, mode) } -> CallResult;
  { target.close(handle) } -> CallResult;
  { target.pread(handle, into, offset) } -> CallResult;
  { target.pwrite(handle, from, offset) } -> CallResult;
  { target.fsync(handle) } -> CallResult;
  { target.truncate(handle, length) } -> CallResult;
  { target.fstat(handle, stat) } -> CallResult;
  { target.unlink(path) } -> CallResult;
  { target.rename(path, path) } -> CallResult;
  { target.mkdir(path, mode) } -> CallResult;
  { target.rmdir(path) } -> CallResult;
  { target.fdatasync_directory(path) } -> CallResult;
  { target.statvfs(path) } -> CallResult;
  { target.utime(path, seconds, seconds) } -> CallResult;
  { target.lock(handle, offset, length) } -> CallResult;
  { target.unlock(handle, offset, length) } -> CallResult;
  { target.getxattr(path, name, into) } -> CallResult;
  { target.fgetxattr(handle, name, into) } -> CallResult;
  { target.fsetxattr(handle, name, from) } -> CallResult;
  { target.open_directory(path) } -> CallResult;
  { target.read_directory(handle, into) } -> CallResult;
  { target.close_directory(handle) } -> CallResult;
};

// The layout of one entry in read_directory's span: Linux's linux_dirent64, so that a kernel target hands over what
// getdents64 wrote. `record_bytes` counts header, name, its NUL and the padding to 8 bytes.
struct DirectoryRecordHeader {
  u64 inode;
  i64 next_position;
  u16 record_bytes;
  u8 type;  // DT_REG, DT_DIR, ... of <dirent.h>; DT_UNKNOWN is allowed
} __attribute__((packed));
static_assert(sizeof(DirectoryRecordHeader) == 19);

// As glibc's readdir: entries cross from the target in batches of this size.
constexpr std::size_t directory_buffer_bytes = 32 * cowfs::kib;

// Walks the records that read_directory wrote.
class DirectoryRecords {
 public:
  explicit DirectoryRecords(ByteSpan records) : rest_(records) {}
  // The next name, NUL-terminated; null at the end. A record that does not fit ends the walk.
  const char* next() {
    DirectoryRecordHeader header;
    if (rest_.size() < sizeof header) return nullptr;
    std::memcpy(&header, rest_.data(), sizeof header);
    if (header.record_bytes <= sizeof header || header.record_bytes > rest_.size()) return nullptr;
    const char* name = reinterpret_cast<const char*>(rest_.data()) + sizeof header;
    if (std::memchr(name, 0, header.record_bytes - sizeof header) == nullptr) return nullptr;
    rest_ = rest_.subspan(header.record_bytes);
    return name;
  }

 private:
  ByteSpan rest_;
};

// Appends one record at `used` bytes of `into` and moves `used` on; false, and nothing written, when it does not fit.
inline bool append_directory_record(MutableByteSpan into, std::size_t& used, u64 inode, i64 next_position, u8 type,
                                    std::string_view name) {
  const std::size_t bytes = cowfs::round_up(sizeof(DirectoryRecordHeader) + name.size() + 1, 8);
  if (bytes > into.size() - used) return false;
  const DirectoryRecordHeader header{inode, next_position, static_cast<u16>(bytes), type};
  std::byte* out = into.data() + used;
  std::memcpy(out, &header, sizeof header);
  std::memcpy(out + sizeof header, name.data(), name.size());
  std::memset(out + sizeof header + name.size(), 0, bytes - sizeof header - name.size());
  used += bytes;
  return true;
}

}  // namespace cowbench::harness
