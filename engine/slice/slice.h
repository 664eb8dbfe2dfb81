// A slice: a small single-threaded copy-on-write database. Trees, the triggers that keep derived trees, its buckets, and
// its checkpoint. One core; everything but the Tasks is synchronous.
//
// A change has two parts. Prepare: ask ready() for each update, await load() for what is missing, which is held meanwhile,
// reserve journal room, and ask again after every await. Apply: call apply() for each update without awaiting in between; it cannot fail.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "engine/btree/tree.h"
#include "engine/device/device_set.h"
#include "engine/format/journal.h"
#include "engine/format/superblock.h"
#include "engine/format/values.h"
#include "engine/journal/journal.h"
#include "engine/runtime/sync.h"
#include "engine/slice/bucket_source.h"
#include "engine/slice/metadata_space.h"
#include "engine/space/bucket_table.h"

namespace cowfs::slice {

using format::Key;
using format::TreeId;
using format::UpdateKind;
using runtime::Task;

// One change of one key of a primary tree.
struct Update {
  TreeId tree = TreeId::inodes;
  UpdateKind kind = UpdateKind::upsert;
  Key key;
  ByteSpan value;  // upsert only
};

// Journal bytes that `update` takes.
inline u64 journal_bytes(const Update& update) { return sizeof(format::RecordHeader) + update.value.size(); }

struct Missing {
  TreeId tree = TreeId::inodes;
  btree::Missing node;
  bool room = false;  // it is no node: a checkpoint would not find its buckets if more became dirty
  explicit operator bool() const { return room || node; }
};

// Whose change it is: one that waits until a checkpoint will fit; or one that others wait for, which has its share of what is kept back.
enum class Room : u8 { awaited, kept };

class Slice {
 public:
  // `nodes`: of the slice's core.
  Slice(u16 id, const format::Superblock& superblock, const device::DeviceSet& devices, journal::Stream& stream,
        BucketSource& source, btree::NodePool& nodes, bool discard);

  // Open, in this order: read_header, load_trees, [slice 0: leases from replay], restore_space, replay.., end_replay.
  // History is from `oldest_needed` to `last`. Errors: slice_header_*; slice_header_outdated: the newest header is damaged,
  // and history does not reach from the one before it to now.
  Task<Status> read_header(Epoch oldest_needed, Epoch last);
  // Before anything else is written: a header that does not count, because its epoch was never committed, never will.
  Task<Status> retire_header_from_future();
  Task<Status> load_resident_trees();
  // `leased`: the buckets that the lease table gives this slice.
  Task<Status> restore_space(std::vector<format::BucketId> leased);
  // Applies one record of history. Errors: what load() may say; alloc_pointer_invalid; journal_record_invalid.
  Task<Status> replay(Epoch epoch, format::Record record);
  // Error alloc_bucket_not_leased: history left data in a bucket that the lease table gives to somebody else.
  Status end_replay(Epoch last);
  // Repair: a slice that was opened without a header, and into which everything was replayed. First room for its checkpoint is
  // leased; then, when nothing was replayed since, it is written as that of `epoch`, whose header the caller completes, seals
  // and puts in place. Errors: space_no_buckets; of the device.
  Task<Status> make_room();
  Task<Result<format::SliceHeader>> write_replayed(Epoch epoch);

  // Reading.
  btree::Tree& tree(TreeId id) { return *trees_[static_cast<std::size_t>(id)]; }
  // Brings a node in, for which others may go; but none that `held` keeps, which begins here at the latest. One for all
  // loads of a question that needs several nodes at once, or of a transaction. Or waits for room, with `held` let go of.
  // Errors: of the device, of the node; space_no_buckets: there is no room.
  Task<Status> load(Missing missing, btree::NodesHeld& held);
  // What keeps a transaction from being applied: not all of its nodes are resident, and `missing` is loaded; or the journal had no room
  // for `bytes`, and there is some when this resumes, with `held` let go of. Others may have changed the trees: it is planned anew.
  // Errors: of load, of the journal.
  Task<Status> wait_to_apply(bool resident, Missing missing, btree::NodesHeld& held, u64 bytes,
                             journal::Urgency urgency = journal::Urgency::normal);
  // Where the derived tree of backpointers has the one of an extent at `address`.
  Key backpointer_key(format::Address address) const;
  // Looks `key` up, loading as needed. The value is copied: it survives awaits.
  Task<Result<std::optional<std::vector<std::byte>>>> get(TreeId tree, Key key);

  // Writing.
  bool ready(const Update& update, Missing& missing, Room room = Room::awaited);
  void apply(const Update& update);
  u64 take_inode_counter() { return next_inode_++; }
  u64 next_inode_counter() const { return next_inode_; }

  // Space.
  space::BucketTable& buckets() { return buckets_; }
  const space::BucketTable& buckets() const { return buckets_; }
  MetadataSpace& metadata() { return metadata_; }
  // From now on nodes become dirty only while a checkpoint of them finds its buckets. Before, all may, as in replay.
  void limit_changes() { claimed_nodes_max_ = nodes_.claimed_nodes(); }
  // Lets some more nodes become dirty. False: too few buckets are empty for Watermark::changes.
  bool allow_changes();
  // Blocks that no user may fill: those of metadata's full buckets, or what it may come to hold when what is dirty has been written.
  u64 metadata_claim_blocks() const;
  // Empty buckets that `watermark` leaves to others. copygc leaves what a checkpoint needs of what is dirty and what may become so;
  // users leave what lets changes go on, and what metadata may come to need. They belong to this slice and are
  // counted anew each time, so what was used of them is put back before users take one more.
  std::size_t kept_back(Watermark watermark) const;
  bool may_take(Watermark watermark) const { return buckets_.empty_count() > kept_back(watermark); }
  // A checkpoint now would need so many fewer the next time that `watermark` could take one; for changes: it may.
  bool checkpoint_makes_room(Watermark watermark) const;
  // Empty buckets that `watermark` would need besides.
  std::size_t lacking(Watermark watermark) const;
  // What metadata holds is more than it needs, and a checkpoint gives it back.
  bool checkpoint_frees_metadata() const;
  // The space is to end before `end`, or, no_end, not: nothing more is written from there on, and checkpoints move nodes away.
  Task<void> limit_space(format::BucketId end);
  // Leases buckets for this slice; true when at least one came.
  Task<Result<bool>> lease_more(std::size_t count, Watermark watermark);

  // Checkpoint: writes everything up to an epoch that this call closes, then publishes it.
  Task<Status> checkpoint();
  bool checkpoint_running() const { return checkpoint_lock_.held(); }
  // Resumes when none is running.
  Task<void> checkpoint_ended();
  // Called by the core's epoch observer.
  void epoch_sealed(Epoch epoch);
  void epoch_durable(Epoch epoch) { buckets_.epoch_durable(epoch); }
  // The oldest epoch whose records recovery of this slice needs; ~0 when its checkpoint holds everything.
  Epoch oldest_needed() const;

  u16 id() const { return id_; }
  u64 inode_count() const { return inode_count_; }
  const format::SliceHeader& header() const { return header_; }
  u64 header_offset_bytes(u64 sequence) const;  // of the place that a header with this sequence has
  journal::Stream& stream() { return stream_; }
  const device::DeviceSet& devices() const { return devices_; }
  u64 bucket_blocks() const { return buckets_.bucket_blocks(); }

 private:
  static constexpr u64 checkpoint_slack_blocks = 64;  // growth between making room and the freeze
  // A transaction that was ready may make so many nodes dirty. Larger ones draw on what is kept for copygc and moved nodes.
  static constexpr u64 nodes_of_transaction = 16;

  struct FrozenState {
    Epoch epoch;
    u64 next_inode = 0;
    u64 inode_count = 0;
    u64 data_blocks = 0;
    std::array<btree::Frozen, format::tree_count> trees;
  };

  void borrow(format::BucketId id);
  Status check_replayed_extent(const Update& update);
  void change(const Update& update);
  void count_inode(const Update& update, const btree::Lookup& old);
  void change_extent(const Update& update);
  void drop_extent_pointer(ByteSpan value);
  void add_extent_pointer(const Key& key, ByteSpan value);
  bool is_possible(Status pointer);
  Task<Status> check_next_inode();
  Task<Status> wait_for_journal(btree::NodesHeld& held, u64 bytes, journal::Urgency urgency);
  void write_alloc_changes();
  bool alloc_changes_ready(Missing& missing);
  bool prepare_freeze();

  void freeze(Epoch epoch);
  Task<Status> prepare_checkpoint();
  Task<Result<std::vector<format::BucketId>>> choose_scattered();
  Task<Status> scatter_sparse_metadata();
  Task<Status> write_frozen(FrozenState& frozen, format::SliceHeader& header);
  Task<Status> write_space_list(format::SliceHeader& header);
  Task<Status> publish(format::SliceHeader& header);
  u64 dirty_blocks_bound() const;
  u64 claimed_blocks() const;
  u64 checkpoint_blocks(u64 node_blocks) const;
  u64 blocks_left_by_checkpoint(u64 node_blocks) const;
  std::size_t kept_back(Watermark watermark, u64 dirty_blocks) const;
  std::size_t buckets_for_checkpoint(u64 dirty_blocks) const;
  std::size_t buckets_for_metadata(u64 dirty_blocks) const;
  Task<Status> read_header_place(u64 place, Epoch last, format::SliceHeader& header, bool& prepared);

  u16 id_;
  const format::Superblock& superblock_;
  const device::DeviceSet& devices_;
  journal::Stream& stream_;
  BucketSource& source_;
  btree::NodeCache nodes_;
  std::array<std::unique_ptr<btree::Tree>, format::tree_count> trees_;
  space::BucketTable buckets_;
  MetadataSpace metadata_;
  format::SliceHeader header_{};  // in force
  struct SpaceList {
    format::Address place;
    u64 blocks = 0;
  };
  SpaceList space_list_;  // the newest, of the header in force or of a checkpoint that failed

  u64 next_inode_ = 1;
  u64 inode_count_ = 0;
  bool from_future_ = false;  // the other place of the header holds one
  bool replaying_ = false;
  static constexpr u64 unlimited = ~0ull;
  u64 claimed_nodes_max_ = unlimited;  // as NodeCache::claimed_nodes
  const u64 metadata_reserve_blocks_;  // this slice's share
  Epoch replay_epoch_;
  std::vector<format::BucketId> borrowed_;  // by replay: history used them, the lease table gives them to others

  runtime::Mutex checkpoint_lock_;
  bool freeze_wanted_ = false;
  std::unique_ptr<FrozenState> frozen_;
  Epoch first_logged_{~0ull};         // oldest epoch with records since the newest freeze
  Epoch first_logged_frozen_{~0ull};  // the same, of the checkpoint being written
};

}  // namespace cowfs::slice
