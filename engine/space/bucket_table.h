// The buckets that one slice has leased: which are empty, which hold how much live data, and since when they are free.
// One core, no I/O, no locks. In memory only; a checkpoint writes what changed into the `alloc` tree, and open fills the
// table from it and from replayed history.
//
// The life of a data bucket:  empty -> open -> closed -> (last live block dies in epoch e) -> freeing -> e durable -> empty
// A bucket is never written again while recovery, or a reader that pinned it, may still look at what it held.
#pragma once
#include <absl/container/flat_hash_map.h>

#include <deque>
#include <optional>
#include <vector>

#include "engine/base/result.h"
#include "engine/format/values.h"

namespace cowfs::space {

using format::Address;
using format::BucketId;

// What a bucket is written for: data of different lifetimes never share one.
enum class Stream : u8 { user = 0, moved = 1, metadata = 2 };

enum class BucketState : u8 { empty, open, closed, freeing, metadata, discarding };

struct Bucket {
  BucketId id;
  u32 generation = 0;   // Epoch in which it was taken, low 32 bits
  u32 live_blocks = 0;
  u32 pins = 0;         // readers and writers under way
  BucketState state = BucketState::empty;
  Stream stream = Stream::user;
  Epoch freed;                 // state freeing: the epoch that must be durable
  bool changed = false;        // since the last checkpoint
  bool evacuating = false;     // copygc is at it
  Epoch written;               // when it was closed: its age
};

// Of a space that stays as large as it is.
constexpr BucketId no_end;

class BucketTable;

// Keeps a bucket from being used again while it lives.
class BucketPin {
 public:
  BucketPin() = default;
  BucketPin(BucketTable& table, u32 index);
  BucketPin(BucketPin&& other) noexcept : table_(std::exchange(other.table_, nullptr)), index_(other.index_) {}
  BucketPin& operator=(BucketPin&& other) noexcept;
  ~BucketPin() { release(); }
  void release();

 private:
  BucketTable* table_ = nullptr;
  u32 index_ = 0;
};

class BucketTable {
 public:
  BucketTable(u64 bucket_blocks, bool discard) : bucket_blocks_(bucket_blocks), discard_(discard) {}

  // A bucket leased to this slice, empty as far as anybody knows. A new table is being opened until opened() is called:
  // until then nothing can be taken.
  void adopt(BucketId id);
  // Up to `count` empty buckets go back to where leases come from.
  std::vector<BucketId> give_back(std::size_t count);

  // The space is to end before `end`: from now on no bucket from there on is taken, or counts as empty.
  void limit(BucketId end);
  bool is_limited() const { return end_ != no_end; }
  bool is_beyond(BucketId id) const { return id >= end_; }
  // Those beyond the end that are empty.
  std::vector<BucketId> give_back_beyond();
  // A closed bucket beyond the end, to be evacuated like a victim. Nothing when there is none.
  std::optional<BucketId> choose_beyond();
  bool has_choice_beyond() const { return find_beyond().has_value(); }
  bool owns_beyond() const;

  // Open: what the checkpoint's alloc tree says of a leased bucket. Error alloc_bucket_not_leased.
  Status restore(BucketId id, const format::AllocValue& value);
  // Open ends: what holds nothing is empty from now on, but for `foreign` buckets, which leave the table.
  void opened(const std::vector<BucketId>& foreign);
  // Open: a bucket of the checkpoint's metadata. Error alloc_bucket_not_leased.
  Status restore_metadata(BucketId id);

  // An empty bucket, now open (or metadata) with `epoch` as its generation. Nothing when there is none.
  std::optional<BucketId> take(Stream stream, Epoch epoch);
  // No more will be appended to it.
  void close(BucketId id, Epoch now);
  // Metadata only: no checkpoint that recovery could choose names it.
  void free_metadata(BucketId id);

  // Triggers of the extents tree. Error alloc_pointer_invalid: the bucket is not leased, the generation is another one,
  // or more would be live than it has blocks; only a damaged image or history can bring that about.
  // `leaving`: live blocks of the bucket that the same change takes away.
  Status check_pointer(Address address, u32 blocks, u32 generation, u32 leaving = 0) const;
  // The other way round: the blocks are live in their bucket. Error alloc_pointer_invalid.
  Status check_live(Address address, u32 blocks, u32 generation) const;
  void add_live(Address address, u32 blocks, u32 generation);
  void remove_live(Address address, u32 blocks, Epoch now);

  // Everything freed in `epoch` or before may be used again.
  void epoch_durable(Epoch epoch);
  std::optional<BucketId> next_discard();
  void discarded(BucketId id);

  BucketPin pin(Address address);

  // The closed bucket whose evacuation pays most, if an eighth of it is free: blocks gained for each that has to be moved, and less for
  // young buckets, of which more will have died soon. After the cost-benefit rule of Rosenblum and Ousterhout (SOSP 1991), but age
  // counts up to about the median: what is much older is not worth more. `urgent`: the one that gains most, whatever its age, and be it
  // a block. Nothing when there is none.
  std::optional<BucketId> choose_victim(Epoch now, bool urgent);
  void evacuation_ended(BucketId id);

  // Calls visit(const Bucket&) for every data bucket whose alloc entry is out of date, which then counts as written.
  template <typename Visitor>
  void take_changes(Visitor visit) {
    for (u32 index : changed_) {
      buckets_[index].changed = false;
      visit(const_cast<const Bucket&>(buckets_[index]));
    }
    changed_.clear();
  }
  template <typename Visitor>
  void each_changed(Visitor visit) const {
    for (u32 index : changed_) visit(buckets_[index]);
  }
  // Calls visit(const Bucket&) for each.
  template <typename Visitor>
  void each(Visitor visit) const {
    for (const auto& [id, index] : index_) visit(buckets_[index]);
  }

  const Bucket* find(BucketId id) const;
  // For who will look at the bucket soon: both wait for nothing, if the first was asked some time before the second.
  void fetch_index(Address address) const { index_.prefetch(format::bucket_of(address, bucket_blocks_).value); }
  void fetch(Address address) const { __builtin_prefetch(find(format::bucket_of(address, bucket_blocks_))); }
  std::size_t empty_count() const { return empty_.size(); }
  std::size_t owned_count() const { return index_.size(); }
  std::size_t freeing_count() const { return freeing_.size(); }
  u64 live_blocks() const { return live_blocks_; }
  u64 bucket_blocks() const { return bucket_blocks_; }

 private:
  friend class BucketPin;
  struct Freeing {
    Epoch epoch;
    u32 index;
  };
  Bucket& at(BucketId id);
  void mark_changed(u32 index);
  void start_freeing(u32 index, Epoch now);
  void finish_freeing(u32 index);
  void become_empty(u32 index);
  void add_empty(u32 index);
  bool may_leave(u32 index) const { return !buckets_[index].changed; }
  BucketId leave(u32 index);
  std::optional<u32> find_beyond() const;
  void unpin(u32 index);
  void find_candidates(u64 live_max);

  u64 bucket_blocks_;
  bool discard_;
  bool opening_ = true;  // nothing is in empty_ yet
  u64 live_blocks_ = 0;
  Epoch durable_;
  std::deque<Bucket> buckets_;
  std::vector<u32> unused_;  // places in buckets_ of buckets given back
  absl::flat_hash_map<u64, u32> index_;
  std::deque<u32> empty_;
  BucketId end_ = no_end;
  std::vector<u32> empty_beyond_;
  std::deque<Freeing> freeing_;
  std::deque<u32> to_discard_;
  std::vector<u32> changed_;
  std::vector<u32> candidates_;  // scratch
  u32 victim_cursor_ = 0;
};

}  // namespace cowfs::space
