// Results that are text for people: dbench's and fs_mark's.
#include <fmt/format.h>

#include <sstream>

#include "results/exchange/dbench_output.h"
#include "results/exchange/importers_internal.h"

namespace cowbench::exchange {

using cowfs::u64;

// "Running for 60 seconds with load '/usr/share/dbench/client.txt' and minimum warmup 12 secs"
std::string import_dbench(std::string_view input, const ImportOptions& options, results::Record& record) {
  constexpr std::string_view mark = "Running for ";
  const auto at = input.find(mark);
  if (at == input.npos) return "there is no line 'Running for N seconds with load ...'";
  const std::string line(input.substr(at, input.find('\n', at) - at));
  const u64 seconds = std::strtoull(line.c_str() + mark.size(), nullptr, 10);
  if (seconds == 0) return "'" + line + "' names no seconds";
  std::string load = line.substr(std::min(line.find('\'') + 1, line.size()));
  load = load.substr(0, load.find('\''));
  load = load.substr(load.rfind('/') + 1);

  const auto parsed = parse_dbench_output(input, seconds);
  if (!parsed) return "there is no line 'Throughput N MB/sec ...': dbench did not end well";
  record.command_line = line;
  results::TargetResult& result = add_result(record, "dbench " + load, parsed->clients, options);
  results::Round& round = result.rounds.emplace_back();
  round.measured_seconds = static_cast<double>(seconds);
  for (const DbenchOperation& operation : parsed->operations) round.operations += operation.count;
  round.metrics["throughput_mb_s"] = parsed->throughput_mb_s;
  round.metrics["ops_s"] = parsed->ops_s;
  if (parsed->latency_ms_max > 0) round.metrics["latency_max_ns"] = parsed->latency_ms_max * 1e6;
  if (parsed->sync_open) result.options.push_back("sync open");
  if (parsed->sync_directories) result.options.push_back("sync dirs");
  return "";
}

namespace {

// "#	Version 3.3, 4 thread(s) starting at Fri Nov 27 11:00:00 2026"
u64 threads_of(const std::string& line) {
  const auto comma = line.find(", "), threads = line.find(" thread(s)");
  if (!line.starts_with("#") || comma == line.npos || threads == line.npos || threads < comma) return 0;
  return std::strtoull(line.c_str() + comma + 2, nullptr, 10);
}

// "     5         1000        51200        123.4            12345": FSUse%, Count, Size, Files/sec, App Overhead.
std::string add_row(const std::string& line, double& size, results::TargetResult& result) {
  std::istringstream fields(line);
  double used_percent = 0, count = 0, files_s = 0, overhead = 0;
  if (!(fields >> used_percent >> count >> size >> files_s >> overhead) || files_s <= 0 || count < 0)
    return "should be FSUse%, Count, Size, Files/sec and App Overhead";
  results::Round& round = result.rounds.emplace_back();
  round.round = result.rounds.size() - 1;
  round.operations = static_cast<u64>(std::min(count, 1e18));
  round.metrics["files_s"] = files_s;
  return "";
}

}  // namespace

std::string import_fs_mark(std::string_view input, const ImportOptions& options, results::Record& record) {
  results::TargetResult rows;
  u64 threads = 0, number = 0;
  double size = 0;
  bool in_table = false;
  std::istringstream lines{std::string(input)};
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (threads == 0) threads = threads_of(line);
    if (line.find("fs_mark ") != line.npos && record.command_line.empty() && line.starts_with("#"))
      record.command_line = line.substr(line.find("fs_mark "));
    if (line.starts_with("FSUse%")) {
      in_table = true;
      continue;
    }
    if (!in_table || line.find_first_not_of(" \t\r") == line.npos) continue;
    if (const std::string problem = add_row(line, size, rows); !problem.empty())
      return fmt::format("line {}: {}", number, problem);
  }
  if (rows.rounds.empty()) return "there is no table of FSUse%, Count, Size, Files/sec";
  add_result(record, fmt::format("fs_mark {:.0f} B", size), std::max(threads, u64{1}), options).rounds = std::move(rows.rounds);
  return "";
}

}  // namespace cowbench::exchange
