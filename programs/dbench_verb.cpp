#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <random>

#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "harness/byte_size.h"
#include "harness/cowfs_options.h"
#include "harness/dbench_run.h"
#include "harness/environment.h"
#include "programs/verb.h"

namespace cowbench::programs {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::MediaKind;
using harness::Outcome;
using harness::u32;
using harness::u64;

constexpr const char* default_loadfile = "/usr/share/dbench/client.txt";
constexpr u32 rounds_for_comparison = 6;  // fewer hold no 95% interval

struct DbenchOptions {
  u32 clients = 0;
  std::string loadfile;
  double seconds = 30;
  double warmup_seconds = -1;  // negative: the default
  std::vector<std::string> targets, media, devices, erase;
  std::string directory, size = "8G", cache, payload = "zero", pin = "core", mode = "processes";
  u32 rounds = 0;  // 0: the default
  double budget_seconds = 0;
  u32 cores = 0;
  u32 calibration_rounds = 1;
  bool no_calibrate = false, system_call_charge = false, verify = false, plan = false, strict = false;
  bool sync_open = false, sync_directories = false, sync_writes = false, extended_attributes = false, no_resolve = false;
  double rate_mb_s = 0;
  u64 seed = 0;
  std::string json, html;
};

Outcome<workloads::Program> load_program(std::string& file) {
  if (file.empty()) {
    if (access(default_loadfile, R_OK) != 0)
      return Failure{FailureKind::missing, fmt::format("there is no loadfile {}", default_loadfile),
                     "install the package dbench, or name a loadfile with -c"};
    file = default_loadfile;
  }
  auto loaded = workloads::read_loadfile(file);
  if (const auto* error = std::get_if<workloads::LoadfileError>(&loaded))
    return Failure{FailureKind::request, error->to_text(), ""};
  return std::get<workloads::Program>(std::move(loaded));
}

Action set_media(const DbenchOptions& options, harness::DbenchRunRequest& request) {
  harness::MediaRequest medium;
  auto size = harness::parse_size(options.size);
  if (!size) return Failure{FailureKind::request, "--size: " + size.failure().what, size.failure().remedy};
  medium.size_bytes = *size;
  medium.erase = options.erase;
  if (!options.directory.empty()) medium.directory = options.directory;
  for (const std::string& kind : options.media) {
    medium.kind = kind == "ram" ? MediaKind::ram : MediaKind::disk;
    request.media.push_back(medium);
  }
  for (const std::string& device : options.devices) {
    medium.kind = MediaKind::device;
    medium.device = device;
    request.media.push_back(medium);
  }
  if (request.media.empty()) request.media.push_back(medium);
  return Done{};
}

Action set_targets(const DbenchOptions& options, harness::DbenchRunRequest& request) {
  for (const std::string& text : options.targets) {
    auto name = harness::parse_target(text);
    if (!name) return name.failure();
    request.targets.push_back(*name);
  }
  const bool comparison = request.targets.size() > 1 || options.system_call_charge;
  if (options.rounds > 0) {
    request.rounds = options.rounds;
  } else if (options.budget_seconds > 0) {
    request.budget_seconds = options.budget_seconds;
  } else {
    request.rounds = comparison ? rounds_for_comparison : 1;
  }
  return Done{};
}

Action set_pins(const DbenchOptions& options, harness::DbenchRunRequest& request) {
  const auto topology = harness::Topology::load();
  if (!topology) return topology.failure();
  const auto pin = harness::parse_pin(options.pin);
  if (!pin) return pin.failure();
  auto plan = harness::plan_pins(*topology, *pin, options.cores);
  if (!plan) return plan.failure();
  request.pins = std::move(*plan);
  return Done{};
}

Outcome<harness::DbenchRunRequest> request_of(const DbenchOptions& options) {
  harness::DbenchRunRequest request;
  for (const auto set : {set_media, set_targets, set_pins})
    if (const Action done = set(options, request); !done) return done.failure();
  request.clients = options.clients;
  request.seconds = options.seconds;
  if (options.warmup_seconds >= 0) request.warmup_seconds = options.warmup_seconds;
  if (!options.cache.empty()) {
    auto cache = harness::parse_size(options.cache);
    if (!cache) return Failure{FailureKind::request, "--cache: " + cache.failure().what, cache.failure().remedy};
    request.cache_bytes = *cache;
  }
  request.options.sync_open = options.sync_open;
  request.options.sync_directories = options.sync_directories;
  request.options.sync_writes = options.sync_writes;
  request.options.extended_attributes = options.extended_attributes;
  request.options.resolve_by_scan = !options.no_resolve;
  request.options.rate_mb_s = options.rate_mb_s;
  request.options.payload = *workloads::to_payload_kind(options.payload);
  request.options.verify = options.verify;
  request.mode = options.mode == "threads" ? harness::ClientMode::threads : harness::ClientMode::processes;
  request.system_call_charge = options.system_call_charge;
  request.calibration_rounds = options.no_calibrate ? 0 : options.calibration_rounds;
  request.seed = options.seed != 0 ? options.seed : std::random_device{}();
  return request;
}

int print_plan(const harness::DbenchRunRequest& request) {
  auto lines = plan_dbench(request);
  if (!lines) return report_failure(lines.failure());
  for (const std::string& line : *lines) fmt::print("{}\n", line);
  return exit_ok;
}

bool write_results(const DbenchOptions& options, const results::Record& record) {
  bool written = true;
  if (options.json != "-") fmt::print("{}", dashboards::render_record(record, dashboards::style_of(stdout)));
  if (!options.json.empty()) written = write_output(options.json, results::to_json(record)) && written;
  if (!options.html.empty()) written = write_output(options.html, dashboards::render_report(record)) && written;
  return written;
}

int measure(const DbenchOptions& options, harness::DbenchRunRequest& request) {
  if (options.strict) {
    const harness::Environment environment = harness::capture_environment({});
    if (!environment.fit()) {
      fmt::print(stderr, "{}", to_text(environment));
      return exit_unfit;
    }
  }
  if (!can_write(options.json) || !can_write(options.html)) return exit_bad_input;
  auto ledger = harness::Ledger::open();
  if (!ledger) return report_failure(ledger.failure());
  harness::undo_on_exit(**ledger);
  dashboards::ProgressWriter writer(stderr, dashboards::style_of(stderr));
  request.progress = [&](const results::Progress& progress) { writer.show(progress); };
  const harness::DbenchRunReport report = run_dbench(request, **ledger);
  writer.finish();
  // What an interrupted run leaves is not written: clean-up is under way, and may end this process at any moment.
  if (report.failure && report.failure->kind == FailureKind::interrupted) return report_failure(*report.failure);
  const bool written = report.record.comparisons.empty() || write_results(options, report.record);
  if (report.failure) return report_failure(*report.failure);
  return written ? exit_ok : exit_run_failed;
}

int run_verb(DbenchOptions options, const std::string& command_line) {
  const auto program = load_program(options.loadfile);
  if (!program) return report_failure(program.failure());
  auto request = request_of(options);
  if (!request) return report_failure(request.failure());
  request->loadfile = options.loadfile;
  request->program = &*program;
  request->command_line = command_line;
  if (const Action fine = check(*request); !fine) return report_failure(fine.failure());
  return options.plan ? print_plan(*request) : measure(options, *request);
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
}

void add_target_options(CLI::App& verb, DbenchOptions& options) {
  verb.add_option("--target", options.targets,
                  "What to measure; may be repeated, for a comparison:\n  cowfs[:option=value,...]  options: " +
                      harness::known_cowfs_options() +
                      "\n  xfs, ext4, btrfs          made and mounted on the medium (root)\n"
                      "  path:DIR                  a directory that is there\n"
                      "  null                      nothing: what generating the load costs")
      ->required()
      ->allow_extra_args(false);
  verb.add_option("--media", options.media,
                  "disk: an image on a disk (default), ram: in memory; may be repeated, one comparison each. Without "
                  "root, only cowfs can be made on it")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->check(CLI::IsMember({"disk", "ram"}));
  verb.add_option("--device", options.devices, "A real block device instead; everything on it is lost")
      ->allow_extra_args(false);
  verb.add_option("--erase", options.erase, "Allow this device to be erased although it carries data")
      ->allow_extra_args(false);
  verb.add_option("--size", options.size, "Size of the image")->capture_default_str();
  verb.add_option("--directory", options.directory, "Where image and mount points go (default: /var/tmp/cowbench)");
  verb.add_option("--cache", options.cache,
                  "cowfs's page cache (default: 32M a client and 512M); the kernel's is not limited");
  verb.add_flag("--syscall-charge", options.system_call_charge,
                "Also measure cowfs paying a real system call for each that a kernel filesystem would take");
  verb.add_option("--pin", options.pin, "Where clients run: core, ccx, numa, none or list=0,2,4-7")
      ->capture_default_str();
  verb.add_option("--cores", options.cores, "Use at most so many cores (0: all)")->capture_default_str();
  verb.add_option("--client-mode", options.mode, "Clients of kernel targets: processes (as dbench) or threads")
      ->capture_default_str()
      ->check(CLI::IsMember({"processes", "threads"}));
}

void add_run_options(CLI::App& verb, DbenchOptions& options) {
  verb.add_option("--rounds", options.rounds,
                  "Rounds of each target (default: 6 for a comparison, which a 95% interval needs; else 1)")
      ->check(CLI::Range(1, 1000));
  verb.add_option("--budget", options.budget_seconds,
                  "Instead of --rounds: go on until the ratio is known to 2%, or for so many seconds a comparison")
      ->check(CLI::PositiveNumber);
  verb.add_option("--calibrate", options.calibration_rounds,
                  "Run the real dbench on each kernel target, too, in so many rounds")
      ->capture_default_str();
  verb.add_flag("--no-calibrate", options.no_calibrate, "Neither the real dbench nor the cost of the generator");
  verb.add_option("--seed", options.seed, "Of the order of targets and of payloads (default: another each time)");
  verb.add_option("--json", options.json, "Write the record to this file (- for standard output); see docs/json.md");
  verb.add_option("--html", options.html, "Write the record as one self-contained page");
  verb.add_flag("--plan", options.plan, "Print every command, device and pin, and do nothing");
  verb.add_flag("--strict", options.strict, "Refuse to run when this machine is unfit for measuring (cowbench env)");
}

}  // namespace

void add_dbench_verb(CLI::App& program, int& exit_code, const std::string& command_line) {
  const auto options = std::make_shared<DbenchOptions>();
  CLI::App* verb = program.add_subcommand("dbench", "Run the dbench load on one or several filesystems");
  add_load_options(*verb, *options);
  add_target_options(*verb, *options);
  add_run_options(*verb, *options);
  verb->callback([options, &exit_code, command_line] { exit_code = run_verb(*options, command_line); });
}

}  // namespace cowbench::programs
