#include "rates/curve.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace cowbench::rates {
namespace {

using testing::HasSubstr;

results::TargetResult result(std::string target, double iops, double response_ns) {
  results::TargetResult made;
  made.target = std::move(target);
  for (const auto& [name, value] :
       {std::pair{"iops", iops}, {"response_p50_ns", response_ns}, {"response_p99_ns", 10 * response_ns}})
    made.metrics[name].median = value;
  results::OperationStatistics operation;
  operation.name = "write response";
  operation.count = 100;
  operation.mean_ns = 2 * response_ns;
  operation.p999_ns = static_cast<u64>(20 * response_ns);
  made.operations = {operation};
  return made;
}

// A target of a capacity of 1000 whose responses grow at the end, and one that can do half.
results::Record record() {
  results::Record made;
  made.comparisons.resize(4);
  made.comparisons[0].results = {result("fast", 1000, 0), result("slow", 500, 0)};
  made.comparisons[1].results = {result("fast", 100, 1000), result("slow", 100, 1000)};
  made.comparisons[2].results = {result("fast", 500, 1500), result("slow", 450, 1e6)};
  made.comparisons[3].results = {result("fast", 900, 9000), result("slow", 460, 1e8)};
  return made;
}
const std::vector<double> thirds{0.1, 0.5, 0.9};

TEST(Curve, RatesAreSharesOfTheFastestTarget) {
  const std::vector<Curve> found = curves(record(), thirds);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1].capacity_iops, 500);
  ASSERT_EQ(found[1].points.size(), 3u);
  EXPECT_EQ(found[1].points[2].offered_iops, 900);
  EXPECT_EQ(found[1].points[2].mean_ns, 2e8);
  EXPECT_EQ(found[1].points[2].p999_ns, 2e9);
}

TEST(Curve, TheKneeIsWhereThroughputOverResponseIsHighestAmongWhatKeptUp) {
  const std::vector<Curve> found = curves(record(), thirds);
  EXPECT_EQ(found[0].knee, 1u);
  EXPECT_EQ(found[1].knee, 0u);
  EXPECT_FALSE(found[1].points[1].kept_up);
}

TEST(Curve, ARunThatWasCutShortHasFewerPoints) {
  results::Record cut = record();
  cut.comparisons.resize(1);
  const std::vector<Curve> found = curves(cut, thirds);
  EXPECT_TRUE(found[0].points.empty());
  EXPECT_EQ(found[0].knee, std::nullopt);
  EXPECT_THAT(to_text(found, {}), HasSubstr("1,000 operations a second as fast as it goes"));
}

TEST(Curve, AllFormsSayTheSame) {
  const std::vector<Curve> found = curves(record(), thirds);
  const auto json = nlohmann::json::parse(to_json(found, record()));
  EXPECT_EQ(json["schema"], "cowbench.rate/1");
  EXPECT_EQ(json["curves"][0]["points"][1]["response_p99_ns"], 15000);
  EXPECT_EQ(json["curves"][0]["knee"], 1);
  EXPECT_THAT(to_text(found, {}), HasSubstr("fast: knee at 500 operations a second (50% of the highest capacity)"));
  const std::string html = to_html(found, record());
  EXPECT_THAT(html, HasSubstr("slow: knee at 100 operations a second"));
  EXPECT_THAT(html, HasSubstr("<svg class=\"rates\""));
  EXPECT_THAT(html, HasSubstr("did not keep up"));
}

}  // namespace
}  // namespace cowbench::rates
