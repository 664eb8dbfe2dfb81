#include "attribution/report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "attribution/flame_graph.h"

namespace cowbench::attribution {
namespace {

using testing::HasSubstr;
using testing::Not;

Attribution slower_hot() {
  Attribution made;
  made.suite = "quick <1>";
  made.before = {"aaaaaaaaaaaaaaaa", "before & all", "2026-01-01T00:00:00Z"};
  made.after = {"bbbbbbbbbbbbbbbb", "hot does more", "2026-01-02T00:00:00Z"};
  made.pairs = 12;
  made.profiles = 1;
  made.counters = compare_counters({{"flushes", {10, 10}}, {"heat", {1, 2}}}, {{"flushes", {12, 12}}, {"heat", {2, 1}}});
  made.profile_before = parse_folded("300 main;hot<int>\n100 main;gone;deep\n600 main;cold\n");
  made.profile_after = parse_folded("500 main;hot<int>\n500 main;cold\n");
  made.functions = compare_functions(std::vector{made.profile_before}, std::vector{made.profile_after});
  return made;
}

TEST(AttributionReport, SaysWhatMovedMost) {
  const std::string text = to_text(slower_hot(), {});
  EXPECT_THAT(text, HasSubstr("flushes went from 10.0 to 12.0 (+20.00%). hot<int> takes 50.00% of the time instead of 30.00%."));
  EXPECT_THAT(text, HasSubstr("1 of 2 counters moved, 12 pairs of runs"));
  EXPECT_THAT(text, Not(HasSubstr("heat")));
}

// The ends of the interval were references to numbers that were gone: "[+0.00, +0.00]%".
TEST(AttributionReport, IntervalsAreRelativeToBefore) {
  Attribution made;
  made.counters = compare_counters({{"speed", {100, 100, 100, 100, 100, 101}}}, {{"speed", {104, 105, 106, 107, 108, 110}}});
  ASSERT_TRUE(made.counters[0].moved);
  EXPECT_THAT(to_text(made, {}), HasSubstr("[+4.00, +9.00]%"));
}

TEST(AttributionReport, JsonHasEverything) {
  const auto json = nlohmann::json::parse(to_json(slower_hot()));
  EXPECT_EQ(json["schema"], "cowbench.attribution/1");
  EXPECT_EQ(json["counters"].size(), 2u);
  EXPECT_EQ(json["counters"][0]["relative"], 0.2);
  EXPECT_EQ(json["counters"][0]["ci95"], nullptr);
  EXPECT_EQ(json["functions"][0]["name"], "hot<int>");
  EXPECT_EQ(json["samples_after"], 1000);
}

TEST(AttributionReport, ThePageIsWholeAndNothingInItIsMarkup) {
  const std::string page = to_html(slower_hot());
  EXPECT_THAT(page, HasSubstr("<title>hot&lt;int&gt;: 30.00% before, 50.00% after, +20.00</title>"));
  EXPECT_THAT(page, HasSubstr("quick &lt;1&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("hot<int>")));
}

// "No function takes another share of the time" was said of fifty samples, which cannot tell; above an empty table.
TEST(AttributionReport, FewSamplesAreSaidToHideAChange) {
  Attribution made = slower_hot();
  made.profile_before = parse_folded("50 main;work\n");
  made.profile_after = parse_folded("48 main;work\n2 main;more\n");
  made.functions = compare_functions(std::vector{made.profile_before}, std::vector{made.profile_after});
  EXPECT_THAT(to_text(made, {}), HasSubstr("is seen to take another share of the time; 50 and 50 samples may hide a change of 20 points."));
  EXPECT_THAT(to_html(made), HasSubstr("<p>0 of 3 functions take another share"));
  made.profile_after = {};
  EXPECT_THAT(to_text(made, {}), HasSubstr("No sample says where the time goes."));
}

TEST(AttributionReport, EqualBuildsAreSaidToBe) {
  Attribution made = slower_hot();
  made.same_build = true;
  EXPECT_THAT(to_text(made, {}), HasSubstr("same build"));
  EXPECT_THAT(to_html(made), Not(HasSubstr("<svg")));
}

TEST(FlameGraph, WhatIsGoneIsStillDrawnAndBoxesLieInsideTheirCallers) {
  const Attribution made = slower_hot();
  const std::string svg = flame_graph(made.profile_before, made.profile_after);
  EXPECT_THAT(svg, HasSubstr("gone: 10.00% before, 0.00% after, -10.00"));
  // cold, gone with deep above it, hot: side by side above main, by name.
  EXPECT_THAT(svg, HasSubstr(R"(x="0.0" y="18" width="659.5")"));
  EXPECT_THAT(svg, HasSubstr(R"(x="660.0" y="0" width="59.5")"));
  EXPECT_THAT(svg, HasSubstr(R"(x="720.0" y="18" width="479.5")"));
  EXPECT_EQ(flame_graph({}, made.profile_after), "");
}

}  // namespace
}  // namespace cowbench::attribution
