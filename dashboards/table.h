// A table of text for the terminal: aligned columns, in box-drawing characters or plain ASCII.
#pragma once
#include <string>
#include <vector>

namespace cowbench::dashboards {

// What the terminal can show.
struct Style {
  bool unicode = false;
  bool colour = false;
  bool redraw = false;  // a terminal: a progress line may be overwritten
  std::size_t columns = 100;
  std::size_t rows = 24;
};

class Table {
 public:
  enum class Align { left, right };
  void add_column(std::string title, Align align);
  // Precondition: as many cells as columns.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // Control characters in cells are replaced. Ends in a newline.
  std::string render(const Style& style) const;

 private:
  std::vector<std::string> titles_;
  std::vector<Align> alignments_;
  std::vector<std::vector<std::string>> rows_;
};

// Unless the style has unicode: "µs", "÷" and such as ASCII, any other character as '?'.
std::string in_style(std::string text, const Style& style);

}  // namespace cowbench::dashboards
