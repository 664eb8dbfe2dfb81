#include "results/exchange/dbench_output.h"

#include <cstdlib>
#include <sstream>

namespace cowbench::exchange {
namespace {

std::optional<DbenchOperation> parse_operation(const std::string& line) {
  std::istringstream fields(line);
  DbenchOperation operation;
  std::string rest;
  fields >> operation.name >> operation.count >> operation.latency_ms_mean >> operation.latency_ms_max;
  if (!fields) return {};
  if (fields >> rest) return {};
  return operation;
}

// "Throughput 621.052 MB/sec (sync open) (sync dirs)  2 clients  2 procs  max_latency=32.070 ms"
bool parse_throughput(const std::string& line, DbenchOutput& result) {
  std::istringstream fields(line);
  std::string word;
  if (!(fields >> word >> result.throughput_mb_s >> word) || word != "MB/sec") return false;
  result.sync_open = line.find("(sync open)") != line.npos;
  result.sync_directories = line.find("(sync dirs)") != line.npos;
  std::string before;
  while (fields >> word) {
    if (word == "clients") result.clients = static_cast<u32>(std::strtoul(before.c_str(), nullptr, 10));
    if (word == "procs") result.processes = static_cast<u32>(std::strtoul(before.c_str(), nullptr, 10));
    constexpr std::string_view latency = "max_latency=";
    if (word.starts_with(latency)) result.latency_ms_max = std::strtod(word.c_str() + latency.size(), nullptr);
    before = word;
  }
  return result.clients > 0;
}

}  // namespace

std::optional<DbenchOutput> parse_dbench_output(std::string_view output, u64 seconds) {
  DbenchOutput result;
  bool in_table = false;
  bool done = false;
  u64 operations = 0;
  std::istringstream lines{std::string(output)};
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(" Operation")) {
      in_table = true;
      continue;
    }
    if (line.starts_with("Throughput ")) {
      done = parse_throughput(line, result);
      break;
    }
    if (!in_table || line.starts_with(" ---")) continue;
    if (const auto operation = parse_operation(line)) {
      operations += operation->count;
      result.operations.push_back(*operation);
    }
  }
  if (!done) return std::nullopt;
  if (seconds > 0) result.ops_s = static_cast<double>(operations) / static_cast<double>(seconds);
  return result;
}

}  // namespace cowbench::exchange
