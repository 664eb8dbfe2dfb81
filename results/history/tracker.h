// Follows one series commit by commit and says when its level changed, without crying wolf: a loose detector names
// candidates, and only fresh, paired comparisons of the commits around one make it an event.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "results/history/changepoints.h"
#include "results/statistics.h"

namespace cowbench::history {

// Measures two commits side by side in ABBA order: log(newer / older) of each pair.
using MeasurePairs = std::function<std::vector<double>(std::size_t older, std::size_t newer, u64 pairs)>;

enum class EventState { confirmed, fixed };

struct Event {
  std::size_t first = 0, last = 0;  // the commits that may have changed it, both included
  std::size_t at = 0;               // the most probable of them
  double effect = 0;                // new level / old level - 1
  results::Interval ratio_ci99{};   // of new level / old level, from the confirmation
  EventState state = EventState::confirmed;
};

struct TrackerOptions {
  DetectorOptions detector = {};
  std::size_t values_min = 6;        // before anything is looked for
  std::size_t radius = 3;            // commits each side of a candidate: the ends that are compared
  u64 confirm_pairs = 20;
  double confirm_clearance = 0.005;  // the 99% interval must stay so far from no change
  u64 tests_max = 3;                 // of one candidate; a rejected one is tried again as history grows
  u64 locate_runs_max = 120;
  u64 seed = 1;
};

class Tracker {
 public:
  Tracker(TrackerOptions options, MeasurePairs measure) : options_(options), measure_(std::move(measure)) {}

  // The value of the next commit: the logarithm of its ratio to the control measured beside it, median of its runs.
  // Absent: the commit could not be measured; it stays among the suspects of a change beside it.
  void add(std::optional<double> log_ratio);

  // The machine changed before the next commit: values from before are of another era, and none is compared with them. Fresh
  // pairs of the commits around its beginning, on the machine as it is, say whether one of these changed something as well.
  void start_era() { era_ = commits_; }

  const std::vector<Event>& events() const { return events_; }

 private:
  struct Rejected {
    std::size_t at, tip;
    u64 tests;
  };
  struct Bracket {
    std::size_t older, newer;
  };

  bool examine(const ChangePoint& candidate);
  bool examine_era();
  bool judge(std::size_t oldest, std::size_t at);
  bool worth_testing(std::size_t at);
  std::optional<results::Interval> confirm(const Bracket& bracket);
  std::optional<Event> locate(const Bracket& bracket, const results::Interval& log_interval);
  std::size_t after_last_event() const;
  std::size_t era_start() const;

  TrackerOptions options_;
  MeasurePairs measure_;
  std::size_t commits_ = 0, era_ = 0;
  std::vector<std::size_t> measured_;  // the commit of each value
  std::vector<double> values_;
  std::vector<Event> events_;
  std::vector<Rejected> rejected_;
};

// One cause as several series show it.
struct EventGroup {
  struct Member {
    std::string series;
    Event event;
    bool operator==(const Member& other) const { return series == other.series; }
  };
  std::size_t first = 0, last = 0;  // commits that all members suspect
  std::vector<Member> members;      // the greatest effect first
};

// Events whose suspects overlap are one group, in the order of commits.
std::vector<EventGroup> group_events(std::vector<EventGroup::Member> members);
// "3 series, worst throughput_mb_s -5.1%"
std::string title(const EventGroup& group);

// Marks an event as fixed when a later one takes its effect back, to within `band`.
void mark_fixed(std::vector<Event>& events, double band = results::band_default);

}  // namespace cowbench::history
