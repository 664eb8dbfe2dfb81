#include "results/exchange/dbench_output.h"

#include <gtest/gtest.h>

namespace cowbench::exchange {
namespace {

constexpr std::string_view sample = R"(dbench version 4.00 - Copyright Andrew Tridgell 1999-2004

Running for 3 seconds with load '/usr/share/dbench/client.txt' and minimum warmup 0 secs
releasing clients
   2    112635   621.05 MB/sec  execute   2 sec  latency 32.070 ms
   0  cleanup   3 sec

 Operation      Count    AvgLat    MaxLat
 ----------------------------------------
 NTCreateX      57876     0.022    20.107
 Flush           4069     0.000     0.005

Throughput 621.052 MB/sec (sync open) (sync dirs)  2 clients  2 procs  max_latency=32.070 ms
)";

TEST(DbenchOutput, Parsed) {
  const auto result = parse_dbench_output(sample, 3);
  ASSERT_TRUE(result);
  EXPECT_DOUBLE_EQ(result->throughput_mb_s, 621.052);
  EXPECT_EQ(result->clients, 2u);
  EXPECT_EQ(result->processes, 2u);
  EXPECT_DOUBLE_EQ(result->latency_ms_max, 32.070);
  EXPECT_TRUE(result->sync_open);
  EXPECT_TRUE(result->sync_directories);
  ASSERT_EQ(result->operations.size(), 2u);
  EXPECT_EQ(result->operations[0].name, "NTCreateX");
  EXPECT_EQ(result->operations[1].count, 4069u);
  EXPECT_DOUBLE_EQ(result->ops_s, (57876.0 + 4069) / 3);
}

TEST(DbenchOutput, NoResultIsAFailure) {
  for (const std::string_view text : {std::string_view(""), sample.substr(0, 400), std::string_view("Throughput 12")})
    EXPECT_FALSE(parse_dbench_output(text, 3)) << text;
}

}  // namespace
}  // namespace cowbench::exchange
