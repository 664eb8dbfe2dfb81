// What may stand on the medium after a crash, for one client: the reference that scripts/torture compares a recovered
// filesystem with. A replay of the client runs against it; every call is answered at once, as a faultless filesystem would.
//
// What it holds a filesystem to (docs/decisions/005):
//   names     metadata is a prefix of history: the names are those at some moment not before the last fsync that was
//             answered, of whatever file.
//   content   each byte of a file is what it was when the last fsync of that file was answered, or what a later write of
//             the client put there, or a zero that such a write uncovered by leaving a gap. The size is one that the file
//             had, or one in between: a long write-back goes from front to back.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "harness/target_calls.h"
#include "workloads/loadfile.h"

namespace cowbench::harness {

// A recovered tree, by path.
struct FoundEntry {
  bool is_directory = false;
  std::vector<std::byte> content;
};
using FoundTree = std::map<std::string, FoundEntry>;

// One file or directory, whatever it is called, and what has happened to it since it was last durable.
class SurvivingFile {
 public:
  explicit SurvivingFile(bool is_directory) : is_directory_(is_directory) {}
  bool is_directory() const { return is_directory_; }
  const std::vector<std::byte>& content() const { return content_; }
  void write(u64 offset, ByteSpan bytes);
  void truncate();
  void make_durable();
  // Why `found` cannot be what a crash left of it; empty when it can.
  std::string objection(const std::vector<std::byte>& found) const;

 private:
  struct Write {
    u64 offset;
    std::vector<std::byte> bytes;
  };
  bool is_directory_;
  std::vector<std::byte> content_;  // now
  std::vector<std::byte> durable_;
  std::vector<Write> writes_;       // since
  std::vector<Write> gaps_;         // zeros that those uncovered
  u64 size_min_ = 0, size_max_ = 0;  // since
};

// Satisfies TargetCalls.
class SurvivalModel {
 public:
  SurvivalModel();

  // What follows was begun and not answered: no fsync in it counts, and only a part of it may have happened.
  void nothing_is_answered_any_more() { answered_ = false; }

  // Names below `directory` that the recovered tree shows, against all that the replay allows. Empty when some moment
  // explains them; else what is wrong with the moment that comes closest.
  std::string objection(const std::string& directory, const FoundTree& found) const;
  u64 fsyncs() const { return fsyncs_; }

  void begin(const workloads::Op& op);
  Ready<i64> stat(const std::string& path, FileStat& out);
  Ready<i64> open(const std::string& path, int flags, u32 mode);
  Ready<i64> close(i64 handle);
  Ready<i64> pread(i64 handle, MutableByteSpan into, u64 offset);
  Ready<i64> pwrite(i64 handle, ByteSpan from, u64 offset);
  Ready<i64> fsync(i64 handle);
  Ready<i64> fstat(i64 handle, FileStat& out);
  Ready<i64> unlink(const std::string& path);
  Ready<i64> rename(const std::string& from, const std::string& to);
  Ready<i64> mkdir(const std::string& path, u32 mode);
  Ready<i64> rmdir(const std::string& path);
  Ready<i64> fdatasync_directory(const std::string& path);
  Ready<i64> statvfs(const std::string&) { return {0}; }
  Ready<i64> utime(const std::string& path, i64, i64);
  Ready<i64> lock(i64, u64, u64) { return {0}; }
  Ready<i64> unlock(i64, u64, u64) { return {0}; }
  Ready<i64> getxattr(const std::string&, const char*, MutableByteSpan) { return {-ENODATA}; }
  Ready<i64> fgetxattr(i64, const char*, MutableByteSpan) { return {-ENODATA}; }
  Ready<i64> fsetxattr(i64, const char*, ByteSpan) { return {0}; }
  Ready<i64> open_directory(const std::string& path);
  Ready<i64> read_directory(i64 handle, MutableByteSpan into);
  Ready<i64> close_directory(i64 handle) { return close(handle); }

 private:
  using FileRef = std::shared_ptr<SurvivingFile>;
  using Names = std::map<std::string, FileRef>;
  struct Change {  // of what stands at one path; null: nothing
    std::string path;
    FileRef before, after;
  };
  // Changes that a filesystem makes as one, or (a deleted tree) one by one in an order of its own.
  struct Step {
    std::vector<Change> changes;
    bool in_any_order = false;
  };
  struct Handle {
    FileRef file;
    bool sync = false;
    std::vector<std::string> entries;  // of a directory that is read; from the last one on
  };

  FileRef find(const std::string& path) const;
  bool is_directory(const std::string& path) const;
  std::vector<std::string> below(const std::string& directory) const;
  Step& step();
  void set(Step& step, const std::string& path, FileRef file);
  i64 enter(Handle handle);
  void names_are_durable();

  Names names_;
  std::vector<Step> steps_;  // since the names were last durable
  std::map<i64, Handle> handles_;
  i64 next_handle_ = 1;
  bool answered_ = true;
  bool deleting_tree_ = false;
  u64 fsyncs_ = 0;
};
static_assert(TargetCalls<SurvivalModel>);

}  // namespace cowbench::harness
