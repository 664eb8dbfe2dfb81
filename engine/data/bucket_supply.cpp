#include "engine/data/bucket_supply.h"

namespace cowfs::data {
namespace {
constexpr std::size_t lease_count = 8;
constexpr int rounds_without_gain_max = 16;
}  // namespace

Task<Status> BucketSupply::wait_for_bucket(Watermark watermark) {
  for (int round = 0; round < rounds_without_gain_max; ++round) {
    if (available(watermark)) co_return Status{};
    const Result<bool> leased = co_await slice_.lease_more(lease_count, watermark);
    if (!leased) co_return leased.error();
    if (watermark == Watermark::user) scarce_ = !*leased;
    if (*leased) continue;
    // From here on the filesystem is short of buckets.
    if (slice_.buckets().freeing_count() > 0) {
      const Status committed = co_await slice_.stream().commit(slice_.stream().current());
      if (!committed) co_return committed;
      if (available(watermark)) co_return Status{};
    }
    if (watermark == Watermark::user) {
      const Result<bool> cleaned = co_await cleaner_->clean_one();
      // A cleaner that finds no room itself has gained nothing; others may still give some.
      if (!cleaned && error_class(cleaned.error().code) != ErrorClass::space) co_return cleaned.error();
      if (cleaned && *cleaned) round = 0;
    }
    const Result<bool> given = co_await pressure_.ask_others(slice_.id());
    if (!given) co_return given.error();
    if (*given) round = 0;
  }
  co_return Error{Code::space_no_buckets, slice_.id(), Place{.slice = slice_.id()}};
}

}  // namespace cowfs::data
