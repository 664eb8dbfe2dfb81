// Reads what lives in a bucket in few requests: extents near each other come in one, with what died between them. All requests are
// under way at once.
#pragma once
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/device/device.h"
#include "engine/format/address.h"
#include "engine/runtime/sync.h"

namespace cowfs::data {

struct LiveBlocks {
  format::Address from;
  u32 blocks = 0;
  format::Address end() const { return from.plus(blocks); }
};

class BucketReads {
 public:
  // Of dead blocks that are read rather than a second request made.
  static constexpr u64 gap_blocks_max = 16;
  static constexpr u64 request_blocks_max = 64;

  explicit BucketReads(device::Device& device) : device_(device) {}

  // `live` ascends. What fails is seen by ask().
  runtime::Task<void> read(const std::vector<LiveBlocks>& live);

  struct Answer {
    Status result;  // of the request, which may have failed for what lies beside
    MutableByteSpan bytes;
  };
  // Of blocks that read() was told of. Valid while this lives.
  Answer ask(const LiveBlocks& blocks);

 private:
  struct Request {
    LiveBlocks range;
    device::AlignedBuffer data;
    Status result;
  };
  runtime::Task<void> carry_out(Request& request);

  device::Device& device_;
  std::vector<Request> requests_;
};

}  // namespace cowfs::data
