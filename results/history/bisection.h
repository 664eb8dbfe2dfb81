// Which of many commits changed the level of a noisy measurement: Bayesian, so that each run goes where it tells most
// and the answer comes with its probability. It holds observations and decides; whoever owns it measures.
// What to do next follows from the observations alone, so replaying them resumes it.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::history {

using cowfs::u64;

struct BisectionOptions {
  double probability_wanted = 0.95;
  double effect_min = 0.02;  // changes of the level by a smaller share are not looked for
  u64 runs_max = 400;
  u64 seed = 1;
};

class Bisection {
 public:
  enum class State {
    running,
    found,          // the culprits() hold the wanted probability, and no more can be told apart
    no_difference,  // the ends differ by less than effect_min, as far as 95% are certain
    out_of_runs,
  };

  // Commits 0 to `commits` - 1, the first without and the last with the change. `weights[j]`: how much more likely
  // than others commit j is, a priori; 0 rules it out. Empty: all alike. Precondition: at least two commits, as many
  // weights as commits if any, and not all of those after the first are 0.
  explicit Bisection(std::size_t commits, std::vector<double> weights = {}, const BisectionOptions& options = {});

  State state() const;
  // The commit to measure next. Precondition: running.
  std::size_t next() const;
  // The logarithm of one measurement of `commit`, relative to a baseline run beside it where drift matters.
  void observe(std::size_t commit, double log_value);
  // Does not build or does not run: is never asked for again. Precondition: neither the first nor the last.
  void skip(std::size_t commit);

  u64 runs() const { return runs_; }
  // As far as 99% are certain.
  bool ends_differ() const { return ends_differ_; }
  // Of each commit to be the one that changed it; sums to 1. Commit 0 has none.
  std::vector<double> posterior() const;
  // The most probable first, until together they have the wanted probability.
  std::vector<std::size_t> culprits() const;
  // Level after the change / before it - 1, if `culprit` is the one; absent when a side was never measured.
  std::optional<double> effect(std::size_t culprit) const;

 private:
  struct Sums {
    double count = 0, sum = 0, squares = 0;
  };

  double log_likelihood(const Sums& left) const;
  std::size_t measurable(std::size_t commit) const;
  bool ends_are_alike() const;
  // Whether measuring more could separate these.
  bool separable(std::span<const std::size_t> culprits) const;

  BisectionOptions options_;
  std::vector<double> weights_;
  std::vector<Sums> sums_;  // of each commit
  Sums all_;
  std::vector<bool> skipped_;
  std::vector<double> first_values_, last_values_;
  bool ends_differ_ = false;
  u64 runs_ = 0;
};

}  // namespace cowbench::history
