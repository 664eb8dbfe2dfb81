#include "results/exchange/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>

#include "results/exchange/exporters_internal.h"
#include "results/exchange/run_lines.h"
#include "results/metrics.h"

namespace cowbench::exchange {
namespace {

using cowfs::u64;
using results::MetricDescription;
using results::TargetResult;
using store::StoredRun;
using Runs = std::span<const StoredRun>;

constexpr std::array<std::string_view, 7> format_names{"lines", "json", "csv", "markdown", "hlog", "prometheus", "fio"};

std::string short_id(const StoredRun& run) { return id_of(run).substr(0, 12); }

template <typename Visit>
void each_result(const StoredRun& run, Visit visit) {
  for (const results::Comparison& comparison : run.record.comparisons)
    for (const TargetResult& result : comparison.results) visit(result);
}

std::string to_lines(Runs runs) {
  std::string text;
  for (const StoredRun& run : runs) text += to_line(run);
  return text;
}

std::string to_json(Runs runs) {
  if (runs.size() == 1) return results::to_json(runs.front().record);
  std::string text = "[\n";
  for (const StoredRun& run : runs) {
    if (&run != &runs.front()) text += ",\n";
    text += results::to_json(run.record);
  }
  return text + "]\n";
}

// RFC 4180.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char byte : text) quoted += byte == '"' ? "\"\"" : std::string(1, byte);
  return quoted + "\"";
}

std::string to_csv(Runs runs) {
  std::string text = "run,started,commit,status,media,workload,clients,target,integrity,round,position,metric,unit,value\n";
  for (const StoredRun& run : runs) {
    const std::string head = fmt::format("{},{},{},{}", short_id(run), csv_field(run.record.started),
                                         csv_field(run.record.environment.commit), name(run.status));
    each_result(run, [&](const TargetResult& result) {
      const std::string load = fmt::format("{},{},{},{},{}", csv_field(result.media), csv_field(result.workload),
                                           result.clients, csv_field(result.target), csv_field(result.integrity));
      for (const results::Round& round : result.rounds) {
        for (const auto& [metric, value] : round.metrics) {
          const MetricDescription* described = results::find_metric(metric);
          text += fmt::format("{},{},{},{},{},{},{}\n", head, load, round.round, round.position, csv_field(metric),
                              described == nullptr ? "" : described->unit, value);
        }
      }
    });
  }
  return text;
}

std::string markdown_cell(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  for (std::size_t at = 0; (at = text.find('|', at)) != text.npos; at += 2) text.insert(at, "\\");
  return text;
}

// For people: exact values are in the other formats.
std::string readable(double value) { return std::abs(value) < 1000 ? fmt::format("{:.4g}", value) : fmt::format("{:.0f}", value); }

std::string to_markdown(Runs runs) {
  std::string text;
  for (const StoredRun& run : runs) {
    const std::string& commit = run.record.environment.commit;
    text += fmt::format("{}**Run {}**{}{}{}\n\n", text.empty() ? "" : "\n", short_id(run),
                        run.record.started.empty() ? "" : ", " + markdown_cell(run.record.started),
                        commit.empty() ? "" : ", commit " + commit.substr(0, 10),
                        run.status == store::RunStatus::partial ? ", partial: " + markdown_cell(run.reason) : "");
    text += "| media | workload | clients | target | metric | median | unit | spread | rounds |\n|---|---|--:|---|---|--:|---|--:|--:|\n";
    each_result(run, [&](const TargetResult& result) {
      for (const auto& [metric, summary] : result.metrics) {
        const MetricDescription* described = results::find_metric(metric);
        text += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {:.1f}% | {} |\n", markdown_cell(result.media),
                            markdown_cell(result.workload), result.clients, markdown_cell(result.label),
                            markdown_cell(metric), readable(summary.median), described == nullptr ? "" : described->unit,
                            100 * summary.relative_spread, summary.rounds.size());
      }
    });
  }
  return text;
}

// Tags end at a comma; readers split lines at white space nowhere else.
std::string tag(std::string text) {
  std::ranges::replace_if(text, [](unsigned char byte) { return byte <= ' ' || byte == ','; }, '_');
  return text;
}

// Times are seconds since the start of the log, and the histograms cover all rounds of a target.
std::string to_hlog(Runs runs) {
  std::string text =
      "#[Histogram log written by cowbench; values are nanoseconds]\n#[Histogram log format version 1.3]\n"
      "#[StartTime: 0.000 (seconds since epoch)]\n"
      "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";
  constexpr double shown_ns = 1e6;  // readers take the third column as milliseconds
  for (const StoredRun& run : runs) {
    each_result(run, [&](const TargetResult& result) {
      double seconds = 0;
      for (const results::Round& round : result.rounds) seconds += round.measured_seconds;
      for (const results::OperationStatistics& operation : result.operations) {
        if (operation.histogram.empty()) continue;
        const std::string what =
            tag(fmt::format("{}/{}/{}/{}", short_id(run), result.media, result.target, operation.name));
        text += fmt::format("Tag={},0.000,{:.3f},{:.3f},{}\n", what, seconds,
                            static_cast<double>(operation.max_ns) / shown_ns, operation.histogram);
      }
    });
  }
  return text;
}

std::string label_value(const std::string& text) {
  std::string escaped;
  for (const char byte : text) {
    if (byte == '\n') {
      escaped += "\\n";
      continue;
    }
    if (byte == '\\' || byte == '"') escaped += '\\';
    escaped += byte;
  }
  return escaped;
}

std::string metric_name(const std::string& metric) {
  std::string valid = "cowbench_" + metric;
  std::ranges::replace_if(valid, [](unsigned char byte) { return std::isalnum(byte) == 0 && byte != '_'; }, '_');
  return valid;
}

std::string to_prometheus(Runs runs) {
  std::map<std::string, std::string> samples;  // all of a metric stand together
  for (const StoredRun& run : runs) {
    each_result(run, [&](const TargetResult& result) {
      const std::string labels = fmt::format(
          R"({{run="{}",target="{}",integrity="{}",media="{}",workload="{}",clients="{}"}})", short_id(run),
          label_value(result.target), label_value(result.integrity), label_value(result.media),
          label_value(result.workload), result.clients);
      for (const auto& [metric, summary] : result.metrics)
        samples[metric] += fmt::format("{}{} {}\n", metric_name(metric), labels, summary.median);
    });
  }
  std::string text;
  for (const auto& [metric, lines] : samples) {
    const MetricDescription* described = results::find_metric(metric);
    text += fmt::format("# HELP {} {}, median over rounds\n# TYPE {} gauge\n{}", metric_name(metric),
                        described == nullptr ? metric : fmt::format("{} ({})", described->title, described->unit),
                        metric_name(metric), lines);
  }
  return text;
}

}  // namespace

std::string_view name(OutputFormat format) { return format_names[static_cast<std::size_t>(format)]; }

std::optional<OutputFormat> output_format_named(std::string_view text) {
  const auto found = std::ranges::find(format_names, text);
  if (found == format_names.end()) return std::nullopt;
  return static_cast<OutputFormat>(found - format_names.begin());
}

std::string export_runs(Runs runs, OutputFormat format) {
  switch (format) {
    case OutputFormat::lines: return to_lines(runs);
    case OutputFormat::json: return to_json(runs);
    case OutputFormat::csv: return to_csv(runs);
    case OutputFormat::markdown: return to_markdown(runs);
    case OutputFormat::hlog: return to_hlog(runs);
    case OutputFormat::prometheus: return to_prometheus(runs);
    case OutputFormat::fio: return to_fio(runs);
  }
  __builtin_unreachable();
}

}  // namespace cowbench::exchange
