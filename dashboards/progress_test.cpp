#include "dashboards/progress.h"

#include <gmock/gmock.h>

#include "dashboards/format.h"
#include "results/record_fixture.h"

namespace cowbench::dashboards {
namespace {

using results::Progress;
using testing::ElementsAre;
using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

constexpr Style ascii{};
constexpr Style boxes{.unicode = true, .colour = false, .redraw = false, .columns = 100};
constexpr Style terminal{.unicode = true, .colour = true, .redraw = true, .columns = 40};

Progress make_progress() {
  Progress progress;
  progress.comparison = "disk, 48 clients";
  progress.round = 3;
  progress.rounds = 8;
  progress.target = "cowfs";
  progress.phase = "measure";
  progress.throughput_mb_s = 4321;
  progress.ops_s = 1.3e6;
  progress.latency_p99_ns = 1'240'000;
  progress.device_write_mb_s = 2100;
  progress.device_read_mb_s = 0;
  progress.seconds_left = 125;
  return progress;
}

// The first `rounds` of a record, as they stand.
Progress after(results::u64 rounds) {
  results::Comparison comparison = results::fixture::make_record().comparisons[0];
  std::erase_if(comparison.results, [](const auto& result) { return result.variant != "" || result.target == "ext4"; });
  for (results::TargetResult& result : comparison.results) result.rounds.resize(rounds);
  results::summarise(comparison);
  Progress progress = make_progress();
  progress.standings = results::standings(comparison);
  progress.speed_unit = "MB/s";
  return progress;
}

TEST(Progress, OneLine) {
  EXPECT_EQ(progress_line(make_progress(), boxes),
            "disk, 48 clients · round 3/8 · cowfs · measure · 4,321 MB/s · p99 1.24 ms · device: 2,100 MB/s written, 0.00 read · "
            "2 min 05 s left");
  EXPECT_EQ(progress_line(make_progress(), ascii),
            "disk, 48 clients - round 3/8 - cowfs - measure - 4,321 MB/s - p99 1.24 ms - device: 2,100 MB/s written, 0.00 read - "
            "2 min 05 s left");
}

TEST(Progress, TheScreenShowsHowFastItIsAndHowTheTargetsStand) {
  EXPECT_THAT(live_screen(after(8), boxes),
              ElementsAre("disk, 48 clients · round 3/8 · 2 min 05 s left", "cowfs · measure",
                          "4,321 MB/s · p99 1.24 ms · device: 2,100 MB/s written, 0.00 read",
                          "┌────────────────┬───────┬─────────┬─────────────┬────────────────────┬─────────────┐",
                          "│ medians so far │  MB/s │     p99 │ device MB/s │ cowfs ÷ this (95%) │ closing in  │",
                          "├────────────────┼───────┼─────────┼─────────────┼────────────────────┼─────────────┤",
                          "│ cowfs          │ 4,278 │ 5.24 ms │       3,082 │                    │             │",
                          "│ xfs            │   501 │ 25.2 ms │         446 │ 8.60 [8.48, 8.73]  │ ±2.0 → 1.5% │",
                          "└────────────────┴───────┴─────────┴─────────────┴────────────────────┴─────────────┘"));
}

// The ratio and how it closes in are what one waits for.
TEST(Progress, EightyColumnsHoldTheRatio) {
  Style narrow = ascii;
  narrow.columns = 80;
  const auto lines = live_screen(after(8), narrow);
  EXPECT_EQ(lines[4], "| medians so far |  MB/s |     p99 | cowfs / this (95%) | closing in    |");
  EXPECT_EQ(lines[7], "| xfs            |   501 | 25.2 ms | 8.60 [8.48, 8.73]  | +-2.0 -> 1.5% |");
}

TEST(Progress, BeforeTheSixthRoundThereIsNoInterval) {
  const auto lines = live_screen(after(5), boxes);
  EXPECT_THAT(lines[7], HasSubstr("from round 6 on"));
  EXPECT_THAT(live_screen(make_progress(), boxes), SizeIs(3));
}

// With a budget the number of rounds is open, and the time left is the longest that it may take.
TEST(Progress, ABudgetSaysWhatItIsWaitingFor) {
  Progress progress = make_progress();
  progress.rounds = 0;
  progress.half_width_wanted = 0.02;
  EXPECT_EQ(live_screen(progress, boxes).front(), "disk, 48 clients · round 3 · until ±2.0% · at most 2 min 05 s left");
}

TEST(Progress, ALoadWithoutBytesShowsOperations) {
  Progress progress = make_progress();
  progress.throughput_mb_s = 0;
  EXPECT_THAT(live_screen(progress, boxes)[2], HasSubstr("1,300,000 ops/s"));
}

TEST(Progress, TheScreenFitsTheTerminal) {
  Style small = boxes;
  small.columns = 30;
  small.rows = 5;
  const auto lines = live_screen(after(8), small);
  EXPECT_THAT(lines, SizeIs(4));
  EXPECT_THAT(lines, Each(testing::ResultOf([](const std::string& line) { return display_width(line); }, testing::Le(29u))));
}

std::string written(const Style& style, const std::vector<Progress>& steps) {
  std::FILE* file = std::tmpfile();
  {
    ProgressWriter writer(file, style);
    for (const Progress& step : steps) writer.show(step);
  }
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

// What a terminal shows of `text` in the end: the sequences that the screen is made of, and no others.
std::vector<std::string> shown(std::string_view text) {
  std::vector<std::string> lines(1);
  std::size_t line = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\r') continue;  // every line is written from its beginning
    if (text[at] == '\n') {
      if (++line == lines.size()) lines.emplace_back();
      lines[line].clear();
    } else if (text[at] == '\x1b') {
      const std::size_t end = text.find_first_of("AJK", at);
      const std::string_view sequence = text.substr(at + 2, end - at - 2);
      if (text[end] == 'A') line -= std::stoul(std::string(sequence)), lines[line].clear();
      if (text[end] == 'J') lines.resize(line + 1);
      at = end;
    } else {
      lines[line] += text[at];
    }
  }
  return lines;
}

TEST(Progress, RedrawsOnATerminalAndLeavesNoTrace) {
  const std::string text = written(terminal, {make_progress(), after(8), make_progress()});
  EXPECT_THAT(shown(text), ElementsAre(""));
  EXPECT_TRUE(text.starts_with("\rdisk"));
  EXPECT_TRUE(text.ends_with("\r\x1b[2A\x1b[J"));
}

TEST(Progress, PlainLinesOnlyWhenSomethingBegins) {
  Progress later = make_progress();
  later.throughput_mb_s = 5000;
  later.latency_p99_ns = 2;
  later.seconds_left = 120;
  Progress next = after(6);
  next.target = "xfs";
  next.phase = "prepare";
  next.throughput_mb_s.reset();
  EXPECT_EQ(written(ascii, {make_progress(), later, next}),
            "disk, 48 clients - round 3/8 - cowfs - measure - 4,321 MB/s - p99 1.24 ms - device: 2,100 MB/s written, 0.00 read - "
            "2 min 05 s left\n"
            "after round 6 - cowfs / xfs 8.65 [8.42, 8.77] +-2.0%\n"
            "disk, 48 clients - round 3/8 - xfs - prepare - 2 min 05 s left\n");
}

}  // namespace
}  // namespace cowbench::dashboards
