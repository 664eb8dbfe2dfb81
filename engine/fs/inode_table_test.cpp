#include "engine/fs/inode_table.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/base/random.h"

namespace cowfs::fs {
namespace {

using format::InodeNumber;

struct TestInode {
  explicit TestInode(InodeNumber inode_number) : number(inode_number) {}
  const InodeNumber number;
  std::size_t table_place = 0;
  bool used = false;
};
using Table = InodeTable<TestInode>;

void expect_same(Table& table, const std::set<InodeNumber>& model) {
  ASSERT_EQ(table.size(), model.size());
  std::set<InodeNumber> listed;
  for (const TestInode* inode : table.all()) listed.insert(inode->number);
  ASSERT_EQ(listed, model);
  for (InodeNumber number = 0; number < 64; ++number) {
    TestInode* found = table.find(number);
    ASSERT_EQ(found != nullptr, model.contains(number)) << number;
    if (found != nullptr) {
      ASSERT_EQ(found->number, number);
    }
  }
}

TEST(InodeTable, does_what_a_set_does) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Table table;
    std::set<InodeNumber> model;
    for (int step = 0; step < 1000; ++step) {
      const InodeNumber number = random.below(64);
      TestInode* inode = table.find(number);
      if (inode != nullptr && random.below(2) == 0) {
        table.erase(*inode);
        model.erase(number);
      } else if (inode == nullptr) {
        table.add(std::make_unique<TestInode>(number)).used = random.below(2) == 0;
        model.insert(number);
      }
      if (random.below(8) == 0) {
        table.drop_some(random.below(4), [&model](const TestInode& one) {
          if (!one.used) model.erase(one.number);
          return !one.used;
        });
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(table, model));
    }
    table.clear();
    expect_same(table, {});
  }
}

// The search for inodes to drop went over the whole table at each addition, and with most of them dirty found none: making
// files was quadratic.
TEST(InodeTable, an_addition_looks_at_few_and_soon_at_all) {
  constexpr u64 inodes = 1000, at_once = 4;
  Table table;
  for (InodeNumber number = 0; number < inodes; ++number) table.add(std::make_unique<TestInode>(number));
  std::set<InodeNumber> seen;
  for (u64 call = 0; call < inodes / at_once; ++call) {
    u64 looked_at = 0;
    table.drop_some(at_once, [&](const TestInode& inode) {
      ++looked_at;
      seen.insert(inode.number);
      return false;
    });
    ASSERT_EQ(looked_at, at_once);
  }
  EXPECT_EQ(seen.size(), inodes);
  table.drop_some(2 * inodes, [](const TestInode& inode) { return inode.number % 2 == 0; });
  EXPECT_EQ(table.size(), inodes / 2);
}

}  // namespace
}  // namespace cowfs::fs
