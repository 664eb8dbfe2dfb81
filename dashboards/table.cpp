#include "dashboards/table.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "dashboards/format.h"
#include "engine/base/assert.h"

namespace cowbench::dashboards {
namespace {

struct Border {
  std::string_view horizontal, vertical;
  std::array<std::string_view, 3> top, middle, bottom;  // left, between, right
};
constexpr Border box{"─", "│", {"┌", "┬", "┐"}, {"├", "┼", "┤"}, {"└", "┴", "┘"}};
constexpr Border plain{"-", "|", {"+", "+", "+"}, {"+", "+", "+"}, {"+", "+", "+"}};

std::string rule(const std::vector<std::size_t>& widths, const Border& border,
                 const std::array<std::string_view, 3>& corners) {
  std::string line(corners[0]);
  for (std::size_t column = 0; column < widths.size(); ++column) {
    for (std::size_t i = 0; i < widths[column] + 2; ++i) line += border.horizontal;
    line += column + 1 < widths.size() ? corners[1] : corners[2];
  }
  return line + "\n";
}

}  // namespace

std::string in_style(std::string text, const Style& style) {
  if (style.unicode) return text;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 6> ascii{
      {{"µ", "u"}, {"÷", "/"}, {"–", "-"}, {"·", "-"}, {"±", "+-"}, {"→", "->"}}};
  for (const auto& [from, to] : ascii) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
      text.replace(at, from.size(), to);
    }
  }
  // What is left came from outside: one '?' for each character.
  std::string clean;
  for (const char byte : text) {
    const auto code = static_cast<unsigned char>(byte);
    if (code < 0x80) clean += byte;
    if (code >= 0xc0) clean += '?';
  }
  return clean;
}

void Table::add_column(std::string title, Align align) {
  assert(rows_.empty());
  titles_.push_back(std::move(title));
  alignments_.push_back(align);
}

void Table::add_row(std::vector<std::string> cells) {
  assert(cells.size() == titles_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::render(const Style& style) const {
  std::vector<std::vector<std::string>> lines{titles_};
  lines.insert(lines.end(), rows_.begin(), rows_.end());
  std::vector<std::size_t> widths(titles_.size());
  for (auto& line : lines) {
    for (std::size_t column = 0; column < line.size(); ++column) {
      line[column] = in_style(printable(line[column]), style);
      widths[column] = std::max(widths[column], display_width(line[column]));
    }
  }
  const Border& border = style.unicode ? box : plain;
  std::string text = rule(widths, border, border.top);
  for (std::size_t row = 0; row < lines.size(); ++row) {
    for (std::size_t column = 0; column < widths.size(); ++column) {
      const std::string& cell = lines[row][column];
      const std::string padding(widths[column] - display_width(cell), ' ');
      const bool left = alignments_[column] == Align::left;
      text += std::string(border.vertical) + " " + (left ? cell + padding : padding + cell) + " ";
    }
    text += std::string(border.vertical) + "\n";
    if (row == 0) text += rule(widths, border, border.middle);
  }
  return text + rule(widths, border, border.bottom);
}

}  // namespace cowbench::dashboards
