#include "results/history/tracker.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "results/simulated_noise.h"

namespace cowbench::history {
namespace {

using results::simulated::Noise;
using results::simulated::noises;
using results::simulated::normal;
using results::simulated::run_noise;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr double cv = 0.02;

// A made-up project on a made-up machine: `levels` are the true ones, in logarithms.
class Machine {
 public:
  Machine(Noise noise, std::vector<double> levels, u64 seed) : noise_(noise), levels_(std::move(levels)), random_(seed) {}

  // The median of three runs in one session.
  double session(std::size_t commit) {
    const double rho = noise_ == Noise::drift5 ? 0.5 : 0.8;
    const bool wanders = noise_ == Noise::drift5 || noise_ == Noise::drift8;
    speed_ = rho * speed_ + std::sqrt(1 - rho * rho) * normal(random_);
    std::vector<double> runs;
    for (int run = 0; run < 3; ++run) runs.push_back(wanders ? cv * speed_ + cv / 2 * normal(random_) : cv * run_noise(noise_, random_));
    return levels_[commit] + results::median(runs);
  }
  std::vector<double> pairs(std::size_t older, std::size_t newer, u64 count) {
    std::vector<double> differences;
    for (u64 i = 0; i < count; ++i)
      differences.push_back(levels_[newer] - levels_[older] + cv * (run_noise(noise_, random_) - run_noise(noise_, random_)));
    return differences;
  }
  MeasurePairs measure() {
    return [this](std::size_t older, std::size_t newer, u64 count) { return pairs(older, newer, count); };
  }

 private:
  Noise noise_;
  std::vector<double> levels_;
  cowfs::Random random_;
  double speed_ = 0;
};

std::vector<Event> replay(Noise noise, const std::vector<double>& levels, u64 seed) {
  Machine machine(noise, levels, seed);
  Tracker tracker({.seed = seed}, machine.measure());
  for (std::size_t commit = 0; commit < levels.size(); ++commit) tracker.add(machine.session(commit));
  return tracker.events();
}

TEST(Tracker, HistoriesWithoutAChangeRaiseNoEvents) {
  constexpr u64 histories = 200;
  for (const Noise noise : noises) {
    SCOPED_TRACE(static_cast<int>(noise));
    u64 false_events = 0;
    for (u64 seed = 1; seed <= histories; ++seed) false_events += replay(noise, std::vector<double>(100), seed).size();
    RecordProperty("false_events_" + std::to_string(static_cast<int>(noise)), std::to_string(false_events));
    EXPECT_LE(false_events, histories * 2 / 100);
  }
}

TEST(Tracker, AStepOfFivePercentIsFoundWithinOneCommit) {
  constexpr u64 histories = 200;
  for (const Noise noise : noises) {
    SCOPED_TRACE(static_cast<int>(noise));
    u64 found = 0, others = 0;
    for (u64 seed = 1; seed <= histories; ++seed) {
      cowfs::Random random(seed + 777);
      const std::size_t step = 15 + random.below(70);
      std::vector<double> levels(100);
      std::fill(levels.begin() + static_cast<std::ptrdiff_t>(step), levels.end(), std::log(0.95));
      const auto events = replay(noise, levels, seed + 1000);
      const auto hits = std::ranges::count_if(events, [&](const Event& event) { return event.at + 1 >= step && event.at <= step + 1; });
      found += hits > 0;
      others += events.size() - static_cast<u64>(hits);
    }
    RecordProperty("found_" + std::to_string(static_cast<int>(noise)), std::to_string(found));
    EXPECT_GE(found, histories * 95 / 100);
    EXPECT_LE(others, histories * 5 / 100);
  }
}

// The building blocks that such detectors stumble over.
TEST(Tracker, OneOutlierIsNoEvent) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    Machine machine(Noise::normal, std::vector<double>(60), seed);
    Tracker tracker({}, machine.measure());
    for (std::size_t commit = 0; commit < 60; ++commit) tracker.add(machine.session(commit) + (commit == 40 ? 0.3 : 0));
    EXPECT_THAT(tracker.events(), IsEmpty());
  }
}

TEST(Tracker, AStepAndItsRevertAreTwoEventsAndTheFirstIsFixed) {
  u64 both = 0;
  for (u64 seed = 1; seed <= 20; ++seed) {
    std::vector<double> levels(90);
    std::fill(levels.begin() + 30, levels.begin() + 60, std::log(0.9));
    std::vector<Event> events = replay(Noise::normal, levels, seed);
    if (events.size() != 2) continue;
    mark_fixed(events, 0.03);
    both += events[0].state == EventState::fixed && events[1].state == EventState::confirmed;
  }
  EXPECT_GE(both, 18u);
}

// Of 80 commits, the last 40 on another machine, which is faster by a fifth.
std::vector<Event> replay_on_two_machines(const std::vector<double>& levels, u64 seed) {
  Machine machine(Noise::normal, levels, seed);
  Tracker tracker({.seed = seed}, machine.measure());
  for (std::size_t commit = 0; commit < levels.size(); ++commit) {
    if (commit == 40) tracker.start_era();
    tracker.add(machine.session(commit) + (commit < 40 ? 0 : 0.2));
  }
  return tracker.events();
}

TEST(Tracker, ANewEraIsNoEvent) {
  u64 false_events = 0;
  for (u64 seed = 1; seed <= 200; ++seed) false_events += replay_on_two_machines(std::vector<double>(80), seed).size();
  EXPECT_LE(false_events, 4u);
  // The same step is an event when it is the code's and the machine is the same.
  std::vector<double> levels(80);
  std::fill(levels.begin() + 40, levels.end(), 0.2);
  EXPECT_THAT(replay(Noise::normal, levels, 5), SizeIs(1));
}

// A commit that was first measured on the new machine once went unseen, since no value of it could be compared with older ones.
TEST(Tracker, AChangeThatCameWithTheMachineIsFound) {
  for (const std::size_t step : {39u, 40u, 41u}) {
    SCOPED_TRACE(step);
    u64 found = 0;
    for (u64 seed = 1; seed <= 100; ++seed) {
      std::vector<double> levels(80);
      std::fill(levels.begin() + static_cast<std::ptrdiff_t>(step), levels.end(), std::log(0.95));
      const auto events = replay_on_two_machines(levels, seed);
      found += events.size() == 1 && events[0].at + 1 >= step && events[0].at <= step + 1;
    }
    EXPECT_GE(found, 95u);
  }
}

TEST(Tracker, CommitsThatWereNotMeasuredStaySuspects) {
  std::vector<double> levels(60);
  std::fill(levels.begin() + 32, levels.end(), std::log(0.8));
  Machine machine(Noise::normal, levels, 3);
  Tracker tracker({}, machine.measure());
  for (std::size_t commit = 0; commit < 60; ++commit) {
    const bool builds = commit < 30 || commit > 33;
    tracker.add(builds ? std::optional(machine.session(commit)) : std::nullopt);
  }
  ASSERT_THAT(tracker.events(), SizeIs(1));
  EXPECT_EQ(tracker.events()[0].first, 30u);
  EXPECT_EQ(tracker.events()[0].last, 34u);
}

TEST(Groups, EventsWithCommonSuspectsAreOne) {
  const auto event = [](std::size_t first, std::size_t last, double effect) {
    Event made;
    made.first = first;
    made.last = last;
    made.effect = effect;
    return made;
  };
  const auto groups = group_events({{"ops_s", event(10, 13, -0.03)}, {"flush_p99_ns", event(40, 41, 0.5)},
                                    {"throughput_mb_s", event(12, 12, -0.051)}});
  ASSERT_THAT(groups, SizeIs(2));
  EXPECT_EQ(groups[0].first, 12u);
  EXPECT_EQ(groups[0].last, 12u);
  EXPECT_EQ(title(groups[0]), "2 series, worst throughput_mb_s -5.1%");
  EXPECT_EQ(title(groups[1]), "1 series, worst flush_p99_ns +50.0%");
}

}  // namespace
}  // namespace cowbench::history
