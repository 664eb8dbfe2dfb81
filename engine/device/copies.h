// Reading what a device keeps in several copies: who knows how to tell good bytes from bad ones finds a good copy here, and
// the bad ones are overwritten with it.
#pragma once
#include <functional>

#include "engine/device/device.h"
#include "engine/runtime/task.h"

namespace cowfs::device {

// A copy that is not what it should be, or cannot be read.
struct BadCopy {
  u8 copy = 0;
  Error error;
};

// What is wrong with the bytes that were read.
using Verify = std::function<Status(ByteSpan)>;

// The copies of what lies there are not what they should be: counted for the members that have them. In stripes overwrite_copies
// counts, since it sees which blocks are wrong.
void count_damaged_copies(Device& device, u64 offset_bytes, const std::vector<BadCopy>& copies);

// Writes `good` over these copies, and counts them. False: the device may not heal, or one could not be written. Nobody else
// writes there meanwhile.
runtime::Task<bool> overwrite_copies(Device& device, u64 offset_bytes, ByteSpan good, std::vector<BadCopy> copies);

// Reads a copy. In stripes, what lies on devices that do not count is computed from the others.
runtime::Task<Status> read_copy(Device& device, u64 offset_bytes, MutableByteSpan into, u8 copy);

// Reads all copies that are there. In stripes there is one, and what others say that it should be.
struct Looked {
  u8 good = 0;  // the first that is; `into` holds it. 0: none is
  std::vector<BadCopy> bad;
};
runtime::Task<Looked> look_through(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify);

// After a read whose result, or whose bytes, were `wrong`: looks through all copies, puts a good one into `into` and, if the device
// may heal, writes it over those that were not. Nobody else writes there meanwhile. Error: `wrong`, whose place is on the member that
// has the first copy, when no copy is good, or there is only one.
runtime::Task<Status> read_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify, Error wrong);

// After a crash, which may have left copies that differ: reads all; true when one is good. Those that are not are overwritten
// with it, if the device may heal; nothing counts them as damaged.
// `into`: a good one. One copy is read like any block: an error of the device is one.
// In stripes what was written is made good; their parity is for Device::restore_parity, once all of a stripe's blocks are.
runtime::Task<Result<bool>> settle_copies(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify);

// As read_other_copies, block by block: each may be good in another copy. `verify`: of block `index`, counted from
// `offset_bytes`. Blocks of which none is good do not keep others from being read. Error: of the first of them.
using VerifyBlock = std::function<Status(u64 index, ByteSpan block)>;
runtime::Task<Status> read_blocks_of_other_copies(Device& device, u64 offset_bytes, MutableByteSpan into, VerifyBlock verify,
                                                  Error wrong);

// Reads and verifies; then the other copies.
runtime::Task<Status> read_verified(Device& device, u64 offset_bytes, MutableByteSpan into, Verify verify);

}  // namespace cowfs::device
