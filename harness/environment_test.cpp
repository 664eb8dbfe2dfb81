#include "harness/environment.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

TEST(Environment, ReadsADescribedMachine) {
  char pattern[] = "/tmp/cowbench-test-XXXXXX";
  ASSERT_NE(mkdtemp(pattern), nullptr);
  const std::string root = pattern;
  const auto put = [&](const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << text;
  };
  put("/proc/sys/kernel/osrelease", "6.1.0-test\n");
  put("/proc/cmdline", "root=/dev/sda1 secret=1234 mitigations=off isolcpus=2-5 quiet\n");
  put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Test CPU 9000\nflags\t\t: fpu avx2 hypervisor vpclmulqdq\n");
  put("/proc/meminfo", "MemTotal:       1000 kB\nSwapTotal:   10 kB\nSwapFree:  4 kB\nHugePages_Total:       3\n");
  put("/proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0\n");
  put("/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  put("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  put("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
  put("/sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected\n");
  put("/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
  EnvironmentRequest request;
  request.root = root;
  request.sample_ms = 0;
  request.programs = false;
  const Environment environment = capture_environment(request);
  std::filesystem::remove_all(root);
  EXPECT_EQ(environment.value("kernel.release"), "6.1.0-test");
  EXPECT_EQ(environment.value("kernel.parameters"), "mitigations=off isolcpus=2-5");
  EXPECT_EQ(environment.value("cpu.model"), "Test CPU 9000");
  EXPECT_EQ(environment.value("cpu.flags"), "avx2 vpclmulqdq");
  EXPECT_EQ(environment.value("machine.virtual"), "yes");
  EXPECT_EQ(environment.value("memory.thp"), "madvise");
  EXPECT_EQ(environment.value("memory.huge_pages"), "3");
  EXPECT_EQ(environment.value("kernel.mitigations"), "meltdown: Mitigation: PTI");
  EXPECT_EQ(environment.value("load.steal_percent_since_boot"), "10.00");
  EXPECT_EQ(environment.value("cpu.microcode"), "unknown");
  EXPECT_FALSE(environment.fit());
  const std::string text = to_text(environment);
  for (const char* part : {"UNFIT: cpu.governor is powersave", "UNFIT: the clock is hpet", "note: swap is in use"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(Environment, LintHasAReasonForEachRule) {
  struct Case {
    const char* key;
    const char* bad;
    const char* good;
    Severity severity;
  };
  for (const Case& c : {Case{"cpu.governor", "powersave", "performance", Severity::unfit},
                        Case{"build.type", "Debug", "Release", Severity::unfit},
                        Case{"build.sanitizer", "address", "none", Severity::unfit},
                        Case{"build.dirty", "yes", "no", Severity::note},
                        Case{"load.foreign_cpu_percent", "35.5", "3.0", Severity::unfit},
                        Case{"load.steal_percent", "4", "0.2", Severity::unfit},
                        Case{"kernel.clocksource", "hpet", "tsc", Severity::unfit},
                        Case{"limit.cgroup_cpu", "100000 100000", "max 100000", Severity::note},
                        Case{"device./dev/loop3.direct_io", "off", "on", Severity::note}}) {
    SCOPED_TRACE(c.key);
    const auto findings = lint({{c.key, c.bad}});
    ASSERT_EQ(findings.size(), 1u);
    EXPECT_EQ(findings[0].severity, c.severity);
    EXPECT_TRUE(lint({{c.key, c.good}}).empty());
  }
  EXPECT_TRUE(lint({}).empty());
}

TEST(Environment, RealMachineAsJson) {
  EnvironmentRequest request;
  request.sample_ms = 20;
  request.devices = {"/dev/no-such-device"};
  const Environment environment = capture_environment(request);
  const auto document = nlohmann::json::parse(to_json(environment));
  EXPECT_EQ(document["schema"], "cowbench.env/1");
  EXPECT_EQ(document["facts"]["build.assertions"], "on");
  EXPECT_NE(document["facts"]["kernel.release"], "unknown");
  EXPECT_THAT(std::string(document["facts"]["device./dev/no-such-device"]), HasSubstr("No such file"));
  std::printf("%s", to_text(environment).c_str());
}

}  // namespace
}  // namespace cowbench::harness
