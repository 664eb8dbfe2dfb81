#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>

#include "engine/base/random.h"
#include "engine/runtime/cores.h"

namespace cowfs::runtime {
namespace {

std::unique_ptr<Cores> start(u16 count, ReactorSettings reactor = {}) {
  CoresSettings settings;
  settings.cores = count;
  settings.reactor = reactor;
  auto cores = Cores::start(settings);
  if (!cores) {
    ADD_FAILURE() << to_text(cores.error());
    std::abort();
  }
  return std::move(*cores);
}

Task<u64> add(u64 a, u64 b) { co_return a + b; }

Task<u64> here() { co_return this_reactor().core(); }

Task<u64> sum_over_cores(u64 rounds) {
  u64 sum = 0;
  for (u64 round = 0; round < rounds; ++round) {
    for (CoreIndex core = 0; core < this_reactor().cores(); ++core) {
      auto call = on(core, [] { return here(); });
      sum += co_await call;
    }
  }
  co_return sum;
}

TEST(Cores, RunsATaskAndReturnsItsResult) {
  auto cores = start(2);
  EXPECT_EQ(cores->run(1, [] { return add(2, 3); }), 5u);
  EXPECT_EQ(cores->run<u64>(1, [] { return here(); }), 1u);
}

TEST(Cores, MessagesReachEveryCoreWithAndWithoutSpinning) {
  for (const u64 spin_ns : {0, 20'000}) {
    auto cores = start(3, {.spin_ns = spin_ns});
    EXPECT_EQ(cores->run(0, [] { return sum_over_cores(200); }), 200u * (0 + 1 + 2));
    cores->stop();
    EXPECT_GE(cores->counts(0).messages_sent, 400u);
    EXPECT_GT(cores->counts(2).messages_received, 199u);
  }
}

TEST(Cores, ManyForeignThreadsAtOnce) {
  auto cores = start(2);
  constexpr u64 threads = 6;
  constexpr u64 calls = 200;
  std::array<u64, threads> sums{};
  std::vector<std::thread> foreign;
  for (u64 i = 0; i < threads; ++i) {
    foreign.emplace_back([&cores, &sums, i] {
      for (u64 call = 0; call < calls; ++call) {
        sums[i] += cores->run(static_cast<CoreIndex>(call % 2), [call] { return add(call, 1); });
      }
    });
  }
  for (std::thread& thread : foreign) thread.join();
  for (const u64 sum : sums) EXPECT_EQ(sum, calls * (calls + 1) / 2);
}

// Counts down on alternating cores, each step spawned by the one before.
Task<void> hop(Cores& cores, std::atomic<u64>& hops, u64 left) {
  hops.fetch_add(1);
  if (left == 0) co_return;
  cores.spawn_on(static_cast<CoreIndex>(left % 2), [&cores, &hops, left] { return hop(cores, hops, left - 1); });
}

TEST(Cores, StopWaitsForSpawnedTasksAndThoseTheySpawn) {
  std::atomic<u64> hops{0};
  auto cores = start(2);
  cores->spawn_on(0, [&] { return hop(*cores, hops, 99); });
  cores->stop();
  EXPECT_EQ(hops.load(), 100u);
}

struct Ordered : Message {
  u64 number = 0;
  std::vector<u64>* seen = nullptr;
};

// Far more messages than a mailbox holds, posted without ever letting go of the core.
Task<void> flood(CoreIndex to, std::vector<Ordered>& messages) {
  for (Ordered& message : messages) this_reactor().post(to, message);
  co_return;
}

Task<void> until_seen(std::vector<u64>& seen, u64 count) {
  while (seen.size() < count) co_await yield();
}

TEST(Cores, AFullMailboxLosesNothingAndKeepsOrder) {
  for (const CoreIndex to : {1, 0}) {
    auto cores = start(2);
    std::vector<u64> seen;
    std::vector<Ordered> messages(10 * Mailbox::ring_messages_max);
    for (u64 i = 0; i < messages.size(); ++i) {
      messages[i].number = i;
      messages[i].seen = &seen;
      messages[i].deliver = [](Message& message) {
        auto& ordered = static_cast<Ordered&>(message);
        ordered.seen->push_back(ordered.number);
      };
    }
    cores->run(0, [&] { return flood(to, messages); });
    cores->run(to, [&] { return until_seen(seen, messages.size()); });
    std::vector<u64> expected(messages.size());
    std::iota(expected.begin(), expected.end(), 0u);
    EXPECT_EQ(seen, expected);
  }
}

Task<u64> slept_ns(u64 duration) {
  const u64 begin = this_reactor().now_ns();
  co_await sleep_until(begin + duration);
  co_return this_reactor().now_ns() - begin;
}

TEST(UringReactor, TimersFireNotBeforeTheirDeadline) {
  auto cores = start(1, {.spin_ns = 0});
  for (const u64 duration : {0ull, 1'000ull, 300'000ull, 2'000'000ull}) {
    EXPECT_GE(cores->run(0, [duration] { return slept_ns(duration); }), duration);
  }
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

TEST(UringReactor, HooksAreCalledOncePerArming) {
  auto cores = start(1);
  EXPECT_EQ(cores->run(0, [] { return hook_calls(50); }), 50u);
}

struct IoAwaiter : IoOperation {
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    waiter = handle;
    completed = [](IoOperation& operation) { this_reactor().schedule(operation.waiter); };
    this_reactor().submit(*this);
  }
  i64 await_resume() const noexcept { return result; }
};

IoAwaiter io(int file, IoOperation::Kind kind, std::byte* data, u64 offset, u64 length) {
  IoAwaiter awaiter;
  awaiter.file = file;
  awaiter.kind = kind;
  awaiter.data = data;
  awaiter.offset = offset;
  awaiter.length = length;
  return awaiter;
}

class TemporaryFile {
 public:
  TemporaryFile() : file_(::mkstemp(path_)) { ::unlink(path_); }
  ~TemporaryFile() { ::close(file_); }
  int file() const { return file_; }

 private:
  char path_[32] = "/tmp/reactor_test_XXXXXX";
  int file_;
};

Task<void> write_and_read_block(int file, u64 block, u64& mismatches) {
  std::vector<std::byte> out(block_bytes, static_cast<std::byte>(block));
  std::vector<std::byte> in(block_bytes);
  auto write = io(file, IoOperation::Kind::write, out.data(), block * block_bytes, block_bytes);
  write.durable = block % 64 == 0;
  const i64 written = co_await write;
  auto read = io(file, IoOperation::Kind::read, in.data(), block * block_bytes, block_bytes);
  const i64 got = co_await read;
  if (written != i64{block_bytes} || got != i64{block_bytes} || in != out) ++mismatches;
}

Task<u64> write_and_read_blocks(int file, u64 blocks) {
  u64 mismatches = 0;
  Gate gate;
  for (u64 block = 0; block < blocks; ++block) gate.spawn(write_and_read_block(file, block, mismatches));
  co_await gate.drained();
  co_return mismatches;
}

TEST(UringReactor, MoreRequestsThanTheRingHolds) {
  TemporaryFile file;
  auto cores = start(1);
  EXPECT_EQ(cores->run(0, [&] { return write_and_read_blocks(file.file(), 3000); }), 0u);
  cores->stop();
  EXPECT_EQ(cores->counts(0).ios_completed, 6000u);
  EXPECT_EQ(cores->counts(0).ios_started, 6000u);
}

Task<i64> one_io(int file, IoOperation::Kind kind, std::byte* data, u64 offset, u64 length) {
  auto request = io(file, kind, data, offset, length);
  co_return co_await request;
}

TEST(UringReactor, FlushDiscardShortReadAndError) {
  TemporaryFile file;
  auto cores = start(1, {.spin_ns = 0});
  std::vector<std::byte> data(3 * block_bytes, std::byte{7});
  const auto run = [&](int target, IoOperation::Kind kind, u64 offset, u64 length) {
    return cores->run(0, [=, &data] { return one_io(target, kind, data.data(), offset, length); });
  };
  EXPECT_EQ(run(file.file(), IoOperation::Kind::write, 0, 3 * block_bytes), i64{3 * block_bytes});
  EXPECT_EQ(run(file.file(), IoOperation::Kind::flush, 0, 0), 0);
  EXPECT_EQ(run(file.file(), IoOperation::Kind::discard, block_bytes, block_bytes), i64{block_bytes});
  EXPECT_EQ(run(file.file(), IoOperation::Kind::read, 0, 3 * block_bytes), i64{3 * block_bytes});
  EXPECT_EQ(data[0], std::byte{7});
  EXPECT_EQ(data[block_bytes], std::byte{0});
  EXPECT_EQ(data[2 * block_bytes], std::byte{7});
  EXPECT_EQ(run(file.file(), IoOperation::Kind::read, 2 * block_bytes, 2 * block_bytes), i64{block_bytes});
  EXPECT_EQ(run(-1, IoOperation::Kind::read, 0, block_bytes), -EBADF);
}

// A pipe gives what is in it: the reactor asks again until the request is whole.
TEST(UringReactor, ShortTransfersAreContinued) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  auto cores = start(1);
  std::vector<std::byte> in(4 * kib);
  std::thread writer([&] {
    const std::string part(1 * kib, 'x');
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(::write(ends[1], part.data(), part.size()), i64{1 * kib});
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(cores->run(0, [&] { return one_io(ends[0], IoOperation::Kind::read, in.data(), 0, in.size()); }),
            i64{4 * kib});
  writer.join();
  EXPECT_EQ(in.back(), std::byte{'x'});
  ::close(ends[0]);
  ::close(ends[1]);
}

// Random traffic between sleeping and running cores: a lost wake would hang here.
Task<u64> wander(u64 seed, u64 steps) {
  Random random{seed};
  u64 moves = 0;
  for (u64 step = 0; step < steps; ++step) {
    const auto to = static_cast<CoreIndex>(random.below(this_reactor().cores()));
    if (random.one_in(8)) {
      const u64 until = this_reactor().now_ns() + random.below(50'000);
      co_await sleep_until(until);
    }
    auto call = on(to, [] { return here(); });
    moves += (co_await call) == to;
  }
  co_return moves;
}

TEST(Cores, NoWakeIsLost) {
  const u64 seed = 20260101;
  SCOPED_TRACE(seed);
  for (const u64 spin_ns : {0, 5'000}) {
    auto cores = start(3, {.spin_ns = spin_ns});
    std::vector<std::thread> foreign;
    std::array<u64, 4> moves{};
    for (u64 i = 0; i < moves.size(); ++i) {
      foreign.emplace_back([&cores, &moves, i] {
        moves[i] = cores->run(static_cast<CoreIndex>(i % 3), [i] { return wander(seed + i, 500); });
      });
    }
    for (std::thread& thread : foreign) thread.join();
    for (const u64 count : moves) EXPECT_EQ(count, 500u);
  }
}

}  // namespace
}  // namespace cowfs::runtime
