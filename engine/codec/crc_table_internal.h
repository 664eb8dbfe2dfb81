// What one more byte does to a reflected CRC.
#pragma once
#include <array>

#include "engine/base/types.h"

namespace cowfs::codec {

// `polynomial`: reflected, without its highest term.
template <typename State>
constexpr std::array<State, 256> crc_table(State polynomial) {
  std::array<State, 256> table{};
  for (u32 i = 0; i < 256; ++i) {
    State value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? polynomial : 0);
    table[i] = value;
  }
  return table;
}

}  // namespace cowfs::codec
