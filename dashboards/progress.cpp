// The screen stays in the flow of the terminal, at its end, and is drawn over itself: what was there before is kept, and a
// process that is killed leaves nothing behind but the last screen.
#include "dashboards/progress.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "dashboards/format.h"

namespace cowbench::dashboards {
namespace {

using results::Progress;
using results::Standing;

constexpr std::size_t columns_for_device = 90;  // with fewer its column would push the ratio out

std::string cut(std::string text, std::size_t columns) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80 && ++width > columns) return text.substr(0, i);
  }
  return text;
}

std::string joined(const std::vector<std::string>& parts) { return fmt::format("{}", fmt::join(parts, " · ")); }

std::string round_text(const Progress& progress) {
  return progress.rounds > 0 ? fmt::format("round {}/{}", progress.round, progress.rounds) : fmt::format("round {}", progress.round);
}

std::string left_text(const Progress& progress) {
  return fmt::format("{}{} left", progress.rounds == 0 ? "at most " : "", format_seconds_left(*progress.seconds_left));
}

// Of the half width of a logarithm: by how much the ratio may be off.
std::string digits(double half_width) {
  const double off = 100 * std::expm1(half_width);
  return off < 100 ? fmt::format("{:.1f}", off) : "100 or more";
}
std::string percent(double half_width) { return digits(half_width) + "%"; }

// Of the ratio, and by how much either side of it.
std::string interval_text(const Standing& standing) {
  if (!standing.ratio->estimate) return "-";
  if (!standing.ratio->ci95) return format_factor(*standing.ratio->estimate);
  return fmt::format("{} [{}, {}]", format_factor(*standing.ratio->estimate), format_factor(standing.ratio->ci95->low),
                     format_factor(standing.ratio->ci95->high));
}

// From the first interval to the newest: how it closes in.
std::string closing_text(const Standing& standing) {
  if (!standing.half_width) return fmt::format("from round {} on", results::pairs_for_interval_min);
  if (!standing.half_width_first || standing.half_width == standing.half_width_first) return "±" + percent(*standing.half_width);
  return fmt::format("±{} → {}", digits(*standing.half_width_first), percent(*standing.half_width));
}

std::string comparison_line(const Progress& progress) {
  std::vector<std::string> parts{progress.comparison};
  if (progress.round > 0) parts.push_back(round_text(progress));
  if (progress.half_width_wanted && progress.round > 0) parts.push_back("until ±" + percent(*progress.half_width_wanted));
  if (progress.seconds_left) parts.push_back(left_text(progress));
  return joined(parts);
}

std::string target_line(const Progress& progress) {
  std::vector<std::string> parts;
  for (const std::string& part : {progress.target, progress.phase})
    if (!part.empty()) parts.push_back(part);
  return joined(parts);
}

// How fast it is now; empty while nothing is measured.
std::string speed_line(const Progress& progress) {
  if (!progress.throughput_mb_s) return "";
  std::vector<std::string> parts{format_number(*progress.throughput_mb_s) + " MB/s"};
  if (*progress.throughput_mb_s == 0 && progress.ops_s) parts = {format_number(*progress.ops_s) + " ops/s"};
  if (progress.latency_p99_ns) parts.push_back("p99 " + format_nanoseconds(static_cast<double>(*progress.latency_p99_ns)));
  if (progress.device_write_mb_s && progress.device_read_mb_s)
    parts.push_back(fmt::format("device: {} MB/s written, {} read", format_number(*progress.device_write_mb_s),
                                format_number(*progress.device_read_mb_s)));
  return joined(parts);
}

std::string subject_of(const Progress& progress) {
  for (const Standing& standing : progress.standings)
    if (standing.ratio) return standing.ratio->numerator;
  return "";
}

std::string standings_table(const Progress& progress, const Style& style) {
  using Align = Table::Align;
  const std::string subject = subject_of(progress);
  const bool wide = style.columns >= columns_for_device;
  Table table;
  table.add_column("medians so far", Align::left);
  table.add_column(progress.speed_unit, Align::right);
  table.add_column("p99", Align::right);
  if (wide) table.add_column("device MB/s", Align::right);
  if (!subject.empty()) {
    table.add_column(subject + " ÷ this (95%)", Align::left);
    table.add_column("closing in", Align::left);
  }
  for (const Standing& standing : progress.standings) {
    std::vector<std::string> row{
        standing.target, format_number(standing.speed),
        standing.latency_p99_ns ? format_nanoseconds(static_cast<double>(*standing.latency_p99_ns)) : "-"};
    if (wide) row.push_back(standing.device_write_mb_s ? format_number(*standing.device_write_mb_s) : "-");
    if (!subject.empty()) {
      row.push_back(standing.ratio ? interval_text(standing) : "");
      row.push_back(standing.ratio ? closing_text(standing) : "");
    }
    table.add_row(std::move(row));
  }
  return table.render(style);
}

void add_lines(std::vector<std::string>& lines, std::string_view text) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

std::string progress_line(const Progress& progress, const Style& style) {
  std::vector<std::string> parts{progress.comparison};
  if (progress.round > 0) parts.push_back(round_text(progress));
  if (const std::string target = target_line(progress); !target.empty()) parts.push_back(target);
  if (const std::string speed = speed_line(progress); !speed.empty()) parts.push_back(speed);
  if (progress.seconds_left) parts.push_back(left_text(progress));
  return in_style(printable(joined(parts)), style);
}

std::string standing_line(const Progress& progress, const Style& style) {
  std::vector<std::string> parts;
  for (const Standing& standing : progress.standings) {
    if (!standing.ratio || !standing.ratio->estimate) continue;
    if (parts.empty()) parts.push_back(fmt::format("after round {}", standing.ratio->rounds));
    std::string part = fmt::format("{} ÷ {} {}", standing.ratio->numerator, standing.target, interval_text(standing));
    if (standing.half_width) part += " ±" + percent(*standing.half_width);
    parts.push_back(std::move(part));
  }
  return in_style(printable(joined(parts)), style);
}

std::vector<std::string> live_screen(const Progress& progress, const Style& style) {
  std::vector<std::string> lines;
  for (const std::string& line : {comparison_line(progress), target_line(progress), speed_line(progress)})
    lines.push_back(in_style(printable(line), style));
  if (!progress.standings.empty()) add_lines(lines, standings_table(progress, style));
  // A full last column or row would make some terminals scroll.
  lines.resize(std::min(lines.size(), std::max<std::size_t>(style.rows, 2) - 1));
  for (std::string& line : lines) line = cut(std::move(line), std::max<std::size_t>(style.columns, 1) - 1);
  return lines;
}

// Each line over the old one, so that nothing flickers.
void ProgressWriter::redraw(const Progress& progress) {
  const std::vector<std::string> lines = live_screen(progress, style_);
  std::string text = to_first_line();
  for (std::size_t line = 0; line < lines.size(); ++line) text += (line == 0 ? "" : "\n") + lines[line] + "\x1b[K";
  std::fputs((text + "\x1b[J").c_str(), file_);
  drawn_ = lines.size();
}

std::string ProgressWriter::to_first_line() const { return drawn_ > 1 ? fmt::format("\r\x1b[{}A", drawn_ - 1) : "\r"; }

void ProgressWriter::print(const std::string& line) { std::fprintf(file_, "%s\n", line.c_str()); }

void ProgressWriter::show(const Progress& progress) {
  if (style_.redraw) {
    redraw(progress);
  } else {
    if (const std::string standing = standing_line(progress, style_); standing != last_standing_) {
      last_standing_ = standing;
      if (!standing.empty()) print(standing);
    }
    Progress step = progress;
    step.throughput_mb_s.reset();
    step.seconds_left.reset();
    if (const std::string key = progress_line(step, style_); key != last_) {
      last_ = key;
      print(progress_line(progress, style_));
    }
  }
  std::fflush(file_);
}

void ProgressWriter::finish() {
  if (drawn_ == 0) return;
  std::fputs((to_first_line() + "\x1b[J").c_str(), file_);
  drawn_ = 0;
  std::fflush(file_);
}

}  // namespace cowbench::dashboards
