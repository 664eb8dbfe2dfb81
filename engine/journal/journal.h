// The journal of a filesystem: one Stream for each core, the coordinator that closes epochs (on core 0), and the
// buckets.
//
// A close of epoch e: every core that takes part in e waits until nothing holds it, leaves it, and writes its entries;
// the devices are flushed; a commit block that names every stream's tail is written durably; then those cores are told,
// and who waits for e goes on. With `single_flush` the commit block is written beside the entries, and one flush makes
// all of it durable. One close is in flight at a time; whoever asks meanwhile shares the next.
//
// A device error on an entry, on data that records name already, on a flush or a commit block breaks the journal for good:
// waiters get the error, nothing more is acknowledged, memory state goes on. The filesystem is read-only from then on.
#pragma once
#include <deque>
#include <memory>
#include <vector>

#include "engine/base/latency.h"
#include "engine/journal/recovery.h"
#include "engine/journal/stream.h"

namespace cowfs::journal {

struct JournalOptions {
  u64 close_interval_ns = 1'000'000'000;  // of the background close, when something was appended
  bool single_flush = false;              // where recovery can verify an epoch: see verify.h
};

struct JournalCounters {
  u64 commits = 0;
  u64 single_flush_commits = 0;
  u64 checkpoint_requests = 0;
  u64 buckets_reused = 0;
  u64 commit_ns_total = 0;  // from the start of a close until it is durable
  std::array<u64, latency_buckets> commit_latencies{};
};

class Journal {
 public:
  // mkfs: an empty history that ends with epoch 1; slice headers published by epoch 1 are valid. Errors: of the device.
  static Task<Status> initialise(device::Device& device, const format::Superblock& superblock);

  // `devices`: those that an epoch's data may lie on, flushed by each commit; the first holds the journal. They and
  // the hooks outlive the journal. hooks[c] serves core c; there is one for each core of the runtime.
  // Precondition: `history` was read from devices[0], nothing wrote to it since, and what it refused is retired.
  Journal(std::vector<device::Device*> devices, const History& history, std::vector<CoreHooks> hooks,
          JournalOptions options = {});
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // On core 0, once, before any stream is used. A journal that a crash left full starts all the same, and asks for
  // checkpoints. Error journal_too_small (value: its buckets): it cannot serve so many cores; mount with fewer.
  Status start();
  // On core 0: waits for the close in flight and for every core's writes. Does not close the current epoch: commit
  // first.
  Task<void> stop();

  // Used on core `core` only.
  Stream& stream(CoreIndex core) { return *streams_[core]; }

  // On core 0.
  Epoch durable() const { return durable_; }
  Epoch oldest_needed() const { return oldest_needed_; }  // as committed: recovery reads no entries of epochs before it
  u64 buckets_free() const { return free_.size(); }
  const JournalCounters& counters() const { return counters_; }
  const JournalLayout& layout() const { return layout_; }

  static constexpr u64 buckets_per_core = 2;  // one is filled, one is ready

 private:
  friend class Stream;
  struct Closing;
  struct CloseTimer;

  device::Device& device() { return *devices_.front(); }

  // The streams' side, on core 0.
  void want_close(Epoch epoch);
  Epoch close_asked(CoreIndex core, Epoch epoch);  // answers what is durable already
  void mark_dirty(Epoch epoch);
  void fail(const Error& error);
  std::optional<u64> exchange(CoreIndex core, const std::vector<Stream::Retired>& retired, Stream::Hunger hunger);

  void arm_timer(u64 interval_ns);
  void timer_fired();
  Task<void> run();
  Task<void> let_others_join() const;
  Task<Status> close(Epoch epoch);
  Task<void> close_core(CoreIndex core, Closing& closing);
  Epoch flushed_with(Epoch epoch, const Closing& closing) const;
  void published(const Commit& commit, const Closing& closing);
  Commit commit_of(Epoch epoch, const Closing& closing) const;
  Task<Status> flush_devices();
  std::optional<u64> take_bucket(bool urgent);
  bool refused(Stream::Hunger least) const;
  bool pressed() const;
  Epoch checkpoint_target() const;
  Task<void> spread_pressure();
  Task<void> tell_durable(CoreIndex core, Epoch epoch, bool under_pressure);
  Task<void> tell_failure(CoreIndex core, Error error);
  Task<void> tell_checkpoint(CoreIndex core, Epoch up_to);

  const JournalLayout layout_;
  const JournalOptions options_;
  const std::vector<device::Device*> devices_;
  CommitRing ring_;
  const u32 session_;
  std::vector<std::unique_ptr<Stream>> streams_;

  Epoch current_;  // the next to close
  Epoch wanted_;   // closes up to it were asked for
  Epoch durable_;
  Epoch committed_;  // of the newest commit block
  bool confirmed_ = true;  // what that block stands for was flushed before it was written
  Epoch oldest_needed_;  // as committed
  u64 close_began_ns_ = 0;
  bool dirty_ = false;   // an epoch that is not being closed has records
  bool stopping_ = false;
  bool spreading_ = false;
  std::optional<Error> failure_;
  std::vector<Stream::Sealed> last_sealed_;  // by core: what it said when it last took part in an epoch
  std::vector<Epoch> asked_;                 // by core: the newest epoch whose close it asked for
  std::vector<format::EntryPointer> inherited_;  // tails of earlier sessions

  std::deque<u64> free_;
  std::vector<Stream::Retired> used_;    // filled buckets
  const u64 kept_buckets_;               // for urgent reservations, and for the mount after a crash
  std::vector<Stream::Hunger> refused_;  // by core: what it asked a bucket for when there was none
  std::unique_ptr<CloseTimer> timer_;

  runtime::WaitList work_;
  runtime::Gate gate_;
  JournalCounters counters_;
};

}  // namespace cowfs::journal
