#include "engine/sim/explorer.h"

#include "engine/sim/findings.h"

namespace cowfs::sim {

namespace {

constexpr CrashLimits deeper_limits{.exhaustive_writes_max = 4, .random_subsets = 8, .torn_max = 8};

}  // namespace

MountSettings examination_settings(u64 seed) {
  MountSettings settings;
  settings.seed = seed;
  settings.cores = 1;
  settings.cache_bytes = 256 * kib;
  settings.node_cache_bytes = 256 * kib;
  settings.steps_max = 20'000'000;  // who needs more goes in circles
  return settings;
}

void Explorer::look(SimulatedFilesystem& filesystem, Examined& examined) {
  const Status mounted = filesystem.mount();
  if (!mounted) {
    examined.problems.push_back("recovery: " + to_text(mounted.error()));
    return;
  }
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &examined.found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  const auto& problems = examined.found.problems;
  examined.problems.insert(examined.problems.end(), problems.begin(), problems.end());
}

const Explorer::Examined& Explorer::examine(const device::Image& image) {
  const u64 hash = image.hash();
  if (known_.size() > settings_.remembered_max) known_.clear();
  std::unique_ptr<Examined>& place = known_[hash];
  if (place != nullptr) return *place;
  ++counts_.distinct;
  place = std::make_unique<Examined>();
  SimulatedFilesystem filesystem(image, examination_settings(hash));
  place->problems = findings_in(filesystem);
  if (filesystem.device().counts().writes > 0) place->problems.push_back("check wrote to the device");
  if (!place->problems.empty()) return *place;
  if (random_.one_in(settings_.deeper_one_in)) {
    examine_power_cuts(filesystem, *place);
  } else {
    look(filesystem, *place);
  }
  return *place;
}

namespace {

const std::string added_directory = "/after-recovery";

// Life goes on: one more name, and the end of the mount.
Task<Status> add_directory(fs::Operations* operations) {
  const Status made = co_await operations->mkdir(added_directory, 0755);
  if (!made) co_return made;
  co_return co_await operations->sync();
}

}  // namespace

// Recovery writes, and so does what follows it; whatever a power cut leaves of that holds the same files.
void Explorer::examine_power_cuts(SimulatedFilesystem& recovered, Examined& examined) {
  std::vector<device::Image> images;
  const auto gather = [&images, this](device::SimDevice& device) {
    for (const CrashState& state : crash_states(device.pending_writes(), 512, deeper_limits, random_)) {
      images.push_back(image_of(device, state));
    }
  };
  recovered.device().set_durability_observer(gather);
  look(recovered, examined);
  if (examined.problems.empty()) {
    fs::Operations* operations = &recovered.operations();
    Status done = recovered.run(0, [operations] { return add_directory(operations); });
    if (done) done = recovered.close();
    if (!done) examined.problems.push_back("after the recovery: " + to_text(done.error()));
    images.push_back(recovered.device().crash_image_all_lost());
  }
  recovered.device().set_durability_observer({});
  if (!examined.problems.empty()) return;
  for (const device::Image& image : images) {
    ++counts_.deeper;
    Examined again;
    SimulatedFilesystem filesystem(image, examination_settings(counts_.deeper));
    again.problems = findings_in(filesystem);
    look(filesystem, again);
    again.found.names.erase(added_directory);
    if (again.problems.empty() && again.found.names != examined.found.names) {
      again.problems.push_back("the second recovery finds other names");
    }
    if (again.problems.empty() && again.found.contents != examined.found.contents) {
      again.problems.push_back("the second recovery finds other contents");
    }
    for (const std::string& problem : again.problems) {
      examined.problems.push_back("after a power cut that followed the recovery: " + problem);
    }
    if (!again.problems.empty()) return;
  }
}

void Explorer::explore(const device::SimDevice& device, u64 unit_bytes, const Judge& judge) {
  if (!problems_.empty()) return;
  ++counts_.moments;
  const std::vector<device::PendingWrite> pending = device.pending_writes();
  for (const CrashState& state : crash_states(pending, unit_bytes, settings_.limits, random_)) {
    ++counts_.states;
    const Examined& examined = examine(image_of(device, state));
    problems_ = examined.problems;
    if (problems_.empty()) judge(examined.found, problems_);
    if (problems_.empty()) continue;
    problems_.insert(problems_.begin(), "power cut at moment " + std::to_string(counts_.moments) + ", " +
                                            to_text(state, pending, unit_bytes));
    return;
  }
}

void Explorer::watch(device::SimDevice& device, u64 unit_bytes, Judge judge) {
  device.set_durability_observer([this, unit_bytes, judge = std::move(judge)](device::SimDevice& at) {
    explore(at, unit_bytes, judge);
  });
}

}  // namespace cowfs::sim
