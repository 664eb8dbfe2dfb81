// What is built and measured at each commit, as a person wrote it down in a TOML file. docs/tracking.md has every key.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/outcome.h"
#include "results/exchange/import.h"
#include "results/statistics.h"

namespace cowbench::tracking {

using cowfs::u32;
using cowfs::u64;

using Words = std::vector<std::string>;  // a program and its arguments

struct SuiteMetric {
  std::string name;
  results::Direction direction = results::Direction::higher_is_better;
  bool exact = false;  // the same at every run of one build: any difference is a change
};

struct Suite {
  std::string name;
  std::vector<Words> build;       // run in the tree of a commit, one after the other
  std::vector<std::string> keep;  // files and folders of the tree that the bench needs; equal ones are one build
  Words bench;                    // run where those were kept
  std::optional<exchange::Format> format;  // of what it prints; absent: lines of a metric's name and its value
  std::vector<SuiteMetric> metrics;
  Words control;               // run beside each run of the bench; empty: a frozen build is
  std::string control_commit;  // whose build is frozen; empty, and no command: that of the first commit of the range
  // With both, the frozen build is the control and the command the reference.
  bool has_frozen_build() const { return control.empty() || !control_commit.empty(); }
  bool has_reference() const { return !control.empty() && !control_commit.empty(); }
  u32 sides() const { return has_reference() ? 3 : 2; }  // that are run for each commit
  u32 build_timeout_seconds = 3600, bench_timeout_seconds = 600;
};

// `file` is for messages. Failure request: what is wrong with it, and in which line.
harness::Outcome<Suite> parse_suite(std::string_view text, const std::string& file);

// Name and a hash of everything else that decides what a figure means: bench, format, and the control's command and the
// commit that is its frozen build. Figures of different ids are not compared.
std::string measured_id(const Suite& suite, const std::string& control_sha);

}  // namespace cowbench::tracking
