#include "engine/repair/node_scan_internal.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "engine/device/aligned_buffer.h"
#include "engine/repair/readings_internal.h"

namespace cowfs::repair {

using btree::SlotRange;
using format::NodeHeader;

namespace {

struct Leaf {
  u64 epoch = 0;
  u64 address = 0;
  SlotRange range;
  Keys keys;
};

// The leaves found for each of the wanted ranges.
using Leaves = std::vector<std::vector<Leaf>>;

bool overlap(const SlotRange& a, const SlotRange& b) { return a.first <= b.last && b.first <= a.last; }

// The node at the beginning of `raw`; 0 blocks when there is none.
u64 node_blocks_at(ByteSpan raw, u64 address, u64 filesystem, NodeHeader& header) {
  std::memcpy(&header, raw.data(), sizeof header);
  if (header.magic != format::node_magic || header.address != address || header.tree >= format::tree_count) return 0;
  const format::NodePointer pointer{address, header.epoch, format::seal_mark(header.checksum), header.image_bytes};
  const format::NodeIdentity identity{filesystem, header.slice, static_cast<TreeId>(header.tree)};
  return format::validate_node(raw, pointer, identity, header.level).ok() ? pointer.blocks() : 0;
}

Keys keys_of(const NodeHeader& header, ByteSpan raw) {
  Keys keys;
  const auto tree = static_cast<TreeId>(header.tree);
  for (u32 i = 0; i < header.count; ++i) {
    format::Slot slot;
    std::memcpy(&slot, raw.data() + sizeof header + i * sizeof slot, sizeof slot);
    const ByteSpan value = raw.subspan(slot.value_offset, slot.value_bytes);
    const bool sound = format::belongs_to(header.slice, tree, slot.key()) &&
                       format::validate_value(tree, slot.key(), value).ok();
    if (sound) keys[slot.key()].assign(value.begin(), value.end());
  }
  return keys;
}

void look_through(ByteSpan bucket, format::BucketId id, const format::Superblock& superblock,
                  const std::vector<Unreached>& unreached, Salvaged& all, Leaves& leaves) {
  const u64 filesystem = format::filesystem_id(superblock);
  for (u64 block = 0; block < superblock.bucket_blocks;) {
    const ByteSpan raw = bucket.subspan(block * block_bytes);
    NodeHeader header;
    const u64 address = format::first_block(id, superblock.bucket_blocks).plus(block).value;
    const u64 blocks = node_blocks_at(raw, address, filesystem, header);
    block += std::max<u64>(blocks, 1);
    if (blocks == 0 || header.level > 0 || header.epoch > all.newest_epoch) continue;
    const SlotRange range{header.first.key(), header.last.key()};
    for (std::size_t i = 0; i < unreached.size(); ++i) {
      const bool wanted = unreached[i].slice == header.slice && static_cast<u8>(unreached[i].tree) == header.tree &&
                          overlap(unreached[i].range, range);
      if (!wanted) continue;
      leaves[i].push_back({header.epoch, address, range, keys_of(header, raw)});
      all.metadata_buckets.insert(id.value);
    }
  }
}

// Newest first, none twice.
void put_in_order(std::vector<Leaf>& leaves) {
  const auto order = [](const Leaf& leaf) { return std::tuple(~leaf.epoch, leaf.address); };
  std::sort(leaves.begin(), leaves.end(), [&](const Leaf& a, const Leaf& b) { return order(a) < order(b); });
  const auto end =
      std::unique(leaves.begin(), leaves.end(), [&](const Leaf& a, const Leaf& b) { return order(a) == order(b); });
  leaves.erase(end, leaves.end());
}

// Takes the keys of [first, last] and answers what of `gaps` is left.
std::vector<SlotRange> fill(const std::vector<SlotRange>& gaps, const Leaf& leaf, Keys& keys, u64& found) {
  std::vector<SlotRange> left;
  for (const SlotRange& gap : gaps) {
    if (!overlap(gap, leaf.range)) {
      left.push_back(gap);
      continue;
    }
    const Key first = std::max(gap.first, leaf.range.first);
    const Key last = std::min(gap.last, leaf.range.last);
    for (auto at = leaf.keys.lower_bound(first); at != leaf.keys.end() && at->first <= last; ++at, ++found)
      keys[at->first] = at->second;
    if (gap.first < first) left.push_back({gap.first, btree::predecessor(first)});
    if (last < gap.last) left.push_back({btree::successor(last), gap.last});
  }
  return left;
}

}  // namespace

Task<void> find_unreached(device::Device& device, const format::Superblock& superblock,
                          const std::vector<Unreached>& unreached, Salvaged& all, std::vector<Repair>& repairs) {
  if (unreached.empty()) co_return;
  Leaves leaves(unreached.size());
  device::AlignedBuffer bucket(superblock.bucket_blocks * block_bytes);
  for (u64 number = superblock.first_data_bucket; number < superblock.bucket_count; ++number) {
    const u64 offset = number * bucket.size();
    for (u16 reading = 1; reading <= readings_of(device, offset); ++reading) {
      const Status read = co_await device.read(offset, bucket.span(), reading);
      if (!read) continue;
      look_through(bucket.span(), format::BucketId::of(superblock.device_index, number), superblock, unreached, all,
                   leaves);
    }
  }
  for (std::size_t i = 0; i < unreached.size(); ++i) {
    const Unreached& wanted = unreached[i];
    put_in_order(leaves[i]);
    std::vector<SlotRange> gaps{wanted.range};
    u64 found = 0;
    for (const Leaf& leaf : leaves[i]) gaps = fill(gaps, leaf, all.slices[wanted.slice].tree(wanted.tree), found);
    auto& lost = all.slices[wanted.slice].lost[static_cast<std::size_t>(wanted.tree)];
    lost.insert(lost.end(), gaps.begin(), gaps.end());
    if (found == 0) continue;
    repairs.push_back({"node_damaged", fmt::format("slice {} tree {}: {} keys were found by looking through the device",
                                                   wanted.slice, format::name(wanted.tree), found)});
  }
}

}  // namespace cowfs::repair
