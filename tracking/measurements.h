// What was measured of commits, and what still has to be: everything goes through the store, so that a run that was cut
// off goes on where it was, and a range that grew costs its new commits only. One thread.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "results/store/store.h"
#include "tracking/bench.h"
#include "tracking/builds.h"

namespace cowbench::tracking {

// Runs of one commit, of the control and of the reference in turn; element i of all was measured side by side.
struct Session {
  using Figures = std::map<std::string, std::vector<double>>;  // by metric, where it was printed; equally many
  std::string run, started;                                    // in the store
  std::string fingerprint;                                     // of the machine
  Figures subject, control, reference;                         // the last is empty where the suite has one control only
};

// The logarithm of the median over runs of a / b; NaN when a value is missing or has no logarithm.
double log_ratio(const Session::Figures& a, const Session::Figures& b, const std::string& metric);

class Measurements {
 public:
  // `control_sha`: whose build is frozen, where the suite has one. All must outlive this.
  // `environment`: of this machine, without a commit.
  Measurements(const Suite& suite, std::string control_sha, Builds& builds, store::Store& store,
               results::Environment environment);

  // `runs` runs of each side. Failures: mismatch: the commit cannot be built or run; what was measured until then is stored
  // as a partial run. failed: it cannot be stored. interrupted. A metric that a side does not print is not in it.
  harness::Outcome<Session> session(const std::string& sha, u64 runs);

  // log(newer / older) of `count` pairs that `metric` has not been given before. Failures: as above; also mismatch: one of
  // the two does not print it.
  harness::Outcome<std::vector<double>> pairs(const std::string& older, const std::string& newer, u64 count,
                                              const std::string& metric);

  // Runs of a bench that were made here.
  u64 runs_made() const { return runs_made_; }

 private:
  struct Side {
    std::string target, sha, hash, directory;
    Words command;
  };
  struct Taken {
    std::map<std::string, std::vector<double>> logs;  // by metric: of all pairs that are stored
    std::map<std::string, std::size_t> given;         // by metric: how many of them were handed out
  };

  using Sides = std::vector<Side>;

  harness::Outcome<Side> side(std::string_view target, const std::string& sha) const;
  harness::Outcome<Sides> session_sides(const std::string& sha) const;
  void add_result(results::Comparison& comparison, const Side& side) const;
  store::StoredRun begin_run(std::string_view media, const std::string& workload, const Sides& sides, u64 earlier) const;
  harness::Action measure_round(const Sides& sides, cowfs::Random& random, results::Comparison& comparison);
  // Stores what it measured, also when a run fails.
  harness::Outcome<Session> measure(std::string_view media, const std::string& workload, const Sides& sides, u64 count,
                                    u64 earlier);
  harness::Outcome<std::vector<store::SeriesPoint>> stored(std::string_view target, std::string_view media,
                                                           const std::string& workload,
                                                           const std::string& metric) const;
  harness::Action load_pairs(const std::string& older, const std::string& newer, Taken& taken) const;
  harness::Outcome<std::map<std::string, Session>> load_sessions() const;
  harness::Outcome<bool> is_complete(const Session& session) const;

  const Suite& suite_;
  std::string control_sha_, id_;
  Builds& builds_;
  store::Store& store_;
  results::Environment environment_;
  std::optional<std::map<std::string, Session>> sessions_;  // of the store; by commit
  std::map<std::pair<std::string, std::string>, Taken> taken_;
  u64 runs_made_ = 0;
};

}  // namespace cowbench::tracking
