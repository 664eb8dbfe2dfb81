// B against A, metric by metric: what `cowbench compare` says. Pure functions.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "results/record.h"

namespace cowbench::results {

// What a person named: a record, and one target of it or all.
struct Side {
  std::string name;  // as it was given
  const Record* record = nullptr;
  std::string target;  // empty: all
};

struct Finding {
  Ratio ratio;           // B / A; the numerator is B's target
  bool paired = false;   // both sides ran in the same rounds; otherwise one after the other, and drift counts as change
  std::optional<double> p;           // that chance alone parts them so far: Wilcoxon's for pairs, Mann and Whitney's else
  std::vector<std::string> remarks;  // what weakens the verdict
};

struct Versus {
  std::vector<Finding> findings;     // of every load and target that both sides have; by load, target, metric
  std::vector<std::string> refused;  // targets that promise different durability or integrity, and were not compared
};

struct VersusOptions {
  double band = band_default;
  bool different_promises = false;  // compare them nevertheless, with a remark
};

// Results meet when media, workload and clients are equal, and the targets' names too unless both sides name one.
// Verdicts better and worse stand only as far as Benjamini and Hochberg allow among all findings; others become
// unclear, with a remark.
Versus compare_sides(const Side& a, const Side& b, const VersusOptions& options = {});

}  // namespace cowbench::results
