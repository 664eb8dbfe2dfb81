// When a load has settled: a rule about samples of one second, as fio's steadystate= states it (fio 3.33, HOWTO).
#pragma once
#include <optional>
#include <string_view>

#include "engine/base/types.h"

namespace cowbench::workloads {

struct SteadyRule {
  enum class Of : cowfs::u8 { operations, bytes };
  Of of = Of::operations;
  bool slope = false;    // how much they rise or fall a second; otherwise, how far any is from their mean
  double limit = 0;      // below it the load is steady: operations, or bytes, a second
  bool percent = false;  // of the mean
  cowfs::u32 seconds = 0;       // so many of the last samples are looked at; 0: there is no rule
  cowfs::u32 ramp_seconds = 0;  // before the first of them
  bool on() const { return seconds > 0; }
  bool operator==(const SteadyRule&) const = default;
};

// "iops:5%", "bw_slope:0.3%", "iops:100", "bw:10m": all but the times. Nothing for what is none.
std::optional<SteadyRule> parse_steady_rule(std::string_view text, cowfs::u64 kilo);

}  // namespace cowbench::workloads
