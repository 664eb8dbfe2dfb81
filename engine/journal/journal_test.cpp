// Whole histories in the simulator: several cores append, commit and operate across cores; the power goes at a random
// request; what is recovered must be exactly the history up to one epoch, with every acknowledged commit in it. Then the
// next session goes on from there.
#include "engine/journal/journal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "engine/base/random.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/on.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::journal {
namespace {

using device::Image;
using device::SimDevice;
using format::Superblock;
using runtime::on;
using runtime::SimCores;

struct Written {
  Epoch epoch;
  u64 serial = 0;
  u64 owner = 0;  // who keeps it from being reclaimed
  auto operator<=>(const Written&) const = default;
};

// What should be in the journal, over all sessions.
struct Model {
  std::vector<Written> records;
  u64 serial = 0;
  Epoch acknowledged;  // the newest epoch that a commit answered for
};

// Stands for the slices of one core.
struct TestCore final : EpochObserver, ReclaimTarget {
  Model* model = nullptr;
  u64 index = 0;
  Stream* stream = nullptr;
  bool keeps_everything = false;
  Epoch sealed, durable, wanted, checkpointed, checkpointing;
  u64 requests = 0;

  void epoch_sealed(Epoch epoch) override {
    EXPECT_LT(sealed, epoch);
    sealed = epoch;
    if (wanted > checkpointed && checkpointing.value == 0) checkpointing = epoch;
  }
  void epoch_durable(Epoch epoch) override {
    EXPECT_LT(durable, epoch);
    EXPECT_LE(epoch, sealed);
    durable = epoch;
    if (checkpointing.value == 0 || checkpointing > epoch) return;
    checkpointed = std::exchange(checkpointing, Epoch{});
  }
  Epoch oldest_needed(CoreIndex) override {
    Epoch oldest{~0ull};
    for (const Written& record : model->records)
      if (record.owner == index && record.epoch > checkpointed) oldest = std::min(oldest, record.epoch);
    return oldest;
  }
  void checkpoint_wanted(Epoch up_to) override {
    ++requests;
    if (!keeps_everything) wanted = std::max(wanted, up_to);
  }

  void append(u64 value_bytes) {
    const std::vector<std::byte> value(value_bytes, static_cast<std::byte>(model->serial));
    const Key key{index, model->serial, 0};
    stream->append(static_cast<u16>(index), TreeId::extents, UpdateKind::upsert, key, value);
    model->records.push_back({stream->current(), model->serial++, index});
  }
};

struct Load {
  u64 operations = 40;
  u64 records_max = 8;
  u64 value_bytes_max = 2000;
  u64 commit_one_in = 4;
  u64 pair_one_in = 5;
};

Superblock small_filesystem() {
  Superblock superblock{};
  superblock.uuid = {9, 8, 7};
  superblock.device_count = 1;
  const Status status = format::plan_geometry({.capacity = format::device_bytes_min}, superblock);
  EXPECT_TRUE(status.ok());
  format::seal(superblock);
  return superblock;
}

Task<void> hold_there(TestCore& core, Epoch epoch, EpochHold& into) {
  auto wait = core.stream->hold_at_least(epoch);
  into = co_await wait;
}

// One record on each of two cores, in one epoch.
Task<Status> pair_operation(TestCore& here, TestCore& there) {
  const u64 bytes = record_bytes(100);
  const Status room = co_await here.stream->reserve(bytes);
  if (!room.ok()) co_return room;
  auto reserve = on(there.stream->core(), [&there, bytes] { return there.stream->reserve(bytes); });
  const Status room_there = co_await reserve;
  if (!room_there.ok()) {
    here.stream->unreserve(bytes);
    co_return room_there;
  }
  EpochHold hold = co_await here.stream->hold_open();
  EpochHold other;
  const Epoch first = hold.epoch();
  auto take = on(there.stream->core(), [&there, &other, first] { return hold_there(there, first, other); });
  co_await take;
  const Epoch epoch = other.epoch();
  if (epoch > first) {
    hold.release();
    auto move = here.stream->hold_at_least(epoch);
    hold = co_await move;
  }
  EXPECT_EQ(hold.epoch(), epoch);
  EXPECT_EQ(here.stream->current(), epoch);
  here.append(100);
  auto apply = on(there.stream->core(), [&there, &other, epoch] {
    EXPECT_EQ(there.stream->current(), epoch);
    there.append(100);
    other.release();
  });
  co_await apply;
  co_return Status{};
}

Task<Status> client(TestCore& core, std::vector<std::unique_ptr<TestCore>>& cores, Load load, u64 seed) {
  Random random(seed);
  for (u64 i = 0; i < load.operations; ++i) {
    if (cores.size() > 1 && random.one_in(load.pair_one_in)) {
      TestCore& partner = *cores[(core.index + 1 + random.below(cores.size() - 1)) % cores.size()];
      const Status paired = co_await pair_operation(core, partner);
      if (!paired.ok()) co_return paired;
    }
    const u64 records = 1 + random.below(load.records_max);
    const u64 reserved = records * record_bytes(load.value_bytes_max);
    const Status room = co_await core.stream->reserve(reserved);
    if (!room.ok()) co_return room;
    u64 used = 0;
    for (u64 n = 0; n < records; ++n) {
      const u64 bytes = random.below(load.value_bytes_max + 1);
      core.append(bytes);
      used += record_bytes(bytes);
    }
    core.stream->unreserve(reserved - used);
    const Epoch epoch = core.stream->current();
    if (!random.one_in(load.commit_one_in)) {
      co_await runtime::yield();
      continue;
    }
    const Status committed = co_await core.stream->commit(epoch);
    if (!committed.ok()) co_return committed;
    EXPECT_GE(core.stream->durable(), epoch);
    core.model->acknowledged = std::max(core.model->acknowledged, epoch);
  }
  co_return Status{};
}

Task<void> run_client(TestCore& core, std::vector<std::unique_ptr<TestCore>>& cores, Load load, u64 seed, Status& result) {
  auto call = on(core.stream->core(), [&core, &cores, load, seed] { return client(core, cores, load, seed); });
  const Status status = co_await call;
  if (!status.ok()) result = status;
}

// Recovery gave exactly the model's records of whole epochs.
Task<void> check(const History& history, device::Device& device, Model& model) {
  EXPECT_GE(history.last, model.acknowledged) << "an acknowledged commit is missing";
  std::vector<Written> replayed, expected;
  Epoch previous;
  std::map<u64, u64> newest_serial;
  const Status status = co_await replay(history, device, [&](Epoch epoch, const format::Record& record) {
    EXPECT_LE(previous, epoch);
    previous = epoch;
    replayed.push_back({epoch, record.key.offset, 0});
    for (const std::byte byte : record.value) EXPECT_EQ(byte, static_cast<std::byte>(record.key.offset));
    u64& newest = newest_serial[record.slice];
    EXPECT_LE(newest, record.key.offset) << "the records of a core are in order";
    newest = record.key.offset;
    return Status{};
  });
  EXPECT_TRUE(status.ok()) << to_text(status.error());
  for (const Written& record : model.records)
    if (record.epoch >= history.oldest_needed && record.epoch <= history.last)
      expected.push_back({record.epoch, record.serial, 0});
  std::sort(replayed.begin(), replayed.end());
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(replayed.size(), expected.size());
  EXPECT_TRUE(replayed == expected);
}

struct Session {
  u16 cores = 2;
  u64 seed = 1;
  Load load = {};
  u64 clients = 3;  // for each core
  device::SimFaults faults = {};
  bool keeps_everything = false;
};

struct Outcome {
  Status clients;
  Image image;  // after a power cut, or as it was left
  JournalCounters counters;
  u64 checkpoint_requests = 0;
  u64 requests = 0;
};

Task<void> run_session(const Session& session, SimDevice& device, const Superblock& superblock, Model& model,
                       Outcome& outcome) {
  const Result<History> history = co_await read_history(device, superblock);
  EXPECT_TRUE(history.ok()) << to_text(history.error());
  if (!history.ok()) co_return;
  co_await check(*history, device, model);
  std::erase_if(model.records, [&](const Written& record) { return record.epoch > history->last; });

  std::vector<std::unique_ptr<TestCore>> cores;
  std::vector<CoreHooks> hooks;
  for (u64 index = 0; index < session.cores; ++index) {
    cores.push_back(std::make_unique<TestCore>());
    cores.back()->model = &model;
    cores.back()->index = index;
    cores.back()->keeps_everything = session.keeps_everything;
    cores.back()->durable = Epoch{history->next.value - 1};
    cores.back()->checkpointed = Epoch{history->oldest_needed.value - 1};
    hooks.push_back({cores.back().get(), cores.back().get()});
  }
  for (Written& record : model.records) record.owner %= session.cores;
  std::vector<device::Device*> devices{&device};
  Journal journal(devices, *history, hooks);
  const Status started = journal.start();
  EXPECT_TRUE(started.ok()) << to_text(started.error());
  if (!started.ok()) co_return;
  for (auto& core : cores) core->stream = &journal.stream(static_cast<CoreIndex>(core->index));
  device.set_faults(session.faults);

  runtime::Gate gate;
  for (u64 n = 0; n < session.clients * session.cores; ++n)
    gate.spawn(run_client(*cores[n % cores.size()], cores, session.load, session.seed * 1000 + n, outcome.clients));
  co_await gate.drained();
  co_await journal.stop();
  outcome.counters = journal.counters();
  for (const auto& core : cores) outcome.checkpoint_requests += core->requests;
}

Outcome run_once(const Session& session, const Image& image, const Superblock& superblock, Model& model) {
  SimCores cores({.cores = session.cores, .seed = session.seed});
  SimDevice device(image, {.seed = session.seed});
  Outcome outcome;
  cores.run(0, run_session(session, device, superblock, model, outcome));
  Random random(session.seed);
  outcome.image = device.power_is_cut() ? device.crash_image(random) : device.image();
  return outcome;
}

Image formatted(const Superblock& superblock) {
  SimCores cores({.cores = 1, .seed = 1});
  SimDevice device(format::device_bytes_min, {.seed = 1});
  const Status status = cores.run(0, Journal::initialise(device, superblock));
  EXPECT_TRUE(status.ok());
  return device.image();
}

TEST(Journal, a_clean_session_recovers_to_what_was_committed) {
  const Superblock superblock = small_filesystem();
  Model model;
  const Outcome first = run_once({.cores = 3, .seed = 5}, formatted(superblock), superblock, model);
  EXPECT_TRUE(first.clients.ok()) << to_text(first.clients.error());
  EXPECT_GT(first.counters.commits, 0u);
  EXPECT_GT(model.records.size(), 100u);
  const Outcome second = run_once({.cores = 2, .seed = 6}, first.image, superblock, model);
  EXPECT_TRUE(second.clients.ok());
}

TEST(Journal, power_cuts_leave_a_prefix_of_whole_epochs) {
  const Superblock superblock = small_filesystem();
  const Image fresh = formatted(superblock);
  for (u64 seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Model model;
    Image image = fresh;
    for (u64 round = 0; round < 4; ++round) {
      Session session{.cores = static_cast<u16>(1 + random.below(3)), .seed = seed * 10 + round};
      session.load.operations = 15;
      session.load.commit_one_in = 1 + random.below(6);
      session.faults.power_cut_at = 1 + random.below(150);
      image = run_once(session, image, superblock, model).image;
    }
    if (HasFailure()) return;
  }
}

TEST(Journal, a_tiny_journal_is_reused_for_ever) {
  const Superblock superblock = small_filesystem();  // 8 MiB of journal
  Model model;
  Session session{.cores = 2, .seed = 77};
  session.load = {.operations = 1500, .records_max = 8, .value_bytes_max = 2000, .commit_one_in = 50, .pair_one_in = 50};
  const Outcome outcome = run_once(session, formatted(superblock), superblock, model);
  EXPECT_TRUE(outcome.clients.ok());
  EXPECT_GT(outcome.counters.buckets_reused, 32u);
  EXPECT_GT(outcome.checkpoint_requests, 0u);
  Session last{.cores = 1, .seed = 78};
  EXPECT_TRUE(run_once(last, outcome.image, superblock, model).clients.ok());
}

TEST(Journal, device_errors_acknowledge_nothing) {
  const Superblock superblock = small_filesystem();
  const Image fresh = formatted(superblock);
  for (u64 seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Model model;
    Session session{.cores = 2, .seed = seed};
    session.load.operations = 15;
    (seed % 2 == 0 ? session.faults.write_error_at : session.faults.flush_error_at) = 1 + seed % 5;
    const Outcome outcome = run_once(session, fresh, superblock, model);
    ASSERT_FALSE(outcome.clients.ok());
    const Code code = outcome.clients.error().code;
    EXPECT_TRUE(code == Code::device_io_failed || code == Code::journal_failed) << name(code);
    run_once({.cores = 2, .seed = seed + 100}, outcome.image, superblock, model);  // checks what was acknowledged
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::journal
