#include "harness/stock_dbench.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

namespace cowbench::harness {
namespace {

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
