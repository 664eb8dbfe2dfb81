#include "harness/memory_group.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <sstream>
#include <vector>

#include "engine/base/types.h"
#include "harness/cleanup.h"
#include "harness/device_identity.h"

namespace cowbench::harness {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(LocateMemoryController, FindsTheGroupOfThisProcessInEitherVersion) {
  struct Case {
    const char* name;
    const char* cgroup;
    const char* mountinfo;
    int version;  // 0: none
    const char* own;
    const char* parent;
  };
  constexpr const char* v1 = "35 31 0:32 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n";
  constexpr const char* v2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
  for (const Case& c :
       {Case{"v1", "5:devices:/x\n4:memory:/a/b\n0::/\n", v1, 1, "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory/a/b"},
        Case{"v1 root", "4:cpu,memory:/\n", v1, 1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"},
        Case{"v1 beside v2", "4:memory:/a\n0::/b\n",
             "1 0 0:1 / /u rw - cgroup2 cgroup2 rw\n2 0 0:2 / /m rw - cgroup cgroup rw,memory\n", 1, "/m/a", "/m/a"},
        Case{"v2", "0::/user.slice/session-1.scope\n", v2, 2, "/sys/fs/cgroup/user.slice/session-1.scope",
             "/sys/fs/cgroup/user.slice"},
        Case{"v2 root", "0::/\n", v2, 2, "/sys/fs/cgroup", "/sys/fs/cgroup"},
        Case{"container", "4:memory:/docker/7f\n", "9 1 0:3 /docker/7f /cg rw - cgroup cgroup rw,memory\n", 1, "/cg", "/cg"},
        Case{"not below the mount", "4:memory:/other\n", "9 1 0:3 /docker /cg rw - cgroup cgroup rw,memory\n", 0, "", ""},
        Case{"outside the namespace", "0::/../x\n", v2, 0, "", ""},
        Case{"not mounted", "4:memory:/\n", "9 1 0:3 / /cg rw - cgroup cgroup rw,cpu\n", 0, "", ""},
        Case{"nothing at all", "", "", 0, "", ""}}) {
    SCOPED_TRACE(c.name);
    const auto found = locate_memory_controller(c.cgroup, c.mountinfo);
    ASSERT_EQ(found.ok(), c.version != 0);
    if (!found) {
      EXPECT_EQ(found.failure().kind, FailureKind::missing);
      continue;
    }
    EXPECT_EQ(found->version, c.version);
    EXPECT_EQ(found->own, c.own);
    EXPECT_EQ(found->parent, c.parent);
  }
}

class MemoryGroupTest : public testing::Test {
 protected:
  void SetUp() override {
    auto controller = find_memory_controller();
    if (!controller) GTEST_SKIP() << to_text(controller.failure());
    controller_ = *controller;
    char pattern[] = "/var/tmp/cowbench-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    state_ = pattern;
    path_ = memory_group_path(controller_);
  }
  void TearDown() override { std::filesystem::remove_all(state_); }

  std::unique_ptr<Ledger> make_group(u64 limit_bytes) {
    auto ledger = Ledger::open(state_);
    EXPECT_TRUE(ledger.ok());
    const Action made = (*ledger)->make({MadeKind::memory_group, path_},
                                        [&] { return make_memory_group(controller_, path_, limit_bytes); });
    EXPECT_TRUE(made.ok()) << to_text(made.failure());
    return std::move(*ledger);
  }
  std::string members() const { return read_small_file(path_ + "/cgroup.procs"); }

  MemoryController controller_;
  std::string state_, path_;
};

constexpr u64 limit_bytes = 64 * cowfs::mib;

// A child that touches `bytes` and ends; its status as waitpid() has it.
int child_that_touches(u64 bytes) {
  const pid_t child = fork();
  if (child == 0) {
    std::vector<char> memory(bytes);
    std::memset(memory.data(), 1, memory.size());
    _exit(memory[bytes / 2] == 1 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(MemoryGroupTest, ChildrenAreLimitedAndTheProcessComesHome) {
  const auto ledger = make_group(limit_bytes);
  const std::string self = std::to_string(getpid()) + "\n";
  {
    auto inside = InsideMemoryGroup::enter(controller_, path_);
    ASSERT_TRUE(inside.ok()) << to_text(inside.failure());
    EXPECT_THAT(members(), HasSubstr(self));
    EXPECT_EQ(child_that_touches(8 * cowfs::mib), 0);
    EXPECT_GT(memory_group_peak(path_).value_or(0), 8 * cowfs::mib);
    EXPECT_EQ(memory_group_kills(path_), 0u);
    const int status = child_that_touches(2 * limit_bytes);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
    EXPECT_EQ(memory_group_kills(path_), 1u);
  }
  EXPECT_EQ(members(), "");
  EXPECT_THAT(ledger->undo_all(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// As a signal finds it: in the middle of a round, with this process inside.
TEST_F(MemoryGroupTest, IsRemovedAlsoFromInside) {
  const auto ledger = make_group(limit_bytes);
  const auto inside = InsideMemoryGroup::enter(controller_, path_);
  ASSERT_TRUE(inside.ok());
  EXPECT_THAT(ledger->undo_all(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(MemoryGroupTest, WhoStaysInsideIsNamedAndALaterCleanUpSucceeds) {
  const pid_t maker = fork();
  if (maker == 0) {
    path_ = memory_group_path(controller_);
    auto ledger = make_group(limit_bytes).release();
    auto inside = InsideMemoryGroup::enter(controller_, path_);
    if (ledger == nullptr || !inside.ok() || fork() < 0) _exit(1);
    for (;;) pause();
  }
  const std::string group = fmt::format("{}/cowbench-{}", controller_.parent, maker);
  std::vector<pid_t> inside;
  while (inside.size() < 2 && waitpid(maker, nullptr, WNOHANG) == 0) {
    inside.clear();
    std::istringstream lines(read_small_file(group + "/cgroup.procs"));
    for (pid_t process; lines >> process;) inside.push_back(process);
    sched_yield();
  }
  kill(maker, SIGKILL);
  waitpid(maker, nullptr, 0);
  std::erase(inside, maker);
  ASSERT_EQ(inside.size(), 1u);
  const CleanupReport first = clean_up_leftovers(state_);
  EXPECT_THAT(first.problems, testing::ElementsAre(AllOf(HasSubstr(group), HasSubstr(std::to_string(inside[0])))));
  kill(inside[0], SIGKILL);
  const CleanupReport second = clean_up_leftovers(state_);
  EXPECT_THAT(second.problems, IsEmpty());
  EXPECT_EQ(second.undone.size(), 1u);
  EXPECT_FALSE(std::filesystem::exists(group));
}

}  // namespace
}  // namespace cowbench::harness
