// Devices whose writes stay in memory: what is changed can be looked at, and kept or thrown away. The devices below are only
// read until write_out(), which writes in the order that flushes asked for: a power cut meanwhile leaves what it could have
// left of the writes themselves. One core.
#pragma once
#include <absl/container/btree_map.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/device/device.h"
#include "engine/runtime/task.h"

namespace cowfs::device {

class OverlayDevices {
 public:
  // `below` outlive it.
  explicit OverlayDevices(std::vector<Device*> below);
  ~OverlayDevices();

  // In the order of those below.
  std::vector<Device*> devices() const;
  bool is_written() const { return !stages_.front().empty(); }
  // Of one device: blocks that hold something else than below. Errors: of that device.
  runtime::Task<Result<u64>> changed_blocks(std::size_t device);
  // Writes and flushes what was written to all, or to one. Errors: of the devices; what came before it may have been written.
  runtime::Task<Status> write_out();
  runtime::Task<Status> write_out_to(std::size_t device);

 private:
  class Overlay;
  using Block = std::shared_ptr<const std::byte[]>;
  using Stage = absl::btree_map<std::pair<std::size_t, u64>, Block>;  // by device and block

  static std::pair<Stage::const_iterator, Stage::const_iterator> part_of(const Stage& stage, std::size_t device);
  void end_stage();
  runtime::Task<Status> write_out(const Stage& stage, std::size_t device);

  std::vector<std::unique_ptr<Overlay>> overlays_;
  std::vector<Stage> stages_;  // each was flushed before the next began
};

}  // namespace cowfs::device
