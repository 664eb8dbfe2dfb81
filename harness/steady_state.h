// Finds out when a load has settled, from its rates second by second.
#pragma once
#include <deque>
#include <vector>

#include "workloads/steady_rule.h"

namespace cowbench::harness {

class Settling {
 public:
  virtual ~Settling() = default;
  // The rates of the `seconds` since the last call. True: it has settled.
  virtual bool add(double seconds, double ops_s, double mb_s) = 0;
};

// By a rule of a fio job. Seconds that are cut short, at the end of a round, are not looked at.
class SteadyByRule final : public Settling {
 public:
  explicit SteadyByRule(const workloads::SteadyRule& rule) : rule_(rule) {}
  bool add(double seconds, double ops_s, double mb_s) override;
  // Means of the last rule.seconds samples.
  double ops_s() const;
  double mb_s() const;

 private:
  struct Sample {
    double ops_s, mb_s;
  };
  double mean(double Sample::*rate) const;

  const workloads::SteadyRule rule_;
  double ramp_seconds_ = 0;  // so far
  std::deque<Sample> samples_;
};

// As SNIA's Solid State Storage Performance Test Specification 2.0 preconditions: means over windows; steady are five whose
// highest and lowest differ by 20% of their mean at most, and whose best line rises or falls by 10% of it at most.
class SteadyBySnia final : public Settling {
 public:
  static constexpr cowfs::u32 windows = 5, windows_max = 25;
  explicit SteadyBySnia(double window_seconds) : window_seconds_(window_seconds) {}
  bool add(double seconds, double ops_s, double mb_s) override;
  cowfs::u32 windows_seen() const { return seen_; }

 private:
  bool is_steady() const;

  const double window_seconds_;
  double seconds_ = 0, operations_ = 0;  // of the window that is open
  std::deque<double> means_;
  cowfs::u32 seen_ = 0;
};

}  // namespace cowbench::harness
