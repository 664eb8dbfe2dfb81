// Where a block is: a device and a block on it.
#pragma once
#include "engine/base/types.h"

namespace cowfs::format {

// device index << 48 | block number on that device. 0 (the first block of device 0, never allocated) means none.
struct Address {
  u64 value = 0;
  static constexpr Address of(u16 device, u64 block) { return {static_cast<u64>(device) << 48 | block}; }
  constexpr u16 device() const { return static_cast<u16>(value >> 48); }
  constexpr u64 block() const { return value & ((1ull << 48) - 1); }
  constexpr u64 offset_bytes() const { return block() * block_bytes; }
  constexpr Address plus(u64 blocks) const { return {value + blocks}; }
  constexpr explicit operator bool() const { return value != 0; }
  constexpr auto operator<=>(const Address&) const = default;
};

// A bucket: device index << 48 | bucket number on that device; bucket n begins at block n * bucket_blocks.
struct BucketId {
  u64 value = ~0ull;
  static constexpr BucketId of(u16 device, u64 number) { return {static_cast<u64>(device) << 48 | number}; }
  constexpr u16 device() const { return static_cast<u16>(value >> 48); }
  constexpr u64 number() const { return value & ((1ull << 48) - 1); }
  constexpr auto operator<=>(const BucketId&) const = default;
};

constexpr BucketId bucket_of(Address address, u64 bucket_blocks) {
  return BucketId::of(address.device(), address.block() / bucket_blocks);
}
constexpr Address first_block(BucketId bucket, u64 bucket_blocks) {
  return Address::of(bucket.device(), bucket.number() * bucket_blocks);
}

}  // namespace cowfs::format
