#include "harness/stock_dbench.h"

#include <fmt/format.h>

#include <cstdlib>
#include <sstream>

#include "harness/topology.h"

namespace cowbench::harness {
namespace {

// dbench waits up to 30 s for its clients to start, and deletes all files at the end.
constexpr u32 spare_seconds = 180;

std::optional<StockOperation> parse_operation(const std::string& line) {
  std::istringstream fields(line);
  StockOperation operation;
  std::string rest;
  fields >> operation.name >> operation.count >> operation.latency_ms_mean >> operation.latency_ms_max;
  if (!fields) return {};
  if (fields >> rest) return {};
  return operation;
}

// "Throughput 621.052 MB/sec (sync open) (sync dirs)  2 clients  2 procs  max_latency=32.070 ms"
bool parse_throughput(const std::string& line, StockResult& result) {
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

Command stock_command(const StockRequest& request) {
  Command command;
  command.program = "setpriv";  // dbench must not go on alone after a kill -9 of this process
  command.arguments = {"--pdeathsig", "KILL", "--"};
  if (!request.cpus.empty())
    command.arguments.insert(command.arguments.end(), {"taskset", "--cpu-list", to_cpu_list(request.cpus)});
  command.arguments.insert(command.arguments.end(), {"dbench", "-t", std::to_string(request.seconds), "-D",
                                                     request.directory, "-c", request.loadfile});
  if (request.sync_open) command.arguments.push_back("-s");
  if (request.sync_directories) command.arguments.push_back("-S");
  if (request.sync_writes) command.arguments.push_back("-F");
  if (request.extended_attributes) command.arguments.push_back("-x");
  command.arguments.push_back(std::to_string(request.clients));
  command.timeout_seconds = request.seconds + request.seconds / 5 + spare_seconds;
  return command;
}

Outcome<StockResult> parse_stock_output(std::string_view output, u32 seconds) {
  StockResult result;
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
  if (!done) return Failure{FailureKind::failed, "dbench printed no result", "run it by hand to see why"};
  if (seconds > 0) result.ops_s = static_cast<double>(operations) / seconds;
  return result;
}

Outcome<StockResult> run_stock_dbench(const StockRequest& request) {
  if (auto found = find_program("dbench"); !found) return found.failure();
  auto ran = run_checked(stock_command(request));
  if (!ran) return ran.failure();
  return parse_stock_output(ran->output, request.seconds);
}

}  // namespace cowbench::harness
