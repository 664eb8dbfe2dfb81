// One slice after recovery: leases, extents, buckets, derived trees, data.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/admin/check_internal.h"
#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"

namespace cowfs::admin {

using format::Address;
using format::Extent;
using format::ExtentKind;
using format::Key;
using format::TreeId;

namespace {

constexpr std::size_t data_reads_at_once = 32;

std::string extent_text(const Key& key, const Extent& extent) {
  if (extent.kind != ExtentKind::data) return fmt::format("file block {}", key.offset);
  return fmt::format("file block {}, {} blocks at {}:{}", key.offset, extent.blocks, extent.address.device(),
                     extent.address.block());
}

}  // namespace

Task<void> Checker::check_leases() {
  Key from = format::key_min;
  while (true) {
    const std::vector<Item> items = co_await next_items(0, TreeId::leases, &from);
    if (items.empty()) co_return;
    for (const Item& item : items) {
      format::LeaseValue lease;
      std::memcpy(&lease, item.value.data(), sizeof lease);
      const format::BucketId bucket{item.key.inode};
      const bool exists = bucket.device() == superblock_.device_index &&
                          bucket.number() >= superblock_.first_data_bucket &&
                          bucket.number() < superblock_.bucket_count;
      if (!exists || lease.slice >= superblock_.slices) {
        found(FindingClass::lease_invalid, {u16{0}, TreeId::leases, 0, fmt::format("bucket {}", bucket.value)},
              fmt::format("leased to slice {}", u16{lease.slice}));
      }
      leases_[bucket.value] = lease.slice;
      count("leases");
    }
  }
}

Task<void> Checker::check_slice(u16 slice) {
  buckets_.clear();
  data_extents_ = 0;
  co_await check_extents(slice);
  if (!incomplete(slice, TreeId::extents)) {
    check_blocks(slice);
    check_buckets(slice);
    co_await check_backpointers(slice);
  }
  if (slice == 0 && incomplete(0, TreeId::leases)) co_return;
  recovered_->slice(slice).buckets().each([&](const space::Bucket& bucket) {
    const auto lease = leases_.find(bucket.id.value);
    if (lease != leases_.end() && lease->second == slice) return;
    found(FindingClass::bucket_not_leased, {slice, std::nullopt, 0, fmt::format("bucket {}", bucket.id.value)},
          fmt::format("{} live blocks", bucket.live_blocks));
  });
}

Task<void> Checker::check_extents(u16 slice) {
  Key from = format::key_min;
  inode_last_ = 0;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::extents, &from);
    if (items.empty()) co_return;
    for (const Item& item : items) {
      co_await check_extent(slice, item);
      advance(format::decode_extent(item.value).blocks);
    }
    if (options_.data) co_await check_data(slice, items);
  }
}

Task<void> Checker::check_extent(u16 slice, const Item& item) {
  const Extent extent = format::decode_extent(item.value);
  const Key& key = item.key;
  const At at{slice, TreeId::extents, key.inode, fmt::format("inode {:#x}, {}", key.inode, extent_text(key, extent))};
  count("extents");
  if (inode_last_ == key.inode && key.offset < extent_end_) {
    found(FindingClass::extents_overlap, at, fmt::format("the one before it ends at file block {}", extent_end_));
  }
  inode_last_ = key.inode;
  extent_end_ = key.offset + extent.blocks;

  const u64 region = key.offset * block_bytes / superblock_.region_bytes;
  const bool placed = (format::slice_of(key.inode) + region) % superblock_.slices == slice;
  const bool home = format::slice_of(key.inode) == slice;
  const auto inode = inodes_.find(key.inode);
  if (inode == inodes_.end()) {
    if (names_known()) found(FindingClass::extent_without_inode, at, "the inode does not exist");
  } else {
    const bool has_data = (inode->second.mode & 0170000) == 0100000 || (inode->second.mode & 0170000) == 0120000;
    if (!placed || !has_data) found(FindingClass::extent_misplaced, at, fmt::format("mode {:o}", inode->second.mode));
    // What a crash left of a region in another slice is removed before that region is used again.
    const bool tolerated = !home || (inode->second.flags & format::inode_truncating) != 0 || inode->second.links == 0;
    const bool past = extent_end_ * block_bytes >= inode->second.size + block_bytes;
    if (past && home && !tolerated && extent.kind != ExtentKind::unwritten) {
      found(FindingClass::extent_past_end, at, fmt::format("the file has {} bytes", inode->second.size));
    }
    if (past && !home) count("extents that a crash left behind the end of their file");
  }
  if (extent.kind == ExtentKind::lost) count("blocks that a repair could not save", extent.blocks);
  if (extent.kind != ExtentKind::data) co_return;
  if (home && inode != inodes_.end()) inode->second.blocks_found += extent.blocks;
  ++data_extents_;
  count("data blocks", extent.blocks);

  const format::BucketId id = format::bucket_of(extent.address, superblock_.bucket_blocks);
  const u64 first = extent.address.block() % superblock_.bucket_blocks;
  const bool exists = id.device() == superblock_.device_index && id.number() >= superblock_.first_data_bucket &&
                      id.number() < superblock_.bucket_count;
  if (!exists || first + extent.blocks > superblock_.bucket_blocks) {
    found(FindingClass::extent_pointer_invalid, at, "no data bucket holds these blocks");
    co_return;
  }
  const space::Bucket* bucket = recovered_->slice(slice).buckets().find(id);
  if (bucket == nullptr || bucket->state == space::BucketState::metadata || bucket->generation != extent.generation) {
    found(FindingClass::extent_pointer_invalid, at,
          bucket == nullptr ? std::string("the bucket is not leased to the slice")
                            : fmt::format("generation {}, the bucket has {}", extent.generation, bucket->generation));
  }
  BucketSeen& seen = buckets_[id.value];
  if (seen.taken.empty()) seen.taken.resize(superblock_.bucket_blocks);
  seen.generation = extent.generation;
  seen.live_blocks += extent.blocks;
  for (u64 block = first; block < first + extent.blocks; ++block) {
    if (seen.taken[block]) {
      found(FindingClass::blocks_shared, at,
            fmt::format("block {} of bucket {} is also another extent's", block, id.value));
      break;
    }
    seen.taken[block] = true;
  }
  co_await check_backpointer(slice, item);
}

// An inode without links is on its way out, with whatever it has left.
void Checker::check_blocks(u16 slice) {
  for (const auto& [number, inode] : inodes_) {
    if (format::slice_of(number) != slice || inode.links == 0 || inode.blocks == inode.blocks_found) continue;
    found(FindingClass::blocks_wrong, {slice, TreeId::inodes, number, fmt::format("inode {:#x}", number)},
          fmt::format("{} blocks are counted, its extents have {}", inode.blocks, inode.blocks_found));
  }
}

Task<void> Checker::check_backpointer(u16 slice, const Item& item) {
  if (incomplete(slice, TreeId::backpointers)) co_return;
  const Extent extent = format::decode_extent(item.value);
  const Key key{format::bucket_of(extent.address, superblock_.bucket_blocks).value,
                extent.address.block() % superblock_.bucket_blocks, 0};
  const auto value = co_await get(slice, TreeId::backpointers, key);
  if (incomplete(slice, TreeId::backpointers)) co_return;
  const At at{slice, TreeId::backpointers, item.key.inode,
              fmt::format("inode {:#x}, {}", item.key.inode, extent_text(item.key, extent))};
  if (!value) {
    found(FindingClass::backpointer_missing, at, fmt::format("bucket {} block {}", key.inode, key.offset));
    co_return;
  }
  format::BackpointerValue back;
  std::memcpy(&back, value->data(), sizeof back);
  if (back.inode == item.key.inode && back.offset() == item.key.offset && back.blocks() == extent.blocks) co_return;
  found(FindingClass::backpointer_wrong, at,
        fmt::format("it says inode {:#x} file block {}, {} blocks", u64{back.inode}, back.offset(), back.blocks()));
}

// Every extent has one, so more of them than extents means that some lead nowhere.
Task<void> Checker::check_backpointers(u16 slice) {
  u64 counted = 0;
  Key from = format::key_min;
  std::vector<Item> extra;
  while (true) {
    const std::vector<Item> items = co_await next_items(slice, TreeId::backpointers, &from);
    if (items.empty()) break;
    counted += items.size();
    for (const Item& item : items) {
      const auto bucket = buckets_.find(item.key.inode);
      format::BackpointerValue back;
      std::memcpy(&back, item.value.data(), sizeof back);
      const bool used = bucket != buckets_.end() && item.key.offset < bucket->second.taken.size() &&
                        bucket->second.taken[item.key.offset];
      if (used) continue;
      found(
          FindingClass::backpointer_wrong,
          {slice, TreeId::backpointers, back.inode, fmt::format("bucket {} block {}", item.key.inode, item.key.offset)},
          fmt::format("no extent is there; it says inode {:#x} file block {}", u64{back.inode}, back.offset()));
    }
  }
  count("backpointers", counted);
  if (counted == data_extents_ || incomplete(slice, TreeId::backpointers)) co_return;
  found(FindingClass::backpointer_wrong, {slice, TreeId::backpointers, 0, "all"},
        fmt::format("{} of them for {} extents", counted, data_extents_));
}

void Checker::check_buckets(u16 slice) {
  slice::Slice& home = recovered_->slice(slice);
  home.buckets().each([&](const space::Bucket& bucket) {
    count("buckets");
    if (bucket.state == space::BucketState::metadata) return;
    const auto seen = buckets_.find(bucket.id.value);
    const u64 live = seen == buckets_.end() ? 0 : seen->second.live_blocks;
    const bool same_generation = live == 0 || seen->second.generation == bucket.generation;
    if (live == bucket.live_blocks && same_generation) return;
    found(FindingClass::alloc_wrong, {slice, TreeId::alloc, 0, fmt::format("bucket {}", bucket.id.value)},
          fmt::format("{} live blocks of generation {}, extents have {}", bucket.live_blocks, bucket.generation, live));
  });
  u64 inodes = 0;
  for (const auto& [number, inode] : inodes_) inodes += static_cast<u64>(format::slice_of(number) == slice);
  if (!incomplete(slice, TreeId::inodes) && inodes != home.inode_count()) {
    found(FindingClass::accounting_wrong, {slice, TreeId::inodes, 0, "after recovery"},
          fmt::format("{} inodes are counted, {} are there", home.inode_count(), inodes));
  }
}

Task<void> Checker::check_data(u16 slice, const std::vector<Item>& extents) {
  for (std::size_t first = 0; first < extents.size(); first += data_reads_at_once) {
    runtime::Gate gate;
    for (std::size_t i = first; i < std::min(extents.size(), first + data_reads_at_once); ++i) {
      gate.spawn(check_data_extent(slice, &extents[i]));
    }
    co_await gate.drained();
  }
}

Task<void> Checker::check_data_extent(u16 slice, const Item* item) {
  const Extent extent = format::decode_extent(item->value);
  if (extent.kind != ExtentKind::data || extent.checksum_kind == ChecksumKind::none) co_return;
  const At at{slice, TreeId::extents, item->key.inode,
              fmt::format("inode {:#x}, {}", item->key.inode, extent_text(item->key, extent))};
  device::AlignedBuffer buffer(extent.blocks * block_bytes);
  const format::NodePointer pointer{extent.address.value, 0, 0, static_cast<u32>(buffer.size())};
  const auto check = [&extent](u64 index, ByteSpan block) -> Status {
    if (codec::is_block(extent.checksum_kind, block, extent.checksum_of(static_cast<u32>(index)))) return {};
    return Error{Code::extent_checksum_mismatch, extent.address.value};
  };
  Status read = co_await medium_.read(pointer, buffer.span());
  const bool is_right = read.ok() && codec::first_wrong_block(extent.checksum_kind, buffer.data(), extent.blocks,
                                                              extent.checksums) == extent.blocks;
  const Error wrong = read ? Error{Code::extent_checksum_mismatch, extent.address.value} : read.error();
  if (!is_right && wrong.code != Code::metadata_address_invalid)
    read = co_await device::read_blocks_of_other_copies(device_, extent.address.offset_bytes(), buffer.span(), check, wrong);
  if (!read && read.error().code != Code::extent_checksum_mismatch) {
    found(FindingClass::data_unreadable, at, to_text(read.error()));
    co_return;
  }
  const std::size_t checksum_bytes = codec::checksum_bytes(extent.checksum_kind);
  for (u32 i = 0; i < extent.blocks; ++i) {
    const le64 actual = codec::checksum(extent.checksum_kind, ByteSpan(buffer.span()).subspan(i * block_bytes, block_bytes));
    le64 expected = 0;
    std::memcpy(&expected, extent.checksum_of(i), checksum_bytes);
    if (actual == expected) continue;
    found(FindingClass::data_checksum_wrong, at,
          fmt::format("file block {} at {}:{}: {} {:0{}x}, its key says {:0{}x}", item->key.offset + i,
                      extent.address.device(), extent.address.block() + i, name(extent.checksum_kind), u64{actual},
                      2 * checksum_bytes, u64{expected}, 2 * checksum_bytes));
  }
}

}  // namespace cowfs::admin
