#include "harness/measured_run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <set>

#include "harness/byte_size.h"
#include "harness/comparison_run.h"
#include "results/counted.h"

namespace cowbench::harness {
namespace {

constexpr double seconds_around_round = 3;  // mkfs, mount, deleting and unmounting: a first guess
constexpr u32 rounds_for_interval = 6;

bool needs_media(const MeasureRequest& request) {
  return std::ranges::any_of(entrants_of(request), &Entrant::needs_media);
}

u32 expected_measurements(const MeasureRequest& request) {
  const u32 rounds = request.rounds.value_or(rounds_for_interval);
  u32 count = request.calibration_rounds > 0 ? 1 : 0;
  for (const Entrant& entrant : entrants_of(request)) {
    count += rounds;
    const bool kernel = is_made_by_mkfs(entrant.kind()) || entrant.kind() == TargetKind::path;
    if (kernel) count += std::min(rounds, request.calibration_rounds);
  }
  return count;
}

double nominal_seconds(const MeasureRequest& request) {
  const double seconds = request.workload->seconds();
  return seconds + request.workload->warmup_seconds().value_or(seconds / 5) + seconds_around_round;
}

std::vector<std::string> caveats(const MeasureRequest& request) {
  std::vector<std::string> caveats = request.workload->caveats();
  const auto has = [&](auto condition) { return std::ranges::any_of(request.targets, condition, &TargetName::kind); };
  const bool kernel = has([](TargetKind kind) { return is_made_by_mkfs(kind) || kind == TargetKind::path; });
  if (has([](TargetKind kind) { return kind == TargetKind::cowfs; }) && kernel) {
    caveats.push_back("cowfs runs in the process of its clients and pays no system calls; a kernel filesystem does. "
                      "--syscall-charge shows how much of the ratio that is.");
  }
  if (request.rounds && *request.rounds < rounds_for_interval && request.targets.size() > 1)
    caveats.push_back(fmt::format("{} {}: fewer than {} hold no 95% interval", *request.rounds, *request.rounds == 1 ? "round" : "rounds", rounds_for_interval));
  return caveats;
}

void plan_target(const MeasureRequest& request, const Entrant& entrant, const std::vector<std::string>& devices,
                 std::vector<std::string>& lines) {
  const TargetName& name = entrant.name();
  lines.push_back(fmt::format("# target {}", entrant.label()));
  if (name.kind == TargetKind::cowfs) {
    const CowfsTargetMount mount(*parse_cowfs_options(name.argument), request.pins,
                                 request.cache_bytes.value_or(request.workload->default_cache_bytes()), nullptr);
    for (const std::string& line : mount.plan(devices, keep_of(request))) lines.push_back("  " + line);
    for (const ChangeDuringRound& change : request.during) lines.push_back("  # while it is measured, at " + to_text(change));
  } else if (name.kind != TargetKind::null) {
    for (const std::string& line : KernelTarget::plan(name, devices, keep_of(request))) lines.push_back("  " + line);
  }
}

Action check_changes(const MeasureRequest& request) {
  if (request.during.empty()) return Done{};
  const auto& last = std::ranges::max(request.during, {}, &ChangeDuringRound::at_seconds);
  if (last.at_seconds >= request.workload->seconds())
    return Failure{FailureKind::request, fmt::format("--during {}: the load is over by then", to_text(last)), "let it run for longer"};
  if (std::ranges::find(request.targets, TargetKind::cowfs, &TargetName::kind) == request.targets.end())
    return Failure{FailureKind::request, fmt::format("--during {}: no target is cowfs", to_text(last)), ""};
  return Done{};
}

}  // namespace

Keep keep_of(const MeasureRequest& request) {
  if (request.keep.empty()) return Keep::nothing;
  const Verification* verification = request.workload->verification();
  const bool only = verification != nullptr && verification->when() == Verification::When::instead;
  return only ? Keep::found : Keep::made;
}

Action check(const MeasureRequest& request) {
  if (Action fine = request.workload->check(); !fine) return fine;
  if (request.targets.empty()) return Failure{FailureKind::request, "no target", "name at least one with --target"};
  std::set<std::string> names;
  for (const TargetName& name : request.targets) {
    if (!names.insert(name.text).second)
      return Failure{FailureKind::request, fmt::format("--target {} is given twice", name.text), ""};
    if (name.kind == TargetKind::path) {
      struct stat status = {};
      if (stat(name.argument.c_str(), &status) != 0)
        return Failure{FailureKind::request, fmt::format("--target {}: {}", name.text, std::strerror(errno)), ""};
      if (!S_ISDIR(status.st_mode) || access(name.argument.c_str(), W_OK) != 0)
        return Failure{FailureKind::request, fmt::format("--target {}: not a directory that can be written", name.text), ""};
    }
    if (name.kind == TargetKind::raw && !request.workload->runs_on_a_device())
      return Failure{FailureKind::request, "--target raw: this load needs a filesystem", ""};
    if (name.kind != TargetKind::cowfs) continue;
    if (const auto options = parse_cowfs_options(name.argument); !options) return options.failure();
  }
  if (request.media.empty()) return Failure{FailureKind::request, "no medium", "use --media or --device"};
  if (const Action fine = check_changes(request); !fine) return fine;
  if (!request.keep.empty()) {
    const bool one = request.targets.size() == 1 && request.targets.front().kind != TargetKind::null && request.rounds == 1u &&
                     !request.system_call_charge;
    if (!one) return Failure{FailureKind::request, "--keep is for one round of one target", ""};
    if (request.media.size() != 1 || request.media.front().kind != MediaKind::disk || request.media.front().images != 1)
      return Failure{FailureKind::request, "--keep has its own image on a disk", "leave --media, --device and --devices out"};
  }
  if (request.rounds == 0u) return Failure{FailureKind::request, "--rounds must be at least 1", ""};
  return Done{};
}

Outcome<std::vector<std::string>> plan_measurement(const MeasureRequest& request) {
  std::vector<std::string> lines;
  for (const std::string& line : request.workload->plan()) lines.push_back("# " + line);
  for (const std::string& pin : pins_text(request.pins, request.workload->clients())) lines.push_back("# pin " + pin);
  for (const MediaRequest& media : request.media) {
    std::vector<std::string> devices;
    if (needs_media(request)) {
      lines.push_back(fmt::format("# comparison on {}", to_text(media.kind)));
      MediaRequest medium = media;
      if (geteuid() != 0 && media.kind != MediaKind::device) {
        lines.push_back("# without root: an image file for cowfs; targets that need mkfs are skipped");
        medium.plain_image = true;
        if (media.keep == Keep::nothing) medium.directory = plain_image_directory(request, media.kind);
      }
      auto plan = plan_media(medium);
      if (!plan) return plan.failure();
      lines.insert(lines.end(), plan->begin(), plan->end());
      devices = media.devices;
      for (u32 i = 0; i < media.images && media.kind != MediaKind::device; ++i)
        devices.push_back(std::string(medium.plain_image ? "IMAGE" : "/dev/loopN") + (i == 0 ? "" : std::to_string(i + 1)));
    }
    lines.push_back(fmt::format("# each round, in an order that --seed {} decides; {}:", request.seed,
                                request.rounds ? fmt::format("{} of {} s", results::counted(*request.rounds, "round"), request.workload->seconds())
                                               : "until the interval is narrow or the time is used up"));
    if (const auto budget = kernel_memory_budget(request)) lines.push_back("# " + plan_memory_limit(*budget));
    for (const Entrant& entrant : entrants_of(request)) plan_target(request, entrant, devices, lines);
  }
  const double seconds = nominal_seconds(request) * expected_measurements(request) * static_cast<double>(request.media.size());
  lines.push_back(fmt::format("# about {:.0f} minutes; everything made is undone at the end", std::ceil(seconds / 60)));
  return lines;
}

u64 verify_mismatches(const results::Record& record) {
  double blocks = 0;
  for (const results::Comparison& comparison : record.comparisons)
    for (const results::TargetResult& result : comparison.results)
      for (const results::Round& round : result.rounds)
        if (const auto found = round.metrics.find("verify_mismatches"); found != round.metrics.end()) blocks += found->second;
  return static_cast<u64>(blocks);
}

results::Record record_of_now(const std::string& command_line, u64 seed, const EnvironmentRequest& environment) {
  results::Record record;
  const auto now = std::chrono::time_point_cast<std::chrono::seconds>(std::chrono::system_clock::now());
  record.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now));
  record.command_line = command_line;
  record.seed = std::to_string(seed);
  if (const auto topology = Topology::load()) record.environment = to_record(capture_environment(environment), *topology);
  return record;
}

MeasureReport run_measurement(const MeasureRequest& request, Ledger& ledger) {
  MeasureReport report;
  const u64 began_ns = monotonic_ns();
  EnvironmentRequest environment;
  for (const MediaRequest& media : request.media)
    if (media.kind == MediaKind::device) environment.devices.insert(environment.devices.end(), media.devices.begin(), media.devices.end());
  report.record = record_of_now(request.command_line, request.seed, environment);
  results::Record& record = report.record;
  record.environment.pins = pins_text(request.pins, request.workload->clients());
  record.caveats = caveats(request);

  TimeLeft time_left(nominal_seconds(request));
  time_left.expect(expected_measurements(request) * static_cast<u32>(request.media.size()));
  for (const MediaRequest& media : request.media) {
    const Action done = run_comparison(request, media, ledger, time_left, record);
    if (done) continue;
    report.failure = done.failure();
    record.caveats.push_back("the run was cut short: " + to_text(done.failure()));
    break;
  }
  record.duration_seconds = static_cast<double>(monotonic_ns() - began_ns) / 1e9;
  return report;
}

}  // namespace cowbench::harness
