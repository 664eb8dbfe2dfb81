// Where a program's processor time went: how often a sampling profiler met it in which stack, and how two programs
// differ in that. Pure functions.
#pragma once
#include <algorithm>
#include <cmath>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::attribution {

using cowfs::u64;

struct Profile {
  std::map<std::string, u64> stacks;  // samples of each; frames from the outermost to the innermost, joined by ';'
  u64 samples = 0;
};

// What `perf report --stdio -g count,folded,0,caller` prints (perf 6.1): lines of a count and a stack; others are headings.
// Frames that perf knows the address of only are "[unknown]".
Profile parse_folded(std::string_view printed);

void add(Profile& sum, const Profile& more);

// Calls `use` for each frame of a stack, the outermost first.
void for_each_frame(std::string_view stack, auto&& use) {
  while (!stack.empty()) {
    const std::size_t end = std::min(stack.find(';'), stack.size());
    use(stack.substr(0, end));
    stack.remove_prefix(std::min(stack.size(), end + 1));
  }
}

// Of all samples.
struct ShareChange {
  double before = 0, after = 0;
  double error = 0;    // standard error of after - before
  bool moved = false;  // more than chance explains, see compare_functions
  double change() const { return after - before; }
};

struct FunctionChange {
  std::string name;
  ShareChange self;   // in the function itself
  ShareChange total;  // in it and in what it called: shows also what became slower in a function that many call
  bool moved() const { return self.moved || total.moved; }
  double change_max() const { return std::max(std::abs(self.change()), std::abs(total.change())); }
};

// Each profile is of one run. Samples are counted as binomial, with the overdispersion that runs of one program show among each
// other; a share moved if Benjamini and Hochberg let its difference stand among all shares of all functions (5%). Functions
// of which one did come first, then by the size of their change.
std::vector<FunctionChange> compare_functions(std::span<const Profile> before, std::span<const Profile> after);

}  // namespace cowbench::attribution
