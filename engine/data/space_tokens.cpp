#include "engine/data/space_tokens.h"

#include <algorithm>

namespace cowfs::data {

runtime::Task<Status> SpaceTokens::take(u64 count) {
  // Two cores that take the last tokens from each other in turn must both come to an end.
  for (int round = 0; !try_take(count); ++round) {
    if (round == rounds_max_) co_return Error{Code::space_full, static_cast<u64>(std::max<i64>(free_, 0))};
    const i64 lacking = static_cast<i64>(count) - free_;
    const Result<u64> got = co_await source_.acquire(std::max<u64>(batch_, static_cast<u64>(lacking)));
    if (!got) co_return got.error();
    if (*got == 0) co_return Error{Code::space_full, static_cast<u64>(std::max<i64>(free_, 0))};
    give(*got);
  }
  co_return Status{};
}

u64 SpaceTokens::surrender(u64 count) {
  const u64 given = std::min(count, static_cast<u64>(std::max<i64>(free_, 0)));
  free_ -= static_cast<i64>(given);
  return given;
}

}  // namespace cowfs::data
