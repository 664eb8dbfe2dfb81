// What every file of one client must contain: the reference that verify mode compares reads with. It is told of each
// operation that succeeded. One client, one thread. Memory grows with the number of separately written ranges that are
// still readable, not with their size.
//
// Paths are compared after "//", "/./" and slashes at the end are dropped; ".." and links are not followed.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "workloads/payload.h"

namespace cowbench::workloads {

// A file's bytes differ from what was written to it.
struct Mismatch {
  std::string path;
  u64 offset = 0;
  std::string expected;
  std::string got;
  std::string to_text() const;  // "PATH: at byte 4096: expected 0x5a, got 0x00"
};

// The content of one file, whatever it is called now; shared by its name and its open handles.
class FileContent {
 public:
  u64 size() const { return size_; }
  void truncate();
  // `length` bytes of `stream` now stand at `offset`. Nothing happens when `length` is 0.
  void write(u64 offset, u64 length, u64 stream);
  // Fills `out` with what a read at `offset` must return; what was never written is zero.
  void expected(PayloadKind kind, u64 offset, cowfs::MutableByteSpan out) const;

 private:
  struct Range {
    u64 end;
    u64 stream;
  };
  void cut_at(u64 offset);

  std::map<u64, Range> ranges_;  // by first byte; they do not overlap
  u64 size_ = 0;
};
using FileRef = std::shared_ptr<FileContent>;

class ContentModel {
 public:
  explicit ContentModel(PayloadKind kind) : kind_(kind) {}

  // A regular file was opened. Null when it is not known: neither created nor seen since its content was lost track of.
  FileRef opened(std::string_view path, bool create, bool truncate);
  bool knows(std::string_view path) const;
  void unlinked(std::string_view path);
  // Everything below `path` that is a file is gone.
  void tree_deleted(std::string_view path);
  // A file or a directory moved, replacing what was there. A file that was not known makes `to` unknown.
  void renamed(std::string_view from, std::string_view to);

  // Compares a read of `requested` bytes at `offset` that returned `got`.
  std::optional<Mismatch> check_read(const FileContent& file, std::string_view path, u64 offset, u64 requested,
                                     cowfs::ByteSpan got);
  // Compares a size that the filesystem reported.
  std::optional<Mismatch> check_size(const FileContent& file, std::string_view path, u64 size) const;

 private:
  PayloadKind kind_;
  std::map<std::string, FileRef, std::less<>> files_;
  std::vector<std::byte> scratch_;
};

}  // namespace cowbench::workloads
