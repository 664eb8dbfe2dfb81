#include "harness/cleanup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "harness/command.h"
#include "harness/device_identity.h"
#include "harness/test_devices.h"

namespace cowbench::harness {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class CleanupTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/var/tmp/cowbench-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    state_ = directory_ + "/state";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string directory_, state_;
};

Action make_file(const std::string& path, off_t size_bytes) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (descriptor < 0) return system_failure("make " + path, errno);
  const bool sized = ftruncate(descriptor, size_bytes) == 0;
  close(descriptor);
  return sized ? Action(Done{}) : Action(system_failure("size " + path, errno));
}

Action make_directory(const std::string& path) {
  return mkdir(path.c_str(), 0700) == 0 ? Action(Done{}) : Action(system_failure("make " + path, errno));
}

// An ext4 image, a loop device on it, and that mounted, all through `ledger`; true when all went well.
bool make_all(Ledger& ledger, const std::string& directory) {
  const std::string image = directory + "/image";
  const std::string point = directory + "/mounted point";
  std::string device;
  return ledger.make({MadeKind::file, image}, [&] { return make_file(image, 64 << 20); }).ok() &&
         run_checked({"mkfs.ext4", {"-q", image}}).ok() &&
         ledger.make({MadeKind::loop, image}, [&]() -> Action {
           auto attached = run_checked({"losetup", {"--find", "--show", image}});
           if (!attached) return attached.failure();
           device = attached->output.substr(0, attached->output.find('\n'));
           return make_writable(device);
         }).ok() &&
         ledger.make({MadeKind::directory, point}, [&] { return make_directory(point); }).ok() &&
         ledger.make({MadeKind::mount, point}, [&]() -> Action {
           auto mounted = run_checked({"mount", {"-t", "ext4", device, point}});
           return mounted ? Action(Done{}) : Action(mounted.failure());
         }).ok();
}

bool nothing_is_left(const std::string& directory) {
  if (read_small_file("/proc/self/mountinfo").find(directory) != std::string::npos) return false;
  for (const std::string& name : list_directory("/sys/block"))
    if (read_first_line("/sys/block/" + name + "/loop/backing_file").starts_with(directory)) return false;
  return !std::filesystem::exists(directory + "/image") && !std::filesystem::exists(directory + "/mounted point");
}

enum class End { signal, exit, exception };

// Starts a process that makes everything and then waits, with a file open in the mount; sends it `signal_number`.
int run_and_end(const std::string& directory, const std::string& state, End end, int signal_number = 0) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    auto ledger = Ledger::open(state);
    if (!ledger) _exit(1);
    undo_on_exit(**ledger);
    if (!make_all(**ledger, directory)) _exit(2);
    const int busy = open((directory + "/mounted point/busy").c_str(), O_CREAT | O_WRONLY, 0600);
    char byte = busy >= 0 ? 'y' : 'n';
    if (end != End::signal) close(busy);
    if (write(ready[1], &byte, 1) != 1) _exit(3);
    if (end == End::exit) exit(0);
    if (end == End::exception) std::thread([] { throw 1; }).join();  // out of reach of the test framework
    for (;;) pause();
  }
  close(ready[1]);
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  close(ready[0]);
  if (end == End::signal) kill(child, signal_number);
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST_F(CleanupTest, SignalsUndoEverythingAndStillKill) {
  COWBENCH_NEEDS_LOOP();
  for (const int signal_number : {SIGTERM, SIGINT}) {
    SCOPED_TRACE(strsignal(signal_number));
    const int status = run_and_end(directory_, state_, End::signal, signal_number);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal_number) << status;
    EXPECT_TRUE(nothing_is_left(directory_));
    EXPECT_THAT(list_directory(state_), IsEmpty());
  }
}

TEST_F(CleanupTest, ExitAndExceptionUndoEverything) {
  COWBENCH_NEEDS_LOOP();
  EXPECT_EQ(run_and_end(directory_, state_, End::exit), 0);
  EXPECT_TRUE(nothing_is_left(directory_));
  const int status = run_and_end(directory_, state_, End::exception);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
  EXPECT_TRUE(nothing_is_left(directory_));
}

bool is_attached(const std::string& image) {
  for (const std::string& name : list_directory("/sys/block"))
    if (read_first_line("/sys/block/" + name + "/loop/backing_file") == image) return true;
  return false;
}

// Two tests at once: mkfs.ext4 of one opens every mounted loop device, that of the other among them, to see what file it
// stands on. LOOP_CLR_FD succeeded meanwhile, and was carried out later, when mkfs.ext4 closed the device.
TEST_F(CleanupTest, LoopDeviceThatSomebodyHasOpenForAMomentIsReallyDetached) {
  COWBENCH_NEEDS_LOOP();
  const std::string image = directory_ + "/image";
  ASSERT_TRUE(make_file(image, 64 << 20).ok());
  const auto attached = run_checked({"losetup", {"--find", "--show", image}});
  ASSERT_TRUE(attached.ok());
  const std::string device = attached->output.substr(0, attached->output.find('\n'));
  const std::string marked_for_detaching = "/sys/block" + device.substr(4) + "/loop/autoclear";
  const OtherOpener opener(device, [&] { return read_first_line(marked_for_detaching) == "1"; });
  const Action undone = undo({MadeKind::loop, image});
  EXPECT_TRUE(undone.ok()) << to_text(undone.failure());
  EXPECT_FALSE(is_attached(image));
}

TEST_F(CleanupTest, WhatSomebodyKeepsIsNotCalledUndone) {
  COWBENCH_NEEDS_LOOP();
  auto ledger = Ledger::open(state_);
  ASSERT_TRUE(ledger.ok());
  ASSERT_TRUE(make_all(**ledger, directory_));
  {
    const OtherOpener opener(directory_ + "/mounted point");
    const std::vector<std::string> problems = (*ledger)->undo_all();
    EXPECT_THAT(problems, Contains(AllOf(HasSubstr("unmounted, but"), HasSubstr(opener.name()))));
    EXPECT_THAT(problems, Contains(AllOf(HasSubstr("is not detached from"), HasSubstr(opener.name()))));
    EXPECT_FALSE(nothing_is_left(directory_));
  }
  EXPECT_THAT((*ledger)->undo_all(), IsEmpty());
  EXPECT_TRUE(nothing_is_left(directory_));
}

TEST_F(CleanupTest, LeftoversOfAKilledProcessAreRemoved) {
  COWBENCH_NEEDS_LOOP();
  const int status = run_and_end(directory_, state_, End::signal, SIGKILL);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_FALSE(nothing_is_left(directory_));  // or this test proves nothing
  const CleanupReport report = clean_up_leftovers(state_);
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_EQ(report.undone.size(), 4u);
  EXPECT_TRUE(nothing_is_left(directory_));
  EXPECT_THAT(clean_up_leftovers(state_).undone, IsEmpty());
}

TEST_F(CleanupTest, RecordsOfLivingProcessesAreLeftAlone) {
  auto ledger = Ledger::open(state_);
  ASSERT_TRUE(ledger.ok());
  const std::string path = directory_ + "/file";
  ASSERT_TRUE((*ledger)->make({MadeKind::file, path}, [&] { return make_file(path, 1); }).ok());
  EXPECT_EQ(clean_up_leftovers(state_).still_running.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(path));
  ledger->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_THAT(list_directory(state_), IsEmpty());
}

TEST_F(CleanupTest, RecordIsThereBeforeTheThing) {
  auto ledger = Ledger::open(state_);
  ASSERT_TRUE(ledger.ok());
  const std::string path = directory_ + "/file";
  const Action made = (*ledger)->make({MadeKind::file, path}, [&]() -> Action {
    EXPECT_THAT(read_small_file((*ledger)->record_path()), HasSubstr(path));
    return Failure{FailureKind::failed, "on purpose", ""};
  });
  EXPECT_EQ(made.failure().what, "on purpose");
  EXPECT_THAT(list_directory(state_), IsEmpty());
}

TEST_F(CleanupTest, WhatWasThereBeforeIsNotOurs) {
  auto ledger = Ledger::open(state_);
  ASSERT_TRUE(ledger.ok());
  const std::string path = directory_ + "/precious";
  ASSERT_TRUE(make_file(path, 1).ok());
  for (const MadeKind kind : {MadeKind::file, MadeKind::tree, MadeKind::directory}) {
    const Action made = (*ledger)->make({kind, path}, [] { return Action(Done{}); });
    EXPECT_EQ(made.failure().kind, FailureKind::refused);
  }
  ledger->reset();
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(CleanupTest, TreesAreRemovedWithoutFollowingLinks) {
  const std::string tree = directory_ + "/tree";
  const std::string outside = directory_ + "/outside";
  std::filesystem::create_directories(tree + "/a/b/c");
  std::filesystem::create_directories(outside);
  std::ofstream(outside + "/precious") << "x";
  std::ofstream(tree + "/a/b/file") << "x";
  std::filesystem::create_directory_symlink(outside, tree + "/a/link");
  EXPECT_TRUE(undo({MadeKind::tree, tree}).ok());
  EXPECT_FALSE(std::filesystem::exists(tree));
  EXPECT_TRUE(std::filesystem::exists(outside + "/precious"));
  EXPECT_TRUE(undo({MadeKind::tree, tree}).ok());  // nothing there any more
}

// "path:FILE" wrote down a directory below a file, which could neither be made nor ever be called undone.
TEST_F(CleanupTest, WhatCannotExistIsUndone) {
  const std::string file = directory_ + "/file";
  ASSERT_TRUE(make_file(file, 1).ok());
  for (const MadeKind kind : {MadeKind::file, MadeKind::tree, MadeKind::directory})
    EXPECT_TRUE(undo({kind, file + "/below"}).ok()) << to_text(kind);
  EXPECT_FALSE(undo({MadeKind::directory, file}).ok());
}

TEST_F(CleanupTest, DamagedRecordsAreReportedAndNothingIsDone) {
  std::filesystem::create_directory(state_);
  std::filesystem::permissions(state_, std::filesystem::perms::owner_all);
  const char* records[] = {"", "{", "[]", R"({"schema":"other"})", R"({"schema":"cowbench.state/1","pid":"x"})",
                           (R"({"schema":"cowbench.state/1","pid":0,"start_ticks":0,"boot_id":"",)"
                            R"("made":[{"kind":"x","path":"/"}]})")};
  int number = 0;
  for (const char* record : records) std::ofstream(state_ + "/" + std::to_string(number++) + ".json") << record;
  const CleanupReport report = clean_up_leftovers(state_);
  EXPECT_EQ(report.problems.size(), std::size(records));
  EXPECT_THAT(report.undone, IsEmpty());
}

TEST_F(CleanupTest, DirectoryThatOthersMayWriteIsNotBelieved) {
  std::filesystem::create_directory(state_);
  std::filesystem::permissions(state_, std::filesystem::perms::all);
  EXPECT_EQ(Ledger::open(state_).failure().kind, FailureKind::refused);
  EXPECT_EQ(clean_up_leftovers(state_).problems.size(), 1u);
}

}  // namespace
}  // namespace cowbench::harness
