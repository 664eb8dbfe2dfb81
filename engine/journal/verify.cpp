// An epoch's records are explicit changes of single keys, so the last one of a key says what is live at its end;
// nothing else has to be known. Data that was flushed with an earlier epoch and is named again (an extent that was cut)
// is read, too: telling it apart would cost more than reading it.
#include "engine/journal/verify.h"

#include <map>
#include <utility>

#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"
#include "engine/format/values.h"
#include "engine/journal/stream.h"

namespace cowfs::journal {
namespace {

using format::Extent;
using format::ExtentKind;

using LiveExtents = std::map<std::pair<u16, Key>, std::vector<std::byte>>;

Task<Result<LiveExtents>> live_extents(const History& history, Epoch previous, device::Device& device) {
  History newest;
  newest.layout = history.layout;
  for (const HistoryEntry& entry : history.entries)
    if (entry.epoch() > previous) newest.entries.push_back(entry);
  LiveExtents live;
  RecordVisitor keep = [&live](Epoch, const format::Record& record) {
    if (record.tree != TreeId::extents) return Status{};
    if (record.kind == UpdateKind::erase)
      live.erase({record.slice, record.key});
    else
      live[{record.slice, record.key}].assign(record.value.begin(), record.value.end());
    return Status{};
  };
  const Status replayed = co_await replay(newest, device, std::move(keep));
  if (!replayed.ok()) co_return replayed.error();
  co_return live;
}

// A pointer that leads nowhere is no sign of a lost write: replay says what is wrong with it.
bool names_data(const Key& key, ByteSpan value, const JournalLayout& layout, u64 capacity_blocks, Extent& extent) {
  if (!format::validate_value(TreeId::extents, key, value).ok()) return false;
  extent = format::decode_extent(value);
  return extent.kind == ExtentKind::data && extent.checksum_kind != ChecksumKind::none &&
         extent.address.device() == layout.device_index && extent.address.block() < capacity_blocks &&
         extent.address.block() % layout.bucket_blocks + extent.blocks <= layout.bucket_blocks &&
         extent.blocks <= capacity_blocks - extent.address.block();
}

// Blocks of a stripe may each have to be made good from others. `data`: read, if it could be.
Task<Result<bool>> is_there_in_stripes(const Extent& extent, MutableByteSpan data, device::Device& device) {
  for (u32 block = 0; block < extent.blocks; ++block) {
    const auto check = [kind = extent.checksum_kind, expected = extent.checksum_of(block)](ByteSpan read) -> Status {
      if (codec::is_block(kind, read, expected)) return {};
      return Error{Code::extent_checksum_mismatch, 0};
    };
    const MutableByteSpan one = data.subspan(block * block_bytes, block_bytes);
    const Result<bool> there =
        co_await device::settle_copies(device, extent.address.plus(block).offset_bytes(), one, check);
    if (!there.ok() || !*there) co_return there;
  }
  co_return true;
}

void remember(const Extent& extent, ByteSpan data, device::Device::VerifiedBlocks& verified) {
  for (u32 block = 0; block < extent.blocks; ++block) {
    const ByteSpan one = data.subspan(block * block_bytes, block_bytes);
    verified[extent.address.plus(block).offset_bytes()].assign(one.begin(), one.end());
  }
}

}  // namespace

u64 verification_bytes(TreeId tree, UpdateKind kind, ByteSpan value) {
  const u64 own_bytes = record_bytes(value.size());
  format::ExtentHeader header;
  if (tree != TreeId::extents || kind != UpdateKind::upsert || value.size() < sizeof header) return own_bytes;
  std::memcpy(&header, value.data(), sizeof header);
  if (header.kind != static_cast<u8>(ExtentKind::data)) return own_bytes;
  if (header.checksum_kind == static_cast<u8>(ChecksumKind::none)) return verified_bytes_max + 1;
  return own_bytes + header.blocks * block_bytes;
}

Task<Result<bool>> data_is_there(const History& history, Epoch previous, device::Device& device) {
  const Result<LiveExtents> live = co_await live_extents(history, previous, device);
  if (!live.ok()) co_return live.error();
  device::AlignedBuffer buffer(format::extent_blocks_max * block_bytes);
  device::Device::VerifiedBlocks verified;
  for (const auto& [place, value] : *live) {
    Extent extent;
    if (!names_data(place.second, value, history.layout, device.capacity().value / block_bytes, extent)) continue;
    const MutableByteSpan data = buffer.span().first(extent.blocks * block_bytes);
    const auto check = [&extent](ByteSpan blocks) -> Status {
      const std::size_t wrong = codec::first_wrong_block(extent.checksum_kind, blocks.data(), extent.blocks, extent.checksums);
      if (wrong == extent.blocks) return {};
      return Error{Code::extent_checksum_mismatch, wrong};
    };
    const u64 offset = extent.address.offset_bytes();
    const bool is_striped = device.is_striped(offset);
    Result<bool> there = true;
    if (is_striped) {
      const Status read = co_await device.read(offset, data);
      if (!read || !check(data)) there = co_await is_there_in_stripes(extent, data, device);
    } else {
      there = co_await device::settle_copies(device, offset, data, check);
    }
    if (!there.ok() || !*there) co_return there;
    if (is_striped) remember(extent, data, verified);
  }
  const Status restored = co_await device.restore_parity(verified);
  if (!restored.ok()) co_return restored.error();
  co_return true;
}

}  // namespace cowfs::journal
