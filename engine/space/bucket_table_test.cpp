#include "engine/space/bucket_table.h"

#include <gtest/gtest.h>

namespace cowfs::space {
namespace {

constexpr u64 bucket_blocks = 16;

BucketId bucket(u64 number) { return BucketId::of(0, number); }
Address block(u64 bucket_number, u64 offset) { return Address::of(0, bucket_number * bucket_blocks + offset); }

// Of an open table, with live blocks from its first on.
void add_closed(BucketTable& table, u64 number, u32 live, Epoch closed = Epoch{1}) {
  table.adopt(bucket(number));
  ASSERT_EQ(table.take(Stream::user, Epoch{1}), bucket(number));
  table.add_live(block(number, 0), live, 1);
  table.close(bucket(number), closed);
}

// Bucket 1, with block(1, 2) in it, as of epoch 1.
void close_with_one_live_block(BucketTable& table) {
  table.opened({});
  table.adopt(bucket(1));
  ASSERT_TRUE(table.take(Stream::user, Epoch{1}));
  table.add_live(block(1, 2), 1, 1);
  table.close(bucket(1), Epoch{1});
}

TEST(BucketTable, a_freed_bucket_waits_until_its_epoch_is_durable) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  table.adopt(bucket(7));
  const auto taken = table.take(Stream::user, Epoch{3});
  ASSERT_EQ(taken, bucket(7));
  table.add_live(block(7, 0), 4, 3);
  table.close(bucket(7), Epoch{4});
  table.remove_live(block(7, 0), 4, Epoch{5});
  EXPECT_EQ(table.take(Stream::user, Epoch{5}), std::nullopt);
  table.epoch_durable(Epoch{4});
  EXPECT_EQ(table.take(Stream::user, Epoch{5}), std::nullopt);
  table.epoch_durable(Epoch{5});
  EXPECT_EQ(table.take(Stream::user, Epoch{6}), bucket(7));
}

TEST(BucketTable, a_pinned_bucket_is_not_used_again) {
  BucketTable table(bucket_blocks, false);
  close_with_one_live_block(table);
  {
    const BucketPin pin = table.pin(block(1, 2));
    table.remove_live(block(1, 2), 1, Epoch{1});
    table.epoch_durable(Epoch{1});
    EXPECT_EQ(table.empty_count(), 0u);
  }
  // It waited for the next commit in which its core took part, on an idle core for ever.
  EXPECT_EQ(table.empty_count(), 1u);
  table.epoch_durable(Epoch{2});
  EXPECT_EQ(table.empty_count(), 1u);
}

TEST(BucketTable, a_pinned_bucket_whose_epoch_is_not_durable_is_not_used_again) {
  BucketTable table(bucket_blocks, false);
  close_with_one_live_block(table);
  {
    const BucketPin pin = table.pin(block(1, 2));
    table.remove_live(block(1, 2), 1, Epoch{2});
    table.epoch_durable(Epoch{1});
  }
  EXPECT_EQ(table.empty_count(), 0u);
  table.epoch_durable(Epoch{2});
  EXPECT_EQ(table.empty_count(), 1u);
}

TEST(BucketTable, a_discarded_bucket_is_empty_only_after_the_discard) {
  BucketTable table(bucket_blocks, true);
  table.opened({});
  table.adopt(bucket(1));
  ASSERT_TRUE(table.take(Stream::user, Epoch{1}));
  table.close(bucket(1), Epoch{1});
  table.epoch_durable(Epoch{1});
  EXPECT_EQ(table.empty_count(), 0u);
  ASSERT_EQ(table.next_discard(), bucket(1));
  EXPECT_EQ(table.next_discard(), std::nullopt);
  table.discarded(bucket(1));
  EXPECT_EQ(table.empty_count(), 1u);
}

TEST(BucketTable, the_victim_is_the_emptiest_of_equal_age_and_never_a_full_one) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  const u32 live[] = {16, 9, 3, 12};
  for (u64 number = 1; number <= 4; ++number) add_closed(table, number, live[number - 1]);
  EXPECT_EQ(table.choose_victim(Epoch{10}, false), bucket(3));
  EXPECT_EQ(table.choose_victim(Epoch{10}, false), bucket(2));  // 3 is being evacuated
  table.evacuation_ended(bucket(3));
  EXPECT_EQ(table.choose_victim(Epoch{10}, false), bucket(3));
}

TEST(BucketTable, a_bucket_that_gains_little_is_a_victim_only_when_it_is_urgent) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  add_closed(table, 1, 15);
  EXPECT_EQ(table.choose_victim(Epoch{10}, false), std::nullopt);
  EXPECT_EQ(table.choose_victim(Epoch{10}, true), bucket(1));
  table.evacuation_ended(bucket(1));
  table.remove_live(block(1, 0), 1, Epoch{10});
  EXPECT_EQ(table.choose_victim(Epoch{10}, false), bucket(1));
}

TEST(BucketTable, an_old_bucket_is_preferred_over_a_young_one_just_as_full) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  add_closed(table, 1, 8, Epoch{90});
  add_closed(table, 2, 8, Epoch{10});
  EXPECT_EQ(table.choose_victim(Epoch{100}, false), bucket(2));
}

// What was written once and never again was always the oldest, and was moved again and again for the little that it gained.
TEST(BucketTable, one_much_older_than_the_others_is_not_preferred_over_an_emptier_one) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  add_closed(table, 1, 14);
  for (u64 number = 2; number <= 4; ++number) add_closed(table, number, 6, Epoch{9900 + 10 * number});
  EXPECT_EQ(table.choose_victim(Epoch{10000}, false), bucket(2));
}

TEST(BucketTable, of_very_many_buckets_the_one_with_room_is_found) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  constexpr u64 count = 3000;
  for (u64 number = 1; number <= count; ++number) add_closed(table, number, number == count ? 4 : bucket_blocks);
  EXPECT_EQ(table.choose_victim(Epoch{10}, true), bucket(count));
}

TEST(BucketTable, pointers_that_history_cannot_contain_are_refused) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  table.adopt(bucket(2));
  table.adopt(bucket(3));
  ASSERT_EQ(table.take(Stream::user, Epoch{5}), bucket(2));
  ASSERT_EQ(table.take(Stream::metadata, Epoch{5}), bucket(3));
  table.add_live(block(2, 0), 10, 5);
  EXPECT_TRUE(table.check_pointer(block(2, 10), 6, 5));
  EXPECT_EQ(table.check_pointer(block(2, 10), 6, 4).error().code, Code::alloc_pointer_invalid);   // older generation
  EXPECT_EQ(table.check_pointer(block(2, 12), 6, 5).error().code, Code::alloc_pointer_invalid);   // past its end
  EXPECT_EQ(table.check_pointer(block(2, 8), 8, 5).error().code, Code::alloc_pointer_invalid);    // more than fits
  EXPECT_EQ(table.check_pointer(block(3, 0), 1, 5).error().code, Code::alloc_pointer_invalid);    // metadata
  EXPECT_EQ(table.check_pointer(block(9, 0), 1, 5).error().code, Code::alloc_pointer_invalid);    // not leased
}

// After a recovery the place of a foreign bucket was used for the next one that was leased, and with it went what the next checkpoint
// had to say: the alloc entry of the foreign one stayed, and the mount after that checkpoint refused it (cowfs-sim, with the power cut
// behind leases that go back beside a checkpoint, then one more after the recovery).
TEST(BucketTable, the_entry_of_a_foreign_bucket_is_erased_whatever_is_leased_meanwhile) {
  BucketTable table(bucket_blocks, false);
  table.adopt(bucket(1));
  format::AllocValue value{};
  value.generation = 1;
  value.live_blocks = 1;
  ASSERT_TRUE(table.restore(bucket(1), value));
  table.remove_live(block(1, 0), 1, Epoch{2});
  table.epoch_durable(Epoch{2});
  table.opened({bucket(1)});
  table.adopt(bucket(2));
  std::vector<BucketId> changed;
  table.take_changes([&](const Bucket& one) {
    EXPECT_EQ(one.live_blocks, 0u);
    changed.push_back(one.id);
  });
  EXPECT_EQ(changed, std::vector<BucketId>{bucket(1)});
}

TEST(BucketTable, only_buckets_without_pending_changes_are_given_back) {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  table.adopt(bucket(1));
  table.adopt(bucket(2));
  ASSERT_EQ(table.take(Stream::user, Epoch{1}), bucket(1));
  table.add_live(block(1, 0), 1, 1);
  table.close(bucket(1), Epoch{1});
  table.remove_live(block(1, 0), 1, Epoch{1});
  table.epoch_durable(Epoch{1});
  EXPECT_EQ(table.empty_count(), 2u);
  EXPECT_EQ(table.give_back(9), std::vector<BucketId>{bucket(2)});
  int changes = 0;
  table.take_changes([&](const Bucket& changed) {
    EXPECT_EQ(changed.id, bucket(1));
    EXPECT_EQ(changed.live_blocks, 0u);
    ++changes;
  });
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(table.give_back(9), std::vector<BucketId>{bucket(1)});
  EXPECT_EQ(table.owned_count(), 0u);
}

// Two buckets in front of the end, and two beyond it.
BucketTable table_that_ends_before_bucket_3() {
  BucketTable table(bucket_blocks, false);
  table.opened({});
  for (u64 number = 1; number <= 4; ++number) table.adopt(bucket(number));
  table.limit(bucket(3));
  return table;
}

TEST(BucketTable, nothing_beyond_the_end_of_the_space_is_taken_or_counts_as_empty) {
  BucketTable table = table_that_ends_before_bucket_3();
  EXPECT_EQ(table.empty_count(), 2u);
  EXPECT_EQ(table.take(Stream::user, Epoch{1}), bucket(1));
  EXPECT_EQ(table.take(Stream::metadata, Epoch{1}), bucket(2));
  EXPECT_EQ(table.take(Stream::metadata, Epoch{1}), std::nullopt);
  table.adopt(bucket(5));  // whose lease was under way
  EXPECT_EQ(table.empty_count(), 0u);
  EXPECT_EQ(table.give_back_beyond(), (std::vector{bucket(3), bucket(4), bucket(5)}));
  EXPECT_EQ(table.owned_count(), 2u);
}

TEST(BucketTable, what_is_emptied_beyond_the_end_goes_when_its_alloc_entry_is_written) {
  BucketTable table(bucket_blocks, false);
  close_with_one_live_block(table);
  table.limit(bucket(1));
  EXPECT_EQ(table.choose_victim(Epoch{2}, true), std::nullopt);
  EXPECT_EQ(table.choose_beyond(), bucket(1));
  EXPECT_EQ(table.choose_beyond(), std::nullopt);
  table.remove_live(block(1, 2), 1, Epoch{2});
  table.epoch_durable(Epoch{2});
  EXPECT_EQ(table.empty_count(), 0u);
  EXPECT_TRUE(table.give_back_beyond().empty());
  table.take_changes([](const Bucket&) {});
  EXPECT_EQ(table.give_back_beyond(), std::vector{bucket(1)});
}

TEST(BucketTable, a_limit_that_is_lifted_gives_back_what_it_kept) {
  BucketTable table = table_that_ends_before_bucket_3();
  table.limit(no_end);
  EXPECT_EQ(table.empty_count(), 4u);
  EXPECT_TRUE(table.give_back_beyond().empty());
}

}  // namespace
}  // namespace cowfs::space
