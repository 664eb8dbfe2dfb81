// What the parts of check share. One core; the parts run one after the other.
#pragma once
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <string_view>
#include <vector>

#include "engine/admin/read_only_device.h"
#include "engine/admin/tools.h"
#include "engine/journal/recovery.h"

namespace cowfs::admin {

// FINDING(name, meaning): names are stable, scripts may rely on them.
enum class FindingClass : u8 {
#define COWFS_FINDING(name, meaning) name,
#include "engine/admin/finding_classes.inc"
#undef COWFS_FINDING
};

// An inode as the names need it.
struct InodeSeen {
  u64 size = 0;
  u64 parent = 0;
  u64 blocks = 0;
  u64 blocks_found = 0;  // of data extents in its home slice
  u64 entries = 0;  // of a directory: names found in it
  u32 subdirectories = 0;
  u32 mode = 0;
  u32 links = 0;
  u32 flags = 0;
  u32 names = 0;     // that lead here
  u64 named_in = 0;  // a directory that has such a name
  bool is_directory() const { return (mode & 0170000) == 0040000; }
};

// One key of a tree, copied: it survives awaits.
struct Item {
  format::Key key;
  std::vector<std::byte> value;
};

class Checker {
 public:
  Checker(device::Device& device, const pool::SuperblockFound& superblock, const CheckOptions& options);

  // Everything; the report is complete when it answers.
  Task<void> run();
  CheckReport report;

 private:
  // The medium, without recovery.
  Task<void> check_commit_ring();
  Task<void> check_journal();
  Task<void> check_entries(const journal::History& history, journal::BucketFeed& feed);
  Task<void> check_slice_on_medium(u16 slice);
  Task<void> check_tree_on_medium(const format::SliceHeader& header, u16 slice, format::TreeId tree);
  Task<void> check_space_list(const format::SliceHeader& header, u16 slice);

  // One slice after recovery.
  Task<void> check_recovered();
  Task<void> check_leases();
  Task<void> check_slice(u16 slice);
  Task<void> check_inodes(u16 slice);
  Task<void> check_orphans(u16 slice);
  Task<void> check_extents(u16 slice);
  void check_blocks(u16 slice);
  Task<void> check_extent(u16 slice, const Item& item);
  Task<void> check_backpointer(u16 slice, const Item& extent);
  Task<void> check_backpointers(u16 slice);
  void check_buckets(u16 slice);
  Task<void> check_data(u16 slice, const std::vector<Item>& extents);
  Task<void> check_data_extent(u16 slice, const Item* item);
  Task<void> check_xattrs(u16 slice);

  // Names, across slices.
  Task<void> check_names(u16 slice);
  void check_name(u16 slice, u64 directory, const format::Dirent& entry);
  void check_links();
  void check_directory(u64 inode, const InodeSeen& seen);
  void check_reachable();
  using Names = absl::flat_hash_map<u64, std::pair<u64, std::string>>;  // inode -> a directory, and its name there
  Names names_wanted() const;
  Task<void> find_paths();
  static std::string path_of(const Names& names, u64 inode);

  // Reads the next keys of a tree after `from`; none at the end. A node that cannot be read is a finding and ends the tree.
  Task<std::vector<Item>> next_items(u16 slice, format::TreeId tree, format::Key* from);
  // The value at a key; nothing when it is absent or cannot be read.
  Task<std::optional<std::vector<std::byte>>> get(u16 slice, format::TreeId tree, format::Key key);
  bool incomplete(u16 slice, format::TreeId tree) const {
    return incomplete_.contains(static_cast<u32>(slice) << 8 | static_cast<u32>(tree));
  }
  bool any_incomplete(format::TreeId tree) const;
  bool names_known() const {
    return !any_incomplete(format::TreeId::inodes) && !any_incomplete(format::TreeId::dirents);
  }

  struct At {
    std::optional<u16> slice = std::nullopt;
    std::optional<format::TreeId> tree = std::nullopt;
    u64 inode = 0;
    std::string where = {};
  };
  void found(FindingClass what_class, At at, std::string what);
  void found(FindingClass what_class, const Error& error, std::string where = {});
  void count(const char* what, u64 more = 1) { report.counted[what] += more; }
  void phase(std::string name, u64 total);
  void advance(u64 done);

  device::Device& device_;
  const pool::SuperblockFound& found_;
  const format::Superblock& superblock_;
  const CheckOptions& options_;
  MediumReader medium_;
  std::unique_ptr<RecoveredState> recovered_;
  CheckProgress progress_;
  u64 progress_told_ns_ = 0;

  absl::flat_hash_map<u64, u16> leases_;  // bucket -> slice
  absl::flat_hash_set<u32> incomplete_;   // trees that could not be read to the end
  absl::flat_hash_map<u64, InodeSeen> inodes_;

  // Of the slice being looked at.
  struct BucketSeen {
    u32 generation = 0;
    u64 live_blocks = 0;
    std::vector<bool> taken;
  };
  absl::flat_hash_map<u64, BucketSeen> buckets_;   // data: what extents say
  absl::flat_hash_map<u64, u64> metadata_blocks_;  // metadata: blocks of reachable nodes, by bucket
  u64 data_extents_ = 0;
  u64 alloc_blocks_ = 0;  // sum of the alloc tree on the medium
  u64 inode_keys_ = 0;    // of the inodes tree on the medium
  u64 inode_last_ = 0;    // previous extent of the slice: its inode and end
  u64 extent_end_ = 0;
  friend class MediumVisitor;
};

}  // namespace cowfs::admin
