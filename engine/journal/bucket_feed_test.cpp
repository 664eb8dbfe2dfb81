#include "engine/journal/bucket_feed.h"

#include <gtest/gtest.h>

#include <numeric>

#include "engine/device/sim_device.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::journal {
namespace {

using device::SimDevice;
using runtime::SimCores;

constexpr u64 bucket_bytes = 512 * kib;
constexpr u64 buckets = 3 * BucketFeed::resident_bytes / bucket_bytes;

JournalLayout layout() {
  return {.filesystem = 1, .bucket_blocks = bucket_bytes / block_bytes, .first_bucket = 1, .buckets = buckets};
}

device::Image numbered_image() {
  device::Image image{(buckets + 1) * bucket_bytes};
  for (u64 bucket = 0; bucket < buckets; ++bucket) {
    const std::vector<std::byte> content(block_bytes, static_cast<std::byte>(bucket));
    image.write((bucket + 1) * bucket_bytes, content);
  }
  return image;
}

std::vector<u64> all_buckets() {
  std::vector<u64> order(buckets);
  std::iota(order.rbegin(), order.rend(), 0);
  return order;
}

Task<u64> read_all(BucketFeed& feed, std::vector<u64> order) {
  u64 right = 0;
  for (u64 bucket : order) {
    const Result<ByteSpan> bytes = co_await feed.take(bucket);
    if (!bytes.ok()) continue;
    right += bytes->size() == bucket_bytes && bytes->front() == static_cast<std::byte>(bucket);
    feed.done(bucket);
  }
  co_return right;
}

Task<void> count_right(BucketFeed& feed, std::vector<u64> order, u64& right) {
  right = co_await read_all(feed, std::move(order));
}

Task<void> read_side_by_side(BucketFeed& feed, u64& first, u64& second) {
  runtime::Gate gate;
  gate.spawn(count_right(feed, all_buckets(), first));
  gate.spawn(count_right(feed, all_buckets(), second));
  co_await gate.drained();
  co_await feed.stop();
}

TEST(BucketFeed, two_readers_cost_one_read_of_each_bucket) {
  SimCores cores({.cores = 1, .seed = 1});
  SimDevice device(numbered_image(), {.seed = 1});
  BucketFeed feed(device, layout(), all_buckets(), 2);
  u64 first = 0, second = 0;
  cores.run(0, read_side_by_side(feed, first, second));
  EXPECT_EQ(first, buckets);
  EXPECT_EQ(second, buckets);
  EXPECT_EQ(device.counts().reads, buckets);
}

Task<u64> read_one_after_the_other(BucketFeed& feed) {
  const u64 first = co_await read_all(feed, all_buckets());
  const u64 second = co_await read_all(feed, all_buckets());
  co_await feed.stop();
  co_return first + second;
}

TEST(BucketFeed, a_reader_far_behind_neither_stops_the_others_nor_misses_anything) {
  SimCores cores({.cores = 1, .seed = 2});
  SimDevice device(numbered_image(), {.seed = 2});
  BucketFeed feed(device, layout(), all_buckets(), 2);
  EXPECT_EQ(cores.run(0, read_one_after_the_other(feed)), 2 * buckets);
}

TEST(BucketFeed, a_bucket_that_cannot_be_read_is_an_error_for_it_alone) {
  SimCores cores({.cores = 1, .seed = 3});
  SimDevice device(numbered_image(), {.seed = 3});
  device.make_unreadable(6 * bucket_bytes, block_bytes);
  BucketFeed feed(device, layout(), all_buckets(), 2);
  u64 first = 0, second = 0;
  cores.run(0, read_side_by_side(feed, first, second));
  EXPECT_EQ(first, buckets - 1);
  EXPECT_EQ(second, buckets - 1);
}

}  // namespace
}  // namespace cowfs::journal
