#include "tracking/track.h"

#include <algorithm>
#include <cmath>

#include "tracking/bisect.h"
#include "tracking/project_fixture.h"

namespace cowbench::tracking {
namespace {

using harness::FailureKind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TrackTest : public fixture::ProjectTest {
 protected:
  struct Tracked {
    harness::Outcome<TrackReport> report;
    std::string json;
  };
  Tracked run_track(const Suite& suite, const std::string& range) {
    const Repository repository = *Repository::open(this->repository());
    const auto commits = repository.range(range);
    EXPECT_TRUE(commits.ok()) << commits.failure().what;
    store::Store store = open_store();
    Builds builds = std::move(*Builds::open(repository, suite, directory_ / "work"));
    Measurements measurements(suite, commits->front().sha, builds, store, {});
    TrackRequest request;
    request.suite = &suite;
    request.commits = *commits;
    Tracked tracked{track(request, builds, measurements), ""};
    if (tracked.report) tracked.json = to_json(*tracked.report);
    return tracked;
  }
  harness::Outcome<BisectReport> run_bisect(const Suite& suite, const std::string& range,
                                            history::BisectionOptions options = {}) {
    const Repository repository = *Repository::open(this->repository());
    store::Store store = open_store();
    Builds builds = std::move(*Builds::open(repository, suite, directory_ / "work"));
    BisectRequest request;
    request.suite = &suite;
    request.metric = "speed";
    request.commits = *repository.range(range);
    request.options = options;
    Measurements measurements(suite, request.commits.front().sha, builds, store, {});
    return bisect(request, measurements);
  }
};

TEST_F(TrackTest, APlantedSlowDownIsFoundAndNothingIsMeasuredTwice) {
  commit_history(24, 13);
  const Tracked first = run_track(suite(), "c0..c23");
  ASSERT_TRUE(first.report.ok()) << first.report.failure().what;
  EXPECT_TRUE(any_worse(*first.report));
  ASSERT_THAT(first.report->series, SizeIs(2));
  ASSERT_THAT(first.report->series[0].events, SizeIs(1));
  const TrackedEvent& found = first.report->series[0].events[0];
  EXPECT_TRUE(found.worse);
  EXPECT_GE(found.event.at, 12u);
  EXPECT_LE(found.event.at, 14u);
  EXPECT_NEAR(found.event.effect, -0.05, 0.02);
  EXPECT_THAT(first.report->series[1].events, IsEmpty());
  EXPECT_GE(first.report->runs, 24u * 6 + 40);

  const Tracked again = run_track(suite(), "c0..c23");
  ASSERT_TRUE(again.report.ok());
  EXPECT_EQ(again.report->runs, 0u);
  const auto from_commits = [](const std::string& json) { return json.substr(json.find("\"commits\"")); };
  EXPECT_EQ(from_commits(again.json), from_commits(first.json));
}

TEST_F(TrackTest, AHistoryWithoutAChangeHasNoEvent) {
  commit_history(20, 100);
  const Tracked tracked = run_track(suite(), "c0..c19");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  EXPECT_THAT(tracked.report->groups, IsEmpty());
  EXPECT_FALSE(any_worse(*tracked.report));
}

TEST_F(TrackTest, ExactMetricsNeedNoStatistics) {
  commit_history(2, 100);
  write("flushes", "12");
  commit("two more flushes");
  const Tracked tracked = run_track(suite(), "c0..c2");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  const TrackedSeries& series = tracked.report->series[1];
  EXPECT_TRUE(series.exact);
  ASSERT_THAT(series.events, SizeIs(1));
  EXPECT_EQ(series.events[0].event.at, 2u);
  EXPECT_EQ(series.events[0].before, 10);
  EXPECT_EQ(series.events[0].after, 12);
  EXPECT_TRUE(series.events[0].worse && any_worse(*tracked.report));
}

// Half-way through, the machine makes the reference, and only that, a fifth slower: that is an era and no commit's doing.
TEST_F(TrackTest, TwoControlsTellAChangeOfTheMachineFromOneOfACommit) {
  constexpr int sides = 3, runs = 3, machine_changes_at = 8;
  const std::string calm_runs = std::to_string(sides * runs * machine_changes_at);
  write("reference.sh", "if [ $(cat $1 || echo 0) -ge $2 ]; then echo speed 80; else echo speed 100; fi\n"
                        "echo $(($(cat $1 || echo 0) + 1)) > $1");
  commit_history(24, 16);
  Suite both = suite();
  both.keep.push_back("reference.sh");
  both.control = {"sh", "reference.sh", fixture::runs_so_far, calm_runs};
  both.control_commit = "c0";
  const Tracked tracked = run_track(both, "c0..c23");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  const Session& session = tracked.report->commits[0].session;
  for (const auto* figures : {&session.subject, &session.control, &session.reference}) EXPECT_THAT(figures->at("speed"), SizeIs(runs));
  EXPECT_THAT(session.reference.at("speed"), testing::Each(100));

  ASSERT_THAT(tracked.report->eras, SizeIs(1));
  const Era& era = tracked.report->eras[0];
  EXPECT_EQ(era.commit, static_cast<std::size_t>(machine_changes_at));
  EXPECT_EQ(era.cause, Era::Cause::controls);
  EXPECT_NEAR(*era.changes[0].control, 0, 0.02);
  EXPECT_NEAR(*era.changes[0].reference, -0.2, 0.001);
  EXPECT_EQ(era.changes[1].reference, std::nullopt);
  ASSERT_THAT(tracked.report->series[0].events, SizeIs(1));
  EXPECT_NEAR(static_cast<double>(tracked.report->series[0].events[0].event.at), 16, 1);
  EXPECT_THAT(tracked.json, HasSubstr("the controls changed"));
  EXPECT_EQ(run_track(both, "c0..c23").report->runs, 0u);
}

// What counts instructions or flushes may count others since an update of the system: so it does for the frozen build.
TEST_F(TrackTest, AnExactMetricThatTheFrozenBuildChangesTooIsNoEvent) {
  write("bench.sh", "echo speed 100; echo flushes $(($(cat flushes) + $(cat ../../../../machine)))");
  commit_history(6, 100);
  write("flushes", "12");
  commit("two more flushes");
  const auto set_machine = [&](const char* extra) { std::ofstream(directory_ / "machine") << extra; };
  set_machine("0");
  ASSERT_TRUE(run_track(suite(), "c0..c2").report.ok());
  set_machine("1");
  const Tracked tracked = run_track(suite(), "c0..c6");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  ASSERT_THAT(tracked.report->eras, SizeIs(1));
  EXPECT_EQ(tracked.report->eras[0].commit, 3u);
  EXPECT_NEAR(*tracked.report->eras[0].changes[1].control, 0.1, 1e-9);
  ASSERT_THAT(tracked.report->series[1].events, SizeIs(1));
  EXPECT_EQ(tracked.report->series[1].events[0].event.at, 6u);
}

TEST_F(TrackTest, AMetricThatIsNotExactIsJudgedLikeTheOthers) {
  commit_history(2, 100);
  Suite claims = suite();
  claims.metrics[0].exact = true;
  const Tracked tracked = run_track(claims, "c0..c1");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  EXPECT_FALSE(tracked.report->series[0].exact);
  EXPECT_THAT(tracked.report->series[0].events, IsEmpty());
  EXPECT_THAT(tracked.report->warnings, ElementsAre(HasSubstr("speed is not exact")));
}

TEST_F(TrackTest, CommitsThatChangeNothingOrDoNotBuildOrRunAreNoted) {
  commit_history(2, 100);
  write("README", "words");
  commit("words only");
  std::filesystem::remove(repository() + "/level.in");
  commit("does not build");
  write("level.in", "100");
  write("broken", "");
  write("version", "9");
  commit("does not run");
  Suite with_broken = suite();
  with_broken.build.push_back({"sh", "-c", "mkdir kept; [ ! -e broken ] || cp broken kept"});
  with_broken.keep.push_back("kept");
  with_broken.bench = {"sh", "-c", "[ ! -e kept/broken ] || exit 3; exec sh bench.sh $0 {seed}", fixture::runs_so_far};
  const Tracked tracked = run_track(with_broken, "c0..c4");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  const auto& commits = tracked.report->commits;
  EXPECT_EQ(commits[1].state, CommitState::measured);
  EXPECT_EQ(commits[2].state, CommitState::same_build);
  EXPECT_EQ(commits[2].build, commits[1].build);
  EXPECT_EQ(commits[3].state, CommitState::not_built);
  EXPECT_THAT(commits[3].note, HasSubstr("level.in"));
  EXPECT_EQ(commits[4].state, CommitState::not_run);
  EXPECT_THAT(commits[4].note, HasSubstr("exit status 3"));

  std::string reason;
  const auto runs = open_store().list(reason);  // what was measured beside the failing bench is kept, and marked
  const auto partial = std::ranges::find(*runs, store::RunStatus::partial, &store::RunSummary::status);
  ASSERT_NE(partial, runs->end());
  EXPECT_EQ(partial->commit, commits[4].commit.sha);
}

// A metric that the suite gained later: commits from before it once counted as broken, and all other metrics with them.
TEST_F(TrackTest, AMetricThatACommitDoesNotPrintIsMissingThereAlone) {
  write("bench.sh", "echo speed 100");
  commit_history(3, 100);
  write("bench.sh", "echo speed 100; echo flushes $(cat flushes)");
  commit("flushes are counted");
  write("flushes", "12");
  commit("two more flushes");
  Suite exact = suite();
  exact.metrics[0].exact = true;
  const Tracked tracked = run_track(exact, "c0..c4");
  ASSERT_TRUE(tracked.report.ok()) << tracked.report.failure().what;
  for (const TrackedCommit& commit : tracked.report->commits) EXPECT_EQ(commit.state, CommitState::measured);
  EXPECT_THAT(tracked.report->series[0].events, IsEmpty());
  const TrackedSeries& flushes = tracked.report->series[1];
  EXPECT_TRUE(flushes.exact);
  ASSERT_THAT(flushes.events, SizeIs(1));
  EXPECT_EQ(flushes.events[0].event.at, 4u);
  EXPECT_EQ(flushes.events[0].event.first, 4u);
  EXPECT_THAT(tracked.report->warnings, ElementsAre("3 of the commits that were measured do not print flushes"));
  EXPECT_EQ(run_track(exact, "c0..c4").report->runs, 0u);  // what is missing is not measured again

  // Where the control does not print it either there is nothing to compare a noisy one with.
  Suite noisy = exact;
  noisy.metrics[1].exact = false;
  const Tracked unjudged = run_track(noisy, "c0..c4");
  ASSERT_TRUE(unjudged.report.ok()) << unjudged.report.failure().what;
  EXPECT_THAT(unjudged.report->series[1].events, IsEmpty());
  EXPECT_THAT(unjudged.report->warnings, testing::Contains(HasSubstr("flushes is not judged")));
  EXPECT_FALSE(unjudged.json.empty());
}

TEST_F(TrackTest, AMetricThatNoCommitPrintsIsAMistakeOfTheSuite) {
  commit_history(2, 100);
  Suite mistaken = suite();
  mistaken.metrics[1].name = "flushs";
  const Tracked tracked = run_track(mistaken, "c0..c1");
  ASSERT_FALSE(tracked.report.ok());
  EXPECT_EQ(tracked.report.failure().kind, FailureKind::missing);
  EXPECT_THAT(tracked.report.failure().what, HasSubstr("flushs"));
}

// A metric that is added to a suite is measured, although the commits' other metrics are known.
TEST_F(TrackTest, AMetricThatTheSuiteGainsIsMeasured) {
  commit_history(2, 100);
  Suite one = suite();
  one.metrics.pop_back();
  ASSERT_TRUE(run_track(one, "c0..c1").report.ok());
  const Tracked both = run_track(suite(), "c0..c1");
  ASSERT_TRUE(both.report.ok()) << both.report.failure().what;
  EXPECT_EQ(both.report->runs, 12u);
  EXPECT_EQ(both.report->commits[1].session.subject.at("flushes").front(), 10);
}

TEST_F(TrackTest, NothingIsWrittenToTheRepository) {
  commit_history(2, 100);
  const auto state = [&] {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(repository())) paths.push_back(entry.path());
    std::ranges::sort(paths);
    return paths;
  };
  const auto before = state();
  ASSERT_TRUE(run_track(suite(), "c0..c1").report.ok());
  EXPECT_EQ(state(), before);
}

TEST_F(TrackTest, ARangeThatCannotBeMeasuredIsAFailure) {
  commit_history(3, 100);
  Suite broken = suite();
  broken.build = {{"false"}};
  const Tracked tracked = run_track(broken, "c0..c2");
  ASSERT_FALSE(tracked.report.ok());
  EXPECT_EQ(tracked.report.failure().kind, FailureKind::missing);
  EXPECT_FALSE(run_bisect(broken, "c0..c2").ok());
}

TEST_F(TrackTest, BisectionNamesThePlantedCommitAndGoesOnWhereItWas) {
  commit_history(24, 15);
  const auto cut_off = run_bisect(suite(), "c0..c23", {.runs_max = 15});
  ASSERT_TRUE(cut_off.ok()) << cut_off.failure().what;
  EXPECT_EQ(cut_off->state, history::Bisection::State::out_of_runs);
  EXPECT_EQ(cut_off->runs, 30u);
  const auto found = run_bisect(suite(), "c0..c23");
  ASSERT_TRUE(found.ok()) << found.failure().what;
  EXPECT_EQ(found->state, history::Bisection::State::found);
  EXPECT_EQ(found->suspects.front().commit, 15u);
  EXPECT_GE(found->suspects.front().probability, 0.5);
  EXPECT_EQ(found->runs, 2 * (found->observations - 15));
  EXPECT_NEAR(*found->effect, -0.05, 0.02);
}

TEST_F(TrackTest, BisectionSkipsCommitsThatDoNotBuild) {
  for (int number = 0; number < 8; ++number) {
    write("level.in", number < 5 ? "100" : "80");
    write("version", std::to_string(number));
    if (number == 3) std::filesystem::remove(repository() + "/level.in");
    commit("change " + std::to_string(number));
  }
  const auto found = run_bisect(suite(), "c0..c7");
  ASSERT_TRUE(found.ok()) << found.failure().what;
  ASSERT_EQ(found->state, history::Bisection::State::found);
  EXPECT_EQ(found->suspects.front().commit, 5u);
}

TEST_F(TrackTest, EndsThatDoNotDifferAreSaid) {
  commit_history(8, 100);
  const auto nothing = run_bisect(suite(), "c0..c7");
  ASSERT_TRUE(nothing.ok()) << nothing.failure().what;
  EXPECT_EQ(nothing->state, history::Bisection::State::no_difference);
}

TEST_F(TrackTest, RangesAreChecked) {
  commit_history(2, 100);
  git({"checkout", "--quiet", "--orphan", "other"});
  commit("elsewhere");
  const Repository repository = *Repository::open(this->repository());
  struct Case {
    const char* range;
    const char* reason;
  };
  for (const Case& c :
       {Case{"c0", "not a range"}, Case{"c0..", "not a range"}, Case{"c0...c1", "not a range"},
        Case{"c0..zz", "no commit zz"}, Case{"--all..c1", "no commit --all"}, Case{"c1..c0", "no ancestor"},
        Case{"c0..c2", "no ancestor"}, Case{"c1..c1", "one commit only"}}) {
    SCOPED_TRACE(c.range);
    const auto commits = repository.range(c.range);
    ASSERT_FALSE(commits.ok());
    EXPECT_EQ(commits.failure().kind, FailureKind::request);
    EXPECT_THAT(commits.failure().what, HasSubstr(c.reason));
  }
  EXPECT_EQ(Repository::open(directory_).failure().kind, FailureKind::missing);
  EXPECT_FALSE(*repository.dirty());
  write("flushes", "11");
  EXPECT_TRUE(*repository.dirty());
}

// Git and builds run in folders of their own; "--repo ." once meant the root directory.
TEST_F(TrackTest, PathsMayBeRelative) {
  commit_history(2, 100);
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(directory_);
  const auto opened = Repository::open("repository");
  ASSERT_TRUE(opened.ok()) << opened.failure().what;
  EXPECT_EQ(opened->path(), std::filesystem::canonical(repository()));
  const Suite made = suite();
  auto builds = Builds::open(*opened, made, "work");
  ASSERT_TRUE(builds.ok()) << builds.failure().what;
  const auto build = builds->get(opened->commit("c0")->sha);
  std::filesystem::current_path(here);
  ASSERT_TRUE(build.ok()) << build.failure().what;
  EXPECT_TRUE(std::filesystem::exists(build->directory + "/level"));
}

TEST_F(TrackTest, OneProcessBuildsAtATime) {
  commit_history(2, 100);
  const Repository repository = *Repository::open(this->repository());
  const Suite made = suite();
  const auto first = Builds::open(repository, made, directory_ / "work");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(Builds::open(repository, made, directory_ / "work").failure().kind, FailureKind::refused);
}

// After a kill -9 in mid-clone or mid-checkout no run could build any more until somebody deleted what was left.
TEST_F(TrackTest, WhatAKilledGitLeftStopsNobody) {
  commit_history(2, 100);
  const Repository repository = *Repository::open(this->repository());
  const Suite made = suite();
  const auto commits = *repository.range("c0..c1");
  const auto folder = [&] { return std::filesystem::directory_iterator(directory_ / "work")->path(); };
  {
    Builds builds = std::move(*Builds::open(repository, made, directory_ / "work"));
    std::filesystem::rename(folder() / "tree", folder() / "tree.new");
  }
  {
    auto builds = Builds::open(repository, made, directory_ / "work");
    ASSERT_TRUE(builds.ok()) << builds.failure().what;
    EXPECT_TRUE(builds->get(commits[0].sha).ok());
  }
  for (const char* file : {"index.lock", "HEAD.lock"}) std::ofstream(folder() / "tree/.git" / file) << "";
  Builds builds = std::move(*Builds::open(repository, made, directory_ / "work"));
  const auto built = builds.get(commits[1].sha);
  EXPECT_TRUE(built.ok()) << built.failure().what;
}

// A build that leaves a file of an earlier commit would otherwise pass it off as its own.
TEST_F(TrackTest, WhatAnEarlierCommitBuiltDoesNotPassForALaterOne) {
  write(".gitignore", "level");
  commit_history(1, 100);
  const Repository repository = *Repository::open(this->repository());
  write("level.in", "50");
  commit("another level");
  Suite lazy = suite();
  lazy.build = {{"sh", "-c", "[ -e level ] || cp level.in level"}};
  Builds builds = std::move(*Builds::open(repository, lazy, directory_ / "work"));
  const auto commits = *repository.range("c0..c1");
  const auto first = builds.get(commits[0].sha), second = builds.get(commits[1].sha);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->hash, second->hash);
  EXPECT_EQ(builds.get(commits[0].sha)->hash, first->hash);
}

TEST(Printed, ValuesAreTakenFromLinesOrRecords) {
  Suite suite;
  suite.metrics = {{"speed", results::Direction::higher_is_better, false}};
  struct Case {
    const char* printed;
    double value;
  };
  for (const Case& c : {Case{"speed 12.5\n", 12.5}, Case{"hello\nspeed 1\nspeed 3\nspeed 2", 2},
                        Case{"  speed\t4 \r\nspeed four\n", 4}})
    EXPECT_EQ(values_of(suite, c.printed)->at("speed"), c.value) << c.printed;
  for (const char* nothing : {"", "speed", "speed fast", "speed 1 2", "velocity 3", "speed inf"})
    EXPECT_FALSE(values_of(suite, nothing).ok()) << nothing;
}

}  // namespace
}  // namespace cowbench::tracking
