#include "engine/data/space_tokens.h"

#include <algorithm>

namespace cowfs::data {

runtime::Task<Status> SpaceTokens::take_free(u64 count) {
  // Two cores that take the last tokens from each other in turn must both come to an end.
  for (int round = 0; !try_take(count); ++round) {
    if (round == rounds_max_) co_return Error{Code::space_full, free_};
    const u64 lacking = count - free_;
    const Result<u64> got = co_await source_.acquire(std::max<u64>(batch_, lacking));
    if (!got) co_return got.error();
    give(*got);
    if (*got == 0 && free_ < count) co_return Error{Code::space_full, free_};
  }
  co_return Status{};
}

runtime::Task<Status> SpaceTokens::take(u64 count) {
  bool more_may_come = true;
  for (int wait = 0;; ++wait) {
    const Status taken = co_await take_free(count);
    const bool refused = !taken && taken.error().code == Code::space_full;
    if (!refused || !more_may_come || wait == waits_max_) co_return taken;
    const Result<bool> freed = co_await source_.await_freed();
    if (!freed) co_return freed.error();
    more_may_come = *freed;  // what came while it was asked is not to be missed
  }
}

u64 SpaceTokens::surrender(u64 count) {
  const u64 given = std::min(count, free_);
  free_ -= given;
  return given;
}

}  // namespace cowfs::data
