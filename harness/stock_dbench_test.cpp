#include "harness/stock_dbench.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace cowbench::harness {
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

TEST(StockDbench, Parsed) {
  const auto result = parse_stock_output(sample, 3);
  ASSERT_TRUE(result.ok());
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

TEST(StockDbench, NoResultIsAFailure) {
  for (const std::string_view text : {std::string_view(""), sample.substr(0, 400), std::string_view("Throughput 12")})
    EXPECT_FALSE(parse_stock_output(text, 3).ok()) << text;
}

TEST(StockDbench, CommandIsRendered) {
  StockRequest request;
  request.directory = "/mnt/x";
  request.clients = 48;
  request.seconds = 20;
  request.sync_directories = true;
  request.cpus = {0, 1, 4};
  EXPECT_EQ(to_text(stock_command(request)),
            "setpriv --pdeathsig KILL -- taskset --cpu-list 0-1,4 dbench -t 20 -D /mnt/x -c /usr/share/dbench/client.txt -S 48");
}

TEST(StockDbench, RealOneRuns) {
  if (!find_program("dbench").ok() || access(COWBENCH_CLIENT_LOAD, R_OK) != 0)
    GTEST_SKIP() << "dbench is not installed";
  char pattern[] = "/dev/shm/cowbench-test-XXXXXX";
  ASSERT_NE(mkdtemp(pattern), nullptr);
  StockRequest request;
  request.directory = pattern;
  request.seconds = 2;
  const auto result = run_stock_dbench(request);
  std::filesystem::remove_all(pattern);
  ASSERT_TRUE(result.ok()) << to_text(result.failure());
  EXPECT_GT(result->throughput_mb_s, 0);
  EXPECT_EQ(result->clients, 1u);
  EXPECT_GT(result->operations.size(), 10u);
}

}  // namespace
}  // namespace cowbench::harness
