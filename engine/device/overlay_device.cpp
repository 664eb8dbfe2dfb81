#include "engine/device/overlay_device.h"

#include <algorithm>

namespace cowfs::device {

namespace {
constexpr u64 blocks_at_once_max = 256;
}

class OverlayDevices::Overlay final : public Device {
 public:
  Overlay(OverlayDevices& all, std::size_t number, Device& below) : all_(all), number_(number), below_(below) {
    set_index(below.index());
  }

  Bytes capacity() const override { return below_.capacity(); }
  std::string describe() const override { return below_.describe(); }
  bool discards() const override { return false; }
  void start(IoOperation& operation) override;

  Device& below() { return below_; }
  const absl::btree_map<u64, Block>& blocks() const { return blocks_; }

 private:
  struct PatchedRead;
  void write(const IoOperation& operation);
  void patch(u64 first_block, MutableByteSpan data) const;
  u64 written_in(u64 first_block, u64 end_block) const;

  OverlayDevices& all_;
  const std::size_t number_;
  Device& below_;
  absl::btree_map<u64, Block> blocks_;
};

// A read of the device below, over which the written blocks are laid when it has been answered.
struct OverlayDevices::Overlay::PatchedRead : IoOperation {
  Overlay* overlay = nullptr;
  IoOperation* asked = nullptr;
};

void OverlayDevices::Overlay::start(IoOperation& operation) {
  counters_.count(operation);
  const u64 first = operation.offset / block_bytes;
  const u64 end = first + operation.length / block_bytes;
  operation.result = static_cast<i64>(operation.length);
  switch (operation.kind) {
    case IoOperation::Kind::flush:
      all_.end_stage();
      return operation.completed(operation);
    case IoOperation::Kind::discard:
      return operation.completed(operation);
    case IoOperation::Kind::write:
      write(operation);
      return operation.completed(operation);
    case IoOperation::Kind::read:
      break;
  }
  const u64 written = written_in(first, end);
  if (written == 0) return below_.start(operation);
  if (written == end - first) {
    patch(first, {operation.data, operation.length});
    return operation.completed(operation);
  }
  auto* read = new PatchedRead;
  static_cast<IoOperation&>(*read) = operation;
  read->overlay = this;
  read->asked = &operation;
  read->completed = [](IoOperation& done) {
    const std::unique_ptr<PatchedRead> answered(static_cast<PatchedRead*>(&done));
    IoOperation& asked = *answered->asked;
    asked.result = answered->result;
    if (asked.result > 0) answered->overlay->patch(asked.offset / block_bytes, {asked.data, asked.length});
    asked.completed(asked);
  };
  below_.start(*read);
}

void OverlayDevices::Overlay::write(const IoOperation& operation) {
  const u64 first = operation.offset / block_bytes;
  for (u64 at = 0; at < operation.length; at += block_bytes) {
    auto content = std::make_shared<std::byte[]>(block_bytes);
    std::memcpy(content.get(), operation.data + at, block_bytes);
    const u64 block = first + at / block_bytes;
    all_.stages_.back()[{number_, block}] = content;
    blocks_[block] = std::move(content);
  }
  if (operation.durable) all_.end_stage();
}

u64 OverlayDevices::Overlay::written_in(u64 first_block, u64 end_block) const {
  return static_cast<u64>(std::distance(blocks_.lower_bound(first_block), blocks_.lower_bound(end_block)));
}

void OverlayDevices::Overlay::patch(u64 first_block, MutableByteSpan data) const {
  const u64 end = first_block + data.size() / block_bytes;
  for (auto at = blocks_.lower_bound(first_block); at != blocks_.end() && at->first < end; ++at)
    std::memcpy(data.data() + (at->first - first_block) * block_bytes, at->second.get(), block_bytes);
}

OverlayDevices::OverlayDevices(std::vector<Device*> below) : stages_(1) {
  for (Device* device : below) overlays_.push_back(std::make_unique<Overlay>(*this, overlays_.size(), *device));
}

OverlayDevices::~OverlayDevices() = default;

std::vector<Device*> OverlayDevices::devices() const {
  std::vector<Device*> all;
  for (const auto& overlay : overlays_) all.push_back(overlay.get());
  return all;
}

void OverlayDevices::end_stage() {
  if (!stages_.back().empty()) stages_.emplace_back();
}

std::pair<OverlayDevices::Stage::const_iterator, OverlayDevices::Stage::const_iterator> OverlayDevices::part_of(
    const Stage& stage, std::size_t device) {
  return {stage.lower_bound({device, 0}), stage.lower_bound({device + 1, 0})};
}

runtime::Task<Result<u64>> OverlayDevices::changed_blocks(std::size_t device) {
  Overlay& overlay = *overlays_[device];
  AlignedBuffer before(block_bytes);
  u64 changed = 0;
  for (const auto& [block, content] : overlay.blocks()) {
    IoAwaiter reading = overlay.below().read(block * block_bytes, before.span());
    if (const Status read = co_await reading; !read) co_return read.error();
    changed += std::memcmp(before.data(), content.get(), block_bytes) != 0;
  }
  co_return changed;
}

runtime::Task<Status> OverlayDevices::write_out() {
  for (const Stage& stage : stages_) {
    std::vector<Device*> written_to;
    for (std::size_t device = 0; device < overlays_.size(); ++device) {
      const auto [first, end] = part_of(stage, device);
      if (first == end) continue;
      const Status written = co_await write_out(stage, device);
      if (!written) co_return written;
      written_to.push_back(&overlays_[device]->below());
    }
    for (Device* device : written_to) {
      const Status flushed = co_await device->flush();
      if (!flushed) co_return flushed;
    }
  }
  co_return Status{};
}

runtime::Task<Status> OverlayDevices::write_out_to(std::size_t device) {
  for (const Stage& stage : stages_) {
    const Status written = co_await write_out(stage, device);
    if (!written) co_return written;
  }
  co_return co_await overlays_[device]->below().flush();
}

runtime::Task<Status> OverlayDevices::write_out(const Stage& stage, std::size_t device) {
  AlignedBuffer buffer(blocks_at_once_max * block_bytes);
  const auto [begin, end] = part_of(stage, device);
  for (auto at = begin; at != end;) {
    const u64 first = at->first.second;
    u64 count = 0;
    for (; at != end && at->first.second == first + count && count < blocks_at_once_max; ++at)
      std::memcpy(buffer.data() + count++ * block_bytes, at->second.get(), block_bytes);
    const Status written =
        co_await overlays_[device]->below().write(first * block_bytes, buffer.span().first(count * block_bytes));
    if (!written) co_return written;
  }
  co_return Status{};
}

}  // namespace cowfs::device
