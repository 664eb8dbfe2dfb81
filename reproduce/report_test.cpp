#include "reproduce/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "results/record_fixture.h"

namespace cowbench::reproduce {
namespace {

using testing::HasSubstr;

class ReproduceReport : public testing::Test {
 protected:
  ReproduceReport() {
    recipe_.name = "made-up";
    recipe_.title = "A <b>claim</b>";
    recipe_.cores = 48;
    recipe_.unknown = {"the options"};
    reproduce::Run run;
    run.name = "dbench";
    run.published = {{"bcachefs", "throughput_mb_s", 16500, true}, {"xfs", "throughput_mb_s", 16000, false},
                     {"zfs", "throughput_mb_s", 9000, false}};
    recipe_.runs = {run};
    scaling_.measurements = {{&recipe_.runs.front(), 48, 2, {0, 1}, "", "48 of 48 cores there, 2 of 2 here"}};
  }
  Reproduction reproduction() const { return {&recipe_, &scaling_, 2}; }

  Recipe recipe_;
  Scaling scaling_;
  const results::Record record_ = results::fixture::make_record();  // on disk and in memory
};

TEST_F(ReproduceReport, EachFigureStandsBesideItsCounterpart) {
  const std::vector<Beside> rows = beside(reproduction(), record_);
  ASSERT_EQ(rows.size(), 10u);  // three figures and two ratios on each of two media
  const results::Comparison& disk = record_.comparisons[0];
  EXPECT_EQ(rows[0].here, "cowfs");
  EXPECT_EQ(rows[0].measured, disk.results[0].metrics.at("throughput_mb_s").median);
  EXPECT_DOUBLE_EQ(*rows[0].published_per_core, 16500.0 / 48);
  EXPECT_DOUBLE_EQ(*rows[0].measured_per_core, *rows[0].measured / 2);
  EXPECT_EQ(rows[1].here, "xfs");
  EXPECT_EQ(rows[2].here, "");
  EXPECT_FALSE(rows[2].measured.has_value());  // nobody measured zfs here
  EXPECT_EQ(rows[3].there, "bcachefs / xfs");
  EXPECT_DOUBLE_EQ(rows[3].published, 16500.0 / 16000);
  EXPECT_EQ(rows[3].here, "cowfs / xfs");
  EXPECT_TRUE(rows[3].ci95.has_value());
  EXPECT_FALSE(rows[4].measured.has_value());
}

TEST_F(ReproduceReport, SaysWhatIsNotKnownAndHowItWasScaled) {
  const std::string text = to_text(reproduction(), record_, {.unicode = true});
  EXPECT_THAT(text, HasSubstr("not published: the options"));
  EXPECT_THAT(text, HasSubstr("48 of 48 cores there, 2 of 2 here"));
  EXPECT_THAT(text, HasSubstr("16,500 MB/s"));
  const std::string page = to_html(reproduction(), record_);
  EXPECT_THAT(page, HasSubstr("A &lt;b&gt;claim&lt;/b&gt;"));
  const auto json = nlohmann::json::parse(to_json(reproduction(), record_));
  EXPECT_EQ(json["schema"], "cowbench.reproduce/1");
  EXPECT_EQ(json["beside"].size(), 10u);
  EXPECT_EQ(json["record"]["schema"], "cowbench.run/1");
}

TEST_F(ReproduceReport, ARunOfFewerCoresHasNothingBesideIt) {
  scaling_.measurements.front().clients_published = 6;
  EXPECT_TRUE(beside(reproduction(), record_).empty());
}

}  // namespace
}  // namespace cowbench::reproduce
