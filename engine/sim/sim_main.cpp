// cowfs-sim: one simulated history, or many; and crash states of short sequences.
#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>

#include "engine/sim/costs.h"
#include "engine/sim/seed_apart.h"
#include "engine/sim/sequences.h"

namespace {

using namespace cowfs;
using namespace cowfs::sim;

constexpr u64 shortening_runs_max = 2000;

// The first of two halves, say; counted from 1.
struct Part {
  u64 number = 1;
  u64 of = 1;
};

std::optional<Part> parse_part(const std::string& text) {
  Part part;
  char rest = 0;
  const bool is_part = std::sscanf(text.c_str(), "%" SCNu64 "/%" SCNu64 "%c", &part.number, &part.of, &rest) == 2;
  return is_part && part.number > 0 && part.number <= part.of ? std::optional(part) : std::nullopt;
}

struct Request {
  SeedOptions options;
  u64 seeds = 1;
  bool minimise = false;
  bool points = false;
  unsigned length = 0;
  u64 states = 0;
  Part part;
  bool two_flushes = false;
  bool costs = false;
};

void print(const Script& script) {
  for (std::size_t round = 0; round < script.size(); ++round) {
    for (std::size_t client = 0; client < script[round].size(); ++client) {
      std::printf("mount %zu, client %zu:\n", round + 1, client);
      for (const Operation& operation : script[round][client]) std::printf("  %s\n", to_text(operation).c_str());
    }
  }
}

void print(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) std::printf("%s\n", problem.c_str());
}

std::string repeat_line(const SeedOptions& options) {
  std::string line = "cowfs-sim --seed " + std::to_string(options.seed) + " --ops " + std::to_string(options.operations);
  if (options.cores) line += " --cores " + std::to_string(*options.cores);
  if (options.replicas) line += " --replicas " + std::to_string(*options.replicas);
  if (options.erasure)
    line += " --erasure-code " + std::to_string(options.erasure->data_shards) + "+" +
            std::to_string(options.erasure->parity_shards);
  if (!options.faults.empty()) line += " --faults ";
  for (std::size_t i = 0; i < options.faults.size(); ++i) line += (i > 0 ? "," : "") + std::string(name(options.faults[i]));
  return line;
}

// How often each point fired, and in how many seeds.
class PointTable {
 public:
  void add(const PointCounts& counts) {
    for (std::size_t i = 0; i < point_count; ++i) {
      fired_[i] += counts[i];
      seeds_[i] += counts[i] > 0;
    }
  }
  void print() const {
    for (std::size_t i = 0; i < point_count; ++i) {
      const Point point = static_cast<Point>(i);
      std::printf("%9" PRIu64 " times in %6" PRIu64 " seeds  %s %s: %s\n", fired_[i], seeds_[i],
                  kind(point) == PointKind::forced ? "forced " : "reached", cowfs::name(point).data(),
                  meaning(point).data());
    }
  }

 private:
  PointCounts fired_{};
  PointCounts seeds_{};
};

void print_shortened(const SeedOptions& options, const SeedResult& result) {
  const Script script = shorten(options, result.script, shortening_runs_max);
  std::printf("%" PRIu64 " operations are enough:\n", operation_count(script));
  print(script);
}

bool run_one(const Request& request, PointTable& points) {
  const SeedOptions& options = request.options;
  const SeedResult result = request.minimise ? run_seed_apart(options) : run_seed(options);
  points.add(result.points);
  std::printf("seed %" PRIu64 ": %s, %" PRIu64 " operations\n", options.seed, result.configuration.c_str(),
              result.operations);
  if (!result.problems.empty()) {
    print(result.problems);
    if (request.minimise) print_shortened(options, result);
    std::printf("repeat with: %s\n", repeat_line(options).c_str());
  }
  std::printf("trace %016" PRIx64 "\n", result.trace_hash);
  return result.problems.empty();
}

// Sequences that begin with the same step pass in the same time, another one each night.
bool run_all_sequences(const Request& request, SequenceRunner& runner) {
  const u64 count = sequence_count(request.length);
  const u64 alike = sequence_count(request.length - 1);
  const u64 end = count * request.part.number / request.part.of;
  for (u64 index = count * (request.part.number - 1) / request.part.of; index < end; ++index) {
    if (!runner.run(sequence(request.length, index), request.options.seed + index / alike)) return false;
  }
  return true;
}

bool run_random_sequences(const Request& request, SequenceRunner& runner) {
  Random random(request.options.seed);
  while (runner.counts().states < request.states) {
    const u64 index = random.below(sequence_count(request.length));
    if (!runner.run(sequence(request.length, index), random.next())) return false;
  }
  return true;
}

bool run_sequences(const Request& request) {
  SequenceRunner runner({.seed = request.options.seed}, !request.two_flushes);
  const bool sound = request.states == 0 ? run_all_sequences(request, runner) : run_random_sequences(request, runner);
  print(runner.problems());
  const ExplorerCounts& counts = runner.counts();
  std::printf("%" PRIu64 " sequences of %" PRIu64 ", %" PRIu64 " crash states, %" PRIu64 " distinct, %" PRIu64
              " more during recovery\n",
              runner.sequences(), sequence_count(request.length), counts.states, counts.distinct, counts.deeper);
  return sound;
}

void print_costs() {
  for (const Cost& cost : costs()) std::printf("%s %.17g\n", cost.name.c_str(), cost.value);
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);  // what is aborted has said where it was
  CLI::App app{"Runs cowfs in the simulator: one seed, one history, the same on any machine."};
  Request request;
  std::vector<std::string> faults;
  u16 cores = 0;
  app.add_option("--seed", request.options.seed, "what to run");
  app.add_option("--seeds", request.seeds, "so many seeds, from --seed on")->check(CLI::PositiveNumber);
  app.add_option("--ops", request.options.operations, "operations of all clients together")->check(CLI::PositiveNumber);
  app.add_option("--faults", faults, "what may happen, separated by commas; all when not given")->delimiter(',');
  app.add_option("--cores", cores, "of every mount; drawn when not given")->check(CLI::Range(1, 16));
  app.add_option("--replicas", request.options.replicas, "On several devices, with so many copies; drawn when not given")
      ->check(CLI::Range(1, 2));
  app.add_option_function<std::string>(
         "--erasure-code",
         [&request](const std::string& text) { request.options.erasure = parse_erasure_code(text); },
         "K+M: on as many devices; drawn when not given")
      ->check([](const std::string& text) { return parse_erasure_code(text) ? "" : "not K+M"; })
      ->excludes("--replicas");
  auto* const minimise =
      app.add_flag("--minimise", request.minimise, "after a failure, an assertion's too, look for a shorter list of operations");
  app.add_flag("--points", request.points, "at the end: how often each named point of a rare path fired")->excludes(minimise);
  app.add_option("--sequences", request.length, "instead: every power cut of all sequences of so many operations")
      ->check(CLI::Range(1, 3));
  auto* const states =
      app.add_option("--states", request.states, "with --sequences: random ones until so many crash states were tried");
  app.add_option_function<std::string>(
         "--part", [&request](const std::string& text) { request.part = *parse_part(text); },
         "K/N, with --sequences: the Kth of N parts of them, as many")
      ->check([](const std::string& text) { return parse_part(text) ? "" : "not K/N"; })
      ->excludes(states);
  app.add_flag("--two-flushes", request.two_flushes, "with --sequences: of a filesystem whose commits flush twice");
  app.add_flag("--costs", request.costs, "instead: what fixed loads ask of the device, a name and a number a line");
  CLI11_PARSE(app, argc, argv);
  for (const std::string& text : faults) {
    const std::optional<Fault> fault = fault_of(text);
    if (!fault) {
      std::fprintf(stderr, "cowfs-sim: no fault %s; there are:", text.c_str());
      for (unsigned i = 0; i < fault_count; ++i) std::fprintf(stderr, " %s", name(static_cast<Fault>(i)));
      std::fprintf(stderr, "\n");
      return 2;
    }
    request.options.faults.push_back(*fault);
  }
  if (cores > 0) request.options.cores = cores;
  if (request.costs) {
    print_costs();
    return 0;
  }
  if (request.length > 0) return run_sequences(request) ? 0 : 1;
  bool sound = true;
  PointTable points;
  for (u64 n = 0; n < request.seeds && sound; ++n, ++request.options.seed) {
    sound = run_one(request, points);
  }
  if (request.points) points.print();
  return sound ? 0 : 1;
}
