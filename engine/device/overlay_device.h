// A view of a device whose writes stay in memory: what is changed can be looked at, and kept or thrown away. The device below
// is only read until write_out(). One core.
#pragma once
#include <absl/container/btree_map.h>

#include <memory>

#include "engine/device/aligned_buffer.h"
#include "engine/device/device.h"
#include "engine/runtime/task.h"

namespace cowfs::device {

class OverlayDevice final : public Device {
 public:
  // `below` outlives it.
  explicit OverlayDevice(Device& below) : below_(below) { set_index(below.index()); }

  Bytes capacity() const override { return below_.capacity(); }
  std::string describe() const override { return below_.describe(); }
  bool discards() const override { return false; }
  void start(IoOperation& operation) override;

  // Blocks that were written.
  u64 changed_blocks() const { return blocks_.size(); }
  // Writes the changed ones of [first, end) to the device below, where they become durable with its next flush.
  // Errors: of the device; any part may have been written.
  runtime::Task<Status> write_out(u64 first_block, u64 end_block);

 private:
  struct PatchedRead;
  void patch(u64 first_block, MutableByteSpan data) const;
  u64 changed_in(u64 first_block, u64 end_block) const;

  Device& below_;
  absl::btree_map<u64, std::unique_ptr<std::byte[]>> blocks_;
};

}  // namespace cowfs::device
