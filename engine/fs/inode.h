// An inode in memory, on the core of its home slice. Attributes here are newer than in the tree; what a data write changes
// (size, times) reaches the tree together with the data, everything else at once.
#pragma once
#include <bitset>
#include <memory>
#include <vector>

#include "engine/data/file_data.h"
#include "engine/engine.h"

namespace cowfs::fs {

using format::InodeNumber;
using runtime::CoreIndex;

constexpr unsigned cores_max = 256;

struct SliceState;

Attributes attributes_of(InodeNumber number, const format::InodeValue& value);

// Advisory byte-range locks, exclusive, held by open files.
class RangeLocks {
 public:
  bool try_lock(const void* owner, u64 first, u64 end);
  void unlock(const void* owner, u64 first, u64 end);
  void unlock_all(const void* owner);

 private:
  struct Range {
    const void* owner;
    u64 first;
    u64 end;
  };
  std::vector<Range> held_;
};

struct Inode;

// An inode's part in changes of its data outside write-back and truncation: a direct write may move the end of the file, a
// punched hole has fewer blocks.
class DataFollower final : public data::AttributeWriter {
 public:
  explicit DataFollower(Inode& inode) : inode_(inode) {}
  bool follows(const data::DataChange& change) const override;
  slice::Update update(const data::DataChange& change) override;
  void applied(const data::DataChange& change) override;
  void cached(u64 end_bytes) override;

 private:
  Inode& inode_;
};

struct Inode final : data::AttributeWriter {
  Inode(SliceState& home_slice, InodeNumber inode_number) : home(home_slice), number(inode_number) {}

  void decode(const format::InodeValue& value);
  // With `persisted_size` as its size: the file's data beyond is not in place yet.
  format::InodeValue encode() const;
  Attributes attributes() const;
  // None was asked for yet, or nobody works on it.
  bool has_idle_data() const { return data_ == nullptr || data_->idle(); }

  bool is_directory() const { return (mode & 0170000) == 0040000; }
  bool is_symlink() const { return (mode & 0170000) == 0120000; }
  bool is_regular() const { return (mode & 0170000) == 0100000; }
  format::FileType type() const { return static_cast<format::FileType>(mode >> 12); }
  format::Key key() const { return {number, 0, format::snapshot_live}; }

  data::FileData& file_data();
  void discard_cache() {
    if (data_ != nullptr) data_->discard_cache();
  }

  // AttributeWriter: write-back moves persisted_size up to write_back_size, truncation sets it.
  bool follows(const data::DataChange&) const override { return true; }
  slice::Update update(const data::DataChange& change) override;
  void applied(const data::DataChange& change) override;
  void cached(u64 end_bytes) override;

  SliceState& home;
  const InodeNumber number;
  DataFollower follower{*this};
  std::size_t table_place = 0;  // the InodeTable's
  u64 size = 0;
  u64 persisted_size = 0;
  u64 blocks = 0;                 // of data in the home slice, as the tree has them
  u64 access_ns = 0;
  u64 modify_ns = 0;
  u64 change_ns = 0;
  u64 birth_ns = 0;
  InodeNumber parent = 0;
  u64 device = 0;
  u32 mode = 0;
  u32 user = 0;
  u32 group = 0;
  u32 links = 0;
  u32 flags = 0;
  u32 generation = 0;

  bool attributes_dirty = false;  // newer than the tree
  bool truncating = false;        // what the AttributeWriter is used for just now
  u64 write_back_size = 0;
  Epoch changed;                  // of the newest record of this inode, of a name of it or of its data in other slices
  u32 references = 0;             // open files and operations: stays in memory while there are any
  bool has_xattrs = true;         // it may have; only a new inode is known to have none
  bool dead = false;              // its last name and its last reference are gone
  bool erased = false;            // so is its key: the object goes with the last who looks at it
  bool is_new = false;            // made in this mount: the tree has no extent that memory does not know
  bool end_known = false;         // what a crash may have left behind its end is gone, in the home slice
  bool shares_known = false;      // and in the others
  runtime::Mutex lock;            // held by operations that change names, links or the size downwards
  runtime::Mutex write_back_lock;  // one write-back or truncation at a time; taken after `lock`
  RangeLocks range_locks;
  std::bitset<cores_max> remote_readers;  // directory: cores that remember names of it

 private:
  friend class DataFollower;
  slice::Update updated(u64 new_size, u32 new_flags, i64 more_blocks);

  format::InodeValue encoded_{};
  std::unique_ptr<data::FileData> data_;
};

struct OpenFile {
  Inode* inode = nullptr;
  int flags = 0;
};

}  // namespace cowfs::fs
