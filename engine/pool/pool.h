// Several devices as one: a block device whose every chunk lies on as many members as the pool keeps copies, or in stripes of
// an erasure code (stripes.h). What stands above it sees one space of blocks and need not know; who verifies what it reads asks
// for the other copies (device/copies.h).
//
// A write goes to all copies and is done when they are; a flush goes to all members. A member that fails a write or a flush is
// given up if everything has a copy elsewhere: from then on it is neither read nor written, and before another flush is
// answered the others remember on their media that it is stale. A read that fails is tried on the next copy. A member that does
// not answer within the time limit is given up, too (member.h).
//
// A member that does not count can be brought up to date while the pool is used (refill.h): what is written goes to it, too, and
// nothing is read from it until it has everything.
//
// Members come and go, and chunks move from one to another, while it is used, too (live_change.h): for the moments in which the map
// is exchanged, requests wait.
//
// Any core may use it; flushes are asked for on one core.
#pragma once
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/device/device.h"
#include "engine/format/pool_map.h"
#include "engine/pool/member.h"
#include "engine/pool/range_locks.h"
#include "engine/pool/refill.h"
#include "engine/pool/stripes.h"
#include "engine/runtime/sync.h"

namespace cowfs::pool {

class Pool final : public device::Device {
 public:
  // `superblock`: of any member. `members`: by their numbers in the map, null where one is missing; they outlive the pool.
  // On a core.
  Pool(const format::Superblock& superblock, format::PoolMap map, std::vector<device::Device*> members, bool read_only);

  Bytes capacity() const override { return {capacity_bytes_.load(std::memory_order_acquire)}; }
  std::string describe() const override;
  bool discards() const override;
  u8 copies() const override { return map_.copies; }
  bool may_heal() const override { return !read_only_; }
  std::vector<device::Device*> members() override { return devices(); }
  CopyPlace copy_place(u64 offset_bytes, u8 copy) override;
  bool is_striped(u64 offset_bytes) const override { return stripes_ && offset_bytes >= stripes_->layout().begins_at(); }
  u32 stripe_blocks() const override { return stripes_ ? map_.data_shards : 1; }
  u32 parity_blocks() const override { return map_.parity_shards; }
  u16 reconstructions() const override { return stripes_ ? stripes_->reconstructions() : 0; }
  runtime::Task<Status> restore_parity(const VerifiedBlocks& verified) override;
  runtime::Task<StripesSeen> scrub_stripes(u64 offset_bytes, u64 bytes, CheckBlock check, bool mend) override;
  void set_time_limit(u64 limit_ns, FailureObserver failed) override;
  runtime::Task<void> end_time_limit() override;
  void start(runtime::IoOperation& operation) override;

  const format::PoolMap& map() const { return map_; }
  const format::Superblock& superblock() const { return superblock_; }
  std::vector<device::Device*> devices() const;
  // Where a copied chunk's bucket lies in the space.
  u64 space_offset(u64 chunk, u64 bucket) const;
  // Where a chunk lies on its member.
  u64 place_offset(const format::ChunkPlace& place) const;
  device::Device* member(u16 index) const { return asked(index).device(); }
  // What requests to it are made of. Precondition: it is there.
  Member& asked(u16 index) const { return *members_[index].load(std::memory_order_acquire); }
  // It is there, and what is on it counts.
  bool is_current(u16 member) const { return standing(member) == Standing::current; }
  // It gets what is written: it counts, or is being filled.
  bool is_written(u16 member) const { return standing(member) != Standing::away; }
  // From now on nothing on it counts. Before the pool is used.
  void distrust(u16 member) { set_standing(member, Standing::away); }
  // A request to it failed, which says nothing of another one that has its place by now. False: what is on it is not all
  // elsewhere, so it goes on counting.
  bool give_up(const Member& asked);
  // Chunks of which no copy is on a current member, and stripe sets that lack more shards than they have parity.
  u64 chunks_lost() const;

  // On one core, while nothing else is asked of it. A new map on all current members: a mount that began at `epoch`, with
  // those stale that are not current now. Errors: of the devices.
  runtime::Task<Status> begin_mount(u64 epoch);
  // The map and the superblock on every current member, as they are: the end of making a pool.
  runtime::Task<Status> publish();
  // The same on one of them. Errors: of the device.
  runtime::Task<Status> publish_to(u16 member);
  // The same with a new sequence, on the core that flushes, at any time: what is damaged of either is replaced.
  runtime::Task<Status> renew();
  // Held while the map is written on the members; of the core that flushes.
  runtime::Mutex& map_lock() { return publishing_; }
  // On one core, while nothing else is asked of it: from now on the superblocks of all current members say what `changed`, of
  // the same space, says. Errors: of the devices.
  runtime::Task<Status> change_superblock(const format::Superblock& changed);

  // Changes of members: on the core that flushes, one at a time, at any time.

  // Copies to a member that does not count what it should hold, and lets it count. Errors: pool_device_silent; pool_refill_stopped;
  // pool_refill_failed; of the devices. Then it still does not count. Precondition: the member is there.
  runtime::Task<Status> refill(u16 member, device::BackgroundReader& reader, RefillProgress progress);
  // `device`, whatever is on it, becomes the member, which does not count until it is refilled; all remember that. Errors:
  // device_too_small (value: its bytes): it has no room for the chunks of the one before; of the devices.
  // Precondition: the member is not current; `device` outlives the pool.
  runtime::Task<Status> replace(u16 member, device::Device& device, const format::Uuid& uuid);
  // The member's device is another object from now on, with what is on it. Precondition: as of replace.
  void found_again(u16 member, device::Device& device) { adopt(member, &device); }
  // It does not count any more, and all others know. Errors: pool_copies_needed; of the devices.
  runtime::Task<Status> take_offline(u16 member);
  // Errors: pool_chunks_unplaced; of the devices.
  runtime::Task<Status> relabel(u16 member, const std::string& label);

  // Which copy of what lies here the member should hold, from 1; in stripes, which shard, from 1. 0: none.
  u8 part_on(u64 offset_bytes, u16 member) const;
  RangeLocks& locks() { return locks_; }
  Stripes& stripes() { return *stripes_; }
  const Stripes& stripes() const { return *stripes_; }

  // What live_change.h is made of; on the core that flushes.

  // A second place of a copy or a shard, to which everything is written that is written to the first.
  struct Moving {
    format::PoolPart part;
    format::ChunkPlace place;
    bool counts = false;  // the map on the members may name it; otherwise a write that fails there is nobody's business
  };
  using Movings = std::vector<Moving>;  // few
  // From now on, for all requests.
  runtime::Task<void> set_moving(Movings moving);
  const Movings& moving() const { return moving_; }
  // What is written there before it counts was not.
  void break_moving() { move_broken_.store(true); }
  // The places are exchanged: the new ones have the chunks, and those before are written to until set_moving({}). False: a new one
  // does not have everything; nothing was exchanged.
  runtime::Task<bool> let_moved_count();
  // Of the members that there are.
  runtime::Task<void> set_sizes(const format::PoolMap& planned);
  // A member more; nobody on a medium knows yet.
  runtime::Task<void> let_in(device::Device& device, const format::PoolMember& entry);
  // All know, the new one first. Errors: of the devices.
  runtime::Task<Status> announce(u16 member);
  // The map has these places, and the superblocks say how large the space is. Errors: of the devices. Precondition: they begin with
  // all that there are, or are the first of them, and nobody asks for what lies in the others.
  runtime::Task<Status> set_space(const format::PoolMap& planned);
  // The member, on which nothing lies, does not belong to the pool any more; those behind it have other numbers. Errors: of the devices.
  runtime::Task<Status> let_go(u16 member);

 private:
  enum class Standing : u8 {
    away,     // missing, or what is on it does not count
    filling,  // the same, but what is written goes there
    current,
  };
  struct Part;
  struct Fan;
  struct Inner;
  // Where a core's requests begin.
  struct alignas(64) Entrance {
    runtime::Gate gate;
    u64 under_way = 0;
    bool is_shut = false;
    runtime::WaitList changed;
  };
  struct Piece {
    u64 chunk;
    u64 block;  // within the chunk, on any of its places
    u64 offset;  // of the operation's data
    u64 length;
  };

  Standing standing(u16 member) const { return standings_[member].load(std::memory_order_acquire); }
  void set_standing(u16 member, Standing standing) { standings_[member].store(standing); }
  void adopt(u16 member, device::Device* device);
  void limit_time(u16 member);
  bool is_redundant() const { return map_.copies > 1 || map_.is_striped(); }
  void timed_out(const Member& asked, const Error& error);
  std::vector<Piece> pieces_of(const runtime::IoOperation& operation) const;
  u64 member_offset(const Piece& piece, const format::ChunkPlace& place) const;
  runtime::Task<Status> let_count(u16 member);
  Entrance& entrance() { return entrances_[runtime::this_reactor().core()]; }
  runtime::Task<void> start_later(runtime::IoOperation* operation);
  runtime::Task<void> enter();
  void leave();
  void admit(runtime::IoOperation& operation);
  void finish(runtime::IoOperation& asked);
  runtime::Task<void> shut();
  runtime::Task<void> reopen();
  template <typename Exchange>
  runtime::Task<void> while_nobody_asks(Exchange exchange);
  void count_capacity();
  runtime::Task<void> run_striped(runtime::IoOperation* operation);
  runtime::Task<i64> run_copied(const runtime::IoOperation& asked, u64 done, u64 length);
  runtime::Task<i64> run_in_stripes(const runtime::IoOperation& asked, u64 done, u64 length);
  void start_parts(Fan* fan);
  void start_reads(runtime::IoOperation& operation);
  void start_writes(runtime::IoOperation& operation);
  runtime::Task<void> start_writes_later(runtime::IoOperation* operation);
  runtime::Task<void> enter_later(u64 offset_bytes, u64 length_bytes);
  void start_entered_writes(runtime::IoOperation& operation);
  runtime::Task<i64> change_stripes(const runtime::IoOperation& asked, StripeRange range, std::byte* data);
  Part* add_write(Fan& fan, const Piece& piece, u8 copy, const format::ChunkPlace& place);
  void start_flushes(runtime::IoOperation& operation);
  bool aim(Part& part);
  void launch(Part& part);
  void answered(Part& part);
  void part_done(Fan* fan, i64 error);
  bool is_spare(u16 member) const;
  runtime::Task<void> remember_failures(runtime::IoOperation* flush);
  void mark_stale();

  format::Superblock superblock_;
  const u64 bucket_blocks_;
  const bool read_only_;
  format::PoolMap map_;
  std::vector<ReadMemory> read_memory_;  // by core
  std::vector<std::unique_ptr<Member>> all_members_;  // those that were replaced, too: something may be under way to them
  // As many as the map has.
  std::array<std::atomic<Member*>, format::pool_members_max> members_;
  std::array<std::atomic<Standing>, format::pool_members_max> standings_;
  std::atomic<u64> capacity_bytes_{0};
  Movings moving_;  // exchanged while nobody asks
  std::atomic<bool> move_broken_{false};
  u64 io_limit_ns_ = 0;
  RangeLocks locks_;
  std::mutex giving_up_;
  std::atomic<u64> failures_{0};  // members given up
  u64 remembered_ = 0;            // of them
  runtime::Mutex publishing_;  // of the core that flushes
  std::optional<Stripes> stripes_;
  std::unique_ptr<Entrance[]> entrances_;  // by core
};

}  // namespace cowfs::pool
