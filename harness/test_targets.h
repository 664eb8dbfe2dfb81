// Targets for tests of the generators: one in memory that logs each call and can be told to misbehave, and one that makes
// plain system calls. Both answer at once.
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <cerrno>
#include <map>
#include <memory>
#include <vector>

#include "harness/target_calls.h"

namespace cowbench::harness {

using CallCounts = std::map<std::string, u64>;

class MemoryTarget {
 public:
  struct Node {
    bool is_directory = false;
    std::vector<std::byte> content;
    std::map<std::string, std::vector<std::byte>> attributes;
    i64 access_seconds = 1000;
    i64 modify_seconds = 2000;
  };
  using NodeRef = std::shared_ptr<Node>;

  MemoryTarget() {
    nodes_["/"] = std::make_shared<Node>();
    nodes_["/"]->is_directory = true;
  }

  std::string log;         // the calls so far, each followed by a space
  CallCounts counts;
  u64 corrupt_read = 0;    // from 1: flip a bit of that read's first byte
  u64 lose_write = 0;      // from 1: that write reports success and stores nothing
  u64 short_write = 0;     // from 1: that write stores half
  std::size_t open_handles() const { return handles_.size(); }
  NodeRef find(const std::string& path) const {
    const auto node = nodes_.find(path);
    return node == nodes_.end() ? nullptr : node->second;
  }
  // Names below `directory`, itself excluded.
  std::vector<std::string> below(const std::string& directory) const {
    std::vector<std::string> names;
    for (const auto& [name, node] : nodes_) {
      if (name.starts_with(directory + "/")) names.push_back(name);
    }
    return names;
  }

  Ready<i64> stat(const std::string& path, FileStat& out) {
    note("stat");
    const NodeRef node = find(path);
    if (node == nullptr) return {missing(path)};
    fill(*node, out);
    return {0};
  }
  Ready<i64> open(const std::string& path, int flags, u32) {
    note((flags & O_SYNC) != 0 ? "open_sync" : "open");
    NodeRef node = find(path);
    if (node == nullptr) {
      if ((flags & O_CREAT) == 0 || !is_directory(parent_of(path))) return {missing(path)};
      node = nodes_[path] = std::make_shared<Node>();
    }
    if (node->is_directory && (flags & O_ACCMODE) != O_RDONLY) return {-EISDIR};
    if (!node->is_directory && (flags & O_DIRECTORY) != 0) return {-ENOTDIR};
    if ((flags & O_TRUNC) != 0) node->content.clear();
    return {enter(path, node)};
  }
  Ready<i64> close(i64 handle) {
    note("close");
    return {handles_.erase(handle) == 1 ? 0 : -EBADF};
  }
  Ready<i64> pread(i64 handle, MutableByteSpan into, u64 offset) {
    note("pread");
    const Node& node = *handles_.at(handle).node;
    if (offset >= node.content.size()) return {0};
    const u64 length = std::min<u64>(into.size(), node.content.size() - offset);
    std::memcpy(into.data(), node.content.data() + offset, length);
    if (++reads_ == corrupt_read) into[0] ^= std::byte{4};
    return {static_cast<i64>(length)};
  }
  Ready<i64> pwrite(i64 handle, ByteSpan from, u64 offset) {
    note("pwrite");
    if (++writes_ == lose_write) return {static_cast<i64>(from.size())};
    if (writes_ == short_write) from = from.first(from.size() / 2);
    Node& node = *handles_.at(handle).node;
    if (node.content.size() < offset + from.size()) node.content.resize(offset + from.size());
    std::memcpy(node.content.data() + offset, from.data(), from.size());
    return {static_cast<i64>(from.size())};
  }
  Ready<i64> fsync(i64) { return note("fsync"); }
  Ready<i64> truncate(i64 handle, u64 bytes) {
    handles_.at(handle).node->content.resize(bytes);
    return note("truncate");
  }
  Ready<i64> fstat(i64 handle, FileStat& out) {
    note("fstat");
    fill(*handles_.at(handle).node, out);
    return {0};
  }
  Ready<i64> unlink(const std::string& path) {
    note("unlink");
    const NodeRef node = find(path);
    if (node == nullptr) return {missing(path)};
    if (node->is_directory) return {-EISDIR};
    nodes_.erase(path);
    return {0};
  }
  Ready<i64> rename(const std::string& from, const std::string& to) {
    note("rename");
    const NodeRef node = find(from);
    if (node == nullptr) return {missing(from)};
    if (!is_directory(parent_of(to))) return {-ENOENT};
    if (node->is_directory && !below(to).empty()) return {-ENOTEMPTY};
    for (const std::string& name : below(from)) {
      nodes_[to + name.substr(from.size())] = nodes_[name];
      nodes_.erase(name);
    }
    nodes_.erase(from);
    nodes_[to] = node;
    return {0};
  }
  Ready<i64> mkdir(const std::string& path, u32) {
    note("mkdir");
    if (find(path) != nullptr) return {-EEXIST};
    if (!is_directory(parent_of(path))) return {-ENOENT};
    nodes_[path] = std::make_shared<Node>();
    nodes_[path]->is_directory = true;
    return {0};
  }
  Ready<i64> rmdir(const std::string& path) {
    note("rmdir");
    const NodeRef node = find(path);
    if (node == nullptr) return {missing(path)};
    if (!node->is_directory) return {-ENOTDIR};
    if (!below(path).empty()) return {-ENOTEMPTY};
    nodes_.erase(path);
    return {0};
  }
  Ready<i64> fdatasync_directory(const std::string& path) {
    note("fdatasync_directory:" + path);
    return {is_directory(path) ? 0 : -ENOENT};
  }
  Ready<i64> statvfs(const std::string&) { return note("statvfs"); }
  Ready<i64> utime(const std::string& path, i64 access_seconds, i64 modify_seconds) {
    note("utime");
    const NodeRef node = find(path);
    if (node == nullptr) return {missing(path)};
    node->access_seconds = access_seconds;
    node->modify_seconds = modify_seconds;
    return {0};
  }
  Ready<i64> lock(i64, u64 offset, u64 length) {
    return note("lock:" + std::to_string(offset) + "+" + std::to_string(length));
  }
  Ready<i64> unlock(i64, u64 offset, u64 length) {
    return note("unlock:" + std::to_string(offset) + "+" + std::to_string(length));
  }
  Ready<i64> getxattr(const std::string&, const char*, MutableByteSpan) { return note("getxattr"); }
  Ready<i64> fgetxattr(i64, const char*, MutableByteSpan) { return note("fgetxattr"); }
  Ready<i64> fsetxattr(i64 handle, const char* name, ByteSpan from) {
    note("fsetxattr");
    handles_.at(handle).node->attributes[name].assign(from.begin(), from.end());
    return {0};
  }
  Ready<i64> open_directory(const std::string& path) {
    note("open_directory");
    const NodeRef node = find(path);
    if (node == nullptr) return {missing(path)};
    if (!node->is_directory) return {-ENOTDIR};
    const i64 handle = enter(path, node);
    Handle& scan = handles_.at(handle);
    scan.entries = {".", ".."};
    const std::string prefix = path == "/" ? path : path + "/";
    for (const auto& [name, child] : nodes_) {
      const bool direct = name.starts_with(prefix) && name.find('/', prefix.size()) == std::string::npos;
      if (direct && name != "/") scan.entries.push_back(name.substr(prefix.size()));
    }
    return {handle};
  }
  Ready<i64> read_directory(i64 handle, MutableByteSpan into) {
    note("read_directory");
    Handle& scan = handles_.at(handle);
    std::size_t used = 0;
    while (scan.next_entry < scan.entries.size() &&
           append_directory_record(into, used, 1, static_cast<i64>(scan.next_entry), DT_UNKNOWN, scan.entries[scan.next_entry])) {
      scan.next_entry++;
    }
    return {static_cast<i64>(used)};
  }
  Ready<i64> close_directory(i64 handle) {
    note("close_directory");
    return {handles_.erase(handle) == 1 ? 0 : -EBADF};
  }

 private:
  struct Handle {
    NodeRef node;
    std::vector<std::string> entries;
    std::size_t next_entry = 0;
  };
  Ready<i64> note(const std::string& call) {
    log += call + " ";
    counts[call.substr(0, call.find(':'))]++;
    return {0};
  }
  static std::string parent_of(const std::string& path) {
    const std::size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
  }
  bool is_directory(const std::string& path) const {
    const NodeRef node = find(path);
    return node != nullptr && node->is_directory;
  }
  i64 missing(const std::string& path) const {
    const NodeRef parent = find(parent_of(path));
    return parent != nullptr && !parent->is_directory ? -ENOTDIR : -ENOENT;
  }
  i64 enter(const std::string&, const NodeRef& node) {
    handles_[next_handle_].node = node;
    return next_handle_++;
  }
  static void fill(const Node& node, FileStat& out) {
    out = {node.content.size(), node.access_seconds, node.modify_seconds, node.is_directory};
  }

  std::map<std::string, NodeRef> nodes_;
  std::map<i64, Handle> handles_;
  i64 next_handle_ = 3;
  u64 reads_ = 0;
  u64 writes_ = 0;
};
static_assert(TargetCalls<MemoryTarget>);

class SystemCallTarget {
 public:
  CallCounts counts;

  Ready<i64> stat(const std::string& path, FileStat& out) {
    struct stat info;
    return filled("stat", ::stat(path.c_str(), &info), info, out);
  }
  Ready<i64> open(const std::string& path, int flags, u32 mode) { return done("open", ::open(path.c_str(), flags, mode)); }
  Ready<i64> close(i64 handle) { return done("close", ::close(fd(handle))); }
  Ready<i64> pread(i64 handle, MutableByteSpan into, u64 offset) {
    return done("pread", ::pread(fd(handle), into.data(), into.size(), static_cast<off_t>(offset)));
  }
  Ready<i64> pwrite(i64 handle, ByteSpan from, u64 offset) {
    return done("pwrite", ::pwrite(fd(handle), from.data(), from.size(), static_cast<off_t>(offset)));
  }
  Ready<i64> fsync(i64 handle) { return done("fsync", ::fsync(fd(handle))); }
  Ready<i64> truncate(i64 handle, u64 bytes) {
    return done("truncate", ::ftruncate(fd(handle), static_cast<off_t>(bytes)));
  }
  Ready<i64> fstat(i64 handle, FileStat& out) {
    struct stat info;
    return filled("fstat", ::fstat(fd(handle), &info), info, out);
  }
  Ready<i64> unlink(const std::string& path) { return done("unlink", ::unlink(path.c_str())); }
  Ready<i64> rename(const std::string& from, const std::string& to) {
    return done("rename", ::rename(from.c_str(), to.c_str()));
  }
  Ready<i64> mkdir(const std::string& path, u32 mode) { return done("mkdir", ::mkdir(path.c_str(), mode)); }
  Ready<i64> rmdir(const std::string& path) { return done("rmdir", ::rmdir(path.c_str())); }
  Ready<i64> fdatasync_directory(const std::string& path) {
    const int handle = ::open(path.c_str(), O_RDONLY);
    if (handle < 0) return done("fdatasync_directory", handle);
    const i64 result = done("fdatasync_directory", ::fdatasync(handle)).value;
    ::close(handle);
    return {result};
  }
  Ready<i64> statvfs(const std::string& path) {
    struct statvfs info;
    return done("statvfs", ::statvfs(path.c_str(), &info));
  }
  Ready<i64> utime(const std::string& path, i64 access_seconds, i64 modify_seconds) {
    const utimbuf times{access_seconds, modify_seconds};
    return done("utime", ::utime(path.c_str(), &times));
  }
  Ready<i64> lock(i64 handle, u64 offset, u64 length) { return done("lock", range(handle, F_WRLCK, offset, length)); }
  Ready<i64> unlock(i64 handle, u64 offset, u64 length) { return done("unlock", range(handle, F_UNLCK, offset, length)); }
  Ready<i64> getxattr(const std::string& path, const char* name, MutableByteSpan into) {
    return done("getxattr", ::getxattr(path.c_str(), name, into.data(), into.size()));
  }
  Ready<i64> fgetxattr(i64 handle, const char* name, MutableByteSpan into) {
    return done("fgetxattr", ::fgetxattr(fd(handle), name, into.data(), into.size()));
  }
  Ready<i64> fsetxattr(i64 handle, const char* name, ByteSpan from) {
    return done("fsetxattr", ::fsetxattr(fd(handle), name, from.data(), from.size(), 0));
  }
  Ready<i64> open_directory(const std::string& path) {
    return done("open_directory", ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_DIRECTORY));
  }
  Ready<i64> read_directory(i64 handle, MutableByteSpan into) {
    return done("read_directory", syscall(SYS_getdents64, fd(handle), into.data(), into.size()));
  }
  Ready<i64> close_directory(i64 handle) { return done("close_directory", ::close(fd(handle))); }

 private:
  static int fd(i64 handle) { return static_cast<int>(handle); }
  Ready<i64> done(const char* call, i64 result) {
    const int error = errno;
    counts[call]++;
    return {result < 0 ? -error : result};
  }
  Ready<i64> filled(const char* call, int result, const struct stat& info, FileStat& out) {
    const Ready<i64> answer = done(call, result);
    if (answer.value < 0) return answer;
    out = {static_cast<u64>(info.st_size), info.st_atime, info.st_mtime, S_ISDIR(info.st_mode)};
    return answer;
  }
  static int range(i64 handle, short type, u64 offset, u64 length) {
    struct flock request = {};
    request.l_type = type;
    request.l_whence = SEEK_SET;
    request.l_start = static_cast<off_t>(offset);
    request.l_len = static_cast<off_t>(length);
    return fcntl(fd(handle), F_SETLKW, &request);
  }
};
static_assert(TargetCalls<SystemCallTarget>);

}  // namespace cowbench::harness
