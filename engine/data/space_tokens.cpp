#include "engine/data/space_tokens.h"

#include <algorithm>

namespace cowfs::data {

runtime::Task<Status> SpaceTokens::take(u64 count) {
  // Two cores that take the last tokens from each other in turn must both come to an end.
  for (int round = 0; !try_take(count); ++round) {
    if (round == rounds_max_) co_return Error{Code::space_full, free_};
    const u64 lacking = count - free_;
    const Result<u64> got = co_await source_.acquire(std::max<u64>(batch_, lacking));
    if (!got) co_return got.error();
    if (*got == 0) co_return Error{Code::space_full, free_};
    give(*got);
  }
  co_return Status{};
}

u64 SpaceTokens::surrender(u64 count) {
  const u64 given = std::min(count, free_);
  free_ -= given;
  return given;
}

}  // namespace cowfs::data
