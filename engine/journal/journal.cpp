// The two-flush commit. When an epoch's entries and everything that its records point to are written, one flush makes
// all of it durable, and only then is the commit block that names it written, durably. The single-flush commit writes
// the block beside the entries, flushes once, and lets recovery verify what the block stands for (verify.h). Only the
// newest block is ever in doubt, since one close is under way at a time: the next block is written after the flush of the
// one before. When nothing more happens, an empty epoch's block, which has nothing to verify, puts an end to the doubt.
//
// A bucket that was filled is free again once a durable commit block says that no entry in it is needed. While a core
// has no bucket to go on with, epochs are closed every starved_interval_ns, because only commits set buckets free.
#include "engine/journal/journal.h"

#include <algorithm>
#include <map>

#include "engine/base/points.h"
#include "engine/journal/verify.h"
#include "engine/runtime/on.h"

namespace cowfs::journal {
namespace {

constexpr u64 starved_interval_ns = 2'000'000;

}  // namespace

struct Journal::Closing {
  std::vector<CoreIndex> taking_part;
  u64 verification_bytes = 0;
  std::size_t unsealed = 0;   // cores that have not left the epoch
  std::size_t unwritten = 0;  // cores whose entries, or data that they name, are under way
  runtime::WaitList changed;
};

struct Journal::CloseTimer : runtime::Timer {
  Journal* journal = nullptr;
};

Task<Status> Journal::initialise(device::Device& device, const format::Superblock& superblock) {
  CommitRing ring(device, JournalLayout::of(superblock));
  const Commit first{.epoch = {1}, .oldest_needed = {2}, .session = 0, .previous = {}, .tails = {}};
  co_return co_await ring.write(first, true);
}

Journal::Journal(std::vector<device::Device*> devices, const History& history, std::vector<CoreHooks> hooks,
                 JournalOptions options)
    : layout_(history.layout),
      options_(options),
      devices_(std::move(devices)),
      ring_(*devices_.front(), layout_),
      session_(history.session + 1),
      current_(history.next),
      wanted_{history.next.value - 1},
      durable_{history.next.value - 1},
      committed_(history.last),
      oldest_needed_(history.oldest_needed),
      last_sealed_(hooks.size()),
      asked_(hooks.size()),
      inherited_(history.tails),
      kept_buckets_(std::max<u64>(layout_.buckets / 8, 1)),
      refused_(hooks.size(), Stream::Hunger::none),
      timer_(std::make_unique<CloseTimer>()) {
  timer_->journal = this;
  timer_->fire = [](runtime::Timer& timer) { static_cast<CloseTimer&>(timer).journal->timer_fired(); };
  for (std::size_t core = 0; core < hooks.size(); ++core)
    streams_.push_back(std::make_unique<Stream>(*this, static_cast<CoreIndex>(core), hooks[core], history.next));

  std::map<u64, Epoch> newest;
  for (const HistoryEntry& entry : history.entries) {
    Epoch& epoch = newest[layout_.bucket_of({entry.pointer.address})];
    epoch = std::max(epoch, entry.epoch());
  }
  for (u64 bucket = 0; bucket < layout_.buckets; ++bucket) {
    const auto found = newest.find(bucket);
    if (found == newest.end())
      free_.push_back(bucket);
    else
      used_.push_back({bucket, found->second});
  }
}

Journal::~Journal() { assert(!timer_->armed); }

Status Journal::start() {
  assert(streams_.size() == runtime::this_reactor().cores() && runtime::this_reactor().core() == 0);
  const bool tails_fit = inherited_.size() + streams_.size() <= format::commit_streams_max;
  if (layout_.buckets < streams_.size() * buckets_per_core + kept_buckets_ || !tails_fit)
    return Error{Code::journal_too_small, layout_.buckets};
  for (u64 round = 0; round < buckets_per_core; ++round) {
    for (const auto& stream : streams_)
      if (const auto bucket = take_bucket(false)) stream->add_bucket(*bucket);
  }
  gate_.spawn(run());
  if (pressed()) gate_.spawn(spread_pressure());
  return {};
}

Task<void> Journal::stop() {
  stopping_ = true;
  work_.wake_all();
  if (timer_->armed) runtime::this_reactor().cancel_timer(*timer_);
  // What a core does last may need an answer from here, and the other way round.
  for (int round = 0; round < 2; ++round) {
    co_await gate_.drained();
    for (const auto& stream : streams_) {
      auto call = runtime::on(stream->core(), [&stream] { return stream->drained(); });
      co_await call;
    }
  }
}

void Journal::want_close(Epoch epoch) {
  assert(epoch.value <= current_.value + 1);
  wanted_ = std::max(wanted_, epoch);
  work_.wake_all();
}

Epoch Journal::close_asked(CoreIndex core, Epoch epoch) {
  asked_[core] = std::max(asked_[core], epoch);
  want_close(epoch);
  return durable_;
}

void Journal::mark_dirty(Epoch epoch) {
  if (epoch < current_) return;  // its close is under way
  dirty_ = true;
  arm_timer(options_.close_interval_ns);
}

void Journal::arm_timer(u64 interval_ns) {
  if (stopping_ || failure_) return;
  runtime::Reactor& reactor = runtime::this_reactor();
  const u64 deadline = reactor.now_ns() + interval_ns;
  if (timer_->armed) {
    if (timer_->deadline_ns <= deadline) return;
    reactor.cancel_timer(*timer_);
  }
  timer_->deadline_ns = deadline;
  reactor.start_timer(*timer_);
}

void Journal::timer_fired() {
  if (dirty_ || !confirmed_ || refused(Stream::Hunger::blocked)) want_close(current_);
}

namespace {
constexpr u64 close_spacing_ns = 800'000;
constexpr int rounds_max = 64;
}

// A commit costs the machine as much as fifty operations. Where the device is so fast that the last one was only just
// made, and this core is busy, who else is about to sync may join.
Task<void> Journal::let_others_join() const {
  const runtime::Reactor& reactor = runtime::this_reactor();
  for (int round = 0; round < rounds_max && reactor.is_busy(); ++round) {
    if (reactor.now_ns() - close_began_ns_ >= close_spacing_ns) co_return;
    co_await runtime::yield_to_all();
  }
}

Task<void> Journal::run() {
  while (true) {
    while (!failure_ && !stopping_ && wanted_ < current_) co_await work_.wait();
    if (failure_ || wanted_ < current_) break;
    co_await let_others_join();
    if (failure_) break;
    close_began_ns_ = runtime::this_reactor().now_ns();
    const Status status = co_await close(current_);
    if (!status.ok()) fail(status.error());
  }
}

Task<Status> Journal::close(Epoch epoch) {
  const u64 started_ns = runtime::this_reactor().now_ns();
  current_.value += 1;
  dirty_ = false;
  Closing closing;
  // Under pressure everybody is asked what history it still needs.
  const bool everybody = pressed();
  for (const auto& stream : streams_)
    if (everybody || !stream->attendance_.skip(epoch)) closing.taking_part.push_back(stream->core());
  closing.unsealed = closing.unwritten = closing.taking_part.size();
  for (const CoreIndex core : closing.taking_part) gate_.spawn(close_core(core, closing));
  while (closing.unsealed > 0) co_await closing.changed.wait();
  const Commit commit = commit_of(epoch, closing);
  const bool together = commit.previous.value != 0;
  Status status;
  if (together && !failure_) status = co_await ring_.write(commit, false);
  while (closing.unwritten > 0) co_await closing.changed.wait();
  if (failure_) co_return *failure_;
  if (status.ok()) status = co_await flush_devices();
  if (status.ok() && !together) status = co_await ring_.write(commit, true);
  if (!status.ok()) co_return status;
  if (failure_) co_return *failure_;
  published(commit, closing);
  ++counters_.commits;
  const u64 took_ns = runtime::this_reactor().now_ns() - started_ns;
  counters_.commit_ns_total += took_ns;
  ++counters_.commit_latencies[latency_bucket(took_ns)];
  co_return Status{};
}

Task<void> Journal::close_core(CoreIndex core, Closing& closing) {
  const Epoch epoch{current_.value - 1};
  Stream* stream = streams_[core].get();
  auto call = runtime::on(core, [stream, epoch] { return stream->seal(epoch); });
  const Stream::Sealed sealed = co_await call;
  last_sealed_[core] = sealed;
  closing.verification_bytes += sealed.verification_bytes;
  if (--closing.unsealed == 0) closing.changed.wake_all();
  if (!sealed.written) {
    auto wait = runtime::on(core, [stream] { return stream->written(); });
    co_await wait;
  }
  if (--closing.unwritten == 0) closing.changed.wake_all();
}

Commit Journal::commit_of(Epoch epoch, const Closing& closing) const {
  Commit commit{.epoch = epoch,
                .oldest_needed = {epoch.value + 1},
                .session = session_,
                .previous = flushed_with(epoch, closing),
                .tails = {}};
  for (const Stream::Sealed& sealed : last_sealed_)
    commit.oldest_needed = std::min(commit.oldest_needed, sealed.oldest_needed);
  assert(commit.oldest_needed >= oldest_needed_);
  const auto needed = [&commit](const format::EntryPointer& tail) {
    return tail.address != 0 && tail.epoch >= commit.oldest_needed.value;
  };
  for (const Stream::Sealed& sealed : last_sealed_)
    if (needed(sealed.tail)) commit.tails.push_back(sealed.tail);
  std::copy_if(inherited_.begin(), inherited_.end(), std::back_inserter(commit.tails), needed);
  return commit;
}

// Whether `epoch` may be flushed together with its commit block: then the epoch before, otherwise 0. Nothing is in
// doubt of an epoch without records. Data that recovery would look for on another device is flushed first.
Epoch Journal::flushed_with(Epoch epoch, const Closing& closing) const {
  const u64 bytes = closing.verification_bytes;
  const bool verifiable = bytes > 0 && bytes <= verified_bytes_max && devices_.size() == 1;
  assert(committed_ < epoch);
  return options_.single_flush && verifiable ? committed_ : Epoch{};
}

Task<Status> Journal::flush_devices() {
  for (device::Device* device : devices_) {
    device::IoAwaiter flush = device->flush();
    const Status status = co_await flush;
    if (!status.ok()) co_return status;
  }
  co_return Status{};
}

void Journal::published(const Commit& commit, const Closing& closing) {
  durable_ = commit.epoch;
  committed_ = commit.epoch;
  confirmed_ = commit.previous.value == 0;
  if (!confirmed_) {
    ++counters_.single_flush_commits;
    arm_timer(options_.close_interval_ns);
  }
  oldest_needed_ = commit.oldest_needed;
  std::erase_if(inherited_, [&](const format::EntryPointer& tail) { return tail.epoch < oldest_needed_.value; });
  std::erase_if(used_, [&](const Stream::Retired& bucket) {
    if (bucket.newest >= oldest_needed_) return false;
    free_.push_back(bucket.bucket);
    ++counters_.buckets_reused;
    reached(Point::journal_bucket_reused);
    return true;
  });
  const bool under_pressure = pressed();
  const auto concerns = [&](CoreIndex core) {
    return under_pressure || asked_[core] >= commit.epoch ||
           std::binary_search(closing.taking_part.begin(), closing.taking_part.end(), core);
  };
  for (const auto& stream : streams_)
    if (concerns(stream->core())) gate_.spawn(tell_durable(stream->core(), commit.epoch, under_pressure));
  if (under_pressure && !spreading_) gate_.spawn(spread_pressure());
}

std::optional<u64> Journal::take_bucket(bool urgent) {
  if (free_.size() <= (urgent ? 0 : kept_buckets_)) return std::nullopt;
  const u64 bucket = free_.front();
  free_.pop_front();
  return bucket;
}

std::optional<u64> Journal::exchange(CoreIndex core, const std::vector<Stream::Retired>& retired,
                                     Stream::Hunger hunger) {
  used_.insert(used_.end(), retired.begin(), retired.end());
  std::optional<u64> bucket;
  if (hunger != Stream::Hunger::none) {
    bucket = take_bucket(hunger == Stream::Hunger::urgent);
    refused_[core] = bucket ? Stream::Hunger::none : hunger;
  }
  if (refused_[core] >= Stream::Hunger::blocked) arm_timer(starved_interval_ns);
  if (pressed() && !spreading_ && !stopping_) gate_.spawn(spread_pressure());
  return bucket;
}

bool Journal::refused(Stream::Hunger least) const {
  return std::any_of(refused_.begin(), refused_.end(), [least](Stream::Hunger hunger) { return hunger >= least; });
}

bool Journal::pressed() const {
  const u64 shared = layout_.buckets - streams_.size() * buckets_per_core - kept_buckets_;
  return used_.size() * 2 > shared || refused(Stream::Hunger::ahead);
}

// Half of the filled buckets, the older ones; all of them when somebody has to wait.
Epoch Journal::checkpoint_target() const {
  std::vector<Epoch> newest;
  newest.reserve(used_.size());
  for (const Stream::Retired& bucket : used_) newest.push_back(bucket.newest);
  if (newest.empty()) return {current_.value - 1};
  const std::size_t rank = refused(Stream::Hunger::blocked) ? newest.size() - 1 : newest.size() / 2;
  const auto place = newest.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(newest.begin(), place, newest.end());
  return *place;
}

// Runs on its own: the hooks must not be called from inside an append that needed a bucket.
Task<void> Journal::spread_pressure() {
  spreading_ = true;
  co_await runtime::yield();
  spreading_ = false;
  if (stopping_ || failure_) co_return;
  const Epoch up_to = checkpoint_target();
  ++counters_.checkpoint_requests;
  for (const auto& stream : streams_) gate_.spawn(tell_checkpoint(stream->core(), up_to));
}

Task<void> Journal::tell_durable(CoreIndex core, Epoch epoch, bool under_pressure) {
  auto call = runtime::on(
      core, [stream = streams_[core].get(), epoch, under_pressure] { stream->became_durable(epoch, under_pressure); });
  co_await call;
}

Task<void> Journal::tell_failure(CoreIndex core, Error error) {
  auto call = runtime::on(core, [stream = streams_[core].get(), error] { stream->fail(error); });
  co_await call;
}

Task<void> Journal::tell_checkpoint(CoreIndex core, Epoch up_to) {
  auto call =
      runtime::on(core, [reclaim = streams_[core]->hooks_.reclaim, up_to] { reclaim->checkpoint_wanted(up_to); });
  co_await call;
}

void Journal::fail(const Error& error) {
  if (failure_) return;
  reached(Point::journal_broken);
  failure_ = error;
  if (timer_->armed) runtime::this_reactor().cancel_timer(*timer_);
  for (const auto& stream : streams_) gate_.spawn(tell_failure(stream->core(), error));
  work_.wake_all();
}

}  // namespace cowfs::journal
