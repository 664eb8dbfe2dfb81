// What is short is made in steps, each of which either brings a bucket nearer or says that it cannot. Users, who wait for
// cleaners, checkpoints and other slices, do so one at a time: more cleaning than one of them needs would only cost writes.
#include "engine/data/bucket_supply.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::data {
namespace {
constexpr std::size_t lease_count = 8;
// Beyond what users may not take. A small slice has few to spare: what is kept ready cannot hold data, and the fuller the
// buckets, the more has to be moved for an empty one.
constexpr std::size_t ready_min = 2;
constexpr std::size_t ready_max = 32;
constexpr std::size_t ready_share = 32;
constexpr int rounds_without_gain_max = 16;

// Who may wait for cleaners, which wait for nobody.
bool is_patient(Watermark watermark) { return watermark == Watermark::user || watermark == Watermark::changes; }

// What lacks space has gained nothing; others may still give some.
bool is_lack(const Error& error) { return error_class(error.code) == ErrorClass::space; }

}  // namespace

Task<Status> BucketSupply::wait_for_bucket(Watermark watermark) {
  if (!is_patient(watermark)) co_return co_await find_bucket(watermark);
  co_await users_turn_.acquire();
  const runtime::MutexHold turn(users_turn_);
  co_return co_await find_bucket(watermark);
}

Task<Status> BucketSupply::wait_for_room() {
  while (!slice_.allow_changes()) {
    reached(Point::room_awaited);
    const Status there = co_await wait_for_bucket(Watermark::changes);
    if (!there) co_return there;
  }
  co_return Status{};
}

Task<Status> BucketSupply::find_bucket(Watermark watermark) {
  int idle_rounds = 0;
  while (idle_rounds < rounds_without_gain_max) {
    if (slice_.may_take(watermark)) co_return Status{};
    const Result<bool> leased = co_await slice_.lease_more(lease_count, watermark);
    if (!leased) co_return leased.error();
    if (*leased) continue;
    if (watermark == Watermark::user) {
      ++shortages_;
      reached(Point::bucket_awaited);
    }
    // A commit frees what died before it; and it takes its time, in which discards and readers end.
    if (slice_.buckets().freeing_count() > 0 || idle_rounds > 0) {
      const Status committed = co_await slice_.stream().commit(slice_.stream().current());
      if (!committed) co_return committed;
      if (slice_.may_take(watermark)) co_return Status{};
    }
    const Result<bool> gained = co_await make_room(watermark);
    if (!gained) co_return gained.error();
    idle_rounds = *gained ? 0 : idle_rounds + 1;
  }
  co_return Error{Code::space_no_buckets, slice_.id(), Place{.slice = slice_.id()}};
}

// True when a bucket is nearer than before. What pays comes first: a checkpoint gives only what it takes again.
Task<Result<bool>> BucketSupply::make_room(Watermark watermark) {
  if (is_patient(watermark)) {
    const Result<bool> cleaned = co_await clean(Need::ahead);
    if (!cleaned || *cleaned) co_return cleaned;
  }
  if (slice_.checkpoint_running()) {
    co_await slice_.checkpoint_ended();  // the metadata that it replaces is free then
    if (slice_.may_take(watermark)) co_return true;
  }
  if (slice_.checkpoint_makes_room(watermark)) {
    const Result<bool> nearer = co_await checkpoint(watermark);
    if (!nearer || *nearer) co_return nearer;
  }
  bool gained = false;
  if (is_patient(watermark)) {
    const Result<bool> cleaned = co_await clean(Need::now);
    if (!cleaned) co_return cleaned;
    gained = *cleaned;
  }
  const Result<bool> given = co_await pressure_.ask_others(slice_.id(), is_patient(watermark));
  if (!given) co_return given.error();
  co_return gained || *given;
}

Task<Result<bool>> BucketSupply::clean(Need need) {
  const Result<bool> cleaned = co_await cleaner_->clean_one(need);
  if (!cleaned && is_lack(cleaned.error())) co_return false;
  co_return cleaned;
}

// One for changes takes buckets as well as it gives some back.
Task<Result<bool>> BucketSupply::checkpoint(Watermark watermark) {
  const std::size_t lacking = slice_.lacking(watermark);
  const Status done = co_await slice_.checkpoint();
  if (!done && !is_lack(done.error())) co_return done.error();
  co_return done && (watermark != Watermark::changes || slice_.lacking(watermark) < lacking);
}

std::size_t BucketSupply::ready_wanted() const {
  return std::clamp(slice_.buckets().owned_count() / ready_share, ready_min, ready_max);
}

bool BucketSupply::is_low() const {
  const space::BucketTable& buckets = slice_.buckets();
  return buckets.empty_count() + buckets.freeing_count() < slice_.kept_back(Watermark::user) + ready_wanted();
}

// A commit is dear, so it is left until half of what is ready is used up.
bool BucketSupply::is_commit_due() const {
  const space::BucketTable& buckets = slice_.buckets();
  const std::size_t half = slice_.kept_back(Watermark::user) + (ready_wanted() + 1) / 2;
  return !committing_ && buckets.freeing_count() > 0 && buckets.empty_count() < half;
}

void BucketSupply::bucket_taken() {
  if (is_low() || is_commit_due()) low_.wake_all();
}

Task<void> BucketSupply::run() {
  while (!stopping_) {
    co_await low_.wait();
    while (!stopping_) {
      const Result<bool> nearer = co_await make_ready();
      // What fails here fails again for whoever needs it, and is told then.
      if (!nearer || !*nearer) break;
    }
  }
}

void BucketSupply::stop() {
  stopping_ = true;
  low_.wake_all();
}

// One step towards buckets that are ready; false when there is none that pays.
Task<Result<bool>> BucketSupply::make_ready() {
  if (is_low()) {
    const Result<bool> leased = co_await slice_.lease_more(lease_count, Watermark::user);
    if (!leased || *leased) co_return leased;
    const Result<bool> cleaned = co_await cleaner_->clean_one(Need::ahead);
    if (!cleaned || *cleaned) co_return cleaned;
  }
  if (!is_commit_due()) co_return false;
  committing_ = true;
  const Status committed = co_await slice_.stream().commit(slice_.stream().current());
  committing_ = false;
  if (!committed) co_return committed.error();
  co_return true;
}

}  // namespace cowfs::data
