#include "dashboards/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
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
  if (environment.is_terminal && ioctl(descriptor, TIOCGWINSZ, &size) == 0) environment.columns = size.ws_col;
  return choose_style(environment);
}

namespace {

std::string cell(const TargetResult& result, const char* metric, std::string (*format)(double)) {
  const auto found = result.metrics.find(metric);
  return found == result.metrics.end() ? "-" : format(found->second.median);
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
  const std::string text = fmt::format("{} · {} · {} clients · {} rounds of {} s ({} s warm-up) · {}", comparison.media,
                                       comparison.workload, comparison.clients, comparison.rounds, comparison.seconds,
                                       comparison.warmup_seconds, comparison.device);
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
  const auto subject = std::find_if(comparison.results.begin(), comparison.results.end(),
                                    [](const TargetResult& result) { return result.subject; });
  const std::string subject_name = subject == comparison.results.end() ? "" : subject->target;
  Table table;
  table.add_column("target", Align::left);
  for (const char* title : {"MB/s", "ops/s", "flush p50", "flush p99", "device MB", "flushes", "write amp."}) {
    table.add_column(title, Align::right);
  }
  const std::string metric(results::main_metric(comparison));
  const std::string unit = metric == "ops_s" ? "ops/s" : "MB/s";
  table.add_column(subject_name.empty() ? "ratio" : fmt::format("{} ÷ this, {} (95%)", subject_name, unit), Align::left);
  for (const TargetResult& result : comparison.results) {
    const Ratio* ratio = find_ratio(comparison, metric, subject_name, result.target);
    table.add_row({result.label, cell(result, "throughput_mb_s", format_number), cell(result, "ops_s", format_number),
                   cell(result, "flush_p50_ns", format_nanoseconds), cell(result, "flush_p99_ns", format_nanoseconds),
                   cell(result, "device_write_bytes", format_megabytes), cell(result, "device_flushes", format_number),
                   cell(result, "write_amplification", format_factor),
                   ratio != nullptr ? format_ratio(*ratio) : std::string()});
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
        table.add_row({name, result.target, format_number(static_cast<double>(operation.count)),
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
      notes.push_back(fmt::format("{}, round {}: {} operations ended otherwise than the load expects", result.target,
                                  round.round + 1, round.failed_operations));
    }
    for (const std::string& note : result.notes) notes.push_back(result.target + ": " + note);
  }
  for (const Ratio& ratio : comparison.ratios) {
    if (ratio.metric != results::main_metric(comparison) || !ratio.rounds_needed) continue;
    notes.push_back(fmt::format("{} ÷ {}: unclear after {} rounds; about {} rounds would settle it", ratio.numerator,
                                ratio.denominator, ratio.rounds, *ratio.rounds_needed));
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
  text += in_style(
      printable(fmt::format("{} · {} · {} cores · commit {}{} · {} {} · assertions {} · seed {}", environment.kernel,
                            environment.cpu, environment.cores, environment.commit, environment.dirty ? " (dirty)" : "",
                            environment.build_type, environment.compiler, environment.assertions, record.seed)),
      style);
  return text + "\n";
}

std::string progress_line(const results::Progress& progress, const Style& style) {
  std::string text = progress.comparison;
  if (progress.round > 0) text += fmt::format(" · round {}/{}", progress.round, progress.rounds);
  if (!progress.target.empty()) text += " · " + progress.target;
  if (!progress.phase.empty()) text += " · " + progress.phase;
  if (progress.throughput_mb_s) text += fmt::format(" · {} MB/s", format_number(*progress.throughput_mb_s));
  if (progress.seconds_left) text += fmt::format(" · {} left", format_seconds_left(*progress.seconds_left));
  text = in_style(printable(text), style);
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80 && ++width > style.columns) return text.substr(0, i);
  }
  return text;
}

void ProgressWriter::show(const results::Progress& progress) {
  if (style_.redraw) {
    Style narrow = style_;
    narrow.columns -= std::min<std::size_t>(narrow.columns, 1);  // a full last column would wrap on some terminals
    last_ = progress_line(progress, narrow);
    std::fprintf(file_, "\r%s\x1b[K", last_.c_str());
  } else {
    results::Progress step = progress;
    step.throughput_mb_s.reset();
    step.seconds_left.reset();
    const std::string key = progress_line(step, style_);
    if (key == last_) return;
    last_ = key;
    std::fprintf(file_, "%s\n", progress_line(progress, style_).c_str());
  }
  std::fflush(file_);
}

void ProgressWriter::finish() {
  if (style_.redraw && !last_.empty()) {
    std::fputs("\r\x1b[K", file_);
    std::fflush(file_);
  }
  last_.clear();
}

}  // namespace cowbench::dashboards
