// Jobs at a rate that does not depend on how fast they are answered: which rates, and what each job is given of one.
#pragma once
#include <string>
#include <vector>

#include "workloads/fio_job.h"

namespace cowbench::rates {

using cowfs::u32;
using cowfs::u64;

struct Sweep {
  double from, to;  // shares of the capacity
  u32 points;
};

// From the lowest to the highest, evenly. Precondition: 0 < from <= to, at least one point.
std::vector<double> shares(const Sweep& sweep);

// Why no rates can be given to them: one has a rate of its own, or ends by itself before a measured window is over. Empty: nothing.
std::string obstacle(const std::vector<workloads::FioJob>& jobs);

// The same jobs, all together `iops` a second with random gaps (Poisson): each clone the same part, a mix by its percentage.
std::vector<workloads::FioJob> at_rate(std::vector<workloads::FioJob> jobs, double iops);

}  // namespace cowbench::rates
