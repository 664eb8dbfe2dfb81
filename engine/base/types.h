// Short names for fixed-width integers and little-endian fields, and quantities that carry their unit.
#pragma once
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cowfs {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;
__extension__ typedef unsigned __int128 u128;

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

static_assert(std::endian::native == std::endian::little, "on-disk structures are used in place: little-endian hosts");

// A little-endian field of an on-disk structure: no alignment, so structures have no hidden padding.
template <typename Integer>
class LittleEndian {
 public:
  LittleEndian() = default;
  LittleEndian(Integer value) { std::memcpy(raw_, &value, sizeof raw_); }
  operator Integer() const {
    Integer value;
    std::memcpy(&value, raw_, sizeof raw_);
    return value;
  }

 private:
  std::byte raw_[sizeof(Integer)];
};
using le16 = LittleEndian<u16>;
using le32 = LittleEndian<u32>;
using le64 = LittleEndian<u64>;

// A number with a unit; two quantities mix only when their units are the same.
template <typename Tag>
struct Quantity {
  u64 value = 0;
  auto operator<=>(const Quantity&) const = default;
  Quantity operator+(Quantity other) const { return {value + other.value}; }
  Quantity operator-(Quantity other) const { return {value - other.value}; }
  Quantity& operator+=(Quantity other) { return value += other.value, *this; }
  Quantity& operator-=(Quantity other) { return value -= other.value, *this; }
};

using Bytes = Quantity<struct BytesTag>;
using Blocks = Quantity<struct BlocksTag>;  // of block_bytes
using Epoch = Quantity<struct EpochTag>;    // 0 is before all history

// The unit of allocation, of checksums and of caching.
constexpr u64 block_bytes = 4096;

constexpr u64 kib = 1024;
constexpr u64 mib = 1024 * kib;
constexpr u64 gib = 1024 * mib;

constexpr u64 round_up(u64 value, u64 unit) { return (value + unit - 1) / unit * unit; }
constexpr u64 round_down(u64 value, u64 unit) { return value / unit * unit; }

template <typename T>
ByteSpan bytes_of(const T& object) {
  return {reinterpret_cast<const std::byte*>(&object), sizeof object};
}

}  // namespace cowfs
