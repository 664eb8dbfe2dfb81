#include "dashboards/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>
#include <string_view>

#include "dashboards/format.h"
#include "results/metrics.h"
#include "results/summary.h"

namespace cowbench::dashboards {

using results::Comparison;
using results::Ratio;
using results::Record;
using results::TargetResult;
using Align = Table::Align;

Style choose_style(const TerminalEnvironment& environment) {
  const auto is_set = [](const char* text) { return text != nullptr && *text != '\0'; };
  Style style;
  style.redraw = environment.is_terminal && !(is_set(environment.term) && std::string_view(environment.term) == "dumb");
  style.colour = style.redraw && !is_set(environment.no_color);
  if (environment.columns > 0) style.columns = environment.columns;
  if (environment.rows > 0) style.rows = environment.rows;
  // The first that is set decides, as in the C library.
  for (const char* locale : {environment.lc_all, environment.lc_ctype, environment.lang}) {
    if (!is_set(locale)) continue;
    const std::string_view name(locale);
    for (const char* charset : {"UTF-8", "utf-8", "UTF8", "utf8"}) {
      style.unicode |= name.find(charset) != std::string_view::npos;
    }
    break;
  }
  style.unicode &= environment.is_terminal;
  return style;
}

Style style_of(std::FILE* file) {
  TerminalEnvironment environment;
  const int descriptor = fileno(file);
  environment.is_terminal = isatty(descriptor) == 1;
  environment.no_color = std::getenv("NO_COLOR");
  environment.term = std::getenv("TERM");
  environment.lc_all = std::getenv("LC_ALL");
  environment.lc_ctype = std::getenv("LC_CTYPE");
  environment.lang = std::getenv("LANG");
  winsize size{};
  if (environment.is_terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0) {
    environment.columns = size.ws_col;
    environment.rows = size.ws_row;
  }
  return choose_style(environment);
}

namespace {

// "12,345", "21"
std::string format_whole(double value) {
  return std::abs(value) < 99.95 ? fmt::format("{:.0f}", value) : format_number(value);
}

struct Column {
  std::string_view title;
  std::string_view metric;
  std::string (*format)(double);
};
constexpr std::array result_columns{Column{"MB/s", "throughput_mb_s", format_number},
                                    Column{"ops/s", "ops_s", format_number},
                                    Column{"flush p50", "flush_p50_ns", format_nanoseconds},
                                    Column{"flush p99", "flush_p99_ns", format_nanoseconds},
                                    Column{"device MB", "device_write_bytes", format_megabytes},
                                    Column{"flushes", "device_flushes", format_whole},
                                    Column{"write amp.", "write_amplification", format_factor},
                                    // Of other programs.
                                    Column{"files/s", "files_s", format_number},
                                    Column{"mean", "latency_mean_ns", format_nanoseconds},
                                    Column{"p50", "latency_p50_ns", format_nanoseconds},
                                    Column{"p99", "latency_p99_ns", format_nanoseconds},
                                    Column{"iteration", "iteration_ns", format_nanoseconds},
                                    Column{"iteration, cpu", "iteration_cpu_ns", format_nanoseconds}};

// Those that any of the targets has; last, by name, the metrics that only whoever measured them knows.
std::vector<Column> columns_of(const Comparison& comparison) {
  std::set<std::string_view> measured;
  for (const TargetResult& result : comparison.results)
    for (const auto& [metric, summary] : result.metrics) measured.insert(metric);
  std::vector<Column> columns;
  for (const Column& column : result_columns)
    if (measured.contains(column.metric)) columns.push_back(column);
  for (const std::string_view metric : measured)
    if (results::find_metric(metric) == nullptr) columns.push_back({metric, metric, format_number});
  return columns;
}

std::string cell(const TargetResult& result, const Column& column) {
  const auto found = result.metrics.find(std::string(column.metric));
  return found == result.metrics.end() ? "-" : column.format(found->second.median);
}

const Ratio* find_ratio(const Comparison& comparison, const std::string& metric, const std::string& numerator,
                        const std::string& denominator) {
  for (const Ratio& ratio : comparison.ratios) {
    if (ratio.metric == metric && ratio.numerator == numerator && ratio.denominator == denominator) return &ratio;
  }
  return nullptr;
}

// Colours only repeat what the words say.
std::string coloured_verdicts(std::string text, const Style& style) {
  if (!style.colour) return text;
  constexpr std::array<std::array<std::string_view, 2>, 4> colours{
      {{" better", "32"}, {" worse", "31"}, {" same", "36"}, {" unclear", "33"}}};
  for (const auto& [word, colour] : colours) {
    const std::string replacement = fmt::format("\x1b[{}m{}\x1b[0m", colour, word);
    for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + replacement.size())) {
      text.replace(at, word.size(), replacement);
    }
  }
  return text;
}

std::string headline(const Comparison& comparison, const Style& style) {
  std::string text = fmt::format("{} · {} · {} · {}", comparison.media, comparison.workload, counted(comparison.clients, "client"),
                                 counted(comparison.rounds, "round"));
  if (comparison.seconds > 0) text += fmt::format(" of {} s ({} s warm-up)", comparison.seconds, comparison.warmup_seconds);
  if (!comparison.device.empty()) text += " · " + comparison.device;
  const std::string line = in_style(printable(text), style);
  return (style.colour ? "\x1b[1m" + line + "\x1b[0m" : line) + "\n";
}

std::string bullets(const char* title, const std::vector<std::string>& items, const Style& style) {
  if (items.empty()) return "";
  std::string text = std::string(title) + "\n";
  for (const std::string& item : items) text += "  - " + in_style(printable(item), style) + "\n";
  return text;
}

}  // namespace

std::string result_table(const Comparison& comparison, const Style& style) {
  if (comparison.results.empty()) return headline(comparison, style);
  const auto subject = std::find_if(comparison.results.begin(), comparison.results.end(),
                                    [](const TargetResult& result) { return result.subject; });
  const std::string subject_name = subject == comparison.results.end() ? "" : subject->target;
  const std::vector<Column> columns = columns_of(comparison);
  const bool has_ratios = comparison.results.size() > 1;
  Table table;
  table.add_column("target", Align::left);
  for (const Column& column : columns) table.add_column(printable(column.title), Align::right);
  const std::string metric(results::main_metric(comparison));
  const std::string unit = metric == "ops_s" ? "ops/s" : "MB/s";
  if (has_ratios)
    table.add_column(subject_name.empty() ? "ratio" : fmt::format("{} ÷ this, {} (95%)", subject_name, unit), Align::left);
  for (const TargetResult& result : comparison.results) {
    std::vector<std::string> row{result.label};
    for (const Column& column : columns) row.push_back(cell(result, column));
    const Ratio* ratio = find_ratio(comparison, metric, subject_name, result.target);
    if (has_ratios) row.push_back(ratio != nullptr ? format_ratio(*ratio) : std::string());
    table.add_row(std::move(row));
  }
  return headline(comparison, style) + coloured_verdicts(table.render(style), style);
}

std::string ratio_table(const Comparison& comparison, const Style& style) {
  struct Pair {
    std::string numerator, denominator;
    bool operator==(const Pair&) const = default;
  };
  std::vector<Pair> pairs;
  for (const Ratio& ratio : comparison.ratios) {
    Pair pair{ratio.numerator, ratio.denominator};
    if (std::find(pairs.begin(), pairs.end(), pair) == pairs.end()) pairs.push_back(std::move(pair));
  }
  if (pairs.empty()) return "";
  Table table;
  table.add_column("ratio (95%)", Align::left);
  for (const Pair& pair : pairs) table.add_column(pair.numerator + " ÷ " + pair.denominator, Align::left);
  for (const auto& metric : results::metric_table()) {
    std::vector<std::string> row{std::string(metric.title)};
    bool any = false;
    for (const Pair& pair : pairs) {
      const Ratio* ratio = find_ratio(comparison, std::string(metric.name), pair.numerator, pair.denominator);
      any |= ratio != nullptr;
      row.push_back(ratio != nullptr ? format_ratio(*ratio) : "-");
    }
    if (any) table.add_row(std::move(row));
  }
  return coloured_verdicts(table.render(style), style);
}

std::string operation_table(const Comparison& comparison, const Style& style) {
  Table table;
  table.add_column("operation", Align::left);
  table.add_column("target", Align::left);
  for (const char* title : {"count", "mean", "p50", "p99", "p99.9", "max"}) table.add_column(title, Align::right);
  std::vector<std::string> names;
  for (const TargetResult& result : comparison.results) {
    for (const auto& operation : result.operations) {
      if (std::find(names.begin(), names.end(), operation.name) == names.end()) names.push_back(operation.name);
    }
  }
  const auto time = [](results::u64 ns) { return format_nanoseconds(static_cast<double>(ns)); };
  for (const std::string& name : names) {
    for (const TargetResult& result : comparison.results) {
      for (const auto& operation : result.operations) {
        if (operation.name != name) continue;
        table.add_row({name, result.target, format_whole(static_cast<double>(operation.count)),
                       format_nanoseconds(operation.mean_ns), time(operation.p50_ns), time(operation.p99_ns),
                       time(operation.p999_ns), time(operation.max_ns)});
      }
    }
  }
  return table.empty() ? "" : table.render(style);
}

std::string calibration_table(const Comparison& comparison, const Style& style) {
  if (comparison.calibration.empty()) return "";
  Table table;
  table.add_column("calibration", Align::left);
  table.add_column("MB/s", Align::right);
  table.add_column("ns/op", Align::right);
  table.add_column("our generator ÷ it (95%)", Align::left);
  table.add_column("fair?", Align::left);
  for (const auto& row : comparison.calibration) {
    std::string fair = row.ok ? "yes" : "NO";
    if (!row.note.empty()) fair += ": " + row.note;
    table.add_row({row.reference + " on " + row.target, row.throughput_mb_s ? format_number(*row.throughput_mb_s) : "-",
                   row.ns_per_operation ? format_number(*row.ns_per_operation) : "-",
                   row.ratio ? format_ratio(*row.ratio) : "-", row.ratio || !row.ok ? fair : row.note});
  }
  return coloured_verdicts(table.render(style), style);
}

namespace {

// What else there is to say about a comparison.
std::vector<std::string> notes_of(const Comparison& comparison) {
  std::vector<std::string> notes;
  if (!comparison.kernel_memory_note.empty()) notes.push_back("kernel targets: " + comparison.kernel_memory_note);
  for (const TargetResult& result : comparison.results) {
    for (const results::Round& round : result.rounds) {
      if (round.failed_operations == 0) continue;
      notes.push_back(fmt::format("{}, round {}: {} ended otherwise than the load expects", result.target, round.round + 1,
                                  counted(round.failed_operations, "operation")));
    }
    for (const std::string& note : result.notes) notes.push_back(result.target + ": " + note);
  }
  for (const Ratio& ratio : comparison.ratios) {
    if (ratio.metric != results::main_metric(comparison) || !ratio.rounds_needed) continue;
    notes.push_back(fmt::format("{} ÷ {}: unclear after {}; about {} would settle it", ratio.numerator, ratio.denominator,
                                counted(ratio.rounds, "round"), counted(*ratio.rounds_needed, "round")));
  }
  return notes;
}

}  // namespace

std::string render_record(const Record& record, const Style& style) {
  std::string text;
  for (const Comparison& comparison : record.comparisons) {
    text += result_table(comparison, style);
    text += ratio_table(comparison, style);
    text += operation_table(comparison, style);
    text += calibration_table(comparison, style);
    std::vector<std::string> skipped;
    for (const auto& target : comparison.skipped) skipped.push_back(target.target + ": " + target.reason);
    text += bullets("Skipped:", skipped, style) + bullets("Notes:", notes_of(comparison), style) + "\n";
  }
  const auto& environment = record.environment;
  text += bullets("Warnings about this host:", environment.warnings, style);
  text += bullets("Caveats:", record.caveats, style);
  if (environment.kernel.empty()) return text + in_style("the machine is not known\n", style);  // another program measured
  text += in_style(
      printable(fmt::format("{} · {} · {} · commit {}{} · {} {} · assertions {} · seed {}", environment.kernel,
                            environment.cpu, counted(environment.cores, "core"), environment.commit, environment.dirty ? " (dirty)" : "",
                            environment.build_type, environment.compiler, environment.assertions, record.seed)),
      style);
  return text + "\n";
}

}  // namespace cowbench::dashboards
