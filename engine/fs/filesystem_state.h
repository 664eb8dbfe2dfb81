// What all cores of a mounted filesystem share: immutable after mount, except for what core 0 alone keeps (leases, the pool
// of space tokens). Answers the questions that lower rooms declared.
#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/fs/core_state.h"
#include "engine/runtime/on.h"
#include "engine/slice/lease_table.h"

namespace cowfs::fs {

struct FilesystemSettings {
  CoreSettings core;
  bool discard = false;
  bool read_only = false;
  u64 commit_interval_ns = 1'000'000'000;
  u64 io_limit_ns = 60'000'000'000;  // a device that takes longer to answer has failed
};

class FilesystemState : public slice::BucketSource, public data::TokenSource, public data::SpacePressure {
 public:
  FilesystemState(const format::Superblock& superblock, std::vector<device::Device*> devices, u16 cores,
                  const FilesystemSettings& settings);
  ~FilesystemState() override;

  // On core 0, once: reads checkpoints, replays history, starts the background tasks. Errors: what is damaged, and where;
  // the state is then good for nothing but destruction.
  Task<Status> open();
  // On core 0: writes everything, checkpoints every slice, stops the background. An error of the medium is told; what it
  // holds then is the last committed state.
  Task<Status> close();
  // On core 0: stops without writing anything more, as a crash would. For tests, and after errors.
  Task<void> abandon();

  const format::Superblock& superblock() const { return superblock_; }
  const FilesystemSettings& settings() const { return settings_; }
  const device::DeviceSet& devices() const { return devices_; }
  // On core 0: the space is as large as this superblock says, not smaller than before.
  void space_grew(const format::Superblock& superblock);
  // On core 0: the space may end before this bucket, if what is stored fits. Nothing lies from there on any more, or is needed of
  // what lay there, and nobody is given a bucket there. Errors: space_still_needed; space_bucket_stuck; extent_damaged_in_place;
  // pool_move_stopped; of the journal, of the device. Then the space is what it was.
  using VacateProgress = std::function<bool(u64 buckets_done, u64 buckets_total)>;  // false: stop
  Task<Status> vacate(u64 bucket_count, VacateProgress progress);
  // On core 0, behind vacate: this superblock says so.
  Task<void> space_shrank(const format::Superblock& superblock);
  // On core 0: what is stored beyond what users could fill of so small a space.
  Task<u64> bytes_too_many(u64 bucket_count);
  // Those that these are made of; null: missing.
  std::vector<device::Device*> members() const;
  journal::Journal& journal() { return *journal_; }
  const journal::History& history() const { return history_; }
  // It had more than the checkpoints: nobody unmounted.
  bool is_after_crash() const { return is_after_crash_.load(std::memory_order_relaxed); }
  // All of it has been found; any core may ask.
  bool history_is_known() const { return history_is_known_.load(std::memory_order_relaxed); }
  u16 cores() const { return static_cast<u16>(cores_.size()); }
  CoreState& core(CoreIndex index) { return *cores_[index]; }
  CoreState& here() { return *cores_[runtime::this_reactor().core()]; }
  CoreIndex core_of_slice(u16 slice) const { return static_cast<CoreIndex>(slice % cores_.size()); }
  CoreIndex core_of(InodeNumber inode) const { return core_of_slice(format::slice_of(inode)); }
  // False: it cannot exist; only a damaged image says so.
  bool has_slice_of(InodeNumber inode) const { return format::slice_of(inode) < superblock_.slices; }
  bool is_here(InodeNumber inode) const { return core_of(inode) == runtime::this_reactor().core(); }

  // How often a directory was moved or removed. Counted on the core that changes the name, as it does; any core reads it.
  u64 directory_moves() const { return directory_moves_.load(std::memory_order_acquire); }
  void directory_moved() { directory_moves_.fetch_add(1, std::memory_order_release); }

  // Which slice holds a region of a file.
  u64 region_bytes() const { return superblock_.region_bytes; }
  u16 slice_of_region(InodeNumber inode, u64 region) const {
    return static_cast<u16>((format::slice_of(inode) + region) % superblock_.slices);
  }

  // Where a truncation to `bytes` cuts the part of a file that lives in `slice`: the block that stays in part belongs to
  // one slice, and no other may write its zeroed tail.
  u64 cut_in_slice(InodeNumber inode, u16 slice, u64 bytes) const {
    return slice_of_region(inode, bytes / region_bytes()) == slice ? bytes : round_up(bytes, block_bytes);
  }

  // Runs function() -> Task<T> on a core. What happened before the call on either side is in the same or an earlier epoch
  // than what happens after it on the other: a core that hears from a later epoch moves there first.
  template <typename Function>
  auto call(CoreIndex to, Function function) -> std::invoke_result_t<Function&> {
    using Value = typename runtime::internal::TaskResult<std::invoke_result_t<Function&>>::Type;
    CoreState& from = here();
    if (to == from.core()) co_return co_await function();
    const Epoch mine = from.stream().current();
    auto serve = [this, to, mine, &function] { return served<Value>(to, mine, function); };
    std::pair<Value, Epoch> answer = co_await runtime::on(to, std::move(serve));
    if (from.stream().current() < answer.second) co_await from.stream().reach(answer.second);
    co_return std::move(answer.first);
  }

  Task<Result<SpaceUse>> space_use();

  // That were asked for since the mount, on any core.
  u64 operations() const;
  // On core 0 (counters.cpp). What happened since the mount.
  Task<format::ActivityTotals> activity_since_mount();
  // Puts totals into the counters tree, if this filesystem may have one. `may_wait`: for journal room; a checkpoint, which
  // makes room, must not, and leaves the totals as they were when there is none. Errors: of the journal, of the tree.
  Task<Status> store_counters(bool may_wait);
  // Where a scrub that was stopped goes on, stored with the counters.
  u64 scrub_position() const { return scrub_position_.value_or(0); }
  void set_scrub_position(u64 bucket) { scrub_position_ = bucket; }

  // slice::BucketSource
  Task<Result<slice::LeaseGrant>> lease(u16 slice, std::size_t count, slice::Watermark watermark) override;
  Task<Status> make_room(u16 slice) override;
  // data::TokenSource
  Task<Result<u64>> acquire(u64 wanted) override;
  Task<Result<bool>> await_freed() override;
  // data::SpacePressure
  Task<Result<bool>> ask_others(u16 slice, bool clean) override;
  // On the slice's core: what it can spare goes back to slice 0. True when something did.
  Task<Result<bool>> give_back(u16 slice, bool clean);

  runtime::Mutex& scrub_lock() { return scrub_lock_; }    // core 0: one at a time
  runtime::Mutex& device_lock() { return device_lock_; }  // core 0: one change of the devices at a time
  runtime::Mutex& rename_lock() { return rename_lock_; }  // core 0: one directory moves at a time

 private:
  template <typename Value, typename Function>
  Task<std::pair<Value, Epoch>> served(CoreIndex at, Epoch caller, Function& function) {
    journal::Stream& stream = core(at).stream();
    if (stream.current() < caller) co_await stream.reach(caller);
    Value value = co_await function();
    co_return std::pair<Value, Epoch>(std::move(value), stream.current());
  }

  Task<Status> find_history();
  Task<void> populate_cores();
  Task<Status> populate_core(CoreIndex index);
  void watch_devices();
  Task<Status> make_core(CoreIndex index);
  Task<Status> make_slices(CoreIndex index);
  Task<Status> recover();
  u64 usable_buckets() const;
  Task<Status> restore_leases();
  Task<Status> restore_space(CoreIndex index);
  Task<Status> replay_leases();
  Task<Status> replay(CoreIndex index);
  Task<Status> replay_all(CoreIndex index, const journal::History& part, journal::BucketFeed& feed);
  Task<Status> end_replay(CoreIndex index);
  Task<Status> start_core(CoreIndex index);
  Task<Status> make_root();
  struct Counted {
    format::Key key;
    Totals totals;
  };
  Task<std::vector<Counted>> counted_in_all();
  Task<Status> load_counters();
  Task<Status> load_counter(format::Key key);
  Task<void> count_copygc(CoreIndex index, Totals* moved);
  Task<Status> finish_orphans(CoreIndex index);
  Task<u64> live_blocks(CoreIndex index);
  Task<Status> on_each_core(Task<Status> (FilesystemState::*step)(CoreIndex));
  Task<void> on_one_core(Task<Status> (FilesystemState::*step)(CoreIndex), CoreIndex index, Status* result);
  Task<Status> write_back_core(CoreIndex index) { return core(index).write_back_all(); }
  Task<Status> end_removals(CoreIndex index) { return core(index).end_removals(); }
  Task<Status> checkpoint_core(CoreIndex index) { return core(index).checkpoint_all(); }
  Task<Status> stop_core(CoreIndex index);
  Task<Status> stop_checkpoints(CoreIndex index);
  Task<Status> drop_core(CoreIndex index);
  Task<Result<bool>> empty_one(SliceState& state);
  Task<u64> needed_blocks(CoreIndex index);
  Task<Status> withdraw_tokens(u64 wanted);
  Task<Status> pay_for_metadata_of_core(CoreIndex index);
  Task<void> limit_slices(format::BucketId end);
  Task<Status> empty_beyond(VacateProgress progress);
  Task<Status> vacate_slice(u16 id);
  Task<Status> give_back_beyond(SliceState& state);
  Task<Status> forget_beyond();
  Task<Status> checkpoint_slices(CoreIndex index);
  Task<u64> some_bucket_beyond();
  Task<void> find_beyond(u16 id, u64* some);
  Task<Result<u64>> grant_tokens(u64 wanted, CoreIndex asking);
  Task<u64> surrender_tokens(CoreIndex index, u64 wanted);

  format::Superblock superblock_;  // the size of the space, which may grow, is core 0's
  device::DeviceSet devices_;
  std::vector<device::Device*> device_list_;
  const FilesystemSettings settings_;
  journal::History history_;
  std::atomic<bool> history_is_known_ = false;
  std::atomic<bool> is_after_crash_ = false;
  std::unique_ptr<journal::Journal> journal_;
  std::vector<std::unique_ptr<CoreState>> cores_;
  std::atomic<u64> directory_moves_{0};

  // Core 0's.
  std::unique_ptr<slice::LeaseTable> leases_;
  std::vector<std::vector<format::BucketId>> leased_;  // by slice; only while opening
  std::map<format::Key, Totals> counted_before_;       // this mount
  std::optional<u64> scrub_position_;  // none was ever stored
  u64 free_tokens_ = 0;
  u64 usable_blocks_ = 0;
  runtime::Mutex token_lock_;
  runtime::Mutex pressure_lock_;
  runtime::Mutex rename_lock_;
  runtime::Mutex scrub_lock_;
  runtime::Mutex device_lock_;
};

}  // namespace cowfs::fs
