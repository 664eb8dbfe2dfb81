#include <gtest/gtest.h>

#include <map>
#include <string>

#include "engine/base/random.h"
#include "engine/btree/ahead.h"
#include "engine/btree/tree.h"

namespace cowfs::btree {
namespace {

using Model = std::map<Key, std::string>;

ByteSpan bytes(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string text(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

class TreeTest : public testing::Test {
 protected:
  NodePool pool{Bytes{gib}};
  NodeCache cache{{.filesystem = 7, .slice = 3}, pool};
  Tree tree{cache, format::TreeId::extents};
  Model model;

  void upsert(const Key& key, const std::string& value) {
    tree.upsert(key, bytes(value));
    model[key] = value;
  }
  void erase(Key key) { EXPECT_EQ(tree.erase(key), model.erase(key) == 1); }

  void expect_same() {
    tree.check_invariants();
    auto expected = model.begin();
    Cursor at = tree.seek(format::key_min);
    for (; at.valid(); at.next(), ++expected) {
      ASSERT_NE(expected, model.end());
      ASSERT_EQ(at.key(), expected->first);
      ASSERT_EQ(text(at.value()), expected->second);
    }
    EXPECT_EQ(at.state(), Cursor::State::end);
    EXPECT_EQ(expected, model.end());
    auto backwards = model.rbegin();
    at = tree.seek_before(format::key_max);
    for (; at.valid(); at.previous(), ++backwards) {
      ASSERT_NE(backwards, model.rend());
      ASSERT_EQ(at.key(), backwards->first);
    }
    EXPECT_EQ(backwards, model.rend());
  }

  void expect_seeks(const Key& key) {
    const auto after = model.lower_bound(key);
    const Cursor at = tree.seek(key);
    ASSERT_EQ(at.valid(), after != model.end());
    if (at.valid()) {
      EXPECT_EQ(at.key(), after->first);
    }
    auto before = model.upper_bound(key);
    const Cursor back = tree.seek_before(key);
    ASSERT_EQ(back.valid(), before != model.begin());
    if (back.valid()) {
      EXPECT_EQ(back.key(), (--before)->first);
    }
    const Lookup lookup = tree.find(key);
    const auto same = model.find(key);
    ASSERT_EQ(lookup.found(), same != model.end());
    if (lookup.found()) {
      EXPECT_EQ(text(lookup.value), same->second);
    }
  }
};

enum class Pattern { ascending, descending, random, clustered };

Key key_of(Pattern pattern, u64 index, Random& random) {
  switch (pattern) {
    case Pattern::ascending: return {1, index, format::snapshot_live};
    case Pattern::descending: return {1, ~index, format::snapshot_live};
    case Pattern::random: return {random.below(4), random.below(20'000), static_cast<u32>(random.below(3))};
    case Pattern::clustered: return {random.below(50), random.below(200), static_cast<u32>(random.below(2))};
  }
  return {};
}

std::string value_of(u64 bytes_max, Random& random) {
  return std::string(random.below(bytes_max + 1), static_cast<char>('a' + random.below(26)));
}

TEST_F(TreeTest, EmptyTreeHasNothing) {
  EXPECT_TRUE(tree.empty());
  EXPECT_EQ(tree.find({1, 2, 3}).state, Lookup::State::absent);
  EXPECT_EQ(tree.seek(format::key_min).state(), Cursor::State::end);
  EXPECT_EQ(tree.seek_before(format::key_max).state(), Cursor::State::end);
  EXPECT_FALSE(tree.erase({1, 2, 3}));
  Missing missing;
  EXPECT_TRUE(tree.ready({1, 2, 3}, missing));
  tree.check_invariants();
}

TEST_F(TreeTest, ExtremeKeysAndValuesAreKept) {
  for (const Key& key : {format::key_min, format::key_max, Key{0, ~0ull, 0}, Key{~0ull, 0, ~0u}}) {
    upsert(key, std::string(format::node_value_bytes_max, 'x'));
    upsert(key, "");
    upsert(key, std::string(format::node_value_bytes_max, 'y'));
  }
  expect_same();
}

TEST_F(TreeTest, AscendingKeysFillLeaves) {
  const std::string value(8, 'v');
  for (u64 index = 0; index < 100'000; ++index) tree.upsert({1, index, ~0u}, bytes(value));
  const u64 leaf_keys = Node::capacity_bytes / (sizeof(Slot) + 8);
  EXPECT_LE(cache.resident_nodes(), 100'000 / leaf_keys + 5);
}

TEST_F(TreeTest, ValueOfTheTreeItselfMayBeInserted) {
  for (u64 index = 0; index < 3'000; ++index) upsert({1, index * 2, 0}, std::string(1 + index % 700, 'a'));
  Random random(5);
  for (u64 round = 0; round < 3'000; ++round) {
    const Key from{1, random.below(3'000) * 2, 0};
    const Key to{1, random.below(6'000), 0};
    const std::string value = model.at(from);
    tree.upsert(to, tree.find(from).value);
    model[to] = value;
  }
  expect_same();
}

class TreeModelTest : public TreeTest, public testing::WithParamInterface<std::tuple<Pattern, u64>> {};

TEST_P(TreeModelTest, BehavesAsAMap) {
  const auto [pattern, value_bytes_max] = GetParam();
  const u64 seed = 100 + value_bytes_max;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  u64 next = 0;
  for (const u64 erase_in_ten : {2, 8, 3, 9}) {  // grows, shrinks, grows, shrinks
    for (u64 step = 0; step < 6'000; ++step) {
      if (random.below(10) >= erase_in_ten || model.empty()) {
        upsert(key_of(pattern, next++, random), value_of(value_bytes_max, random));
      } else {
        const auto near = model.lower_bound(key_of(pattern, random.below(next + 1), random));
        erase(near == model.end() ? model.begin()->first : near->first);
      }
      if (step % 64 == 0) expect_seeks(key_of(pattern, random.below(next + 1), random));
    }
    expect_same();
  }
  while (!model.empty()) erase(random.one_in(2) ? model.begin()->first : model.rbegin()->first);
  expect_same();
  EXPECT_TRUE(tree.empty());
  EXPECT_EQ(cache.resident_nodes(), 0u);
  EXPECT_EQ(cache.dirty_nodes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(All, TreeModelTest,
                         testing::Combine(testing::Values(Pattern::ascending, Pattern::descending, Pattern::random,
                                                          Pattern::clustered),
                                          testing::Values(0, 8, 100, format::node_value_bytes_max)));

// What a batch went ahead to may be split, emptied, given back and used again by its first changes.
TEST_F(TreeTest, AheadsOfABatchOutliveTheChangesOfOthers) {
  const u64 seed = 20261129;
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int round = 0; round < 400; ++round) {
    const bool shrinking = round / 50 % 2 == 1;
    std::vector<std::pair<Key, Ahead>> batch;
    for (int i = 0; i < 200; ++i) {
      const Key drawn = key_of(Pattern::random, 0, random);
      const auto near = model.lower_bound(drawn);
      const Key key = shrinking && near != model.end() ? near->first : drawn;
      batch.emplace_back(key, Ahead(tree, key));
    }
    for (auto& [key, ahead] : batch) ahead.fetch_slots();
    for (auto& [key, ahead] : batch) {
      const auto same = model.find(key);
      EXPECT_EQ(text(ahead.fetch_value()), same == model.end() ? "" : same->second);
    }
    for (auto& [key, ahead] : batch) {
      ahead.lead(tree);
      if (shrinking || random.below(3) == 0) {
        erase(key);
      } else {
        upsert(key, value_of(200, random));
      }
    }
    if (round % 20 == 0) expect_same();
  }
  expect_same();
}

TEST_F(TreeTest, NodesAreReused) {
  const std::string value(100, 'v');
  u64 nodes_max = 0;
  for (u64 round = 0; round < 5; ++round) {
    for (u64 index = 0; index < 20'000; ++index) tree.upsert({1, index, 0}, bytes(value));
    if (round == 0) nodes_max = cache.resident_nodes();
    EXPECT_EQ(cache.resident_nodes(), nodes_max);
    for (u64 index = 0; index < 20'000; ++index) ASSERT_TRUE(tree.erase({1, index, 0}));
    EXPECT_EQ(cache.resident_nodes(), 0u);
  }
}

}  // namespace
}  // namespace cowfs::btree
