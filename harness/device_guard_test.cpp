#include "harness/device_guard.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "harness/command.h"
#include "harness/test_devices.h"

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

constexpr u64 image_bytes = 64 * cowfs::mib;

std::string refusal(const std::string& path, const std::vector<std::string>& erase = {}) {
  const auto claim = DeviceClaim::claim(path, erase);
  if (claim.ok()) return "claimed";
  EXPECT_EQ(claim.failure().kind, FailureKind::refused) << to_text(claim.failure());
  return to_text(claim.failure());
}

TEST(CheckErasable, OnlyContentsCanBeNamedAway) {
  struct Case {
    const char* what;
    bool erasable, named, allowed;
  };
  for (const Case& c : {Case{"signature", true, false, false}, Case{"signature", true, true, true},
                        Case{"mounted", false, false, false}, Case{"mounted", false, true, false}}) {
    DeviceInspection inspection;
    inspection.identity.path = "/dev/some";
    inspection.findings = {{c.what, c.erasable}};
    EXPECT_EQ(check_erasable(inspection, c.named).ok(), c.allowed) << c.what << c.named;
  }
}

TEST(DeviceGuard, RefusesWhatIsNoBlockDevice) {
  EXPECT_EQ(DeviceClaim::claim("/dev/null", {}).failure().kind, FailureKind::request);
  EXPECT_EQ(DeviceClaim::claim("/etc/passwd", {"/etc/passwd"}).failure().kind, FailureKind::request);
  EXPECT_EQ(DeviceClaim::claim("/dev/no-such-device", {}).failure().kind, FailureKind::missing);
}

TEST(DeviceGuard, FreshDeviceIsClaimedOnceAndHeld) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  auto claim = DeviceClaim::claim(loop.device(), {});
  ASSERT_TRUE(claim.ok()) << to_text(claim.failure());
  EXPECT_EQ(claim->identity().size_bytes, image_bytes);
  EXPECT_LT(open(loop.device().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC), 0);
  EXPECT_THAT(refusal(loop.device()), HasSubstr("in use"));
  ASSERT_TRUE(claim->lend(DeviceClaim::Borrower::kernel).ok());
  EXPECT_TRUE(run_checked({"mkfs.ext4", {"-q", loop.device()}}).ok());
  const int other = open(loop.device().c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_NE(flock(other, LOCK_SH | LOCK_NB), 0);  // still locked while lent
  close(other);
  EXPECT_TRUE(claim->take_back().ok());
}

// In the process of an OtherOpener: somebody, its parent, waits for its end.
bool is_waited_for() {
  const std::string pid = fmt::format("Pid:\t{}\n", getpid());
  const std::filesystem::path descriptors = fmt::format("/proc/{}/fdinfo", getppid());
  std::error_code gone;
  for (std::filesystem::directory_iterator entry(descriptors, gone), end; entry != end; entry.increment(gone)) {
    std::ifstream file(entry->path());
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    if (text.find(pid) != std::string::npos) return true;
  }
  return false;
}

// Two tests at once: losetup of one opens every loop device to see whether it is free, that of the other among them, which
// was refused as in use.
TEST(DeviceGuard, WhoOnlyLooksAtADeviceIsWaitedFor) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  const OtherOpener opener(loop.device(), is_waited_for);
  const auto claim = DeviceClaim::claim(loop.device(), {});
  EXPECT_TRUE(claim.ok()) << to_text(claim.failure());
}

TEST(DeviceGuard, WhoKeepsADeviceIsNamed) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  const OtherOpener opener(loop.device());
  EXPECT_THAT(refusal(loop.device()), HasSubstr("open in " + opener.name()));
}

TEST(DeviceGuard, SignatureIsRefusedUnlessNamedAlsoThroughASymlink) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  ASSERT_TRUE(run_checked({"mkfs.ext4", {"-q", "-L", "backup", loop.device()}}).ok());
  const std::string link = loop.directory() + "/link";
  std::filesystem::create_symlink(loop.device(), link);
  for (const std::string& path : {loop.device(), link}) {
    SCOPED_TRACE(path);
    EXPECT_THAT(refusal(path), HasSubstr("signature ext4 (label backup)"));
    EXPECT_THAT(refusal(path), HasSubstr("--erase=" + path));
    EXPECT_THAT(refusal(path, {"/dev/null"}), HasSubstr("signature"));
    EXPECT_EQ(refusal(path, {loop.device()}), "claimed");
    EXPECT_EQ(refusal(path, {link}), "claimed");
  }
}

TEST(DeviceGuard, MountedIsRefusedEvenWhenNamed) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  ASSERT_TRUE(run_checked({"mkfs.ext4", {"-q", loop.device()}}).ok());
  const std::string point = loop.directory() + "/mounted";
  std::filesystem::create_directory(point);
  ASSERT_EQ(mount(loop.device().c_str(), point.c_str(), "ext4", 0, ""), 0);
  EXPECT_THAT(refusal(loop.device(), {loop.device()}), HasSubstr("mounted at " + point));
  ASSERT_EQ(umount(point.c_str()), 0);
}

TEST(DeviceGuard, PartitionTableAndUnknownDataAreRefused) {
  COWBENCH_NEEDS_LOOP();
  // A DOS partition table with one Linux partition from sector 2048: boot flag, type 0x83, start, length, 55 aa.
  unsigned char sector[512] = {};
  sector[446 + 4] = 0x83;
  sector[446 + 9] = 8;
  sector[446 + 13] = 64;
  sector[510] = 0x55;
  sector[511] = 0xaa;
  struct Case {
    const char* what;
    off_t offset;
  };
  for (const Case& c : {Case{"partition table dos", 0}, Case{"data in its last MiB", image_bytes - 512}}) {
    SCOPED_TRACE(c.what);
    const TestLoop loop(image_bytes);
    const int descriptor = open(loop.device().c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(descriptor, sector, sizeof sector, c.offset), 512);
    ASSERT_EQ(fsync(descriptor), 0);
    close(descriptor);
    EXPECT_THAT(refusal(loop.device()), HasSubstr(c.what));
    EXPECT_EQ(refusal(loop.device(), {loop.device()}), "claimed");
  }
}

TEST(DeviceGuard, BackingDeviceOfALoopIsRefused) {
  COWBENCH_NEEDS_LOOP();
  const TestLoop loop(image_bytes);
  auto upper = run_checked({"losetup", {"--find", "--show", loop.device()}});
  ASSERT_TRUE(upper.ok());
  const std::string upper_device = upper->output.substr(0, upper->output.find('\n'));
  EXPECT_THAT(refusal(loop.device(), {loop.device()}), HasSubstr("backs " + upper_device));
  EXPECT_TRUE(run_checked({"losetup", {"--detach", upper_device}}).ok());
}

TEST(DeviceGuard, RootDeviceIsRefused) {
  COWBENCH_NEEDS_LOOP();
  for (const std::string& name : list_directory("/sys/block")) {
    const auto inspection = inspect_device("/dev/" + name);
    if (!inspection.ok()) continue;
    bool is_root = false;
    for (const auto& finding : inspection->findings) is_root |= finding.what == "mounted at /";
    if (!is_root) continue;
    const Action allowed = check_erasable(*inspection, true);
    ASSERT_FALSE(allowed.ok());
    EXPECT_THAT(to_text(allowed.failure()), HasSubstr("root filesystem"));
  }
}

}  // namespace
}  // namespace cowbench::harness
