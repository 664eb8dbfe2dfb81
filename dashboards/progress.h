// A run while it is under way: a live screen on a terminal, plain lines elsewhere.
#pragma once
#include <cstdio>
#include <string>
#include <vector>

#include "dashboards/table.h"
#include "results/progress.h"

namespace cowbench::dashboards {

// What is being done, in one line, without its end.
std::string progress_line(const results::Progress& progress, const Style& style);

// How the intervals stand, in one line; empty before the first round of a comparison has ended.
std::string standing_line(const results::Progress& progress, const Style& style);

// What is being done, how fast, how the targets stand and how well that is known; each line narrower than `style.columns`, and
// fewer of them than `style.rows`.
std::vector<std::string> live_screen(const results::Progress& progress, const Style& style);

// On a terminal the live screen, redrawn in place; elsewhere a line whenever round, target or phase changes, and one with the
// intervals whenever a round has ended.
class ProgressWriter {
 public:
  ProgressWriter(std::FILE* file, const Style& style) : file_(file), style_(style) {}
  ProgressWriter(const ProgressWriter&) = delete;
  ProgressWriter& operator=(const ProgressWriter&) = delete;
  ~ProgressWriter() { finish(); }
  void show(const results::Progress& progress);
  // Removes the screen, so that other output starts in the first column.
  void finish();

 private:
  void redraw(const results::Progress& progress);
  std::string to_first_line() const;
  void print(const std::string& line);

  std::FILE* file_;
  Style style_;
  std::size_t drawn_ = 0;  // lines of the screen that are on the terminal
  std::string last_, last_standing_;
};

}  // namespace cowbench::dashboards
