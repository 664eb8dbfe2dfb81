// What one core has of a mounted filesystem: its slices, its inodes, its cache, and its background tasks.
#pragma once
#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <string>

#include "engine/data/copygc.h"
#include "engine/format/activity.h"
#include "engine/fs/change_set.h"
#include "engine/fs/inode.h"
#include "engine/fs/inode_table.h"
#include "engine/fs/name_cache.h"
#include "engine/fs/path_cache.h"
#include "engine/journal/journal.h"
#include "engine/runtime/activity_counter.h"

namespace cowfs::fs {

class FilesystemState;

// One slice and what is in memory of its inodes.
struct SliceState {
  SliceState(u16 id, const format::Superblock& superblock, const device::DeviceSet& devices, journal::Stream& stream,
             slice::BucketSource& source, btree::NodePool& nodes, bool discard, data::CoreData& core,
             data::SpacePressure& pressure)
      : slice(id, superblock, devices, stream, source, nodes, discard), data(core, slice, pressure, static_cast<ChecksumKind>(superblock.data_checksum)),
        copygc(data) {}

  slice::Slice slice;
  data::SliceData data;
  data::CopyGc copygc;
  // Regions of files whose home is another slice.
  absl::flat_hash_map<InodeNumber, std::unique_ptr<data::FileData>> shares;
};

struct CoreSettings {
  u64 cache_bytes = 512 * mib;
  u64 node_bytes = 128 * mib;
  bool populate_cache = true;            // at mount
  u64 dirty_expire_ns = 30'000'000'000;  // older dirty data is written back
  std::size_t inodes_max = 128 * 1024;   // kept in memory without references
  std::size_t name_places = 32768;       // of the name cache, 64 bytes each; a power of two
  btree::NodeFill node_fill = btree::NodeFill{};
};

class CoreState final : public journal::EpochObserver, public journal::ReclaimTarget {
 public:
  CoreState(FilesystemState& filesystem, CoreIndex core, const CoreSettings& settings, data::TokenSource& tokens);
  ~CoreState() override;

  CoreIndex core() const { return core_; }
  data::CoreData& data() { return data_; }
  btree::NodePool& nodes() { return nodes_; }
  journal::Stream& stream();
  SliceState& slice(u16 id) { return *slices_.at(id); }
  void add_slice(std::unique_ptr<SliceState> slice);
  template <typename Visitor>
  void each_slice(Visitor visit) {
    for (SliceState* state : in_order_) visit(*state);
  }
  std::vector<u16> slice_ids() const;
  // Where a directory made by this core goes: its slice with the least data.
  bool has_slices() const { return !slices_.empty(); }
  u16 slice_for_new_directory() const;

  // Inodes of this core's slices. A damaged name may say any number.
  Inode* find_inode(InodeNumber number) { return inodes_.find(number); }
  // Errors: inode_missing; of the tree. The inode stays until the next await unless it is referenced.
  Task<Result<Inode*>> get_inode(InodeNumber number);
  Inode& add_inode(InodeNumber number);
  // Without bringing it in: what is asked once of each of many files leaves those in memory that are in use.
  Task<Result<Attributes>> get_attributes(InodeNumber number);
  // After `references` or `links` went down: an inode without either is removed, from the medium and then from memory.
  void release(Inode& inode);

  // A name in a directory of this core.
  enum class Answer : u8 { found, absent, missing };
  Answer look_up(InodeNumber directory, std::string_view name, format::Dirent& entry, slice::Missing& missing);
  Task<Result<format::Dirent>> look_up(InodeNumber directory, std::string_view name);

  // Where the fronts of paths lead, on any core.
  PathCache& paths() { return paths_; }

  // Changes; see change_set.h. On this core's inodes only.
  Status prepare(const ChangeSet& changes, u64& journal_bytes, slice::Missing& missing, u16& missing_slice);
  void apply(const ChangeSet& changes);

  // Writes one file's dirty data and attributes of its home slice back.
  Task<Result<Epoch>> write_back(Inode& inode, data::Then then = data::Then::nothing);
  Task<Status> write_attributes(Inode& inode);
  Task<Result<Epoch>> write_back_share(InodeNumber number, u16 slice_id);
  // Sets the size of a regular file, or finishes a truncation that a crash interrupted. The caller holds inode.lock.
  Task<Status> truncate(Inode& inode, u64 bytes);
  // A crash may have left data behind the end of a file: the rest of its last block, and extents of writes that never came
  // to count. They go before the file grows for the first time after a mount.
  bool may_grow(const Inode& inode, u64 end) const;
  Task<Status> prepare_growth(Inode& inode, u64 end);
  // See data::TokenSource: of this core's files and metadata.
  Task<Result<bool>> await_freed();
  // Everything dirty on this core.
  Task<Status> write_back_all();
  Task<Status> end_removals();
  Task<Status> checkpoint_all();
  data::FileData& share(InodeNumber number, u16 slice_id);
  Task<Status> drop_shares(Inode& inode);
  Task<Status> drop_share(InodeNumber number, u16 slice_id);

  // Touches memory while a mount waits for the device: all of the page cache, and of what nodes may take as much as that
  // leaves time for.
  Task<void> populate();
  void start_background();
  Task<void> stop_background();
  // Behind it, on all cores: what comes to its end there may wait for room in the journal, which checkpoints make.
  Task<void> stop_checkpoints();
  // What could not be written is given up with the mount. Nothing of any core is under way any more.
  void give_up();

  void epoch_sealed(Epoch epoch) override;
  void epoch_durable(Epoch epoch) override;
  Epoch oldest_needed(CoreIndex core) override;
  void checkpoint_wanted(Epoch up_to) override;

  // Names of other cores' directories, valid until their owner takes them back.
  struct RemoteName {
    InodeNumber inode;
    format::FileType type;
  };
  const RemoteName* find_remote(InodeNumber directory, std::string_view name) const;
  void remember_remote(InodeNumber directory, std::string_view name, RemoteName entry);
  void forget_remote(InodeNumber directory) {
    ++remote_forgets_;
    remote_names_.erase(directory);
  }
  u64 remote_forgets() const { return remote_forgets_; }

  // Takes tokens for what metadata claims, or gives some back. What nobody has stays a debt.
  Task<void> pay_for_metadata();
  // Blocks of data that live, in all slices of this core; and with those of buckets that metadata holds.
  u64 live_blocks();
  u64 used_blocks();
  // What metadata keeps from users.
  u64 claimed_blocks();
  // For statfs on any core: as of a moment ago.
  void publish_use();
  u64 published_used_blocks() const { return published_used_blocks_.load(std::memory_order_relaxed); }
  u64 published_inodes() const { return published_inodes_.load(std::memory_order_relaxed); }

  // What this core does is counted here, and nothing else. Any core may read.
  runtime::ActivityCounter& activity(format::Activity activity) { return activities_[static_cast<u8>(activity)]; }

  runtime::Gate& gate() { return gate_; }
  u64 checkpoints() const { return activities_[static_cast<u8>(format::Activity::checkpoint)].counted(); }

 private:
  Task<void> reap(Inode& inode);
  Task<Result<Epoch>> write_back_referenced(Inode& inode, data::Then then);
  Task<Status> keep_cache_budget();
  Task<Status> truncate_shares(Inode& inode, u64 old_size);
  Task<Status> clean_behind_end(Inode& inode, u64 end);
  Task<Status> remove_keys(SliceState& home, InodeNumber number);
  Task<void> flusher();
  Task<void> checkpointer();
  Task<Status> checkpoint(slice::Slice& slice);
  Task<void> discarder();
  Task<void> forced_work();
  Task<void> flush_one(data::FileData& file);
  Task<Result<format::InodeValue>> read_inode(InodeNumber number);
  void trim_inodes();
  void charge_metadata();
  Task<Status> write_back(data::FileData& file);

  FilesystemState& filesystem_;
  const CoreIndex core_;
  const CoreSettings settings_;
  data::CoreData data_;
  NameCache names_;
  PathCache paths_;
  btree::NodePool nodes_;
  absl::flat_hash_map<u16, std::unique_ptr<SliceState>> slices_;
  std::vector<SliceState*> in_order_;  // of their numbers: a hash map's order is another one in each process
  InodeTable<Inode> inodes_;
  absl::flat_hash_map<InodeNumber, absl::flat_hash_map<std::string, RemoteName>> remote_names_;
  u64 remote_forgets_ = 0;

  runtime::Gate gate_;
  bool stopping_ = false;
  runtime::Gate checkpoint_gate_;
  bool checkpoints_stopping_ = false;
  runtime::WaitList checkpoint_work_;
  runtime::WaitList discard_work_;
  runtime::WaitList forced_work_;  // the simulator's
  std::array<runtime::ActivityCounter, format::activity_count> activities_;
  Epoch checkpoint_up_to_;
  u64 charged_blocks_ = 0;  // of metadata, for which tokens are taken
  std::atomic<u64> published_used_blocks_{0};
  std::atomic<u64> published_inodes_{0};
  u64 flushes_running_ = 0;
  bool flush_failed_ = false;  // the newest that ended
  // Wakes the flusher now and then; the rest of its life it is woken by writers.
  struct FlushTimer : runtime::Timer {
    explicit FlushTimer(CoreState& state) : owner(state) {}
    void arm();
    static constexpr u64 interval_ns = 1'000'000'000;
    CoreState& owner;
  };
  FlushTimer flush_timer_;
};

}  // namespace cowfs::fs
