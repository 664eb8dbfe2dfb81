#include "tune/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/checksum_kind.h"
#include "engine/codec/erasure_code.h"
#include "results/summary.h"

namespace cowbench::tune {
namespace {

using cowfs::kib;
using cowfs::mib;

// Buckets of one size take a 64th of the medium at most, so that slices have enough of them.
constexpr u64 buckets_min = 64;

std::vector<Setting> layout_settings(u64 size_bytes) {
  std::vector<Setting> all = {{"as cowfs chooses", "cowfs"}};
  for (const u64 bucket : {512 * kib, mib, 2 * mib, 4 * mib, 8 * mib}) {
    if (bucket * buckets_min > size_bytes) continue;
    const std::string word =
        bucket < mib ? fmt::format("bucket={}K", bucket / kib) : fmt::format("bucket={}M", bucket / mib);
    all.push_back({word, "cowfs:" + word});
  }
  for (const u64 slices : {1, 2, 4, 8, 16}) {
    const std::string word = fmt::format("slices={}", slices);
    all.push_back({word, "cowfs:" + word});
  }
  return all;
}

std::vector<Setting> checksum_settings() {
  std::vector<Setting> all;
  for (const cowfs::ChecksumKind kind : cowfs::checksum_kinds)
    all.push_back({std::string(name(kind)), fmt::format("cowfs:data_checksum={}", name(kind))});
  return all;
}

// Copies, and codes as wide as the devices are many, or half as wide.
std::vector<Setting> redundancy_settings(u64 devices) {
  constexpr u64 copies_max = 4, parity_max = 3;
  std::vector<Setting> all = {{"one copy", "cowfs"}};
  for (u64 copies = 2; copies <= std::min(devices, copies_max); ++copies) {
    const std::string word = fmt::format("replicas={}", copies);
    all.push_back({word, "cowfs:" + word});
  }
  for (const u64 wide : {devices, devices / 2}) {
    for (u64 parity = 1; parity <= parity_max && parity + u64{cowfs::codec::data_shards_min} <= wide; ++parity) {
      const std::string word = fmt::format("ec={}+{}", std::min<u64>(wide - parity, cowfs::codec::data_shards_max), parity);
      all.push_back({word, "cowfs:" + word});
    }
  }
  return all;
}

}  // namespace

std::vector<Setting> settings(Subject subject, u64 size_bytes, u64 devices) {
  switch (subject) {
    case Subject::checksum:
      return checksum_settings();
    case Subject::layout:
      return layout_settings(size_bytes);
    case Subject::ec:
      return redundancy_settings(devices);
  }
  return {};
}

std::vector<Trials> trials(const results::Record& record, const std::vector<Setting>& settings) {
  constexpr const char* metric = "throughput_mb_s";
  std::vector<Trials> all;
  for (const results::Comparison& comparison : record.comparisons) {
    const auto result_of = [&](const Setting& setting) {
      const auto found = std::ranges::find(comparison.results, setting.target, &results::TargetResult::target);
      return found == comparison.results.end() || !found->metrics.contains(metric) ? nullptr : &*found;
    };
    const results::TargetResult* first = settings.empty() ? nullptr : result_of(settings.front());
    if (first == nullptr) continue;
    Trials trials{comparison.workload, comparison.media, settings.front().name, {}};
    for (std::size_t i = 1; i < settings.size(); ++i) {
      const results::TargetResult* result = result_of(settings[i]);
      if (result == nullptr) continue;
      trials.others.push_back(
          {settings[i].name, result->metrics.at(metric).median, results::compare(metric, *result, *first)});
    }
    std::ranges::stable_sort(trials.others, std::greater<>{},
                             [](const Trial& trial) { return trial.ratio.estimate.value_or(0); });
    all.push_back(std::move(trials));
  }
  return all;
}

}  // namespace cowbench::tune
