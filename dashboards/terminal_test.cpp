#include "dashboards/terminal.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "dashboards/format.h"
#include "results/record_fixture.h"

namespace cowbench::dashboards {
namespace {

constexpr Style ascii{};
constexpr Style boxes{.unicode = true, .colour = false, .redraw = false, .columns = 100};
constexpr Style terminal{.unicode = true, .colour = true, .redraw = true, .columns = 40};

// After a change meant to be seen: COWBENCH_UPDATE_GOLDEN=1 dashboards_test, then read the difference.
void expect_golden(const std::string& text, const std::string& name) {
  const std::string path = std::string(GOLDEN_FOLDER) + "/" + name;
  if (std::getenv("COWBENCH_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream expected;
  expected << file.rdbuf();
  EXPECT_EQ(text, expected.str()) << path;
}

TEST(Format, Numbers) {
  struct Case {
    std::string actual, expected;
  };
  for (const Case& c :
       {Case{format_nanoseconds(0), "0 ns"}, Case{format_nanoseconds(999), "999 ns"},
        Case{format_nanoseconds(999.9), "1.00 µs"}, Case{format_nanoseconds(1'240'000), "1.24 ms"},
        Case{format_nanoseconds(99'960'000), "100 ms"}, Case{format_nanoseconds(12e9), "12.0 s"},
        Case{format_number(0), "0.00"}, Case{format_number(9.999), "10.0"}, Case{format_number(999.6), "1,000"},
        Case{format_number(1234567), "1,234,567"}, Case{format_megabytes(1.5e9), "1,500"},
        Case{format_factor(6.0249), "6.02"}, Case{format_factor(0.2311), "0.231"}, Case{format_seconds_left(-1), "0 s"},
        Case{format_seconds_left(59.2), "1 min 00 s"}, Case{format_seconds_left(3725), "1 h 02 min"}}) {
    EXPECT_EQ(c.actual, c.expected);
  }
}

TEST(Format, Ratios) {
  results::Ratio ratio;
  EXPECT_EQ(format_ratio(ratio), "not measured");
  ratio.estimate = 6.02;
  EXPECT_EQ(format_ratio(ratio), "6.02 (no interval) unclear");
  ratio.ci95 = results::Interval{5.9, 6.149};
  ratio.verdict = results::Verdict::better;
  EXPECT_EQ(format_ratio(ratio), "6.02 [5.90, 6.15] better");
}

TEST(Table, AlignsByColumnsNotBytes) {
  Table table;
  table.add_column("name", Table::Align::left);
  table.add_column("time", Table::Align::right);
  table.add_row({"a", "1.00 µs"});
  table.add_row({"long\x1b[2Jer", "12 ns"});
  EXPECT_EQ(table.render(boxes),
            "┌────────────┬─────────┐\n"
            "│ name       │    time │\n"
            "├────────────┼─────────┤\n"
            "│ a          │ 1.00 µs │\n"
            "│ long?[2Jer │   12 ns │\n"
            "└────────────┴─────────┘\n");
  EXPECT_EQ(table.render(ascii),
            "+------------+---------+\n"
            "| name       |    time |\n"
            "+------------+---------+\n"
            "| a          | 1.00 us |\n"
            "| long?[2Jer |   12 ns |\n"
            "+------------+---------+\n");
}

TEST(Terminal, StyleFollowsTheEnvironment) {
  TerminalEnvironment environment;
  environment.lang = "en_US.UTF-8";
  EXPECT_FALSE(choose_style(environment).unicode);  // a file or a pipe
  environment.is_terminal = true;
  EXPECT_TRUE(choose_style(environment).unicode && choose_style(environment).colour);
  environment.no_color = "1";
  EXPECT_FALSE(choose_style(environment).colour);
  EXPECT_TRUE(choose_style(environment).redraw);
  environment.lc_all = "C";
  EXPECT_FALSE(choose_style(environment).unicode);
  environment.term = "dumb";
  EXPECT_FALSE(choose_style(environment).redraw);
  environment.columns = 72;
  EXPECT_EQ(choose_style(environment).columns, 72u);
}

TEST(Terminal, WholeRecord) {
  expect_golden(render_record(results::fixture::make_record(), ascii), "record_ascii.txt");
  expect_golden(render_record(results::fixture::make_record(), boxes), "record_unicode.txt");
}

TEST(Terminal, AsciiMeansAscii) {
  results::Record record = results::fixture::make_record();
  record.comparisons[0].device = "Gerät 盤";
  const std::string text = render_record(record, ascii);
  EXPECT_NE(text.find("Ger?t ?\n"), std::string::npos);
  for (const char byte : text) {
    ASSERT_TRUE(byte == '\n' || (byte >= ' ' && byte <= '~'));
  }
}

TEST(Terminal, ColoursOnlyRepeatWords) {
  std::string text = render_record(results::fixture::make_record(), terminal);
  EXPECT_NE(text.find("\x1b[32m better\x1b[0m"), std::string::npos);
  for (std::size_t at = text.find('\x1b'); at != std::string::npos; at = text.find('\x1b')) {
    text.erase(at, text.find('m', at) + 1 - at);
  }
  EXPECT_EQ(text, render_record(results::fixture::make_record(), boxes));
}

TEST(Terminal, AnEmptyRecordIsNotAnError) {
  EXPECT_FALSE(render_record(results::Record{}, ascii).empty());
  results::Record record;
  record.comparisons.emplace_back().results.emplace_back();
  record.comparisons.back().calibration.emplace_back();
  EXPECT_NE(render_record(record, ascii).find("MB/s"), std::string::npos);
}

TEST(Terminal, SaysWhatMakesAResultSuspect) {
  results::Record record = results::fixture::make_record();
  record.comparisons[0].results[2].rounds[1].failed_operations = 12;
  record.comparisons[0].ratios[0].verdict = results::Verdict::unclear;
  record.comparisons[0].ratios[0].rounds_needed = 40;
  const std::string text = render_record(record, ascii);
  EXPECT_NE(text.find("xfs, round 2: 12 operations ended otherwise than the load expects"), std::string::npos);
  EXPECT_NE(text.find("cowfs / xfs: unclear after 8 rounds; about 40 rounds would settle it"), std::string::npos);
}

results::Progress make_progress() {
  results::Progress progress;
  progress.comparison = "disk, 48 clients";
  progress.round = 3;
  progress.rounds = 8;
  progress.target = "cowfs";
  progress.phase = "measure";
  progress.throughput_mb_s = 4321;
  progress.seconds_left = 125;
  return progress;
}

TEST(Progress, OneLine) {
  EXPECT_EQ(progress_line(make_progress(), boxes),
            "disk, 48 clients · round 3/8 · cowfs · measure · 4,321 MB/s · 2 min 05 s left");
  EXPECT_EQ(progress_line(make_progress(), ascii),
            "disk, 48 clients - round 3/8 - cowfs - measure - 4,321 MB/s - 2 min 05 s left");
  EXPECT_EQ(progress_line(make_progress(), terminal), "disk, 48 clients · round 3/8 · cowfs · m");
}

std::string written(const Style& style, const std::vector<results::Progress>& steps) {
  std::FILE* file = std::tmpfile();
  {
    ProgressWriter writer(file, style);
    for (const results::Progress& step : steps) writer.show(step);
  }
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  EXPECT_EQ(std::fread(text.data(), 1, text.size(), file), text.size());
  std::fclose(file);
  return text;
}

TEST(Progress, RedrawsOnATerminalAndLeavesNoTrace) {
  const std::string text = written(terminal, {make_progress(), make_progress()});
  EXPECT_EQ(text.find('\n'), std::string::npos);
  EXPECT_TRUE(text.starts_with("\rdisk"));
  EXPECT_TRUE(text.ends_with("\r\x1b[K"));
}

TEST(Progress, PlainLinesOnlyWhenSomethingBegins) {
  results::Progress later = make_progress();
  later.throughput_mb_s = 5000;
  later.seconds_left = 120;
  results::Progress next = later;
  next.target = "xfs";
  next.phase = "mkfs";
  next.throughput_mb_s.reset();
  EXPECT_EQ(written(ascii, {make_progress(), later, next}),
            "disk, 48 clients - round 3/8 - cowfs - measure - 4,321 MB/s - 2 min 05 s left\n"
            "disk, 48 clients - round 3/8 - xfs - mkfs - 2 min 00 s left\n");
}

}  // namespace
}  // namespace cowbench::dashboards
