#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "harness/dbench_workload.h"
#include "programs/measure_options.h"
#include "programs/verb.h"

namespace cowbench::programs {
namespace {

struct DbenchOptions {
  MeasureOptions measure;
  u32 clients = 0;
  std::string loadfile;
  double seconds = 30;
  double warmup_seconds = -1;  // negative: the default
  std::string payload = "zero", mode = "processes";
  bool verify = false;
  bool sync_open = false, sync_directories = false, sync_writes = false, extended_attributes = false, no_resolve = false;
  double rate_mb_s = 0;
};

harness::DbenchLoad load_of(const DbenchOptions& options) {
  harness::DbenchLoad load;
  load.loadfile = options.loadfile;
  load.clients = options.clients;
  load.seconds = options.seconds;
  if (options.warmup_seconds >= 0) load.warmup_seconds = options.warmup_seconds;
  load.options.sync_open = options.sync_open;
  load.options.sync_directories = options.sync_directories;
  load.options.sync_writes = options.sync_writes;
  load.options.extended_attributes = options.extended_attributes;
  load.options.resolve_by_scan = !options.no_resolve;
  load.options.rate_mb_s = options.rate_mb_s;
  load.options.payload = *workloads::to_payload_kind(options.payload);
  load.options.verify = options.verify;
  load.mode = options.mode == "threads" ? harness::ClientMode::threads : harness::ClientMode::processes;
  return load;
}

int run_verb(DbenchOptions options, const std::string& command_line) {
  const auto program = read_program(options.loadfile);
  if (!program) return report_failure(program.failure());
  harness::DbenchLoad load = load_of(options);
  load.program = &*program;
  Loads loads;
  loads.push_back({std::make_unique<harness::DbenchWorkload>(std::move(load))});
  return run_measure_verb(options.measure, loads, command_line);
}

void add_load_options(CLI::App& verb, DbenchOptions& options) {
  verb.add_option("CLIENTS", options.clients, "Simultaneous clients")->required()->check(CLI::Range(1, 4096));
  verb.add_option("-c,--loadfile", options.loadfile,
                  fmt::format("The loadfile (default: {}, of the package dbench)", default_loadfile));
  verb.add_option("-t,--seconds", options.seconds, "Measured seconds of a round")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6));
  verb.add_option("--warmup", options.warmup_seconds, "Seconds before that (default: a fifth of -t, whole seconds, as dbench)")
      ->check(CLI::NonNegativeNumber);
  verb.add_flag("-s,--sync-open", options.sync_open, "As dbench: open files with O_SYNC");
  verb.add_flag("-S,--sync-dirs", options.sync_directories, "As dbench: make directory changes durable");
  verb.add_flag("-F,--fsync", options.sync_writes, "As dbench: fsync after each write");
  verb.add_flag("-x,--xattr", options.extended_attributes, "As dbench: use extended attributes");
  verb.add_flag("--no-resolve", options.no_resolve, "As dbench: look names up without scanning directories");
  verb.add_option("-R,--rate", options.rate_mb_s, "As dbench: at most so many MB/s a client")
      ->check(CLI::NonNegativeNumber);
  verb.add_option("--payload", options.payload, "What is written: zero (as dbench), random or compressible")
      ->capture_default_str()
      ->check(CLI::IsMember({"zero", "random", "compressible"}));
  verb.add_flag("--verify", options.verify, "Check contents and sizes as they are read back; slower");
  verb.add_option("--client-mode", options.mode, "Clients of kernel targets: processes (as dbench) or threads")
      ->capture_default_str()
      ->check(CLI::IsMember({"processes", "threads"}));
}

}  // namespace

void add_dbench_verb(CLI::App& program, int& exit_code, const std::string& command_line) {
  const auto options = std::make_shared<DbenchOptions>();
  CLI::App* verb = program.add_subcommand("dbench", "Run the dbench load on one or several filesystems");
  add_load_options(*verb, *options);
  add_measure_options(*verb, options->measure, "dbench");
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
