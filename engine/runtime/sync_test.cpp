#include "engine/runtime/sync.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "engine/base/random.h"
#include "engine/runtime/frame_pool.h"
#include "engine/runtime/sim_reactor.h"
#include "engine/runtime/timer_heap.h"

namespace cowfs::runtime {
namespace {

struct Shared {
  Mutex mutex;
  u64 inside = 0;
  u64 inside_most = 0;
  std::vector<u64> order;
};

Task<void> critical(Shared& shared, u64 number) {
  co_await shared.mutex.acquire();
  MutexHold hold{shared.mutex};
  shared.inside_most = std::max(shared.inside_most, ++shared.inside);
  for (int i = 0; i < 3; ++i) co_await yield();
  --shared.inside;
  shared.order.push_back(number);
}

Task<void> contend(Shared& shared) {
  Gate gate;
  for (u64 number = 0; number < 20; ++number) gate.spawn(critical(shared, number));
  EXPECT_EQ(gate.running(), 20u);
  co_await gate.drained();
  EXPECT_FALSE(shared.mutex.held());
}

TEST(Mutex, OneAtATimeInOrderOfArrival) {
  for (u64 seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(seed);
    SimCores cores({.seed = seed});
    Shared shared;
    cores.run(0, contend(shared));
    EXPECT_EQ(shared.inside_most, 1u);
    for (u64 number = 0; number < 20; ++number) EXPECT_EQ(shared.order[number], number);
  }
}

Task<void> wait_and_count(WaitList& list, u64& count) {
  co_await list.wait();
  ++count;
}

Task<void> wake_in_steps(u64& count) {
  WaitList list;
  Gate gate;
  for (int i = 0; i < 5; ++i) gate.spawn(wait_and_count(list, count));
  EXPECT_EQ(count, 0u);
  list.wake_one();
  while (count < 1) co_await yield();
  for (int i = 0; i < 10; ++i) co_await yield();
  EXPECT_EQ(count, 1u);
  list.wake_all();
  EXPECT_TRUE(list.empty());
  list.wake_one();
  co_await gate.drained();
}

TEST(WaitList, WakesOneAndAll) {
  SimCores cores({.seed = 9});
  u64 count = 0;
  cores.run(0, wake_in_steps(count));
  EXPECT_EQ(count, 5u);
}

struct Called {
  std::vector<CoreIndex> cores;
  Task<u64> task(u64 value) {
    cores.push_back(this_reactor().core());
    co_await yield();
    co_return value;
  }
  Task<void> silent_task() {
    cores.push_back(this_reactor().core());
    co_return;
  }
};

Task<u64> call_four_ways(Called& called, CoreIndex core) {
  auto value_call = on(core, [&called] { return called.cores.emplace_back(this_reactor().core()); });
  u64 sum = co_await value_call;
  auto silent_call = on(core, [&called] { called.cores.push_back(this_reactor().core()); });
  co_await silent_call;
  auto task_call = on(core, [&called] { return called.task(100); });
  sum += co_await task_call;
  auto silent_task_call = on(core, [&called] { return called.silent_task(); });
  co_await silent_task_call;
  EXPECT_EQ(this_reactor().core(), 1);
  co_return sum;
}

TEST(On, ValuesAndTasksHereAndThere) {
  for (const CoreIndex core : {0, 1, 2}) {
    SimCores cores({.cores = 3, .seed = 21});
    Called called;
    EXPECT_EQ(cores.run(1, call_four_ways(called, core)), 100u + core);
    EXPECT_EQ(called.cores, std::vector<CoreIndex>(4, core));
  }
}

Task<u64> count_steps_of_local_calls(SimCores& cores) {
  const u64 before = cores.steps();
  for (int i = 0; i < 10; ++i) {
    auto call = on(0, [] { return this_reactor().core(); });
    co_await call;
  }
  co_return cores.steps() - before;
}

TEST(On, ACallOnTheOwnCoreIsPlain) {
  SimCores cores({.seed = 22});
  EXPECT_EQ(cores.run(0, count_steps_of_local_calls(cores)), 0u);
}

// Once grew the stack by 600 bytes a round under sanitizers, and fell off its end after some 10 000 rounds.
Task<u64> next_of(u64 value) { co_return value + 1; }

Task<u64> count_by_tasks(u64 rounds) {
  u64 value = 0;
  while (value < rounds) {
    auto next = next_of(value);
    value = co_await next;
  }
  co_return value;
}

TEST(Task, ALoopOverTasksThatDoNotSuspendNeedsNoStack) {
  SimCores cores({.seed = 23});
  EXPECT_EQ(cores.run(0, count_by_tasks(200'000)), 200'000u);
}

TEST(TimerHeap, AgainstASortedSet) {
  const u64 seed = 42;
  SCOPED_TRACE(seed);
  Random random{seed};
  TimerHeap heap;
  std::vector<Timer> timers(200);
  std::set<std::pair<u64, u64>> model;  // deadline, sequence
  for (int round = 0; round < 20'000; ++round) {
    Timer& timer = timers[random.below(timers.size())];
    if (random.one_in(4)) {
      const u64 now = random.below(1000);
      Timer* due = heap.pop_due(now);
      if (model.empty() || model.begin()->first > now) {
        ASSERT_EQ(due, nullptr);
      } else {
        ASSERT_NE(due, nullptr);
        ASSERT_EQ(std::pair(due->deadline_ns, due->sequence), *model.begin());
        model.erase(model.begin());
      }
    } else if (timer.armed) {
      ASSERT_EQ(model.erase({timer.deadline_ns, timer.sequence}), 1u);
      heap.cancel(timer);
      heap.cancel(timer);
    } else {
      timer.deadline_ns = random.below(1000);
      heap.start(timer);
      model.emplace(timer.deadline_ns, timer.sequence);
    }
    ASSERT_EQ(heap.empty(), model.empty());
    if (model.empty()) continue;
    ASSERT_EQ(heap.next_deadline_ns(), model.begin()->first);
  }
}

TEST(FramePool, FramesOfAllSizesAreDistinctAndWritable) {
  std::vector<std::pair<unsigned char*, std::size_t>> frames;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t bytes = 1; bytes < 6000; bytes += 37) {
      auto* frame = static_cast<unsigned char*>(allocate_frame(bytes));
      std::memset(frame, static_cast<int>(bytes % 251), bytes);
      frames.emplace_back(frame, bytes);
    }
    for (const auto& [frame, bytes] : frames) {
      ASSERT_EQ(frame[0], bytes % 251);
      ASSERT_EQ(frame[bytes - 1], bytes % 251);
      free_frame(frame, bytes);
    }
    frames.clear();
  }
}

TEST(FramePool, FramesMayBeFreedOnAnotherThread) {
  std::vector<void*> frames;
  for (int i = 0; i < 20'000; ++i) frames.push_back(allocate_frame(1000));
  std::thread other([&] {
    for (void* frame : frames) free_frame(frame, 1000);
    void* again = allocate_frame(1000);
    std::memset(again, 1, 1000);
    free_frame(again, 1000);
  });
  other.join();
}

}  // namespace
}  // namespace cowfs::runtime
