// A published measurement as a recipe: what is known of it, what the publication does not say, and loads that stand for
// it. TOML files; those of reproduce/recipes are compiled in. docs/reproduce.md has every key.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/outcome.h"
#include "harness/topology.h"

namespace cowbench::reproduce {

using cowfs::u32;
using cowfs::u64;

enum class Load { dbench, fio };

// In which order cores are taken.
enum class Placement {
  neighbours,  // as the machine's layout has them: one last-level cache is filled after the other
  spread,      // one core of each last-level cache, then the next of each
};

struct Published {
  std::string target, metric;  // as in metric_table()
  double value = 0;
  bool subject = false;  // what was under test: it is set beside ours
};

struct Run {
  std::string name, what;
  Load load = Load::dbench;
  std::vector<u32> clients;  // on the published machine; one measurement each
  Placement placement = Placement::neighbours;
  u32 seconds = 60;
  std::string job;  // of fio, with {clients}, {seconds} and {megabytes} (of each job's file) to be filled in
  std::vector<Published> published;
};

struct Recipe {
  std::string name, title, source, machine;
  u32 cores = 0;                     // of that machine
  std::vector<std::string> targets;  // as --target takes them
  std::vector<std::string> unknown;  // what the publication does not say
  std::vector<Run> runs;
};

struct RecipeText {
  std::string_view name, toml;
};
// Those compiled in.
std::span<const RecipeText> recipe_texts();

// `file` is for messages. Failure request: what is wrong with it, and in which line.
harness::Outcome<Recipe> parse_recipe(std::string_view toml, const std::string& name, const std::string& file);

// One measurement of a run on this machine.
struct Scaled {
  const Run* run = nullptr;
  u32 clients_published = 0;
  u32 clients = 0;
  std::vector<u32> cpus;  // a client each
  std::string job;        // fio's, filled in
  std::string note;       // "48 of 48 cores there, 2 of 2 here"
};

struct ScalingRequest {
  std::optional<u32> seconds = {};      // instead of each run's own
  u64 data_bytes = 0;                   // what all jobs of fio together may fill
  std::vector<std::string> only = {};   // names of runs; empty: all
};

struct Scaling {
  std::vector<Scaled> measurements;
  std::vector<std::string> left_out;  // runs that tell nothing here, and why
};

// Keeps the share of cores that are busy: as many clients as the published number is of that machine's cores, at least
// one. What becomes equal is measured once; a spread over one last-level cache is left out.
// Failure request: `only` names no run, or nothing is left.
harness::Outcome<Scaling> scale(const Recipe& recipe, const harness::Topology& topology, const ScalingRequest& request);

}  // namespace cowbench::reproduce
