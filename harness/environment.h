// What could explain a difference between two runs: the machine, its kernel and settings, the tools, this build. And a
// lint that says why a figure from here should be doubted.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u32;

struct Fact {
  std::string key;    // "cpu.governor"; a key that was looked for in vain has the value "unknown" or "none"
  std::string value;
};

enum class Severity {
  note,   // worth knowing when two runs are compared
  unfit,  // figures from this state are not to be trusted
};

struct Finding {
  Severity severity = Severity::note;
  std::string what;    // "cpu.governor is powersave"
  std::string remedy;  // "cpupower frequency-set -g performance"; may be empty
};

struct Environment {
  std::vector<Fact> facts;  // in a fixed order of keys
  std::vector<Finding> findings;

  // Empty when there is no such fact.
  std::string_view value(std::string_view key) const;
  bool fit() const;
};

struct EnvironmentRequest {
  std::string root;                   // in front of /proc and /sys; for tests
  std::vector<std::string> devices;   // block devices whose queue settings matter
  u32 sample_ms = 200;                // how long foreign cpu use is watched; 0: not at all
  bool programs = true;               // ask mkfs and git for their versions
};

Environment capture_environment(const EnvironmentRequest& request);

// Pure: what is wrong with these facts.
std::vector<Finding> lint(const std::vector<Fact>& facts);

// What `cowbench env` prints, and its --json ("schema":"cowbench.env/1").
std::string to_text(const Environment& environment);
std::string to_json(const Environment& environment);

}  // namespace cowbench::harness
