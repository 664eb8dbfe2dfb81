#include "engine/sim/costs.h"

#include <gtest/gtest.h>

#include <map>

namespace cowfs::sim {
namespace {

std::map<std::string, double> by_name() {
  std::map<std::string, double> values;
  for (const Cost& cost : costs()) values[cost.name] = cost.value;
  return values;
}

TEST(Costs, are_the_same_each_time) { EXPECT_EQ(by_name(), by_name()); }

// Data and their keys, with a checkpoint now and then, and nothing else.
TEST(Costs, are_those_of_the_load) {
  std::map<std::string, double> values = by_name();
  EXPECT_GT(values["files_device_flushes"], 0);
  EXPECT_GT(values["overwrites_write_amplification"], 1);
  EXPECT_LT(values["overwrites_write_amplification"], 2);
  EXPECT_LT(values["overwrites_device_writes"], 8192 / 8) << "small writes of many lanes leave together";
  EXPECT_GT(values["files_submissions"], 0);
  EXPECT_GT(values["overwrites_submissions"], 0);
  EXPECT_LE(values["overwrites_submissions"], values["overwrites_device_writes"] + values["overwrites_device_flushes"]);
}

}  // namespace
}  // namespace cowfs::sim
