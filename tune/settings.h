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

// The first is what the others are compared with: what cowfs chooses itself; of checksums, none. Empty: this version has no
// settings of that subject. `size_bytes`: of the medium, which must hold the buckets.
std::vector<Setting> settings(Subject subject, u64 size_bytes);

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
