// What is short is made in steps, each of which either brings a bucket nearer or says that it cannot. Users, who wait for
// cleaners, checkpoints and other slices, do so one at a time: more cleaning than one of them needs would only cost writes.
#include "engine/data/bucket_supply.h"

namespace cowfs::data {
namespace {
constexpr std::size_t lease_count = 8;
constexpr int rounds_without_gain_max = 16;

// What lacks space has gained nothing; others may still give some.
bool is_lack(const Error& error) { return error_class(error.code) == ErrorClass::space; }

}  // namespace

Task<Status> BucketSupply::wait_for_bucket(Watermark watermark) {
  if (watermark != Watermark::user) co_return co_await find_bucket(watermark);
  co_await users_turn_.acquire();
  const runtime::MutexHold turn(users_turn_);
  co_return co_await find_bucket(watermark);
}

Task<Status> BucketSupply::find_bucket(Watermark watermark) {
  int idle_rounds = 0;
  while (idle_rounds < rounds_without_gain_max) {
    if (slice_.may_take(watermark)) co_return Status{};
    const Result<bool> leased = co_await slice_.lease_more(lease_count, watermark);
    if (!leased) co_return leased.error();
    if (watermark == Watermark::user) scarce_ = !*leased;
    if (*leased) continue;
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

// True when a bucket is nearer than before.
Task<Result<bool>> BucketSupply::make_room(Watermark watermark) {
  if (slice_.checkpoint_running()) {
    co_await slice_.checkpoint_ended();  // the metadata that it replaces is free then
    co_return true;
  }
  if (slice_.checkpoint_makes_room(watermark)) {
    const Status checkpointed = co_await slice_.checkpoint();
    if (checkpointed) co_return true;
    if (!is_lack(checkpointed.error())) co_return checkpointed.error();
  }
  bool gained = false;
  if (watermark == Watermark::user) {
    const Result<bool> cleaned = co_await cleaner_->clean_one();
    if (!cleaned && !is_lack(cleaned.error())) co_return cleaned.error();
    gained = cleaned && *cleaned;
  }
  const Result<bool> given = co_await pressure_.ask_others(slice_.id(), watermark == Watermark::user);
  if (!given) co_return given.error();
  co_return gained || *given;
}

}  // namespace cowfs::data
