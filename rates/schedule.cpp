#include "rates/schedule.h"

#include <algorithm>
#include <cmath>

#include "engine/base/assert.h"

namespace cowbench::rates {
namespace {

using workloads::FioJob;
using workloads::FioKind;

u64 rounded(double rate) { return std::max<u64>(1, static_cast<u64>(std::llround(rate))); }

void set_rate(FioJob& job, double iops) {
  const auto rate_of = [&](FioKind kind) -> u64& { return job.rate_iops[static_cast<std::size_t>(kind)]; };
  const auto does = [&](FioKind kind) { return job.does[static_cast<std::size_t>(kind)]; };
  const bool mixed = does(FioKind::read) && does(FioKind::write);
  const double reads = mixed ? job.read_percent / 100.0 : 1;
  if (does(FioKind::read)) rate_of(FioKind::read) = rounded(iops * reads);
  if (does(FioKind::write)) rate_of(FioKind::write) = rounded(iops * (mixed ? 1 - reads : 1));
  if (does(FioKind::trim)) rate_of(FioKind::trim) = rounded(iops);
  job.rate_process = workloads::FioRateProcess::poisson;
}

bool has_rate(const FioJob& job) {
  const auto some = [](u64 rate) { return rate > 0; };
  return std::ranges::any_of(job.rate_iops, some) || std::ranges::any_of(job.rate_bytes, some);
}

}  // namespace

std::vector<double> shares(const Sweep& sweep) {
  assert(sweep.from > 0 && sweep.from <= sweep.to && sweep.points > 0);
  std::vector<double> all;
  const double step = sweep.points == 1 ? 0 : (sweep.to - sweep.from) / (sweep.points - 1);
  for (u32 point = 0; point < sweep.points; ++point) all.push_back(sweep.from + point * step);
  return all;
}

std::string obstacle(const std::vector<FioJob>& jobs) {
  for (const FioJob& job : jobs) {
    if (has_rate(job)) return job.name + " has a rate of its own";
    if (!job.time_based || job.runtime_ns == 0)
      return job.name + " ends when its files are done; give it runtime= and time_based";
  }
  return "";
}

std::vector<FioJob> at_rate(std::vector<FioJob> jobs, double iops) {
  u32 clones = 0;
  for (const FioJob& job : jobs) clones += job.clones;
  for (FioJob& job : jobs) set_rate(job, iops / clones);
  return jobs;
}

}  // namespace cowbench::rates
