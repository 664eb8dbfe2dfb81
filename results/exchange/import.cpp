#include "results/exchange/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "results/exchange/importers_internal.h"
#include "results/exchange/run_lines.h"
#include "results/summary.h"

namespace cowbench::exchange {
namespace {

using cowfs::Code;
using cowfs::Error;
using store::StoredRun;

constexpr std::array<std::string_view, 6> format_names{"lines", "record", "fio", "google-benchmark", "dbench", "fs_mark"};

cowfs::Result<std::vector<StoredRun>> import_record(std::string_view text, std::string& reason) {
  auto record = results::parse_record(text, reason);
  if (!record) return record.error();
  return std::vector{StoredRun{{}, "", std::move(*record)}};
}

}  // namespace

std::string_view name(Format format) { return format_names[static_cast<std::size_t>(format)]; }

std::optional<Format> format_named(std::string_view text) {
  const auto found = std::ranges::find(format_names, text);
  if (found == format_names.end()) return std::nullopt;
  return static_cast<Format>(found - format_names.begin());
}

std::optional<Format> detect_format(std::string_view text) {
  constexpr std::size_t looked_at = 4096;
  const std::string_view head = text.substr(0, looked_at);
  const auto has = [&](std::string_view mark) { return head.find(mark) != head.npos; };
  if (head.starts_with("{\"v\":")) return Format::lines;
  if (head.starts_with("{") || head.starts_with("fio:")) {
    if (has("\"cowbench.run/")) return Format::record;
    if (has("\"fio version\"")) return Format::fio;
    if (has("\"context\"")) return Format::google_benchmark;
    return std::nullopt;
  }
  if (has("dbench version")) return Format::dbench;
  if (has("fs_mark")) return Format::fs_mark;
  return std::nullopt;
}

std::string text_field(const nlohmann::json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

results::TargetResult& add_result(results::Record& record, const std::string& workload, u64 clients,
                                  const ImportOptions& options) {
  results::Comparison& comparison = record.comparisons.emplace_back();
  comparison.media = "imported";
  comparison.workload = workload;
  comparison.clients = clients;
  results::TargetResult& result = comparison.results.emplace_back();
  result.target = options.target;
  result.integrity = options.integrity;
  return result;
}

cowfs::Result<std::vector<StoredRun>> import_runs(std::string_view text, Format format, const ImportOptions& options,
                                                  std::string& reason) {
  if (format == Format::lines) return parse_lines(text, reason);
  if (format == Format::record) return import_record(text, reason);
  StoredRun run;
  switch (format) {
    case Format::fio: reason = import_fio(text, options, run.record); break;
    case Format::google_benchmark: reason = import_google_benchmark(text, options, run.record); break;
    case Format::dbench: reason = import_dbench(text, options, run.record); break;
    default: reason = import_fs_mark(text, options, run.record); break;
  }
  if (!reason.empty()) {
    u64 line = 0;
    if (reason.starts_with("line ")) line = std::strtoull(reason.c_str() + 5, nullptr, 10);
    return Error{Code::exchange_input_invalid, line};
  }
  for (results::Comparison& comparison : run.record.comparisons) {
    comparison.rounds = comparison.results.front().rounds.size();
    results::summarise(comparison);
  }
  return std::vector{std::move(run)};
}

}  // namespace cowbench::exchange
