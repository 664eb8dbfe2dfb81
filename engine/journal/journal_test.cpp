// Whole histories in the simulator: several cores append, commit and operate across cores; the power goes at a random
// request; what is recovered must be exactly the history up to one epoch, with every acknowledged commit in it. Then
// the next session goes on from there.
#include "engine/journal/journal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
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
  u64 epochs = 0;  // that it took part in

  void epoch_sealed(Epoch epoch) override {
    EXPECT_LT(sealed, epoch);
    ++epochs;
    sealed = epoch;
    if (wanted > checkpointed && checkpointing.value == 0) checkpointing = epoch;
  }
  void epoch_durable(Epoch epoch) override {
    EXPECT_LT(durable, epoch);
    for (const Written& record : model->records) {
      const bool left_in_time = record.owner != index || record.epoch > epoch || record.epoch <= sealed;
      EXPECT_TRUE(left_in_time);
    }
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
  constexpr u64 bytes = record_bytes(100);
  const Status room = co_await here.stream->reserve(bytes);
  if (!room.ok()) co_return room;
  auto reserve = on(there.stream->core(), [&there] { return there.stream->reserve(bytes); });
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

Task<void> run_client(TestCore& core, std::vector<std::unique_ptr<TestCore>>& cores, Load load, u64 seed,
                      Status& result) {
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
  u64 clients = 3;     // for each core
  u64 idle_cores = 0;  // the last ones: without clients, partners at most
  device::SimFaults faults = {};
  bool keeps_everything = false;
  bool single_flush = false;
};

struct Outcome {
  Status clients;
  Image image;  // after a power cut, or as it was left
  JournalCounters counters;
  u64 checkpoint_requests = 0;
  std::vector<u64> epochs;  // by core
};

Task<void> run_session(const Session& session, SimDevice& device, const Superblock& superblock, Model& model,
                       Outcome& outcome) {
  Result<History> history = co_await read_history(device, superblock);
  EXPECT_TRUE(history.ok()) << to_text(history.error());
  if (!history.ok()) co_return;
  co_await check(*history, device, model);
  std::erase_if(model.records, [&](const Written& record) { return record.epoch > history->last; });
  const Status retired = co_await retire(*history, device);
  EXPECT_TRUE(retired.ok());

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
  const JournalOptions options{.single_flush = session.single_flush};
  Journal journal(devices, *history, hooks, options);
  const Status started = journal.start();
  EXPECT_TRUE(started.ok()) << to_text(started.error());
  if (!started.ok()) co_return;
  for (auto& core : cores) core->stream = &journal.stream(static_cast<CoreIndex>(core->index));
  device.set_faults(session.faults);

  runtime::Gate gate;
  for (u64 n = 0; n < session.clients * session.cores; ++n)
    gate.spawn(run_client(*cores[n % (cores.size() - session.idle_cores)], cores, session.load, session.seed * 1000 + n, outcome.clients));
  co_await gate.drained();
  co_await journal.stop();
  outcome.counters = journal.counters();
  for (const auto& core : cores) {
    outcome.checkpoint_requests += core->requests;
    outcome.epochs.push_back(core->epochs);
  }
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
      session.single_flush = random.one_in(2);
      session.idle_cores = random.below(session.cores);
      session.load.operations = 15;
      session.load.commit_one_in = 1 + random.below(6);
      session.faults.power_cut_at = 1 + random.below(150);
      image = run_once(session, image, superblock, model).image;
    }
    if (HasFailure()) return;
  }
}

// Each commit woke every core, with one client as with many.
TEST(Journal, a_core_without_work_is_not_asked) {
  const Superblock superblock = small_filesystem();
  Model model;
  Session session{.cores = 3, .seed = 11, .idle_cores = 1};
  session.load = {.operations = 200, .value_bytes_max = 100, .commit_one_in = 2, .pair_one_in = ~0ull};
  const Outcome outcome = run_once(session, formatted(superblock), superblock, model);
  EXPECT_TRUE(outcome.clients.ok());
  EXPECT_GT(outcome.counters.commits, 50u);
  EXPECT_GT(outcome.epochs[0], 50u);
  EXPECT_LE(outcome.epochs[2], 2u) << "the first epoch of a session, and what says that nothing is needed";
  EXPECT_TRUE(run_once({.cores = 2, .seed = 12}, outcome.image, superblock, model).clients.ok());
}

TEST(Journal, a_tiny_journal_is_reused_for_ever) {
  const Superblock superblock = small_filesystem();  // 8 MiB of journal
  Model model;
  Session session{.cores = 2, .seed = 77};
  session.load = {
      .operations = 1500, .records_max = 8, .value_bytes_max = 2000, .commit_one_in = 50, .pair_one_in = 50};
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

TEST(Journal, power_cuts_while_buckets_are_reused) {
  const Superblock superblock = small_filesystem();
  const Image fresh = formatted(superblock);
  for (u64 seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Model model;
    Image image = fresh;
    for (u64 round = 0; round < 2; ++round) {
      Session session{.cores = static_cast<u16>(1 + random.below(3)), .seed = seed * 10 + round, .clients = 8};
      session.load = {
          .operations = 400, .records_max = 8, .value_bytes_max = 2000, .commit_one_in = 20, .pair_one_in = 20};
      session.faults.power_cut_at = 100 + random.below(1200);
      image = run_once(session, image, superblock, model).image;
    }
    run_once({.cores = 1, .seed = seed, .load = {.operations = 1}}, image, superblock, model);
    if (HasFailure()) return;
  }
}

// A plain function as a task, so that a simulated core can run it.
template <typename Function>
auto task_of(Function function) -> Task<std::invoke_result_t<Function&>> {
  co_return function();
}

Task<void> wait(u64 nanoseconds) { co_await runtime::sleep_until(runtime::this_reactor().now_ns() + nanoseconds); }

// A journal on one core with a TestCore, for tests that go step by step.
struct Fixture {
  SimCores cores{{.cores = 1, .seed = 3}};
  Superblock superblock = small_filesystem();
  SimDevice device;
  Model model;
  TestCore core;
  std::optional<History> history;
  std::unique_ptr<Journal> journal;

  explicit Fixture(const Image& image = {})
      : device(image.size() != 0 ? image : formatted(small_filesystem()), {.seed = 3}) {
    core.model = &model;
    Result<History> read = cores.run(0, read_history(device, superblock));
    EXPECT_TRUE(read.ok());
    history = std::move(*read);
    core.checkpointed = Epoch{history->oldest_needed.value - 1};
    journal = std::make_unique<Journal>(std::vector<device::Device*>{&device}, *history,
                                        std::vector<CoreHooks>{{&core, &core}});
    core.stream = &journal->stream(0);
    EXPECT_TRUE(cores.run(0, task_of([this] { return journal->start(); })).ok());
  }
  ~Fixture() {
    cores.run(0, journal->stop());
    journal.reset();
  }
  bool try_append(u64 value_bytes, Urgency urgency) {
    return cores.run(0, task_of([&] {
                       const bool reserved = core.stream->try_reserve(record_bytes(value_bytes), urgency);
                       if (reserved) core.append(value_bytes);
                       return reserved;
                     }));
  }
  void append(u64 value_bytes) { EXPECT_TRUE(try_append(value_bytes, Urgency::normal)); }
  Task<void> append_reserved() {
    core.append(2000);
    co_return;
  }
  // Until there is no room; nothing is given back meanwhile.
  void fill() {
    core.keeps_everything = true;
    while (try_append(2000, Urgency::normal)) cores.run(0, wait(1'000'000));
  }
  Status commit() { return cores.run(0, core.stream->commit(core.stream->current())); }
};

TEST(Journal, epochs_with_records_close_by_themselves_and_others_do_not) {
  Fixture f;
  const Epoch first = f.core.stream->current();
  f.cores.run(0, wait(5'000'000'000));
  EXPECT_EQ(f.journal->counters().commits, 0u);
  f.append(100);
  f.cores.run(0, wait(900'000'000));
  EXPECT_LT(f.core.stream->durable(), first);
  f.cores.run(0, wait(200'000'000));
  EXPECT_EQ(f.core.stream->durable(), first);
  f.cores.run(0, wait(5'000'000'000));
  EXPECT_EQ(f.journal->counters().commits, 1u);
}

// Data may have been overwritten in place: a commit without records is a promise all the same.
TEST(Journal, a_commit_without_records_flushes_the_device) {
  Fixture f;
  EXPECT_TRUE(f.commit().ok());
  f.device.set_faults({.flush_error_at = 1});
  const Status status = f.commit();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::device_io_failed);
  EXPECT_EQ(f.commit().error().code, Code::journal_failed);
  EXPECT_FALSE(f.try_append(10, Urgency::reclaim));
  EXPECT_EQ(f.cores.run(0, f.core.stream->reserve(10)).error().code, Code::journal_failed);
}

TEST(Journal, concurrent_commits_share_closes) {
  Fixture f;
  f.append(10);
  u64 answered = 0;
  for (int i = 0; i < 50; ++i) {
    f.cores.spawn_on(0, [&f, &answered]() -> Task<void> {
      return [](Fixture& fixture, u64& count) -> Task<void> {
        const Status status = co_await fixture.core.stream->commit(fixture.core.stream->current());
        EXPECT_TRUE(status.ok());
        ++count;
      }(f, answered);
    });
  }
  f.cores.settle();
  EXPECT_EQ(answered, 50u);
  EXPECT_LE(f.journal->counters().commits, 2u);
}

TEST(Journal, a_full_journal_keeps_room_for_reclaim) {
  Fixture f;
  f.fill();
  EXPECT_GT(f.core.requests, 0u);
  EXPECT_GT(f.journal->buckets_free(), 0u);
  EXPECT_FALSE(f.try_append(2000, Urgency::normal));
  for (int i = 0; i < 350; ++i) {  // more than one bucket's worth
    ASSERT_TRUE(f.cores.run(0, f.core.stream->reserve(record_bytes(2000), Urgency::reclaim)).ok());
    f.cores.run(0, f.append_reserved());
  }
  EXPECT_TRUE(f.commit().ok());
  // Once somebody checkpoints, everybody goes on.
  f.core.keeps_everything = false;
  EXPECT_TRUE(f.cores.run(0, f.core.stream->reserve(record_bytes(2000))).ok());
}

// Each small epoch takes a block. When they had eaten all that was kept back, the next entry had no place; its epoch could not
// close, and so no bucket ever became free.
TEST(Journal, small_epochs_find_a_place_in_a_full_journal) {
  Fixture f;
  f.fill();
  constexpr u64 epochs = 100;
  ASSERT_TRUE(f.cores.run(0, f.core.stream->reserve(epochs * record_bytes(10), Urgency::reclaim)).ok());
  for (u64 i = 0; i < epochs; ++i) {
    f.cores.run(0, task_of([&f] { f.core.append(10); }));
    ASSERT_TRUE(f.commit().ok());
  }
  EXPECT_GT(f.journal->buckets_free(), 0u);
}

// It was given the bucket before it waited for it, and nobody woke it. No write may be under way that wakes it as it ends.
TEST(Journal, who_waits_for_the_last_bucket_goes_on) {
  Fixture f;
  f.fill();
  constexpr u64 epochs = 200;
  ASSERT_TRUE(f.cores.run(0, f.core.stream->reserve(epochs * record_bytes(10), Urgency::reclaim)).ok());
  while (f.journal->buckets_free() > 1) {
    f.cores.run(0, task_of([&f] { f.core.append(10); }));
    ASSERT_TRUE(f.commit().ok());
  }
  while (f.journal->buckets_free() > 0) {
    ASSERT_TRUE(f.cores.run(0, f.core.stream->reserve(record_bytes(2000), Urgency::reclaim)).ok());
    f.cores.run(0, f.append_reserved());
    ASSERT_TRUE(f.commit().ok());
  }
}

TEST(Journal, large_epochs_are_written_before_they_close) {
  Fixture f;
  for (u64 bytes = 0; bytes < mib; bytes += 2000) f.append(2000);
  EXPECT_GE(f.core.stream->counters().entries, 3u);
  EXPECT_EQ(f.journal->counters().commits, 0u);
  EXPECT_TRUE(f.commit().ok());
}

Image three_epochs() {
  Fixture f;
  for (int epoch = 0; epoch < 3; ++epoch) {
    f.append(500);
    EXPECT_TRUE(f.commit().ok());
  }
  return f.device.image();
}

Result<History> recover(const Image& image) {
  SimCores cores({.cores = 1, .seed = 1});
  SimDevice device(image, {.seed = 1});
  return cores.run(0, read_history(device, small_filesystem()));
}

u64 offset_of(const HistoryEntry& entry) { return format::Address{entry.pointer.address}.offset_bytes(); }

// Every single byte of the newest entry, and some of an older one.
TEST(Recovery, a_damaged_entry_is_an_error_never_a_shorter_history) {
  const Image image = three_epochs();
  const Result<History> whole = recover(image);
  ASSERT_TRUE(whole.ok());
  ASSERT_EQ(whole->entries.size(), 3u);
  for (std::size_t entry : {0u, 2u}) {
    for (u64 byte = 0; byte < whole->entries[entry].pointer.bytes; byte += 3) {
      Image damaged = image;
      damaged.flip_bit(offset_of(whole->entries[entry]) + byte, byte % 8);
      const Result<History> broken = recover(damaged);
      ASSERT_FALSE(broken.ok()) << byte;
      EXPECT_EQ(broken.error().code, Code::journal_chain_broken);
      EXPECT_EQ(broken.error().place.offset_bytes, offset_of(whole->entries[entry]));
    }
  }
}

// A commit block in one sector cannot be torn: when the newest one is damaged, the one before it is not the newest state.
TEST(Recovery, a_damaged_newest_commit_is_an_error_and_an_older_one_is_not) {
  const Image image = three_epochs();
  const Result<History> whole = recover(image);
  ASSERT_TRUE(whole.ok());
  const auto place_of = [](Epoch epoch) {
    const u64 slot = epoch.value % format::commit_slots;
    return (small_filesystem().commit_ring_block + slot * format::commit_slot_blocks) * block_bytes;
  };
  const u64 bytes = sizeof(format::CommitBlock) + sizeof(format::EntryPointer);
  for (u64 byte = 0; byte < bytes; ++byte) {
    Image damaged = image;
    damaged.flip_bit(place_of(whole->last) + byte, byte % 8);
    const Result<History> broken = recover(damaged);
    ASSERT_FALSE(broken.ok()) << byte;
    EXPECT_EQ(broken.error().code, Code::journal_commit_damaged);
    EXPECT_EQ(broken.error().place.offset_bytes, place_of(whole->last));
    Image older = image;
    older.flip_bit(place_of(whole->entries[1].epoch()) + byte, byte % 8);
    const Result<History> same = recover(older);
    ASSERT_TRUE(same.ok()) << byte;
    EXPECT_EQ(same->last, whole->last);
  }
}

TEST(Recovery, without_a_commit_block_there_is_no_history) {
  Image image = three_epochs();
  const Superblock superblock = small_filesystem();
  const std::vector<std::byte> zeros(format::commit_slots * format::commit_slot_blocks * block_bytes);
  image.write(superblock.commit_ring_block * block_bytes, zeros);
  EXPECT_EQ(recover(image).error().code, Code::journal_no_commit);
}

// A crash can leave every bucket in use but the kept ones: the next mount must start all the same, on any number of
// cores.
TEST(Recovery, a_full_journal_starts_and_is_emptied) {
  Image image;
  Model model;
  {
    Fixture f;
    f.fill();
    EXPECT_TRUE(f.commit().ok());
    image = f.device.image();
    model = f.model;
  }
  const Result<History> history = recover(image);
  ASSERT_TRUE(history.ok());
  EXPECT_NE(to_text(*history).find("entries in 1 chains"), std::string::npos);
  Session session{.cores = 5, .seed = 4};
  session.load = {.operations = 100, .records_max = 8, .value_bytes_max = 2000, .commit_one_in = 50, .pair_one_in = 50};
  const Outcome outcome = run_once(session, image, small_filesystem(), model);
  EXPECT_TRUE(outcome.clients.ok());
  EXPECT_GT(outcome.counters.buckets_reused, 10u);
}

TEST(Journal, too_many_cores_for_a_tiny_journal_are_refused) {
  const Superblock superblock = small_filesystem();
  SimCores cores({.cores = 8, .seed = 1});
  SimDevice device(formatted(superblock), {.seed = 1});
  const Result<History> history = cores.run(0, read_history(device, superblock));
  ASSERT_TRUE(history.ok());
  std::vector<TestCore> hooks(8);
  std::vector<CoreHooks> pairs;
  for (TestCore& core : hooks) pairs.push_back({&core, &core});
  Journal journal({&device}, *history, pairs);
  EXPECT_EQ(cores.run(0, task_of([&] { return journal.start(); })).error().code, Code::journal_too_small);
}

}  // namespace
}  // namespace cowfs::journal
