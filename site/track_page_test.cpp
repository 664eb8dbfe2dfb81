#include "site/track_page.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <set>

#include "engine/base/random.h"

namespace cowbench::site {
namespace {

using testing::HasSubstr;
using testing::Not;
using tracking::CommitState;
using tracking::TrackedCommit;
using tracking::TrackReport;

TrackedCommit commit(std::string sha, double ratio, double flushes) {
  TrackedCommit made;
  made.commit = {sha + "0123456789abcdef", "<" + sha + ">", "2026-11-28T10:00:00+00:00"};
  made.session.subject = {{"throughput_mb_s", {100 * ratio}}, {"flushes", {flushes}}};
  made.session.control = {{"throughput_mb_s", {100}}, {"flushes", {7}}};
  return made;
}

TrackReport report() {
  TrackReport made;
  made.suite = "self & co";
  made.commits = {commit("aaaaaaaaaa", 1, 7), commit("bbbbbbbbbb", 1.02, 7), commit("cccccccccc", 0.9, 9)};
  made.series = {{{"throughput_mb_s"}, false, {}}, {{"flushes", results::Direction::lower_is_better, true}, true, {}}};
  tracking::TrackedEvent slower;
  slower.event = {1, 2, 2, -0.11, {0.85, 0.93}, history::EventState::confirmed};
  slower.worse = true;
  made.series[0].events = {slower};
  tracking::TrackedEvent more = slower;
  more.event.first = 2;
  more.before = 7;
  more.after = 9;
  made.series[1].events = {more};
  return made;
}

TEST(TrackPage, NamesWhatChangedAndDrawsEachMetric) {
  const std::string page = track_page(report());
  EXPECT_THAT(page, HasSubstr("3 commits from aaaaaaaaaa to cccccccccc: 2 changes of level."));
  EXPECT_THAT(page, HasSubstr("bbbbbbbbbb to cccccccccc"));
  EXPECT_THAT(page, HasSubstr("7.00 → 9.00"));
  EXPECT_THAT(page, HasSubstr("-11.0%"));
  EXPECT_THAT(page, HasSubstr("Throughput at 3 commits, relative to the control. -11.0% since cccccccccc."));
  EXPECT_THAT(page, HasSubstr("class=\"change worse\""));
  EXPECT_THAT(page, HasSubstr("value=\"1.02\""));
}

TEST(TrackPage, WhatCommitsSayStaysText) {
  const std::string page = track_page(report());
  EXPECT_THAT(page, HasSubstr("&lt;bbbbbbbbbb&gt;"));
  EXPECT_THAT(page, Not(HasSubstr("<bbbbbbbbbb>")));
  EXPECT_THAT(page, HasSubstr("self &amp; co"));
}

// A change that begins at a commit which was not measured is drawn at the next one that was.
TEST(TrackPage, CommitsThatWereNotMeasuredLeaveNoGap) {
  TrackReport gap = report();
  gap.commits[1].state = CommitState::not_built;
  gap.commits[1].session = {};
  gap.series[0].events[0].event.at = 1;
  const std::string page = track_page(gap);
  EXPECT_THAT(page, HasSubstr("not built"));
  EXPECT_THAT(page, HasSubstr("Throughput at 2 commits"));
  EXPECT_THAT(page, HasSubstr("class=\"change worse\" d=\"M988.0"));
}

TEST(TrackPage, SaysWhatControlsSayOfTheMachine) {
  TrackReport moved = report();
  for (TrackedCommit& made : moved.commits) made.session.reference = {{"throughput_mb_s", {80}}};
  moved.eras = {{1, tracking::Era::Cause::controls, {{"throughput_mb_s", 0.001, -0.12}, {"flushes", {}, {}}}}};
  const std::string page = track_page(moved);
  EXPECT_THAT(page, HasSubstr("Where the machine changed"));
  EXPECT_THAT(page, HasSubstr(">-12.0%<"));
  EXPECT_THAT(page, HasSubstr("another era: the controls changed"));
  EXPECT_THAT(page, HasSubstr("Control ÷ reference, at last <data value=\"1.25\">1.25</data>"));
  EXPECT_THAT(track_page(report()), Not(HasSubstr("÷ reference")));
}

// The axis of a history that fell by 6% said "1.00" at 1.005 and at 1.000.
TEST(TrackPage, EachTickOfAnAxisHasALabelOfItsOwn) {
  for (const double fall : {0.0, 0.0004, 0.003, 0.03, 0.06, 0.5}) {
    SCOPED_TRACE(fall);
    TrackReport fell = report();
    fell.commits.back().session.subject["throughput_mb_s"] = {100 * (1 - fall)};
    fell.commits[1].session.subject["throughput_mb_s"] = {100};
    const std::string page = track_page(fell);
    const std::string first = page.substr(0, page.find("<h2>Device flushes"));
    std::vector<std::string> labels;
    for (std::size_t at = 0; (at = first.find("text-anchor=\"end\">", at)) != first.npos; ++at)
      labels.push_back(first.substr(first.find('>', at) + 1, first.find('<', at) - first.find('>', at) - 1));
    EXPECT_GE(labels.size(), 2u);
    EXPECT_EQ(std::set(labels.begin(), labels.end()).size(), labels.size()) << testing::PrintToString(labels);
  }
}

// The page that is mailed: 40 metrics at 500 commits, two of which changed.
TEST(TrackPage, FortyMetricsAtFiveHundredCommitsStayBelow400Kilobytes) {
  cowfs::Random random(7);
  TrackReport large;
  for (int number = 0; number < 40; ++number) large.series.push_back({{fmt::format("metric_{}", number)}, false, {}});
  for (int number = 0; number < 500; ++number) {
    TrackedCommit& made = large.commits.emplace_back(commit(fmt::format("{:010}", number), 1, 7));
    made.session.subject.clear();
    for (const tracking::TrackedSeries& series : large.series) {
      made.session.subject[series.metric.name] = {1000 + static_cast<double>(random.below(1u << 20)) / (1 << 14)};
      made.session.control[series.metric.name] = {1000};
    }
  }
  large.series[3].events = large.series[7].events = report().series[0].events;
  const std::string page = track_page(large);
  RecordProperty("bytes", static_cast<int>(page.size()));
  EXPECT_LE(page.size(), 400'000u);
  for (const tracking::TrackedSeries& series : large.series) EXPECT_THAT(page, HasSubstr(series.metric.name));
  EXPECT_THAT(page, HasSubstr("No commit changed these"));
}

}  // namespace
}  // namespace cowbench::site
