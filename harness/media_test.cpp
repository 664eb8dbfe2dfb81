#include "harness/media.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "engine/engine.h"
#include "harness/test_devices.h"

namespace cowbench::harness {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class MediaTest : public testing::Test {
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
  MediaRequest request(MediaKind kind) const {
    MediaRequest request;
    request.kind = kind;
    request.size_bytes = 64 * cowfs::mib;
    request.directory = directory_ + "/media";
    return request;
  }

  std::string directory_;
  std::unique_ptr<Ledger> ledger_;
};

TEST_F(MediaTest, ImagesAreWrittenThroughAttachedAndRemoved) {
  COWBENCH_NEEDS_LOOP();
  for (const MediaKind kind : {MediaKind::disk, MediaKind::ram}) {
    SCOPED_TRACE(to_text(kind));
    double share = 0;
    auto media = Media::attach(*ledger_, request(kind), [&](double done) { share = done; });
    ASSERT_TRUE(media.ok()) << to_text(media.failure());
    EXPECT_EQ(share, 1);
    EXPECT_EQ(media->identity().size_bytes, 64 * cowfs::mib);
    EXPECT_EQ(media->identity().backing_file, media->image());
    EXPECT_THAT(media->label(), HasSubstr("direct-io"));
    struct stat status = {};
    ASSERT_EQ(stat(media->image().c_str(), &status), 0);
    EXPECT_GE(status.st_blocks * 512, static_cast<long>(64 * cowfs::mib));  // nothing sparse
    std::printf("%s; %s\n", media->label().c_str(), to_text(media->identity()).c_str());
    ASSERT_TRUE(media->detach().ok());
    EXPECT_THAT(list_directory(directory_ + "/media"), IsEmpty());
    EXPECT_THAT(list_directory(directory_ + "/state"), IsEmpty());
  }
}

// A loop device that another program had marked read-only stayed so for whoever attached it next.
TEST_F(MediaTest, ReadOnlyMarkOfAnEarlierUserIsCleared) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(64 * cowfs::mib);
  const int descriptor = open(loop.device().c_str(), O_RDONLY | O_CLOEXEC);
  int read_only = 1;
  ASSERT_EQ(ioctl(descriptor, BLKROSET, &read_only), 0);
  close(descriptor);
  ASSERT_TRUE(identify_device(loop.device())->read_only);
  EXPECT_TRUE(make_writable(loop.device()).ok());
  EXPECT_FALSE(identify_device(loop.device())->read_only);
}

TEST_F(MediaTest, TheLedgerRemovesWhatWasForgotten) {
  COWBENCH_NEEDS_LOOP();
  {
    auto media = Media::attach(*ledger_, request(MediaKind::ram));
    ASSERT_TRUE(media.ok()) << to_text(media.failure());
  }
  EXPECT_THAT(ledger_->undo_all(), IsEmpty());
  EXPECT_THAT(list_directory(directory_ + "/media"), IsEmpty());
}

TEST_F(MediaTest, TooLargeOrTooSmallIsRefused) {
  COWBENCH_NEEDS_LOOP();
  for (const MediaKind kind : {MediaKind::disk, MediaKind::ram}) {
    MediaRequest large = request(kind);
    large.size_bytes = u64{1} << 50;
    EXPECT_EQ(Media::attach(*ledger_, large).failure().kind, FailureKind::refused);
    MediaRequest small = request(kind);
    small.size_bytes = 4096;
    EXPECT_EQ(Media::attach(*ledger_, small).failure().kind, FailureKind::request);
  }
  EXPECT_THAT(list_directory(directory_ + "/media"), IsEmpty());
}

TEST_F(MediaTest, DirectoryThatOthersMayWriteIsRefused) {
  COWBENCH_NEEDS_LOOP();
  std::filesystem::create_directory(directory_ + "/media");
  std::filesystem::permissions(directory_ + "/media", std::filesystem::perms::all);
  EXPECT_EQ(Media::attach(*ledger_, request(MediaKind::disk)).failure().kind, FailureKind::refused);
}

TEST_F(MediaTest, PlanNamesEachCommandAndDoesNothing) {
  const auto disk = plan_media(request(MediaKind::disk));
  ASSERT_TRUE(disk.ok());
  EXPECT_THAT(*disk, ElementsAre(HasSubstr("write it through"),
                                 HasSubstr("losetup --find --show --direct-io=on /var")));
  const auto ram = plan_media(request(MediaKind::ram));
  ASSERT_TRUE(ram.ok());
  EXPECT_THAT(*ram, Contains(HasSubstr("mount -t tmpfs -o size=")));
  MediaRequest several = request(MediaKind::disk);
  several.images = 3;
  EXPECT_EQ(plan_media(several)->size(), 3 * disk->size());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/media"));
}

// cowfs locks what it opens, so it could not be measured on a real device: the claim had locked it already.
TEST_F(MediaTest, RealDeviceCanBeLentToCowfsAndIsHeldAgain) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(64 * cowfs::mib);
  MediaRequest wanted = request(MediaKind::device);
  wanted.devices = {loop.device()};
  auto media = Media::attach(*ledger_, wanted);
  ASSERT_TRUE(media.ok()) << to_text(media.failure());
  cowfs::FormatOptions format;
  format.devices = {loop.device()};
  format.force = true;
  EXPECT_FALSE(cowfs::format_devices(format).ok());
  ASSERT_TRUE(media->lend(DeviceClaim::Borrower::cowfs).ok());
  EXPECT_TRUE(cowfs::format_devices(format).ok());
  ASSERT_TRUE(media->take_back().ok());
  EXPECT_FALSE(cowfs::format_devices(format).ok());
}

TEST_F(MediaTest, RealDeviceIsClaimedAndReleased) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(64 * cowfs::mib);
  MediaRequest wanted = request(MediaKind::device);
  wanted.devices = {loop.device()};
  const auto plan = plan_media(wanted);
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(*plan, Contains(HasSubstr("everything on it is erased")));
  auto media = Media::attach(*ledger_, wanted);
  ASSERT_TRUE(media.ok()) << to_text(media.failure());
  EXPECT_THAT(*plan_media(wanted), Contains(HasSubstr("erased")));
  EXPECT_EQ(Media::attach(*ledger_, wanted).failure().kind, FailureKind::refused);
  ASSERT_TRUE(media->detach().ok());
  EXPECT_TRUE(Media::attach(*ledger_, wanted).ok());
}

}  // namespace
}  // namespace cowbench::harness
