#include "harness/stock_dbench.h"

#include "harness/topology.h"

namespace cowbench::harness {
namespace {

// dbench waits up to 30 s for its clients to start, and deletes all files at the end.
constexpr u32 spare_seconds = 180;

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

Outcome<exchange::DbenchOutput> run_stock_dbench(const StockRequest& request) {
  if (auto found = find_program("dbench"); !found) return found.failure();
  auto ran = run_checked(stock_command(request));
  if (!ran) return ran.failure();
  auto parsed = exchange::parse_dbench_output(ran->output, request.seconds);
  if (!parsed) return Failure{FailureKind::failed, "dbench printed no result", "run it by hand to see why"};
  return std::move(*parsed);
}

}  // namespace cowbench::harness
