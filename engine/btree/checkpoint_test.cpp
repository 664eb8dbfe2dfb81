#include <gtest/gtest.h>

#include <array>
#include <coroutine>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/btree/tree.h"
#include "engine/codec/crc32c.h"
#include "engine/format/values.h"

namespace cowfs::btree {
namespace {

constexpr format::NodeIdentity identity{.filesystem = 0x1234, .slice = 5, .tree = format::TreeId::extents};
using Model = std::map<Key, std::string>;

ByteSpan bytes(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string text(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// Runs a task now, up to where it first waits.
template <typename T>
class Started {
 public:
  explicit Started(runtime::Task<T> task) : task_(std::move(task)) { run(*this); }
  bool done() const { return result_.has_value(); }
  T& result() { return *result_; }

 private:
  struct Detached {
    struct promise_type {
      Detached get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }
    };
  };
  static Detached run(Started& self) { self.result_.emplace(co_await self.task_); }

  runtime::Task<T> task_;
  std::optional<T> result_;
};

// Keeps images in memory and knows which are in use. While `pausing`, every read and write waits for resume_one().
class MemoryStore : public NodeStore {
 public:
  struct Pause {
    MemoryStore& store;
    bool await_ready() const noexcept { return !store.pausing; }
    void await_suspend(std::coroutine_handle<> self) { store.paused.push_back(self); }
    void await_resume() const noexcept {}
  };

  runtime::Task<Status> read(NodePointer pointer, MutableByteSpan image) override {
    ++reads;
    co_await Pause{*this};
    const auto found = images.find(pointer.address);
    if (found == images.end()) co_return Error{Code::device_io_failed, pointer.address};
    assert(image.size() == found->second.size());
    std::memcpy(image.data(), found->second.data(), image.size());
    co_return Status{};
  }
  format::Address allocate(u64 blocks) override {
    next_block += blocks;
    in_use.insert(next_block - blocks);
    return {next_block - blocks};
  }
  runtime::Task<Status> write(format::Address address, ByteSpan image) override {
    co_await Pause{*this};
    if (writes_until_error > 0 && --writes_until_error == 0) co_return Error{Code::device_io_failed, address.value};
    ++writes;
    images[address.value] = text(image);
    co_return Status{};
  }
  void release(const NodePointer& pointer) override {
    EXPECT_EQ(in_use.erase(pointer.address), 1u) << "released twice: " << pointer.address;
    images.erase(pointer.address);
  }
  void resume_one() {
    const auto handle = paused.front();
    paused.erase(paused.begin());
    handle.resume();
  }

  std::map<u64, std::string> images;  // by address
  std::set<u64> in_use;
  std::vector<std::coroutine_handle<>> paused;
  u64 next_block = 1;
  u64 reads = 0;
  u64 writes = 0;
  u64 writes_until_error = 0;
  bool pausing = false;
};

// A checkpoint to a store that buffers nothing.
runtime::Task<Result<Root>> write_all(Tree& tree, Frozen frozen, NodeStore& store, Epoch epoch) {
  const Result<Root> root = co_await tree.write(frozen, store, epoch);
  tree.settle(std::move(frozen), root.ok());
  co_return root;
}

class Collector : public NodeVisitor {
 public:
  Status visit(const NodePointer& pointer, const NodeHeader& header, ByteSpan) override {
    seen.insert(pointer.address);
    if (header.level == 0) keys += header.count;
    return {};
  }
  void damaged(const NodePointer&, const SlotRange&, const Error& error) override { errors.push_back(error); }

  std::set<u64> seen;
  u64 keys = 0;
  std::vector<Error> errors;
};

std::string value_of(u64 bytes_max, Random& random) {
  const std::string content(1 + random.below(bytes_max), static_cast<char>('a' + random.below(26)));
  return text(format::ExtentValue::inline_data(bytes(content)).bytes());
}

void load(Tree& tree, MemoryStore& store, const Missing& missing) {
  Started<Status> loading(tree.load(store, missing));
  ASSERT_TRUE(loading.done());
  ASSERT_TRUE(loading.result().ok()) << to_text(loading.result().error());
}

Model contents(Tree& tree, MemoryStore& store) {
  Model result;
  Cursor at = tree.seek(format::key_min);
  for (;;) {
    if (at.valid()) {
      result[at.key()] = text(at.value());
      at.next();
    } else if (at.state() == Cursor::State::missing) {
      const Key resume = at.resume_key();
      load(tree, store, at.missing());
      if (testing::Test::HasFatalFailure()) return result;
      at = tree.seek(resume);
    } else {
      return result;
    }
  }
}

Model contents_backwards(Tree& tree, MemoryStore& store) {
  Model result;
  Cursor at = tree.seek_before(format::key_max);
  for (;;) {
    if (at.valid()) {
      result[at.key()] = text(at.value());
      at.previous();
    } else if (at.state() == Cursor::State::missing) {
      const Key resume = at.resume_key();
      load(tree, store, at.missing());
      if (testing::Test::HasFatalFailure()) return result;
      at = tree.seek_before(resume);
    } else {
      return result;
    }
  }
}

class CheckpointTest : public testing::Test {
 protected:
  MemoryStore store;
  NodePool pool{Bytes{gib}};
  NodeCache cache{identity, pool};
  Tree tree{cache, identity.tree};
  Model model;
  Epoch epoch{1};

  void ready(const Key& key) {
    Missing missing;
    while (!tree.ready(key, missing)) {
      const bool pausing = std::exchange(store.pausing, false);
      load(tree, store, missing);
      store.pausing = pausing;
      ASSERT_FALSE(HasFatalFailure());
    }
  }
  void change(Random& random, u64 keys, u64 erase_in_ten, u64 value_bytes_max) {
    const Key key{1 + random.below(3), random.below(keys), format::snapshot_live};
    ready(key);
    if (random.below(10) < erase_in_ten) {
      EXPECT_EQ(tree.erase(key), model.erase(key) == 1);
      return;
    }
    const std::string value = value_of(value_bytes_max, random);
    tree.upsert(key, bytes(value));
    model[key] = value;
  }
  Result<Root> checkpoint() {
    epoch.value += 1;
    Started<Result<Root>> writing(write_all(tree, tree.freeze(), store, epoch));
    EXPECT_TRUE(writing.done());
    return writing.result();
  }
  Root checkpoint_ok() {
    const Result<Root> root = checkpoint();
    EXPECT_TRUE(root.ok());
    return *root;
  }
  // What is on the medium below `root` is `expected`, and nothing else takes space.
  void expect_on_medium(const Root& root, const Model& expected) {
    NodeCache other_cache(identity, pool);
    Tree other(other_cache, identity.tree);
    other.open(root);
    EXPECT_TRUE(contents(other, store) == expected);
    other.check_invariants();

    Collector collector;
    Started<Status> walking(walk(store, identity, root, collector));
    ASSERT_TRUE(walking.done());
    EXPECT_TRUE(walking.result().ok());
    EXPECT_TRUE(collector.errors.empty()) << to_text(collector.errors.front());
    EXPECT_EQ(collector.seen, store.in_use);
    EXPECT_EQ(collector.keys, expected.size());
  }
};

TEST_F(CheckpointTest, EmptyTreeNeedsNothing) {
  EXPECT_EQ(tree.dirty_blocks_bound(), 0u);
  EXPECT_FALSE(checkpoint_ok().pointer.present());
  tree.upsert({1, 2, 3}, bytes(std::string("x")));
  EXPECT_TRUE(checkpoint_ok().pointer.present());
  EXPECT_TRUE(tree.erase({1, 2, 3}));
  EXPECT_FALSE(checkpoint_ok().pointer.present());
  EXPECT_TRUE(store.in_use.empty());
}

TEST_F(CheckpointTest, CleanTreeIsNotWrittenAgain) {
  Random random(1);
  for (int step = 0; step < 5'000; ++step) change(random, 100'000, 0, 100);
  const Root first = checkpoint_ok();
  const u64 writes = store.writes;
  const Root second = checkpoint_ok();
  EXPECT_EQ(store.writes, writes);
  EXPECT_EQ(std::memcmp(&first.pointer, &second.pointer, sizeof first.pointer), 0);
  change(random, 100'000, 0, 100);
  EXPECT_LE(tree.dirty_nodes(), tree.level() + 2u);
  EXPECT_EQ(cache.dirty_nodes(), tree.dirty_nodes());
  const u64 bound = tree.dirty_blocks_bound();
  const u64 blocks = store.next_block;
  expect_on_medium(checkpoint_ok(), model);
  EXPECT_LE(store.next_block - blocks, bound);
}

// Changes go on between any two writes of a checkpoint, which must not see them.
TEST_F(CheckpointTest, WritesTheTreeAsItWasAtFreeze) {
  const u64 seed = 42;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  for (u64 round = 0; round < 40; ++round) {
    const u64 keys = round % 3 == 0 ? 300 : 20'000;
    const u64 value_bytes_max = round % 2 == 0 ? 40 : format::inline_bytes_max;
    const u64 erase_in_ten = round % 8 < 5 ? 3 : 9;
    for (u64 step = random.below(1'500); step > 0; --step) change(random, keys, erase_in_ten, value_bytes_max);
    const Model frozen_model = model;
    epoch.value += 1;
    store.pausing = true;
    Frozen frozen = tree.freeze();
    Started<Result<Root>> writing(write_all(tree, std::move(frozen), store, epoch));
    const u64 changes_a_write = random.below(60);
    while (!writing.done()) {
      for (u64 step = 0; step < changes_a_write; ++step) change(random, keys, erase_in_ten, value_bytes_max);
      if (random.one_in(50)) tree.check_invariants();
      store.resume_one();
    }
    store.pausing = false;
    ASSERT_TRUE(writing.result().ok());
    tree.check_invariants();
    ASSERT_NO_FATAL_FAILURE(expect_on_medium(*writing.result(), frozen_model));
    ASSERT_TRUE(contents(tree, store) == model);
    ASSERT_EQ(cache.dirty_nodes(), tree.dirty_nodes());
    if (round % 4 == 3) {
      pool.set_budget({0});
      pool.evict();
      tree.check_invariants();
    }
  }
  while (!model.empty()) {
    const Key key = model.begin()->first;
    ready(key);
    ASSERT_TRUE(tree.erase(key));
    model.erase(key);
  }
  expect_on_medium(checkpoint_ok(), {});
  EXPECT_TRUE(store.in_use.empty());
  EXPECT_EQ(cache.resident_nodes(), 0u);
}

TEST_F(CheckpointTest, WriteErrorsLoseNothing) {
  const u64 seed = 43;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  Root durable;
  Model durable_model;
  u64 failed = 0;
  for (u64 round = 0; round < 80; ++round) {
    const u64 erase_in_ten = round % 6 < 4 ? 3 : 9;
    for (u64 step = random.below(600); step > 0; --step) change(random, 4'000, erase_in_ten, 800);
    const Model frozen_model = model;
    epoch.value += 1;
    store.pausing = true;
    store.writes_until_error = random.one_in(2) ? 1 + random.below(tree.dirty_nodes() + 1) : 0;
    Started<Result<Root>> writing(write_all(tree, tree.freeze(), store, epoch));
    while (!writing.done()) {
      for (u64 step = random.below(30); step > 0; --step) change(random, 4'000, erase_in_ten, 800);
      store.resume_one();
    }
    store.pausing = false;
    store.writes_until_error = 0;
    tree.check_invariants();
    ASSERT_EQ(cache.dirty_nodes(), tree.dirty_nodes());
    if (writing.result().ok()) {
      durable = *writing.result();
      durable_model = frozen_model;
      ASSERT_NO_FATAL_FAILURE(expect_on_medium(durable, durable_model));
    } else {
      ++failed;
      EXPECT_EQ(writing.result().error().code, Code::device_io_failed);
      NodeCache other_cache(identity, pool);
      Tree other(other_cache, identity.tree);
      other.open(durable);
      ASSERT_TRUE(contents(other, store) == durable_model) << "the last checkpoint was damaged";
    }
    ASSERT_TRUE(contents(tree, store) == model);
  }
  EXPECT_GT(failed, 15u);
  expect_on_medium(checkpoint_ok(), model);
}

TEST_F(CheckpointTest, ThawedTreeIsWrittenLater) {
  Random random(3);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 2, 100);
  tree.settle(tree.freeze(), false);
  tree.check_invariants();
  expect_on_medium(checkpoint_ok(), model);
}

// The store buffered nodes of which the device then took nothing. They counted as written: they went from memory and were read
// from where nothing had been written, and the next checkpoint named them.
TEST_F(CheckpointTest, WhatTheStoreLostStaysAndIsWrittenAgain) {
  Random random(4);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 2, 100);
  checkpoint_ok();
  for (int round = 0; round < 10; ++round) {
    for (int step = 0; step < 300; ++step) change(random, 10'000, 5, 100);
    const u64 first_lost = store.next_block;
    Frozen frozen = tree.freeze();
    epoch.value += 1;
    Started<Result<Root>> writing(tree.write(frozen, store, epoch));
    ASSERT_TRUE(writing.done() && writing.result().ok());
    pool.evict_all();
    for (int step = 0; step < 300; ++step) change(random, 10'000, 5, 100);
    tree.settle(std::move(frozen), false);
    std::erase_if(store.images, [&](const auto& image) { return image.first >= first_lost; });
    pool.evict_all();
    tree.check_invariants();
    ASSERT_TRUE(contents(tree, store) == model);
    ASSERT_NO_FATAL_FAILURE(expect_on_medium(checkpoint_ok(), model));
  }
}

TEST_F(CheckpointTest, TreeMayGoInTheMiddleOfACheckpoint) {
  Random random(5);
  {
    Tree doomed(cache, identity.tree);
    const auto put = [&](u64 offset) { doomed.upsert({1, offset, 0}, bytes(value_of(500, random))); };
    for (u64 offset = 0; offset < 3'000; ++offset) put(offset);
    const Frozen frozen = doomed.freeze();
    for (u64 offset = 0; offset < 2'000; ++offset) doomed.erase({1, offset, 0});
    for (u64 offset = 2'500; offset < 4'000; ++offset) put(offset);
  }
  EXPECT_EQ(cache.resident_nodes(), 0u);
  EXPECT_EQ(cache.dirty_nodes(), 0u);
}

// A tree that got its first key and lost it again took a node each time, and the running checkpoint kept them all: removing
// a million files during checkpoints took gigabytes.
TEST_F(CheckpointTest, NodesYoungerThanTheCheckpointGoAtOnce) {
  Random random(8);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 2, 100);
  Tree other(cache, format::TreeId::orphans);
  store.pausing = true;
  Started<Result<Root>> writing(write_all(tree, tree.freeze(), store, epoch));
  Frozen nothing = other.freeze();
  const u64 nodes = cache.resident_nodes();
  for (u64 round = 0; round < 100; ++round) {
    other.upsert({round, 0, 0}, {});
    EXPECT_TRUE(other.erase({round, 0, 0}));
  }
  EXPECT_EQ(cache.resident_nodes(), nodes);
  // Also where the tree is not empty: many leaves come and go behind the last key.
  const Key last = model.rbegin()->first;
  for (u64 round = 0; round < 20; ++round) {
    for (u64 i = 0; i < 200; ++i) tree.upsert({last.inode + 1, i, 0}, bytes(value_of(400, random)));
    for (u64 i = 0; i < 200; ++i) EXPECT_TRUE(tree.erase({last.inode + 1, i, 0}));
  }
  EXPECT_LE(cache.resident_nodes(), nodes + 10);
  other.settle(std::move(nothing), false);
  while (!writing.done()) store.resume_one();
  store.pausing = false;
  ASSERT_TRUE(writing.result().ok());
  tree.check_invariants();
  EXPECT_TRUE(contents(tree, store) == model);
  expect_on_medium(checkpoint_ok(), model);
}

TEST_F(CheckpointTest, SmallCacheWorksThroughALargeTree) {
  const u64 seed = 44;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  pool.set_budget({20 * format::node_bytes});
  for (u64 round = 0; round < 30; ++round) {
    for (u64 step = 0; step < 400; ++step) {
      change(random, 20'000, 3, 300);
      if (step % 16 == 0) pool.evict();
    }
    expect_on_medium(checkpoint_ok(), model);
    pool.evict();
    tree.check_invariants();
    EXPECT_FALSE(pool.is_over_budget());
  }
  EXPECT_GT(store.in_use.size(), 100u);
  EXPECT_TRUE(contents(tree, store) == model);
  pool.evict();
  EXPECT_TRUE(contents_backwards(tree, store) == model);
}

// The budget was divided evenly: a slice with a million names had an eighth of it, while the others needed nothing.
TEST_F(CheckpointTest, OneCacheMayUseWhatTheOthersLeave) {
  Random random(9);
  std::array<NodeCache, 7> others{{{identity, pool}, {identity, pool}, {identity, pool}, {identity, pool},
                                   {identity, pool}, {identity, pool}, {identity, pool}}};
  for (int step = 0; step < 20'000; ++step) change(random, 40'000, 0, 300);
  checkpoint_ok();
  const u64 nodes = cache.resident_nodes();
  pool.set_budget({(nodes + 10) * format::node_bytes});
  pool.evict();
  EXPECT_EQ(cache.resident_nodes(), nodes);

  // When another one grows, the large one makes room; what the other one has, it keeps.
  Tree small(others[0], identity.tree);
  const u64 even_part = nodes / 8;
  for (u64 key = 0; others[0].resident_nodes() < even_part; ++key) {
    small.upsert({1, key, 0}, bytes(value_of(300, random)));
  }
  epoch.value += 1;
  Started<Result<Root>> writing(write_all(small, small.freeze(), store, epoch));
  ASSERT_TRUE(writing.done());
  pool.evict();
  EXPECT_FALSE(pool.is_over_budget());
  EXPECT_EQ(others[0].resident_nodes(), even_part);
  EXPECT_EQ(cache.resident_nodes(), nodes + 10 - even_part);
}

// Reading alone never made a node go: memory grew until the next checkpoint, which a filesystem that is only read never has.
TEST_F(CheckpointTest, ReadingStaysWithinTheBudget) {
  Random random(10);
  for (int step = 0; step < 20'000; ++step) change(random, 40'000, 0, 300);
  checkpoint_ok();
  constexpr u64 budget = 128;
  ASSERT_GT(cache.resident_nodes(), 2 * budget);
  pool.set_budget({budget * format::node_bytes});
  pool.evict();
  u64 nodes_max = 0;
  for (int step = 0; step < 20'000; ++step) {
    const Key key{1 + random.below(3), random.below(40'000), format::snapshot_live};
    Missing missing;
    while (!tree.ready(key, missing)) {
      pool.make_room();
      load(tree, store, missing);
    }
    nodes_max = std::max(nodes_max, cache.resident_nodes());
  }
  EXPECT_LE(nodes_max, budget + budget / 8);  // the clock looks at few for each
  EXPECT_TRUE(contents(tree, store) == model);
}

// Each node that came in sent away what had been loaded before it, so whoever needed several at once loaded for ever.
TEST_F(CheckpointTest, WhatWasLoadedStaysWhileItIsHeld) {
  Random random(11);
  for (int step = 0; step < 20'000; ++step) change(random, 40'000, 0, 300);
  checkpoint_ok();
  pool.set_budget({0});
  pool.evict();
  ASSERT_EQ(cache.resident_nodes(), 0u);

  const auto bring = [&](const Key& key, NodesHeld& held) {
    Missing missing;
    while (!tree.ready(key, missing)) {
      held.begin(pool);
      pool.make_room();
      load(tree, store, missing);
    }
  };
  const auto is_ready = [&](const Key& key) {
    Missing missing;
    return tree.ready(key, missing);
  };
  const Key low{1, 0, 0};
  const Key high{3, 39'000, 0};
  {
    NodesHeld first;
    bring(low, first);
    NodesHeld second;
    bring(high, second);
    pool.evict();
    EXPECT_TRUE(is_ready(low));
    EXPECT_TRUE(is_ready(high));
    first.release();
    // The second began later: what only the first used may go, but not what it used itself since.
    for (u64 key = 0; key < 40'000; key += 100) bring({2, key, 0}, second);
    EXPECT_TRUE(is_ready(high));
    EXPECT_GT(cache.resident_nodes(), 40u);
  }
  pool.evict();
  EXPECT_EQ(cache.resident_nodes(), 0u);
  tree.check_invariants();
}

// The last key of a leaf went, and with it the leaf; its neighbour, which was not in memory, had its range. The next key of
// the same transaction, for which everything had been ready, found no leaf.
TEST_F(CheckpointTest, WhatIsReadyStaysReadyWhenItsLeafBecomesEmpty) {
  Random random(12);
  for (int step = 0; step < 5'000; ++step) change(random, 5'000, 0, 500);
  checkpoint_ok();
  for (const bool upsert_again : {true, false}) {
    for (const Key wanted : {Key{1, 0, format::snapshot_live}, Key{2, 2'500, format::snapshot_live}}) {
      pool.set_budget({0});
      pool.evict();
      ready(wanted);
      std::vector<Key> keys;
      for (const auto& [key, value] : model) {
        Missing missing;
        if (tree.ready(key, missing)) keys.push_back(key);
      }
      ASSERT_FALSE(keys.empty());
      ASSERT_LT(keys.size(), 200u);
      for (const Key& key : keys) {
        EXPECT_TRUE(tree.erase(key));
        model.erase(key);
        tree.check_invariants();
      }
      Missing missing;
      EXPECT_TRUE(tree.ready(wanted, missing));
      NodesHeld held;
      held.begin(pool);
      EXPECT_TRUE(tree.ready(keys.front(), missing));
      EXPECT_FALSE(tree.can_freeze());
      held.release();
      if (upsert_again) {
        const std::string value = value_of(100, random);
        tree.upsert(keys.front(), bytes(value));
        model[keys.front()] = value;
      }
      EXPECT_TRUE(tree.can_freeze());
      expect_on_medium(checkpoint_ok(), model);
      tree.check_invariants();
      EXPECT_TRUE(contents(tree, store) == model);
    }
  }
}

TEST_F(CheckpointTest, NodeOfTheMediumIsMissingUntilLoaded) {
  Random random(4);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 100);
  const Root root = checkpoint_ok();
  NodeCache other_cache(identity, pool);
  Tree other(other_cache, identity.tree);
  other.open(root);
  EXPECT_FALSE(other.empty());
  const Key key = model.rbegin()->first;
  for (u8 level = root.level;; --level) {
    const Lookup lookup = other.find(key);
    ASSERT_EQ(lookup.state, Lookup::State::missing);
    EXPECT_EQ(lookup.missing.level, level);
    EXPECT_EQ(other.seek(key).state(), Cursor::State::missing);
    load(other, store, lookup.missing);
    if (level == 0) break;
  }
  EXPECT_TRUE(other.find(key).found());
  const u64 reads = store.reads;
  load(other, store, Missing{key, 0, true});
  EXPECT_EQ(store.reads, reads) << "a resident node was read again";
}

TEST_F(CheckpointTest, ConcurrentLoadsOfOneNode) {
  Random random(6);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 100);
  const Root root = checkpoint_ok();
  NodeCache other_cache(identity, pool);
  Tree other(other_cache, identity.tree);
  other.open(root);
  const Key key{1, 500, 0};
  store.pausing = true;
  for (u32 level = root.level + 1u; level-- > 0;) {
    const Missing missing = other.find(key).missing;
    Started<Status> first(other.load(store, missing));
    Started<Status> second(other.load(store, missing));
    while (!store.paused.empty()) store.resume_one();
    EXPECT_TRUE(first.result().ok());
    EXPECT_TRUE(second.result().ok());
    other.check_invariants();
  }
  EXPECT_EQ(other_cache.resident_nodes(), root.level + 1u);
}

// The node that a load wants is written elsewhere while it is being read, and its old place is gone.
TEST_F(CheckpointTest, LoadThatCameTooLateIsNotAnError) {
  Random random(7);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 100);
  checkpoint_ok();
  pool.set_budget({0});
  pool.evict();
  const Key key{1, 500, 0};
  Missing missing;
  while (!tree.ready(key, missing) && missing.level > 0) load(tree, store, missing);
  store.pausing = true;
  Started<Status> late(tree.load(store, missing));
  store.pausing = false;
  load(tree, store, missing);
  ASSERT_TRUE(tree.ready(key, missing));
  tree.upsert(key, bytes(value_of(10, random)));
  checkpoint_ok();
  pool.evict();
  store.resume_one();
  ASSERT_TRUE(late.done());
  EXPECT_TRUE(late.result().ok());
  tree.check_invariants();
}

TEST_F(CheckpointTest, EveryFlippedByteIsFound) {
  Random random(8);
  for (int step = 0; step < 2'000; ++step) change(random, 10'000, 0, 60);
  const Root root = checkpoint_ok();
  ASSERT_GE(root.level, 1u);
  for (const bool leaf : {false, true}) {
    NodeCache other_cache(identity, pool);
    Tree other(other_cache, identity.tree);
    other.open(root);
    Missing missing{model.begin()->first, root.level, true};
    u64 address = root.pointer.address;
    if (leaf) {
      for (; missing.level > 0; --missing.level) load(other, store, missing);
      std::string& image = store.images.at(address);
      const Slot& slot = *reinterpret_cast<const Slot*>(image.data() + sizeof(NodeHeader));
      NodePointer pointer;
      std::memcpy(&pointer, image.data() + slot.value_offset, sizeof pointer);
      address = pointer.address;
      ASSERT_EQ(root.level, 1u);
    }
    std::string& image = store.images.at(address);
    const u32 length = reinterpret_cast<const NodeHeader*>(image.data())->image_bytes;
    for (u32 at = 0; at < length; ++at) {
      image[at] ^= 0x10;
      Started<Status> loading(other.load(store, missing));
      ASSERT_FALSE(loading.result().ok()) << "byte " << at;
      const Error error = loading.result().error();
      EXPECT_EQ(error_class(error.code), ErrorClass::corrupt);
      EXPECT_EQ(error.place.slice, identity.slice);
      EXPECT_EQ(error.place.tree, static_cast<u32>(identity.tree));
      EXPECT_EQ(error.place.offset_bytes, address * block_bytes);
      image[at] ^= 0x10;
    }
    load(other, store, missing);
  }
}

TEST_F(CheckpointTest, ReadErrorSaysWhere) {
  Random random(9);
  for (int step = 0; step < 100; ++step) change(random, 10'000, 0, 60);
  const Root root = checkpoint_ok();
  store.images.clear();
  Tree other(cache, identity.tree);
  other.open(root);
  Started<Status> loading(other.load(store, other.find({0, 0, 0}).missing));
  ASSERT_FALSE(loading.result().ok());
  EXPECT_EQ(loading.result().error().code, Code::device_io_failed);
  EXPECT_EQ(loading.result().error().place.slice, identity.slice);
  EXPECT_EQ(loading.result().error().place.offset_bytes, root.pointer.address * block_bytes);
}

TEST_F(CheckpointTest, ImpossiblePointerIsNotRead) {
  for (const u32 image_bytes : {0u, 10u, 16'385u, ~0u}) {
    Root root;
    root.pointer.address = 77;
    root.pointer.epoch = 1;
    root.pointer.checksum = 0;
    root.pointer.image_bytes = image_bytes;
    Tree other(cache, identity.tree);
    other.open(root);
    Started<Status> loading(other.load(store, other.find({0, 0, 0}).missing));
    ASSERT_FALSE(loading.result().ok());
    EXPECT_EQ(loading.result().error().code, Code::btree_pointer_invalid);
  }
  EXPECT_EQ(store.reads, 0u);
}

// Two children in each other's place: every image is right by itself.
TEST_F(CheckpointTest, WalkAndLoadFindSwappedChildren) {
  Random random(10);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 60);
  Root root = checkpoint_ok();
  ASSERT_EQ(root.level, 1u);
  std::string& image = store.images.at(root.pointer.address);
  NodeHeader& header = *reinterpret_cast<NodeHeader*>(image.data());
  const Slot* slots = reinterpret_cast<const Slot*>(image.data() + sizeof header);
  ASSERT_GE(u32{header.count}, 4u);
  std::swap_ranges(image.data() + slots[1].value_offset, image.data() + slots[1].value_offset + sizeof(NodePointer),
                   image.data() + slots[2].value_offset);
  header.checksum = format::seal_checksum(bytes(image).first(header.image_bytes), header.checksum_kind);
  root.pointer.checksum = format::seal_mark(header.checksum);

  Collector collector;
  Started<Status> walking(walk(store, identity, root, collector));
  EXPECT_TRUE(walking.result().ok());
  ASSERT_EQ(collector.errors.size(), 2u);
  EXPECT_EQ(collector.errors[0].code, Code::btree_node_range_mismatch);
  EXPECT_EQ(collector.seen.size(), store.in_use.size() - 2);

  Tree other(cache, identity.tree);
  other.open(root);
  const Key key = slots[1].key();
  load(other, store, Missing{key, 1, true});
  Started<Status> loading(other.load(store, Missing{key, 0, true}));
  ASSERT_FALSE(loading.result().ok());
  EXPECT_EQ(loading.result().error().code, Code::btree_node_range_mismatch);
}

TEST_F(CheckpointTest, WalkGoesOnAfterADamagedNode) {
  Random random(11);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 60);
  const Root root = checkpoint_ok();
  for (auto& [address, image] : store.images) {
    if (address == root.pointer.address) continue;
    image[200] ^= 1;
    break;
  }
  Collector collector;
  Started<Status> walking(walk(store, identity, root, collector));
  EXPECT_EQ(collector.errors.size(), 1u);
  EXPECT_EQ(collector.seen.size(), store.in_use.size() - 1);

  Root absurd = root;
  absurd.level = 200;
  Collector other;
  Started<Status> walking_absurd(walk(store, identity, absurd, other));
  ASSERT_EQ(other.errors.size(), 1u);
  EXPECT_EQ(other.errors[0].code, Code::btree_level_invalid);
}

TEST_F(CheckpointTest, MarkedNodesMove) {
  Random random(12);
  for (int step = 0; step < 3'000; ++step) change(random, 10'000, 0, 60);
  checkpoint_ok();
  const std::set<u64> before = store.in_use;
  pool.set_budget({0});
  pool.evict();
  for (const u64 address : before) {
    const NodeHeader header = *reinterpret_cast<const NodeHeader*>(store.images.at(address).data());
    Missing missing;
    while (!tree.mark_dirty(header.first.key(), header.level, {address}, missing)) load(tree, store, missing);
  }
  expect_on_medium(checkpoint_ok(), model);
  for (const u64 address : before) EXPECT_FALSE(store.in_use.contains(address));
  Missing missing;
  EXPECT_TRUE(tree.mark_dirty({1, 2, 3}, 0, {1}, missing));
  EXPECT_EQ(tree.dirty_nodes(), 0u);
}

}  // namespace
}  // namespace cowfs::btree
