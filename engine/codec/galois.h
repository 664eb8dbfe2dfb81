// The field GF(2^8) of erasure codes: polynomials over bits modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11d), as RAID 6 and ISA-L
// have it. Addition is xor; 2 generates the multiplicative group.
#pragma once
#include <array>

#include "engine/base/types.h"

namespace cowfs::codec::galois {

constexpr u8 doubled(u8 value) { return static_cast<u8>(value << 1 ^ ((value & 0x80) != 0 ? 0x1d : 0)); }

constexpr u8 multiply(u8 a, u8 b) {
  u8 product = 0;
  for (; b != 0; b >>= 1, a = doubled(a))
    if ((b & 1) != 0) product ^= a;
  return product;
}

// Precondition: value != 0.
constexpr u8 inverse(u8 value) {  // the group has 255 elements, so value^254 is it
  u8 result = 1, square = value;
  for (int i = 0; i < 7; ++i) {
    square = multiply(square, square);
    result = multiply(result, square);
  }
  return result;
}

// Multiplication by `factor` as a matrix of 8 x 8 bits, in the order of GF2P8AFFINEQB: byte 7 - i makes bit i.
constexpr u64 bit_matrix(u8 factor) {
  u64 matrix = 0;
  for (u32 column = 0; column < 8; ++column) {
    const u8 image = multiply(factor, static_cast<u8>(1u << column));
    for (u32 row = 0; row < 8; ++row)
      if ((image >> row & 1) != 0) matrix |= 1ull << (8 * (7 - row) + column);
  }
  return matrix;
}

}  // namespace cowfs::codec::galois
