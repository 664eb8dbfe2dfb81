#include "shapes/shape_workload.h"

#include <fmt/format.h>

#include <cmath>

#include "harness/core_host.h"
#include "harness/cowfs_target.h"
#include "harness/kernel_clients.h"
#include "harness/null_target.h"
#include "harness/posix_fs.h"
#include "harness/ready_task.h"
#include "harness/round_record.h"
#include "results/counted.h"
#include "shapes/shape_client.h"

namespace cowbench::shapes {
namespace {

using harness::Action;
using harness::ClientSlot;
using harness::Failure;
using harness::FailureKind;
using harness::Outcome;
using harness::RoundMemory;
using harness::RoundRequest;
using harness::RoundResult;

constexpr double used_up_seconds_max = 600;
constexpr double preparing_seconds_max = 3600;

enum class Stage { prepare, measure };

// Answers each call as a filesystem would on which it succeeds.
struct NothingTarget : harness::NullTarget {
  Ready<i64> pread(i64, harness::MutableByteSpan into, u64) { return {static_cast<i64>(into.size())}; }
  Ready<i64> pwrite(i64, harness::ByteSpan from, u64) { return {static_cast<i64>(from.size())}; }
};

// What both stages have in common; to be awaited between the phases of a client.
template <typename Client>
cowfs::Task<void> run_stage(Client& client, Stage stage) {
  if (stage == Stage::prepare) {
    co_await client.prepare();
  } else {
    co_await client.run();
  }
}

template <typename Target>
Outcome<RoundResult> run_processes(const ShapeLoad& load, const RoundRequest& round, const std::string& directory, u64 seed,
                                   Stage stage) {
  return harness::run_kernel_clients(round, harness::ClientMode::processes, [&](u32 number, RoundMemory& memory) {
    ClientSlot& slot = memory.slot(number);
    if (const Action pinned = apply_pin_of(round, number); !pinned) return slot.fail(to_text(pinned.failure()));
    Target target;
    harness::KernelHost host(memory, number);
    ShapeClient<Target, harness::KernelHost> client(load, number, directory, seed, target, host);
    if (stage == Stage::measure) harness::run_ready(client.begin());
    harness::go_through_phases(memory, slot, [&] {
      harness::run_ready(run_stage(client, stage));
      return client.failure();
    });
    harness::run_ready(client.end());
  });
}

template <typename Charge>
cowfs::Task<void> run_on_core(cowfs::Filesystem& filesystem, RoundMemory& memory, const ShapeLoad& load, u64 seed, Stage stage,
                              u32 number, u32 core, harness::CoreClock& clock) {
  using Target = harness::CowfsTarget<Charge>;
  ClientSlot& slot = memory.slot(number);
  Target target(filesystem, false);
  harness::CoreHost host(memory, number, core, clock);
  const auto client = std::make_unique<ShapeClient<Target, harness::CoreHost>>(load, number, "", seed, target, host);
  if (stage == Stage::measure) co_await client->begin();
  const auto run = [&client, stage]() -> cowfs::Task<std::string> {
    co_await run_stage(*client, stage);
    co_return client->failure();
  };
  const auto end = [&client] { return client->end(); };
  co_await harness::go_through_phases_on_core(memory, slot, run, end);
}

harness::CowfsClient core_client(const ShapeLoad& load, u32 cores, u64 seed, Stage stage, bool system_call_charge) {
  const auto function = system_call_charge ? run_on_core<harness::SystemCallCharge> : run_on_core<harness::NoCharge>;
  const auto clocks = std::make_shared<std::vector<harness::CoreClock>>(cores);
  return [&load, function, clocks, seed, stage](cowfs::Filesystem& filesystem, RoundMemory& memory, u32 client, u32 core) {
    return function(filesystem, memory, load, seed, stage, client, core, (*clocks)[core]);
  };
}

// Ends when everything is made; not measured.
RoundRequest preparing(RoundRequest round) {
  round.seconds = preparing_seconds_max;
  round.warmup_seconds = 0;
  round.warm_until_all_move = false;
  round.progress = {};
  round.during.clear();
  return round;
}

RoundRequest measuring(const ShapeLoad& load, RoundRequest round) {
  round.moves_bytes = load.shape->moves_bytes();
  round.warm_until_all_move = false;
  return round;
}

}  // namespace

std::string ShapeWorkload::name() const {
  std::string name(load_.shape->name);
  if (load_.shape->family != load_.shape->name) name = fmt::format("{} {}", load_.shape->family, name);
  if (load_.shape->scaled) name += fmt::format(", scale {:g}", load_.scale);
  if (load_.direct) name += ", direct";
  return name;
}

double ShapeWorkload::seconds() const { return load_.shape->is_finite() ? used_up_seconds_max : load_.seconds; }

std::optional<double> ShapeWorkload::warmup_seconds() const {
  if (load_.shape->is_finite()) return 0;
  return load_.warmup_seconds.value_or(std::floor(load_.seconds / 5));
}

u64 ShapeWorkload::default_cache_bytes() const {
  u64 bytes = 512 * cowfs::mib;
  for (u32 client = 0; client < load_.clients; ++client) bytes += load_.files_each() * load_.size_of(client, 0);
  return bytes;
}

Action ShapeWorkload::check() const {
  if (load_.shape->writer && load_.clients < 2)
    return Failure{FailureKind::request, fmt::format("{}: one client writes and the others read", load_.shape->name),
                   "ask for two clients or more"};
  if (load_.direct && load_.size_of(0, 0) % load_.block_bytes != 0)
    return Failure{FailureKind::request, fmt::format("{}: files of {} bytes cannot be written with --direct", load_.shape->name, load_.size_of(0, 0)),
                   fmt::format("give a --file-size that is a multiple of {}", load_.block_bytes)};
  RoundRequest round;
  round.clients = load_.clients;
  round.seconds = load_.seconds;
  return harness::check(round);
}

std::vector<std::string> ShapeWorkload::plan() const {
  return {fmt::format("load {}: {}, {}, each with {} of {} bytes", load_.shape->name, load_.shape->meaning,
                      results::counted(load_.clients, "client"), results::counted(load_.files_each(), "file"), load_.size_of(0, 0))};
}

std::vector<std::string> ShapeWorkload::caveats() const {
  std::vector<std::string> caveats{fmt::format("{}: {}", load_.shape->name, load_.shape->meaning)};
  if (load_.shape->act == Act::read_sample)
    caveats.push_back("read past the cache (O_DIRECT), for a dataset as large as those would not be in it");
  return caveats;
}

Outcome<RoundResult> ShapeWorkload::run(harness::CowfsTargetMount& target, RoundRequest round, u64 seed,
                                        bool system_call_charge) const {
  round.devices = target.device_numbers();
  const auto prepared = target.run(preparing(round), core_client(load_, target.cores(), seed, Stage::prepare, false));
  if (!prepared) return prepared.failure();
  return target.run(measuring(load_, round), core_client(load_, target.cores(), seed, Stage::measure, system_call_charge));
}

Outcome<RoundResult> ShapeWorkload::run(harness::KernelTarget& target, RoundRequest round, u64 seed) const {
  round.devices = target.device_numbers();
  const auto prepared = run_processes<harness::PosixFs>(load_, preparing(round), target.directory(), seed, Stage::prepare);
  if (!prepared) return prepared.failure();
  return run_processes<harness::PosixFs>(load_, measuring(load_, round), target.directory(), seed, Stage::measure);
}

Outcome<RoundResult> ShapeWorkload::run_on_nothing(RoundRequest round, u64 seed) const {
  return run_processes<NothingTarget>(load_, measuring(load_, std::move(round)), "", seed, Stage::measure);
}

results::MetricValues ShapeWorkload::metrics(const RoundResult& measured) const {
  results::MetricValues metrics;
  harness::add_percentiles(metrics, "clat", measured.latency[static_cast<size_t>(ShapeLatency::whole)]);
  harness::add_percentiles(metrics, "flush", measured.latency[static_cast<size_t>(ShapeLatency::sync)]);
  return metrics;
}

std::string ShapeWorkload::operation_name(size_t latency_kind) const {
  const bool whole = latency_kind == static_cast<size_t>(ShapeLatency::whole);
  return std::string(whole ? load_.shape->name : step_names[latency_kind]);
}

Outcome<double> ShapeWorkload::run_reference(const harness::KernelTarget&, const std::vector<u32>&) const {
  return Failure{FailureKind::missing, reference_obstacle(), ""};
}

}  // namespace cowbench::shapes
