#include "engine/runtime/sim_reactor.h"

#include <gtest/gtest.h>

#include <numeric>

namespace cowfs::runtime {
namespace {

Task<u64> here() { co_return this_reactor().core(); }

Task<void> record(std::vector<u64>& order, u64 number, u64 steps) {
  for (u64 step = 0; step < steps; ++step) {
    order.push_back(number);
    if (number % 3 == 0) {
      const u64 until = this_reactor().now_ns() + 1000 * number;
      co_await sleep_until(until);
    } else {
      const auto to = static_cast<CoreIndex>((number + step) % this_reactor().cores());
      auto call = on(to, [] { return here(); });
      const u64 answered = co_await call;
      EXPECT_EQ(answered, to);
    }
  }
}

Task<void> record_many(std::vector<u64>& order) {
  Gate gate;
  for (u64 number = 0; number < 12; ++number) gate.spawn(record(order, number, 10));
  co_await gate.drained();
}

struct History {
  std::vector<u64> order;
  u64 hash = 0;
  u64 now = 0;
  bool operator==(const History&) const = default;
};

History history(u64 seed) {
  SimCores cores({.cores = 4, .seed = seed});
  History result;
  cores.run(0, [&] { return record_many(result.order); });
  result.hash = cores.trace_hash();
  result.now = cores.now_ns();
  return result;
}

TEST(SimCores, SameSeedSameHistoryOtherSeedOtherHistory) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    EXPECT_EQ(history(seed), history(seed));
    EXPECT_NE(history(seed).order, history(seed + 1).order);
  }
}

struct Ordered : Message {
  u64 number = 0;
  std::vector<u64>* seen = nullptr;
};

Task<void> post_all(CoreIndex to, std::vector<Ordered>& messages) {
  for (Ordered& message : messages) {
    this_reactor().post(to, message);
    if (message.number % 7 == 0) co_await yield();
  }
}

TEST(SimCores, MessagesOfOnePairKeepTheirOrder) {
  for (u64 seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    SimCores cores({.cores = 3, .seed = seed});
    std::vector<u64> seen;
    std::vector<Ordered> messages(200);
    for (u64 i = 0; i < messages.size(); ++i) {
      messages[i].number = i;
      messages[i].seen = &seen;
      messages[i].deliver = [](Message& message) {
        auto& ordered = static_cast<Ordered&>(message);
        ordered.seen->push_back(ordered.number);
      };
    }
    cores.run(0, [&] { return post_all(2, messages); });
    cores.settle();
    std::vector<u64> expected(messages.size());
    std::iota(expected.begin(), expected.end(), 0u);
    EXPECT_EQ(seen, expected);
  }
}

Task<u64> sleeps_an_hour() {
  const u64 begin = this_reactor().now_ns();
  const u64 hour_ns = 3'600'000'000'000;
  co_await sleep_until(begin + hour_ns);
  co_return this_reactor().now_ns() - begin;
}

TEST(SimCores, TimeJumpsWhenNothingIsReady) {
  SimCores cores({.seed = 5});
  EXPECT_GE(cores.run(0, sleeps_an_hour()), 3'600'000'000'000u);
  EXPECT_LT(cores.steps(), 10u);
}

Task<void> waits_for_ever(WaitList& list) { co_await list.wait(); }

TEST(SimCores, ATaskThatCanNeverEndIsReported) {
  SimCores cores({.seed = 77});
  static WaitList* const list = new WaitList;  // the abandoned frame points to it
  EXPECT_FALSE(cores.try_run(0, waits_for_ever(*list)));
  EXPECT_DEATH(cores.run(0, waits_for_ever(*list)), "seed 77");
}

struct CountingHook : TurnHook {
  u64 calls = 0;
};

Task<u64> hook_calls(u64 turns) {
  CountingHook hook;
  hook.call = [](TurnHook& called) { ++static_cast<CountingHook&>(called).calls; };
  for (u64 turn = 0; turn < turns; ++turn) {
    this_reactor().at_turn_end(hook);
    this_reactor().at_turn_end(hook);
    while (hook.armed) co_await yield();
  }
  co_return hook.calls;
}

TEST(SimCores, HooksAreCalledOncePerArming) {
  SimCores cores({.seed = 3});
  EXPECT_EQ(cores.run(1, hook_calls(50)), 50u);
}

Task<void> count_up(u64& count) {
  co_await yield();
  ++count;
}

TEST(SimCores, SpawnedTasksRunWhileOthersStep) {
  SimCores cores({.seed = 4});
  u64 count = 0;
  for (u64 i = 0; i < 10; ++i) cores.spawn_on(static_cast<CoreIndex>(i % 2), [&] { return count_up(count); });
  cores.settle();
  EXPECT_EQ(count, 10u);
}

}  // namespace
}  // namespace cowfs::runtime
