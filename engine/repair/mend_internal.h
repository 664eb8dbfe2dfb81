// Makes what was salvaged consistent: inodes, names, attributes and extents that all go together, with as little lost as can
// be. What is derived is not looked at, except as a witness; it is computed anew later.
#pragma once
#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_map.h>

#include <map>
#include <string>

#include "engine/repair/salvage_internal.h"

namespace cowfs::repair {

struct NameFound {
  u64 inode = 0;
  format::FileType type = format::FileType::unknown;
};

class NameMender {
 public:
  NameMender(const format::Superblock& superblock, Salvaged& salvaged, u64 now_ns, std::vector<Repair>& repairs)
      : superblock_(superblock), salvaged_(salvaged), now_ns_(now_ns), repairs_(repairs) {}
  // Inodes, names and attributes; extents stay as they are.
  void run();

 private:
  using Names = absl::btree_map<std::string, NameFound>;

  void gather_inodes();
  void gather_names();
  void gather_extents();
  void take_name(u64 directory, const format::Dirent& entry, u64 hash);
  void revive_inodes();
  void revive(u64 number, format::FileType named_type);
  bool can_exist(u64 number) const;
  void mend_root();
  void mend_types();
  void mend_names();
  bool mend_name(u64 directory, const std::string& name, NameFound& found);
  void find_directories();
  void reconnect();
  void cut_rings();
  void connect(u64 number);
  u64 lost_and_found();
  u64 make_directory(u64 parent);
  void count();
  void drop_attributes();
  void put_back();
  void put_names();

  format::InodeValue* inode(u64 number);
  bool is_directory(u64 number);
  void tell(const char* finding_class, std::string what, u64 inode, bool is_loss = false, u64 directory = 0) {
    repairs_.push_back({finding_class, std::move(what), inode, is_loss, directory});
  }

  const format::Superblock& superblock_;
  Salvaged& salvaged_;
  const u64 now_ns_;
  std::vector<Repair>& repairs_;
  absl::btree_map<u64, format::InodeValue> inodes_;
  absl::btree_map<u64, Names> directories_;           // names by the directory that they stand in
  absl::flat_hash_map<u64, u64> extent_ends_;         // of what has extents: behind the last block that is not unwritten
  absl::flat_hash_map<u64, u32> links_;               // names that lead to it
  absl::flat_hash_map<u64, u64> parents_;             // of directories: where their name is
  u64 lost_and_found_ = 0;
};

// Extents that contradict each other or their buckets: which of them is right is decided by what the blocks hold, then by the
// backpointers. What loses, and what was lost with a node, becomes a range that reads as an error.
class ExtentMender {
 public:
  ExtentMender(device::Device& device, const format::Superblock& superblock, Salvaged& salvaged,
               std::vector<Repair>& repairs)
      : device_(device), superblock_(superblock), salvaged_(salvaged), repairs_(repairs) {}
  // After the names. Errors: none of the device; what cannot be read is as good as wrong.
  Task<void> run();
  bool left_lost_ranges() const { return lost_blocks_ > 0; }

 private:
  struct Claim {
    Key key;
    format::BucketId bucket;
    u32 first = 0;  // block in the bucket
    u32 blocks = 0;
    u32 generation = 0;
    bool witnessed = false;  // a backpointer says the same
    bool doubtful = false;
    bool verified = false;   // the blocks are what the key says
    bool kept = true;
    u32 score() const { return (verified ? 2u : 0u) + (witnessed ? 1u : 0u); }
  };

  void find_owners();
  void drop_strangers(u16 slice);
  std::vector<Claim> claims_of(u16 slice);
  bool can_hold(format::BucketId bucket, u64 first, u32 blocks) const;
  void doubt_generations(u16 slice, std::vector<Claim>& claims);
  static void doubt_shared(std::vector<Claim>& claims);
  static void doubt_overlapping(std::vector<Claim>& claims);
  Task<void> verify(u16 slice, Claim& claim);
  void settle(u16 slice, std::vector<Claim>& claims);
  void lose(u16 slice, const Claim& claim);
  void drop_covered(u16 slice);
  void keep(u16 slice, const Claim& claim, u32 generation);
  Task<void> restore_from_backpointers(u16 slice);
  void mark_lost_nodes(u16 slice);
  void mark_gaps(u64 inode, u64 first, u64 end);
  void put_lost();
  void measure_files();

  format::InodeValue* inode(u64 number);
  u16 slice_of_block(u64 inode, u64 block) const {
    const u64 region = block * block_bytes / superblock_.region_bytes;
    return static_cast<u16>((format::slice_of(inode) + region) % superblock_.slices);
  }

  device::Device& device_;
  const format::Superblock& superblock_;
  Salvaged& salvaged_;
  std::vector<Repair>& repairs_;
  absl::flat_hash_map<u64, u16> owners_;                          // bucket -> slice
  std::map<u64, std::vector<std::pair<u64, u64>>> lost_ranges_;  // by inode: blocks [first, end)
  u64 lost_blocks_ = 0;
};

}  // namespace cowfs::repair
