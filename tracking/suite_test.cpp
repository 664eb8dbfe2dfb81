#include "tracking/suite.h"

#include <gmock/gmock.h>

namespace cowbench::tracking {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

constexpr std::string_view sound = R"(name = "quick"
build = [["make", "-j2"], ["make", "install"]]
keep = ["bin/quick", "data"]

[bench]
command = ["bin/quick", "--seed", "{seed}"]
timeout_seconds = 20

[control]
command = ["bin/quick", "--target", "xfs"]

[[metric]]
name = "throughput_mb_s"

[[metric]]
name = "flushes"
better = "lower"
exact = true
)";

TEST(Suite, IsReadWhole) {
  const auto suite = parse_suite(sound, "quick.toml");
  ASSERT_TRUE(suite.ok()) << suite.failure().what;
  EXPECT_EQ(suite->name, "quick");
  EXPECT_THAT(suite->build, ElementsAre(ElementsAre("make", "-j2"), ElementsAre("make", "install")));
  EXPECT_THAT(suite->keep, ElementsAre("bin/quick", "data"));
  EXPECT_THAT(suite->bench, ElementsAre("bin/quick", "--seed", "{seed}"));
  EXPECT_FALSE(suite->format.has_value());
  EXPECT_EQ(suite->bench_timeout_seconds, 20u);
  EXPECT_THAT(suite->control, SizeIs(3));
  ASSERT_THAT(suite->metrics, SizeIs(2));
  EXPECT_EQ(suite->metrics[0].direction, results::Direction::higher_is_better);
  EXPECT_TRUE(suite->metrics[1].exact);
  EXPECT_EQ(suite->metrics[1].direction, results::Direction::lower_is_better);
}

TEST(Suite, WhatIsWrongIsNamedWithItsLine) {
  struct Case {
    const char* from;
    const char* to;
    const char* reason;
  };
  for (const Case& c : {
           Case{"name = \"quick\"", "name = quick", "quick.toml:1: "},
           Case{"name = \"quick\"", "title = \"quick\"", "quick.toml:1: title is not known"},
           Case{"name = \"quick\"\n", "", "name is missing"},
           Case{"build = [[\"make\", \"-j2\"], ", "build = [\"make\", ",
                "quick.toml:2: build must be a list of commands"},
           Case{"\"data\"", "\"../data\"", "quick.toml:3: keep: ../data is not inside the tree"},
           Case{"\"data\"", "\"/etc\"", "quick.toml:3: keep: /etc is not inside the tree"},
           Case{"\"data\"", "7", "quick.toml:3: keep must be a list of texts"},
           Case{"timeout_seconds = 20", "timeout_seconds = 0",
                "quick.toml:7: bench.timeout_seconds must be a number of seconds"},
           Case{"timeout_seconds = 20", "format = \"yaml\"", "quick.toml:7: bench.format yaml is not known"},
           Case{"command = [\"bin/quick\", \"--target\", \"xfs\"]", "", "control needs a command or a commit, or both"},
           Case{"\"throughput_mb_s\"", "\"mine\"", "metric.better must be higher or lower"},
           Case{"\"flushes\"", "\"throughput_mb_s\"", "metric throughput_mb_s is there twice"},
           Case{"exact = true", "exact = 1", "quick.toml:18: metric.exact must be true or false"},
       }) {
    SCOPED_TRACE(c.to);
    std::string text(sound);
    text.replace(text.find(c.from), std::string_view(c.from).size(), c.to);
    const auto suite = parse_suite(text, "quick.toml");
    ASSERT_FALSE(suite.ok());
    EXPECT_EQ(suite.failure().kind, harness::FailureKind::request);
    EXPECT_THAT(suite.failure().what, HasSubstr(c.reason));
  }
}

TEST(Suite, ItsIdFollowsWhatIsMeasured) {
  const Suite suite = *parse_suite(sound, "quick.toml");
  Suite other = suite;
  other.build.clear();
  EXPECT_EQ(measured_id(suite, "a"), measured_id(other, "a"));
  EXPECT_EQ(measured_id(suite, "a"), measured_id(suite, "b"));  // its control is a command
  other.bench.push_back("--fast");
  EXPECT_NE(measured_id(suite, "a"), measured_id(other, "a"));
  other = suite;
  other.control.clear();
  EXPECT_NE(measured_id(other, "a"), measured_id(other, "b"));
  other = suite;
  other.control_commit = "v1.0";
  EXPECT_NE(measured_id(other, "a"), measured_id(other, "b"));
  EXPECT_NE(measured_id(other, "a"), measured_id(suite, "a"));
}

}  // namespace
}  // namespace cowbench::tracking
