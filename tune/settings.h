// Which settings of cowfs are tried end to end, and what a record of them says.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "results/record.h"

namespace cowbench::tune {

using cowfs::u64;

enum class Subject { checksum, ec, layout };

struct Setting {
  std::string name;    // "bucket=1M"
  std::string target;  // "cowfs:bucket=1M"
};

// The first is what the others are compared with: what cowfs chooses itself; of checksums, none; of erasure codes, one copy.
// `size_bytes`: of the medium, which must hold the buckets. `devices`: that copies and shards can lie on.
std::vector<Setting> settings(Subject subject, u64 size_bytes, u64 devices);
// For erasure codes, unless they are named: enough for 4+2.
constexpr cowfs::u32 ec_devices = 6;

// A setting under one load, against the first.
struct Trial {
  std::string setting;
  double mb_s = 0;       // median
  results::Ratio ratio;  // to the first setting
};
struct Trials {
  std::string load, media, against;  // against: the first setting
  std::vector<Trial> others;         // best first
};

// Of each comparison of a record of these settings; those that were not measured are left out.
std::vector<Trials> trials(const results::Record& record, const std::vector<Setting>& settings);

}  // namespace cowbench::tune
