#include "reproduce/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "results/metrics.h"
#include "tracking/table_reader.h"

namespace cowbench::reproduce {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using tracking::TableReader;

void read_published(const toml::table& table, Run& run, std::string& problem) {
  TableReader reader(table, "run.published.", problem);
  Published published;
  reader.text("target", published.target);
  reader.text("metric", published.metric);
  reader.positive("value", published.value);
  reader.flag("subject", published.subject);
  reader.end();
  reader.need("target", !published.target.empty());
  reader.need("value", published.value > 0);
  if (results::find_metric(published.metric) == nullptr)
    reader.complain(table.source(), fmt::format("run.published.metric {} is not known", published.metric));
  run.published.push_back(std::move(published));
}

void read_run(const toml::table& table, Recipe& recipe, std::string& problem) {
  TableReader reader(table, "run.", problem);
  Run run;
  std::string load, placement = "neighbours";
  reader.text("name", run.name);
  reader.text("what", run.what);
  reader.text("load", load);
  reader.text("placement", placement);
  reader.text("job", run.job);
  reader.seconds("seconds", run.seconds);
  reader.counts("clients", run.clients);
  const toml::array* published = reader.tables("published");
  reader.end();
  reader.need("name", !run.name.empty());
  reader.need("clients", !run.clients.empty());
  if (load != "dbench" && load != "fio") reader.complain(table.source(), "run.load must be dbench or fio");
  if (placement != "neighbours" && placement != "spread")
    reader.complain(table.source(), "run.placement must be neighbours or spread");
  run.load = load == "fio" ? Load::fio : Load::dbench;
  run.placement = placement == "spread" ? Placement::spread : Placement::neighbours;
  if ((run.load == Load::fio) == run.job.empty()) reader.complain(table.source(), "run.job belongs to fio, and fio needs it");
  if (published != nullptr && problem.empty())
    for (const toml::node& entry : *published) read_published(*entry.as_table(), run, problem);
  recipe.runs.push_back(std::move(run));
}

void read_recipe(const toml::table& table, Recipe& recipe, std::string& problem) {
  TableReader reader(table, "", problem);
  reader.text("title", recipe.title);
  reader.text("source", recipe.source);
  reader.text("machine", recipe.machine);
  reader.count("cores", recipe.cores);
  reader.words("targets", recipe.targets);
  reader.words("unknown", recipe.unknown);
  const toml::array* runs = reader.tables("run");
  reader.end();
  reader.need("title", !recipe.title.empty());
  reader.need("cores", recipe.cores > 0);
  reader.need("targets", !recipe.targets.empty());
  reader.need("run", runs != nullptr);
  if (runs != nullptr && problem.empty())
    for (const toml::node& run : *runs) read_run(*run.as_table(), recipe, problem);
}

// One cpu a core, in the order in which clients get them.
std::vector<u32> cpus_in_order(const harness::Topology& topology, Placement placement) {
  std::vector<std::pair<u32, u32>> order;  // what is filled first; the cpu
  std::vector<u32> taken(topology.cores().size() + 1, 0);
  for (const harness::Core& core : topology.cores()) {
    const u32 turn = placement == Placement::spread ? taken[core.ccx]++ : 0;
    order.emplace_back(turn, core.cpus.front());
  }
  std::ranges::stable_sort(order, {}, &std::pair<u32, u32>::first);
  std::vector<u32> cpus;
  for (const auto& [turn, cpu] : order) cpus.push_back(cpu);
  return cpus;
}

void fill_in(std::string& text, std::string_view name, u64 value) {
  for (std::size_t at; (at = text.find(name)) != text.npos;) text.replace(at, name.size(), std::to_string(value));
}

std::string job_of(const Run& run, u32 clients, const ScalingRequest& request) {
  constexpr u64 file_megabytes_max = 1024;  // as bcachefs's own fio tests have it
  const u64 room = (request.data_bytes >> 20) / clients;
  std::string job = run.job;
  fill_in(job, "{clients}", clients);
  fill_in(job, "{seconds}", request.seconds.value_or(run.seconds));
  fill_in(job, "{megabytes}", std::clamp<u64>(room, 1, file_megabytes_max));
  return job;
}

void add_once(Scaling& scaling, Scaled scaled) {
  const auto same = std::ranges::find_if(scaling.measurements, [&](const Scaled& other) {
    return other.run->load == scaled.run->load && other.run->seconds == scaled.run->seconds && other.job == scaled.job &&
           other.cpus == scaled.cpus;
  });
  if (same == scaling.measurements.end())
    scaling.measurements.push_back(std::move(scaled));
  else if (same->run != scaled.run)
    scaling.left_out.push_back(fmt::format("{}, {}: the same as {}", scaled.run->name, scaled.note, same->run->name));
}

}  // namespace

Outcome<Recipe> parse_recipe(std::string_view toml, const std::string& name, const std::string& file) {
  Recipe recipe;
  recipe.name = name;
  const harness::Action read = tracking::read_toml(
      toml, file, [&](const toml::table& table, std::string& wrong) { read_recipe(table, recipe, wrong); });
  if (!read) return read.failure();
  return recipe;
}

Outcome<Scaling> scale(const Recipe& recipe, const harness::Topology& topology, const ScalingRequest& request) {
  for (const std::string& name : request.only)
    if (std::ranges::find(recipe.runs, name, &Run::name) == recipe.runs.end())
      return Failure{FailureKind::request, fmt::format("the recipe {} has no run {}", recipe.name, name), ""};
  const auto cores = static_cast<u32>(topology.cores().size());
  Scaling scaling;
  for (const Run& run : recipe.runs) {
    if (!request.only.empty() && std::ranges::find(request.only, run.name) == request.only.end()) continue;
    if (run.placement == Placement::spread && topology.ccx_count() < 2) {
      scaling.left_out.push_back(run.name + ": this machine has one last-level cache, over which nothing can be spread");
      continue;
    }
    const std::vector<u32> cpus = cpus_in_order(topology, run.placement);
    for (const u32 published : run.clients) {
      const double share = static_cast<double>(published) / recipe.cores;
      const u32 clients = std::clamp<u32>(static_cast<u32>(std::lround(share * cores)), 1, cores);
      add_once(scaling, {&run, published, clients, {cpus.begin(), cpus.begin() + clients}, job_of(run, clients, request),
                         fmt::format("{} of {} cores there, {} of {} here", published, recipe.cores, clients, cores)});
    }
  }
  if (scaling.measurements.empty()) return Failure{FailureKind::request, "nothing of the recipe can be measured here", ""};
  return scaling;
}

}  // namespace cowbench::reproduce
