// With a real compiler, and the real profiler where it is installed and may sample.
#include "attribution/attribute.h"

#include <algorithm>

#include "tracking/project_fixture.h"

namespace cowbench::attribution {
namespace {

constexpr const char* program = R"(
#include <stdio.h>
__attribute__((noinline)) void cold(long n) { for (volatile long i = 0; i < n; ++i) {} }
__attribute__((noinline)) void hot(long n) { for (volatile long i = 0; i < n; ++i) {} }
int main(void) {
  for (int turn = 0; turn < 200; ++turn) { cold(300000); hot(HOT); }
  printf("turns %d\nwork %ld\n", 200, (long)HOT);
  return 0;
}
)";

class AttributeTest : public tracking::fixture::ProjectTest {
 protected:
  void commit_program(const char* hot) {
    write("program.c", "#define HOT " + std::string(hot) + "L\n" + program);
    commit(hot);
  }
  tracking::Suite program_suite() const {
    tracking::Suite suite;
    suite.name = "made-up";
    suite.build = {{"cc", "-O1", "-fno-omit-frame-pointer", "-o", "program", "program.c"}};
    suite.keep = {"program"};
    suite.bench = {"./program"};
    suite.metrics = {{"work", results::Direction::lower_is_better, true}};
    return suite;
  }
  harness::Outcome<Attribution> run_attribute(const tracking::Suite& suite, const char* range) {
    const auto repository = *tracking::Repository::open(this->repository());
    auto builds = std::move(*tracking::Builds::open(repository, suite, directory_ / "work"));
    const auto commits = *repository.range(range);
    AttributeRequest request;
    request.suite = &suite;
    request.before = commits.front();
    request.after = commits.back();
    request.pairs = 2;
    request.profiles = 3;
    request.frequency_hz = 999;
    return attribute(request, builds);
  }
};

TEST_F(AttributeTest, TheFunctionThatDoesMoreIsNamed) {
  commit_program("100000");
  commit_program("400000");
  const auto found = run_attribute(program_suite(), "c0..c1");
  ASSERT_TRUE(found.ok()) << found.failure().what;
  ASSERT_FALSE(found->counters.empty());
  EXPECT_EQ(found->counters[0].name, "work");
  EXPECT_TRUE(found->counters[0].moved);
  EXPECT_FALSE(found->counters[1].moved);
  if (!found->warnings.empty()) GTEST_SKIP() << found->warnings[0];
  const auto hot = std::ranges::find(found->functions, "hot", &FunctionChange::name);
  ASSERT_NE(hot, found->functions.end());
  EXPECT_TRUE(hot->self.moved);
  EXPECT_GT(hot->self.change(), 0.05);
  const auto cold = std::ranges::find(found->functions, "cold", &FunctionChange::name);
  ASSERT_NE(cold, found->functions.end());
  EXPECT_LT(cold->self.change(), -0.05);  // its share: it does what it did
}

TEST_F(AttributeTest, EqualBuildsAreNotRun) {
  commit_program("1000");
  write("README", "words");
  commit("words");
  const auto found = run_attribute(program_suite(), "c0..c1");
  ASSERT_TRUE(found.ok()) << found.failure().what;
  EXPECT_TRUE(found->same_build);
  EXPECT_EQ(found->pairs, 0u);
}

TEST_F(AttributeTest, ACommitThatDoesNotBuildIsAFailure) {
  commit_program("1000");
  commit_program("no number");
  const auto found = run_attribute(program_suite(), "c0..c1");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.failure().kind, harness::FailureKind::failed);
}

}  // namespace
}  // namespace cowbench::attribution
