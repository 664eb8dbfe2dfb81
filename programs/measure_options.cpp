#include "programs/measure_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <random>
#include <ranges>

#include "dashboards/format.h"
#include "dashboards/progress.h"
#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "engine/codec/cpu_features.h"
#include "harness/byte_size.h"
#include "harness/cowfs_options.h"
#include "harness/environment.h"
#include "programs/verb.h"
#include "results/summary.h"

namespace cowbench::programs {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::MediaKind;
using harness::Outcome;

constexpr u32 rounds_for_comparison = 6;  // fewer hold no 95% interval

Action set_media(const MeasureOptions& options, harness::MeasureRequest& request) {
  harness::MediaRequest medium;
  auto size = size_option("--size", options.size);
  if (!size) return size.failure();
  medium.size_bytes = *size;
  medium.erase = options.erase;
  if (!options.directory.empty()) medium.directory = std::filesystem::absolute(options.directory).lexically_normal();
  if (!options.keep.empty()) {
    medium.directory = std::filesystem::absolute(options.keep).lexically_normal();
    request.keep = medium.directory;
  }
  medium.images = options.device_count;
  for (const std::string& kind : options.media) {
    medium.kind = kind == "ram" ? MediaKind::ram : MediaKind::disk;
    request.media.push_back(medium);
  }
  for (const std::string& device : options.devices) {
    medium.kind = MediaKind::device;
    medium.devices.clear();
    for (const auto part : std::views::split(device, ',')) medium.devices.emplace_back(part.begin(), part.end());
    request.media.push_back(medium);
  }
  if (request.media.empty()) request.media.push_back(medium);
  return Done{};
}

Action set_targets(const MeasureOptions& options, harness::MeasureRequest& request) {
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

Action set_pins(const MeasureOptions& options, harness::MeasureRequest& request) {
  const auto topology = harness::Topology::load();
  if (!topology) return topology.failure();
  const auto pin = harness::parse_pin(options.pin);
  if (!pin) return pin.failure();
  auto plan = harness::plan_pins(*topology, *pin, options.cores);
  if (!plan) return plan.failure();
  request.pins = std::move(*plan);
  return Done{};
}

Action set_changes(const MeasureOptions& options, harness::MeasureRequest& request) {
  for (const std::string& text : options.during) {
    auto change = harness::parse_change_during_round(text);
    if (!change) return change.failure();
    request.during.push_back(*std::move(change));
  }
  return Done{};
}

Outcome<harness::MeasureRequest> request_of(const MeasureOptions& options) {
  harness::MeasureRequest request;
  for (const auto set : {set_media, set_targets, set_pins, set_changes})
    if (const Action done = set(options, request); !done) return done.failure();
  if (!options.cache.empty()) {
    auto cache = size_option("--cache", options.cache);
    if (!cache) return cache.failure();
    request.cache_bytes = *cache;
  }
  request.system_call_charge = options.system_call_charge;
  request.calibration_rounds = options.no_calibrate || !options.keep.empty() ? 0 : options.calibration_rounds;
  request.seed = options.seed != 0 ? options.seed : std::random_device{}();
  return request;
}

int print_plan(const harness::MeasureRequest& request) {
  auto lines = plan_measurement(request);
  if (!lines) return report_failure(lines.failure());
  for (const std::string& line : *lines) fmt::print("{}\n", line);
  return exit_ok;
}

// Whether it was a mistake of the caller's that ended it before it began.
bool never_began(const harness::MeasureReport& report) {
  if (!report.failure || (report.failure->kind != FailureKind::request && report.failure->kind != FailureKind::refused)) return false;
  return std::ranges::none_of(report.record.comparisons, [](const results::Comparison& comparison) {
    return std::ranges::any_of(comparison.results, [](const results::TargetResult& result) { return !result.rounds.empty(); });
  });
}

// Also what was measured until the run failed, marked so.
bool store_run(store::Store& store, const harness::MeasureReport& report) {
  store::StoredRun run{{}, "", report.record};
  if (report.failure) {
    run.status = store::RunStatus::partial;
    run.reason = to_text(*report.failure);
  }
  std::string reason;
  const auto added = store.add({&run, 1}, reason);
  if (!added) return report_store_failure(added.error(), reason), false;
  fmt::print(stderr, "stored as run {}\n", added->front().id.substr(0, 12));
  return true;
}

// The request, for one of its loads.
harness::MeasureRequest request_for(harness::MeasureRequest request, const MeasuredLoad& load) {
  request.workload = load.workload.get();
  for (harness::MediaRequest& medium : request.media) medium.keep = keep_of(request);
  if (load.pins) request.pins = *load.pins;
  return request;
}

void add_remark(results::Record& record, const std::string& remark) {
  for (results::Comparison& comparison : record.comparisons) {
    comparison.workload += ", " + remark;
    results::summarise(comparison);
  }
}

// What was measured of the first loads stays when a later one fails.
void measure_all(const harness::MeasureRequest& request, const Loads& loads, harness::Ledger& ledger, harness::MeasureReport& all) {
  for (const MeasuredLoad& load : loads) {
    harness::MeasureReport report = run_measurement(request_for(request, load), ledger);
    if (!load.remark.empty()) add_remark(report.record, load.remark);
    if (all.record.comparisons.empty()) {
      all = std::move(report);
    } else {
      results::append(all.record, std::move(report.record));
      all.failure = std::move(report.failure);
    }
    if (all.failure) break;
  }
}

Action check_all(const harness::MeasureRequest& request, const Loads& loads) {
  for (const MeasuredLoad& load : loads)
    if (const Action fine = check(request_for(request, load)); !fine) return fine.failure();
  return Done{};
}

void measure_more(const harness::MeasureRequest& request, const MoreLoads& more, harness::Ledger& ledger, harness::MeasureReport& all) {
  const auto loads = more(all.record);
  if (!loads) {
    all.failure = loads.failure();
  } else if (const Action fine = check_all(request, *loads); !fine) {
    all.failure = fine.failure();
  } else {
    measure_all(request, *loads, ledger, all);
  }
}

int measure(const MeasureOptions& options, harness::MeasureRequest& request, const Loads& loads, const Forms& forms,
            const MoreLoads& more) {
  if (options.strict) {
    const harness::Environment environment = harness::capture_environment({});
    if (!environment.fit()) {
      fmt::print(stderr, "{}", to_text(environment));
      return exit_unfit;
    }
  }
  if (!can_write(options.json) || !can_write(options.html)) return exit_bad_input;
  std::optional<store::Store> store;
  if (!options.db.empty()) {
    if (auto opened = open_store(options.db, store::Store::Access::write)) store.emplace(std::move(*opened));
    if (!store) return exit_bad_input;
  }
  auto ledger = harness::Ledger::open();
  if (!ledger) return report_failure(ledger.failure());
  harness::undo_on_exit(**ledger);
  dashboards::ProgressWriter writer(stderr, dashboards::style_of(stderr));
  request.progress = [&](const results::Progress& progress) { writer.show(progress); };
  harness::MeasureReport report;
  measure_all(request, loads, **ledger, report);
  if (more && !report.failure) measure_more(request, more, **ledger, report);
  writer.finish();
  if (cowfs::codec::cpu_features() != cowfs::codec::native_cpu_features())
    report.record.caveats.push_back("checksums used processor features only of: " + to_text(cowfs::codec::cpu_features()));
  // What an interrupted run leaves is not written: clean-up is under way, and may end this process at any moment.
  if (report.failure && report.failure->kind == FailureKind::interrupted) return report_failure(*report.failure);
  bool written = report.record.comparisons.empty() || write_results(options, forms, report.record);
  if (store && !report.record.comparisons.empty() && !never_began(report)) written = store_run(*store, report) && written;
  if (report.failure) return report_failure(*report.failure);
  if (const harness::u64 blocks = harness::verify_mismatches(report.record); blocks > 0)
    return report_failure(Failure{FailureKind::mismatch, dashboards::counted(blocks, "block") + " not as written",
                                  "the notes name the first ones; do not trust what this target stores"});
  return written ? exit_ok : exit_run_failed;
}

void add_target_options(CLI::App& verb, MeasureOptions& options) {
  verb.add_option("--target", options.targets,
                  "What to measure; may be repeated, for a comparison:\n  cowfs[:option=value,...]  options: " +
                      harness::known_cowfs_options() +
                      "\n  xfs, ext4, btrfs          made and mounted on the medium (root)\n"
                      "  btrfs:PROFILE             the same with -d and -m: single, raid0, raid1, raid1c3, raid1c4, raid10\n"
                      "  path:DIR                  a directory that is there\n"
                      "  raw                       the medium itself, without a filesystem (fio)\n"
                      "  null                      nothing: what generating the load costs")
      ->allow_extra_args(false);
  verb.add_option("--media", options.media,
                  "disk: an image on a disk (default), ram: in memory; may be repeated, one comparison each. Without "
                  "root, only cowfs can be made on it")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->check(CLI::IsMember({"disk", "ram"}));
  verb.add_option("--device", options.devices, "A real block device instead, or several for one filesystem, separated by commas; everything on them is lost")
      ->allow_extra_args(false);
  verb.add_option("--erase", options.erase, "Allow this device to be erased although it carries data")
      ->allow_extra_args(false);
  verb.add_option("--devices", options.device_count, "So many images for one filesystem")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
  verb.add_option("--during", options.during,
                  "What is done to cowfs's devices while a load runs, so many seconds into its measured window; may be repeated: " +
                      harness::known_changes_during_round() + ". As in --during \"2 offline 1\" --during \"4 online 1\"")
      ->allow_extra_args(false);
  verb.add_option("--size", options.size, "Size of an image")->capture_default_str();
  verb.add_option("--directory", options.directory, "Where image and mount points go (default: /var/tmp/cowbench)");
  verb.add_option("--cache", options.cache,
                  "cowfs's page cache (default: 32M a client and 512M); clients of kernel targets get a memory cgroup of the same");
  verb.add_flag("--syscall-charge", options.system_call_charge,
                "Also measure cowfs paying a real system call for each that a kernel filesystem would take");
  verb.add_option("--pin", options.pin, "Cores of cowfs and of clients: core, ccx, numa, none or list=0,2,4-7")
      ->capture_default_str();
  verb.add_option("--cores", options.cores, "Use at most so many cores (0: all)")->capture_default_str();
}

void add_run_options(CLI::App& verb, MeasureOptions& options, const std::string& reference) {
  verb.add_option("--rounds", options.rounds,
                  "Rounds of each target (default: 6 for a comparison, which a 95% interval needs; else 1)")
      ->check(CLI::Range(1, 1000));
  verb.add_option("--budget", options.budget_seconds,
                  "Instead of --rounds: go on until the ratio is known to 2%, or for so many seconds a comparison")
      ->check(CLI::PositiveNumber);
  verb.add_option("--calibrate", options.calibration_rounds,
                  "Run the real " + reference + " on each kernel target, too, in so many rounds")
      ->capture_default_str();
  verb.add_flag("--no-calibrate", options.no_calibrate, "Neither the real " + reference + " nor the cost of the generator");
  verb.add_option("--seed", options.seed, "Of the order of targets and of payloads (default: another each time)");
  verb.add_option("--json", options.json, "Write the record to this file (- for standard output); see docs/json.md");
  verb.add_option("--html", options.html, "Write the record as one self-contained page");
  verb.add_option("--db", options.db, "Add the run to a store, for cowbench results; alone: the user's own")
      ->expected(0, 1)
      ->default_str(store::default_path());
  verb.add_flag("--plan", options.plan, "Print every command, device and pin, and do nothing");
  verb.add_flag("--strict", options.strict, "Refuse to run when this machine is unfit for measuring (cowbench env)");
}

}  // namespace

void add_measure_options(CLI::App& verb, MeasureOptions& options, const std::string& reference) {
  add_target_options(verb, options);
  add_run_options(verb, options, reference);
}

Forms usual_forms() {
  return {dashboards::render_record, results::to_json, [](const auto& record) { return dashboards::render_report(record); }};
}

bool write_results(const MeasureOptions& options, const Forms& forms, const results::Record& record) {
  bool written = true;
  if (options.json != "-") fmt::print("{}", forms.text(record, dashboards::style_of(stdout)));
  if (!options.json.empty()) written = write_output(options.json, forms.json(record)) && written;
  if (!options.html.empty()) written = write_output(options.html, forms.html(record)) && written;
  return written;
}

int run_measure_verb(const MeasureOptions& options, const Loads& loads, const std::string& command_line,
                     const Forms& forms, const MoreLoads& more) {
  auto request = request_of(options);
  if (!request) return report_failure(request.failure());
  request->command_line = command_line;
  if (const Action fine = check_all(*request, loads); !fine) return report_failure(fine.failure());
  if (!options.plan) return measure(options, *request, loads, forms, more);
  for (const MeasuredLoad& load : loads)
    if (const int code = print_plan(request_for(*request, load)); code != exit_ok) return code;
  return exit_ok;
}

Outcome<u64> size_option(const std::string& option, const std::string& text) {
  auto size = harness::parse_size(text);
  if (size) return *size;
  return Failure{FailureKind::request, option + ": " + size.failure().what, size.failure().remedy};
}

Outcome<workloads::Program> read_program(std::string& file) {
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

}  // namespace cowbench::programs
