#include "harness/command.h"

#include <gmock/gmock.h>

#include <chrono>
#include <cstdlib>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

TEST(Command, CapturesOutputAndStatus) {
  const auto printed = run({"printf", {"%s|%s", "a b", "$HOME;`id`"}});
  ASSERT_TRUE(printed.ok());
  EXPECT_EQ(printed->output, "a b|$HOME;`id`");  // no shell looked at it
  EXPECT_EQ(run({"false", {}})->exit_status, 1);
  EXPECT_EQ(run({"true", {}})->exit_status, 0);
}

TEST(Command, LargeOutputIsCutNotStuck) {
  const auto result = run({"seq", {"1", "2000000"}});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->output.size(), command_output_bytes_max);
}

TEST(Command, CheckedQuotesTheError) {
  const auto result = run_checked({"seq", {"one"}});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.failure().kind, FailureKind::failed);
  EXPECT_THAT(result.failure().what, HasSubstr("invalid floating point argument"));
}

TEST(Command, RefusesWhatIsNotListed) {
  for (const char* program : {"sh", "/bin/true", "../bin/true", ""}) {
    SCOPED_TRACE(program);
    const auto result = run({program, {}});
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.failure().kind, FailureKind::request);
  }
}

TEST(Command, WhatAPersonNamedRunsWhereTheySaid) {
  setenv("COWBENCH_COMMAND_TEST", "kept", 1);
  const auto printed = run(NamedCommand{{"sh", "-c", "pwd; echo $COWBENCH_COMMAND_TEST; exit 3"}, "/usr"});
  unsetenv("COWBENCH_COMMAND_TEST");
  ASSERT_TRUE(printed.ok()) << printed.failure().what;
  EXPECT_EQ(printed->output, "/usr\nkept\n");
  EXPECT_EQ(printed->exit_status, 3);
  EXPECT_EQ(run(NamedCommand{{"bin/true"}, "/usr"})->exit_status, 0);
  for (const NamedCommand& missing : {NamedCommand{{"no-such-program"}, "/"}, NamedCommand{{"true"}, "/no/such/directory"}}) {
    const auto result = run(missing);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.failure().kind, FailureKind::missing);
    EXPECT_THAT(result.failure().what, HasSubstr(missing.words.front()));
  }
}

TEST(Command, TimesOut) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = run({"sleep", {"60"}, 1});
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.failure().what, HasSubstr("no end after 1 s"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST(Command, RendersQuoted) {
  EXPECT_EQ(to_text(Command{"mount", {"-t", "xfs", "/dev/loop0", "/mnt/a b", "it's", ""}}),
            "mount -t xfs /dev/loop0 '/mnt/a b' 'it'\\''s' ''");
}

}  // namespace
}  // namespace cowbench::harness
