#include "engine/sim/crash_state.h"

#include <algorithm>

namespace cowfs::sim {

namespace {

using device::PendingWrite;

class Enumeration {
 public:
  Enumeration(const std::vector<PendingWrite>& pending, u64 unit_bytes) : unit_bytes_(unit_bytes) {
    for (const PendingWrite& write : pending) whole_.push_back({0, write.length / unit_bytes});
  }

  template <typename Predicate>
  void add_subset(Predicate kept) {
    CrashState state(whole_.size());
    for (std::size_t i = 0; i < whole_.size(); ++i) {
      if (kept(i)) state[i] = whole_[i];
    }
    states.push_back(std::move(state));
  }

  void add_all_subsets() {
    for (u64 bits = 0; bits < (u64{1} << whole_.size()); ++bits) {
      add_subset([bits](std::size_t i) { return (bits >> i & 1) != 0; });
    }
  }

  void add_some_subsets(std::size_t count, Random& random) {
    for (std::size_t border = 0; border <= whole_.size(); ++border) {
      add_subset([border](std::size_t i) { return i < border; });
      add_subset([border](std::size_t i) { return i != border; });
      add_subset([border](std::size_t i) { return i == border; });
    }
    for (std::size_t n = 0; n < count; ++n) {
      add_subset([&random](std::size_t) { return random.one_in(2); });
    }
  }

  std::vector<CrashState> torn() const {
    std::vector<CrashState> all;
    for (std::size_t at = 0; at < whole_.size(); ++at) {
      for (const Kept& part : parts(whole_[at].end)) {
        CrashState others = whole_;
        others[at] = part;
        CrashState earlier(whole_.size());
        std::copy_n(whole_.begin(), at, earlier.begin());
        earlier[at] = part;
        CrashState alone(whole_.size());
        alone[at] = part;
        for (CrashState* state : {&others, &earlier, &alone}) {
          if (std::find(all.begin(), all.end(), *state) == all.end()) all.push_back(std::move(*state));
        }
      }
    }
    return all;
  }

  std::vector<CrashState> states;

 private:
  std::vector<Kept> parts(u64 units) const {
    std::vector<Kept> parts;
    if (units < 2) return parts;
    const u64 block = std::max<u64>(block_bytes / unit_bytes_, 1);
    for (const u64 border : {u64{1}, units / 2, units - 1, block, units - std::min(units, block)}) {
      if (border == 0 || border >= units) continue;
      parts.push_back({0, border});
      parts.push_back({border, units});
    }
    return parts;
  }

  const u64 unit_bytes_;
  CrashState whole_;
};

}  // namespace

std::vector<CrashState> crash_states(const std::vector<PendingWrite>& pending, u64 unit_bytes,
                                     const CrashLimits& limits, Random& random) {
  Enumeration enumeration(pending, unit_bytes);
  if (pending.size() <= limits.exhaustive_writes_max) {
    enumeration.add_all_subsets();
  } else {
    enumeration.add_some_subsets(limits.random_subsets, random);
  }
  std::vector<CrashState> torn = enumeration.torn();
  while (torn.size() > limits.torn_max) {
    std::swap(torn[random.below(torn.size())], torn.back());
    torn.pop_back();
  }
  std::vector<CrashState>& states = enumeration.states;
  std::move(torn.begin(), torn.end(), std::back_inserter(states));
  return std::move(states);
}

device::Image image_of(const device::SimDevice& device, const CrashState& state) {
  return device.crash_image(
      [&state](std::size_t write, u64 unit) { return unit >= state[write].first && unit < state[write].end; });
}

std::string to_text(const CrashState& state, const std::vector<PendingWrite>& pending, u64 unit_bytes) {
  std::string text = std::to_string(pending.size()) + " writes were under way or in the cache:";
  for (std::size_t i = 0; i < state.size(); ++i) {
    const auto [first, end] = state[i];
    const u64 length = pending[i].length;
    text += " " + std::to_string(pending[i].offset) + "+" + std::to_string(length);
    if (first == end) {
      text += " lost";
    } else if ((end - first) * unit_bytes < length) {
      text += " only " + std::to_string(first * unit_bytes) + ".." + std::to_string(end * unit_bytes);
    } else {
      text += " kept";
    }
    text += i + 1 < state.size() ? "," : "";
  }
  return text;
}

}  // namespace cowfs::sim
