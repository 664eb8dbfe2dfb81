// A run as it is kept: its record, how it ended, and an id that follows from both.
#pragma once
#include <string>

#include "results/record.h"

namespace cowbench::store {

using cowfs::u64;

enum class RunStatus { complete, partial };
std::string_view name(RunStatus status);
// Absent when `text` names none.
std::optional<RunStatus> status_named(std::string_view text);

struct StoredRun {
  RunStatus status = RunStatus::complete;
  std::string reason;  // why it is partial
  results::Record record;
};

// 32 hexadecimal digits (XXH3, 128 bits) of status, reason and everything measured. The same run always has the same
// id, so adding it twice adds it once, and a changed byte is noticed.
std::string id_of(const StoredRun& run);

// Which machine and kernel, in 16 hexadecimal digits: the fields of the environment that may move every figure.
// Figures of different fingerprints are of different eras.
std::string fingerprint_of(const results::Environment& environment);

}  // namespace cowbench::store
