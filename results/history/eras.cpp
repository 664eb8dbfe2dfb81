#include "results/history/eras.h"

#include <algorithm>

#include "results/history/changepoints.h"

namespace cowbench::history {
namespace {

constexpr DetectorOptions strict{.p_max = 1e-4, .effect_min = 0.05, .segment_min = 4};

bool is_same_change(std::size_t a, std::size_t b) { return std::max(a, b) - std::min(a, b) < strict.segment_min; }

}  // namespace

std::vector<std::size_t> fingerprint_eras(const std::vector<std::string>& fingerprints) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 1; at < fingerprints.size(); ++at) {
    if (fingerprints[at] != fingerprints[at - 1]) starts.push_back(at);
  }
  return starts;
}

std::vector<std::size_t> control_eras(std::span<const double> logs) {
  std::vector<std::size_t> starts;
  for (const ChangePoint& change : detect_changes(logs, strict)) starts.push_back(change.at);
  return starts;
}

std::vector<std::size_t> joined_eras(std::vector<std::size_t> known, const std::vector<std::size_t>& others) {
  for (const std::size_t other : others) {
    if (std::ranges::none_of(known, [&](std::size_t era) { return is_same_change(era, other); })) known.push_back(other);
  }
  std::ranges::sort(known);
  return known;
}

}  // namespace cowbench::history
