#include "harness/kernel_target.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "harness/test_devices.h"

namespace cowbench::harness {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr u64 image_bytes = 320 * cowfs::mib;  // mkfs.xfs wants 300

class KernelTargetTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/var/tmp/cowbench-test-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    auto ledger = Ledger::open(directory_ + "/state");
    ASSERT_TRUE(ledger.ok());
    ledger_ = std::move(*ledger);
  }
  void TearDown() override {
    ledger_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::string directory_;
  std::unique_ptr<Ledger> ledger_;
};

TEST(TargetName, Parsed) {
  EXPECT_EQ(parse_target("xfs")->kind, TargetKind::xfs);
  EXPECT_EQ(parse_target("null")->kind, TargetKind::null);
  EXPECT_EQ(parse_target("raw")->kind, TargetKind::raw);
  EXPECT_EQ(parse_target("path:/srv/x")->argument, "/srv/x");
  EXPECT_EQ(parse_target("cowfs")->kind, TargetKind::cowfs);
  EXPECT_EQ(parse_target("cowfs:checksum=none,cores=2")->argument, "checksum=none,cores=2");
  for (const char* text : {"", "zfs", "path:", "XFS", "xfs:x"}) EXPECT_FALSE(parse_target(text).ok()) << text;
}

TEST_F(KernelTargetTest, EachFilesystemIsMadeAfreshForEachRound) {
  COWBENCH_NEEDS_LOOP();
  MediaRequest request;
  request.kind = MediaKind::ram;
  request.size_bytes = image_bytes;
  request.directory = directory_;
  auto media = Media::attach(*ledger_, request);
  ASSERT_TRUE(media.ok()) << to_text(media.failure());
  for (const char* name : {"xfs", "ext4", "btrfs", "xfs"}) {
    SCOPED_TRACE(name);
    auto target = KernelTarget::create(*parse_target(name), *ledger_, &*media, directory_);
    ASSERT_TRUE(target.ok()) << to_text(target.failure());
    for (int round = 0; round < 2; ++round) {
      const Action prepared = target->prepare();
      ASSERT_TRUE(prepared.ok()) << to_text(prepared.failure());
      EXPECT_THAT(list_directory(target->directory()), IsEmpty());
      EXPECT_THAT(target->mount_facts(), HasSubstr(std::string(name) + " on " + media->device()));
      std::ofstream(target->directory() + "/file") << std::string(1 << 20, 'x');
      const auto finished = target->finish();
      ASSERT_TRUE(finished.ok()) << to_text(finished.failure());
      EXPECT_GE(finished->sync_moved.write_bytes, 1u << 20);
      EXPECT_GT(finished->sync_ns, 0u);
    }
    std::printf("%s\n", target->label().c_str());
  }
  EXPECT_TRUE(media->detach().ok());
  EXPECT_THAT(list_directory(directory_ + "/state"), IsEmpty());
}

TEST_F(KernelTargetTest, MkfsThatFailsIsQuotedAndLeavesNothing) {
  COWBENCH_NEEDS_LOOP();
  MediaRequest request;
  request.kind = MediaKind::ram;
  request.size_bytes = 64 * cowfs::mib;  // too small for xfs
  request.directory = directory_;
  auto media = Media::attach(*ledger_, request);
  ASSERT_TRUE(media.ok());
  auto target = KernelTarget::create(*parse_target("xfs"), *ledger_, &*media, directory_);
  ASSERT_TRUE(target.ok());
  const Action prepared = target->prepare();
  ASSERT_FALSE(prepared.ok());
  EXPECT_THAT(prepared.failure().what, AllOf(HasSubstr("mkfs.xfs -q -K"), HasSubstr("300MB")));
  EXPECT_TRUE(media->detach().ok());
}

TEST_F(KernelTargetTest, PathGetsASubdirectoryOfItsOwn) {
  const std::string place = directory_ + "/place";
  std::filesystem::create_directory(place);
  std::ofstream(place + "/precious") << "x";
  auto target = KernelTarget::create(*parse_target("path:" + place), *ledger_, nullptr);
  ASSERT_TRUE(target.ok());
  ASSERT_TRUE(target->prepare().ok());
  std::filesystem::create_directories(target->directory() + "/a/b");
  EXPECT_EQ(list_directory(place).size(), 2u);
  EXPECT_TRUE(target->finish().ok());
  EXPECT_THAT(list_directory(place), testing::ElementsAre("precious"));
  EXPECT_THAT(target->label(), HasSubstr("as mounted"));
  const auto nowhere = KernelTarget::create(*parse_target("path:/no/such"), *ledger_, nullptr);
  EXPECT_EQ(nowhere.failure().kind, FailureKind::missing);
}

TEST(KernelTargetPlan, NamesEachCommandAndNoForce) {
  for (const char* name : {"xfs", "ext4", "btrfs"}) {
    const auto lines = KernelTarget::plan(*parse_target(name), {"/dev/loop9"});
    EXPECT_THAT(lines, Contains(AllOf(HasSubstr(std::string("mkfs.") + name), HasSubstr("/dev/loop9"))));
    EXPECT_THAT(lines, Contains(HasSubstr(std::string("mount -t ") + name + " /dev/loop9 ")));
    EXPECT_THAT(lines, Contains(HasSubstr("umount /")));
    EXPECT_THAT(lines, Not(Contains(testing::ContainsRegex(" (-f|-F|--force)( |$)"))));
  }
  EXPECT_FALSE(KernelTarget::plan(*parse_target("path:/srv"), {}).empty());
}

TEST(KernelTargetPlan, BtrfsTakesAProfileAndSeveralDevices) {
  const auto lines = KernelTarget::plan(*parse_target("btrfs:raid1"), {"/dev/loop8", "/dev/loop9"});
  EXPECT_THAT(lines, Contains(HasSubstr("wipefs --all --quiet /dev/loop8 /dev/loop9")));
  EXPECT_THAT(lines, Contains(HasSubstr("-d raid1 -m raid1 /dev/loop8 /dev/loop9")));
  EXPECT_THAT(lines, Contains(HasSubstr("mount -t btrfs -o device=/dev/loop9 /dev/loop8 ")));
  EXPECT_FALSE(parse_target("btrfs:raid7").ok());
}

}  // namespace
}  // namespace cowbench::harness
