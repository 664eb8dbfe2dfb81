#include "rates/schedule.h"

#include <gmock/gmock.h>

namespace cowbench::rates {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::HasSubstr;
using workloads::FioJob;

std::vector<FioJob> jobs(std::string_view text) {
  const auto sections = workloads::parse_fio_text(text, "test.fio");
  auto read = workloads::fio_jobs(std::get<workloads::FioSections>(sections));
  if (const auto* error = std::get_if<workloads::FioError>(&read)) {
    ADD_FAILURE() << error->to_text();
    return {};
  }
  return std::get<std::vector<FioJob>>(std::move(read));
}

TEST(Shares, AreEvenAndHoldBothEnds) {
  EXPECT_THAT(shares({0.1, 0.9, 3}), ElementsAre(DoubleEq(0.1), DoubleEq(0.5), DoubleEq(0.9)));
  EXPECT_THAT(shares({0.5, 0.9, 1}), ElementsAre(0.5));
}

TEST(Schedule, EachCloneHasTheSamePartAndAMixItsPercentage) {
  const auto rated = at_rate(jobs("[global]\nsize=1m\nruntime=1\ntime_based\n[a]\nrw=randwrite\nnumjobs=3\n[b]\nrw=randrw\nrwmixread=75\n"), 4000);
  EXPECT_THAT(rated[0].rate_iops, ElementsAre(0, 1000, 0));
  EXPECT_THAT(rated[1].rate_iops, ElementsAre(750, 250, 0));
  EXPECT_EQ(rated[1].rate_process, workloads::FioRateProcess::poisson);
}

TEST(Schedule, JobsThatEndOrHaveARateAreNamed) {
  EXPECT_THAT(obstacle(jobs("[ends]\nrw=read\nsize=1m\n")), HasSubstr("ends ends when its files are done"));
  EXPECT_THAT(obstacle(jobs("[own]\nrw=read\nsize=1m\nruntime=1\ntime_based\nrate_iops=5\n")), HasSubstr("own has a rate"));
  EXPECT_EQ(obstacle(jobs("[fine]\nrw=read\nsize=1m\nruntime=1\ntime_based\n")), "");
}

}  // namespace
}  // namespace cowbench::rates
