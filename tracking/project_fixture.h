// A made-up project: a git repository whose commits state how fast and how thrifty a bench is, and the bench, which
// adds noise of 2%. Never part of a program.
#pragma once
#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "harness/command.h"
#include "results/store/store.h"
#include "tracking/measurements.h"

namespace cowbench::tracking::fixture {

// Noise follows from the seed and from how many runs there were before: a run beside another of its seed differs, and a
// history repeated from the start does not.
constexpr const char* bench_script = R"sh(n=$(cat "$1" 2>/dev/null || echo 0); echo $((n + 1)) > "$1"
exec awk -v seed="$2" -v n="$n" -v level="$(cat level)" -v flushes="$(cat flushes)" 'BEGIN {
  x = (seed % 1000003) * 7919 + n * 104729 + 17
  for (i = 0; i < 16; ++i) { x = (x * 16807) % 2147483647; if (i >= 4) sum += x / 2147483647 }
  print "speed", level * exp(0.02 * (sum - 6)); print "flushes", flushes }'
)sh";

// Beside the work folder, from where a build lies.
constexpr const char* runs_so_far = "../../../../count";

class ProjectTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/cowbench-tracking-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    std::filesystem::create_directory(repository());
    git({"init", "--quiet", "--initial-branch=main"});
    write("bench.sh", bench_script);
    write("flushes", "10");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string repository() const { return directory_ / "repository"; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(repository() + "/" + name) << text;
  }
  // Dates are fixed, and so is the bench's command: the seeds of runs follow from the commits' hashes and from that command. When
  // they differed from run to run, one bisection in fifteen named a neighbour of the planted commit, as it may.
  void git(std::vector<std::string> words) const {
    const std::vector<std::string> settings = {"env",
                                               "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
                                               "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
                                               "git",
                                               "-c",
                                               "user.name=A",
                                               "-c",
                                               "user.email=a@example.org",
                                               "-c",
                                               "commit.gpgsign=false"};
    words.insert(words.begin(), settings.begin(), settings.end());
    const auto done = harness::run_checked(harness::NamedCommand{words, repository(), 60});
    ASSERT_TRUE(done.ok()) << done.failure().what;
  }
  // Also moves the branch "cN", counted from 0.
  void commit(const std::string& subject) {
    git({"add", "-A"});
    git({"commit", "--quiet", "--allow-empty", "-m", subject});
    git({"branch", "c" + std::to_string(commits_++)});
  }
  // Each differs from the one before in its build; from commit `step` on the bench is slower by 5%.
  void commit_history(int count, int step) {
    for (int number = 0; number < count; ++number) {
      write("level.in", number < step ? "100" : "95");
      write("version", std::to_string(number));
      commit("change " + std::to_string(number));
    }
  }

  Suite suite() const {
    Suite made;
    made.name = "made-up";
    made.build = {{"cp", "level.in", "level"}};
    made.keep = {"level", "flushes", "version", "bench.sh"};
    made.bench = {"sh", "bench.sh", runs_so_far, "{seed}"};
    made.metrics = {{"speed", results::Direction::higher_is_better, false},
                    {"flushes", results::Direction::lower_is_better, true}};
    return made;
  }
  store::Store open_store() const {
    std::string reason;
    auto store = store::Store::open(directory_ / "results.db", store::Store::Access::write, reason);
    EXPECT_TRUE(store.ok()) << reason;
    return std::move(*store);
  }

  std::filesystem::path directory_;
  int commits_ = 0;
};

}  // namespace cowbench::tracking::fixture
