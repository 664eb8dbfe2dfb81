// What a fuzz target (foo_fuzz.cpp) consists of. fuzz_main.cpp hands it to libFuzzer; scripts/fuzz builds and runs all.
#pragma once
#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::fuzz {

// Defined by each target: tries one input. Whatever it is, nothing may crash, hang or ask for more than its share of
// memory.
void try_input(ByteSpan input);

// Defined by each target: sound inputs to start from.
std::vector<std::vector<std::byte>> seeds();

inline std::vector<std::byte> copy_of(ByteSpan bytes) { return {bytes.begin(), bytes.end()}; }

// The first bytes of `input` as a structure; what is missing is zero.
template <typename T>
T front_of(ByteSpan input) {
  T object{};
  std::memcpy(&object, input.data(), std::min(input.size(), sizeof object));
  return object;
}

}  // namespace cowfs::fuzz
