#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"
#include "engine/repair/mend_internal.h"
#include "engine/repair/readings_internal.h"

namespace cowfs::repair {

using format::BucketId;
using format::Extent;
using format::ExtentKind;
using format::InodeValue;

namespace {

constexpr std::size_t generation_offset = sizeof(format::ExtentHeader) + offsetof(format::ReplicaPointer, generation);

std::string text(const Key& key, u64 blocks) {
  return fmt::format("inode {:#x}, file blocks {} to {}", key.inode, key.offset, key.offset + blocks - 1);
}

bool has_data(u32 mode) { return S_ISREG(mode) || S_ISLNK(mode); }

}  // namespace

Task<void> ExtentMender::run() {
  find_owners();
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    drop_strangers(slice);
    co_await restore_from_backpointers(slice);
    std::vector<Claim> claims = claims_of(slice);
    doubt_generations(slice, claims);
    doubt_shared(claims);
    doubt_overlapping(claims);
    for (Claim& claim : claims) {
      if (claim.doubtful && claim.kept) co_await verify(slice, claim);
    }
    settle(slice, claims);
    drop_covered(slice);
  }
  for (u16 slice = 0; slice < superblock_.slices; ++slice) mark_lost_nodes(slice);
  put_lost();
  measure_files();
}

InodeValue* ExtentMender::inode(u64 number) {
  Keys& keys = salvaged_.slices[format::slice_of(number)].tree(TreeId::inodes);
  const auto found = keys.find({number, 0, format::snapshot_live});
  return found == keys.end() ? nullptr : reinterpret_cast<InodeValue*>(found->second.data());
}

// A bucket holds data of one slice: whoever has most of it. Nobody can have one that holds nodes.
void ExtentMender::find_owners() {
  absl::flat_hash_map<u64, absl::flat_hash_map<u16, u64>> blocks;
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    for (const auto& [key, value] : salvaged_.slices[slice].tree(TreeId::extents)) {
      const Extent extent = format::decode_extent(value);
      if (extent.kind != ExtentKind::data) continue;
      blocks[format::bucket_of(extent.address, superblock_.bucket_blocks).value][slice] += extent.blocks;
    }
  }
  for (const auto& [bucket, by_slice] : blocks) {
    const auto most = std::max_element(by_slice.begin(), by_slice.end(), [](const auto& a, const auto& b) {
      return a.second < b.second || (a.second == b.second && a.first > b.first);
    });
    owners_[bucket] = most->first;
  }
}

// Extents of what has no data, or in a slice that does not hold their part of the file.
void ExtentMender::drop_strangers(u16 slice) {
  Keys& extents = salvaged_.slices[slice].tree(TreeId::extents);
  for (auto at = extents.begin(); at != extents.end();) {
    const Key key = at->first;
    const u64 blocks = format::decode_extent(at->second).blocks;
    const InodeValue* owner = format::slice_of(key.inode) < superblock_.slices ? inode(key.inode) : nullptr;
    const bool sound = owner != nullptr && has_data(owner->mode) && slice_of_block(key.inode, key.offset) == slice;
    if (sound) {
      ++at;
      continue;
    }
    repairs_.push_back({"extent_misplaced", text(key, blocks) + " are not where they belong, and go", key.inode, true});
    if (owner != nullptr && has_data(owner->mode)) lost_ranges_[key.inode].emplace_back(key.offset, key.offset + blocks);
    at = extents.erase(at);
  }
}

bool ExtentMender::can_hold(BucketId bucket, u64 first, u32 blocks) const {
  return bucket.device() == superblock_.device_index && bucket.number() >= superblock_.first_data_bucket &&
         bucket.number() < superblock_.bucket_count && first + blocks <= superblock_.bucket_blocks &&
         !salvaged_.metadata_buckets.contains(bucket.value);
}

// In the order of blocks on the device.
std::vector<ExtentMender::Claim> ExtentMender::claims_of(u16 slice) {
  const SliceSalvaged& from = salvaged_.slices[slice];
  std::vector<Claim> claims;
  for (const auto& [key, value] : from.tree(TreeId::extents)) {
    const Extent extent = format::decode_extent(value);
    if (extent.kind != ExtentKind::data) continue;
    Claim claim;
    claim.key = key;
    claim.bucket = format::bucket_of(extent.address, superblock_.bucket_blocks);
    claim.first = static_cast<u32>(extent.address.block() % superblock_.bucket_blocks);
    claim.blocks = extent.blocks;
    claim.generation = extent.generation;
    claim.kept = can_hold(claim.bucket, claim.first, claim.blocks) && owners_[claim.bucket.value] == slice;
    claim.doubtful = !claim.kept;
    const auto back = from.tree(TreeId::backpointers).find({claim.bucket.value, claim.first, 0});
    if (back != from.tree(TreeId::backpointers).end()) {
      format::BackpointerValue said;
      std::memcpy(&said, back->second.data(), sizeof said);
      claim.witnessed = said.inode == key.inode && said.offset() == key.offset && said.blocks() == claim.blocks;
    }
    claims.push_back(claim);
  }
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return std::tuple(a.bucket, a.first, a.key) < std::tuple(b.bucket, b.first, b.key);
  });
  return claims;
}

// All extents of a bucket are of one generation: what the bucket was told to be if any is, otherwise the newest.
void ExtentMender::doubt_generations(u16 slice, std::vector<Claim>& claims) {
  const Keys& alloc = salvaged_.slices[slice].tree(TreeId::alloc);
  for (std::size_t first = 0, end = 0; first < claims.size(); first = end) {
    const BucketId bucket = claims[first].bucket;
    u32 generation = 0;
    for (end = first; end < claims.size() && claims[end].bucket == bucket; ++end)
      generation = std::max(generation, claims[end].generation);
    const auto told = alloc.find({bucket.value, 0, 0});
    format::AllocValue value{};
    if (told != alloc.end()) std::memcpy(&value, told->second.data(), sizeof value);
    const bool any = std::any_of(claims.begin() + static_cast<std::ptrdiff_t>(first),
                                 claims.begin() + static_cast<std::ptrdiff_t>(end),
                                 [&](const Claim& claim) { return claim.generation == value.generation; });
    if (told != alloc.end() && any) generation = value.generation;
    for (std::size_t i = first; i < end; ++i) {
      claims[i].doubtful |= claims[i].generation != generation;
      claims[i].generation = generation;
    }
  }
}

void ExtentMender::doubt_shared(std::vector<Claim>& claims) {
  for (std::size_t i = 0; i < claims.size(); ++i) {
    for (std::size_t j = i + 1; j < claims.size(); ++j) {
      if (claims[j].bucket != claims[i].bucket || claims[j].first >= claims[i].first + claims[i].blocks) break;
      claims[i].doubtful = claims[j].doubtful = true;
    }
  }
}

void ExtentMender::doubt_overlapping(std::vector<Claim>& claims) {
  std::vector<Claim*> by_file;
  for (Claim& claim : claims) by_file.push_back(&claim);
  std::sort(by_file.begin(), by_file.end(), [](const Claim* a, const Claim* b) { return a->key < b->key; });
  for (std::size_t i = 0; i < by_file.size(); ++i) {
    for (std::size_t j = i + 1; j < by_file.size(); ++j) {
      const bool overlap = by_file[j]->key.inode == by_file[i]->key.inode &&
                           by_file[j]->key.offset < by_file[i]->key.offset + by_file[i]->blocks;
      if (!overlap) break;
      by_file[i]->doubtful = by_file[j]->doubtful = true;
    }
  }
}

Task<void> ExtentMender::verify(u16 slice, Claim& claim) {
  const std::vector<std::byte>& value = salvaged_.slices[slice].tree(TreeId::extents).at(claim.key);
  const Extent extent = format::decode_extent(value);
  if (extent.checksum_kind == ChecksumKind::none) co_return;
  device::AlignedBuffer data(claim.blocks * block_bytes);
  const u64 offset = extent.address.offset_bytes();
  const Error wrong{Code::extent_checksum_mismatch, extent.address.value};
  Status fine = co_await device_.read(offset, data.span());
  const auto first_wrong = [&] {
    return codec::first_wrong_block(extent.checksum_kind, data.data(), claim.blocks, extent.checksums);
  };
  if (fine && first_wrong() < claim.blocks) fine = wrong;
  const auto check = [&extent, wrong](u64 index, ByteSpan block) -> Status {
    if (codec::is_block(extent.checksum_kind, block, extent.checksum_of(static_cast<u32>(index)))) return {};
    return wrong;
  };
  if (!fine) fine = co_await device::read_blocks_of_other_copies(device_, offset, data.span(), check, fine.error());
  claim.verified = fine.ok();
}

// The best of those that exclude each other stays. What is in doubt and not what its key says never does.
void ExtentMender::settle(u16 slice, std::vector<Claim>& claims) {
  std::vector<Claim*> best_first;
  for (Claim& claim : claims)
    if (claim.doubtful) best_first.push_back(&claim);
  std::stable_sort(best_first.begin(), best_first.end(),
                   [](const Claim* a, const Claim* b) { return a->score() > b->score(); });
  const auto excludes = [](const Claim& a, const Claim& b) {
    const bool blocks = a.bucket == b.bucket && a.first < b.first + b.blocks && b.first < a.first + a.blocks;
    const bool file = a.key.inode == b.key.inode && a.key.offset < b.key.offset + b.blocks &&
                      b.key.offset < a.key.offset + a.blocks;
    return blocks || file;
  };
  for (std::size_t i = 0; i < best_first.size(); ++i) {
    Claim& claim = *best_first[i];
    claim.kept = claim.kept && claim.verified;
    for (std::size_t j = 0; j < i && claim.kept; ++j)
      claim.kept = !(best_first[j]->kept && excludes(*best_first[j], claim));
  }
  for (const Claim& claim : claims) {
    if (claim.kept)
      keep(slice, claim, claim.generation);
    else
      lose(slice, claim);
  }
}

// Data that overlap are settled: where two extents still do, one of them has no blocks, and goes.
void ExtentMender::drop_covered(u16 slice) {
  Keys& extents = salvaged_.slices[slice].tree(TreeId::extents);
  for (auto at = extents.begin(); at != extents.end();) {
    const auto next = std::next(at);
    const Extent extent = format::decode_extent(at->second);
    const bool overlap = next != extents.end() && next->first.inode == at->first.inode &&
                         next->first.offset < at->first.offset + extent.blocks;
    if (!overlap) {
      at = next;
      continue;
    }
    const auto goes = extent.kind == ExtentKind::data ? next : at;
    const auto stays = goes == at ? next : at;
    const Key resume = stays->first;
    repairs_.push_back({"extents_overlap", text(goes->first, format::decode_extent(goes->second).blocks) +
                                               " go: data is there", goes->first.inode, true});
    extents.erase(goes);
    at = extents.find(resume);
  }
}

void ExtentMender::keep(u16 slice, const Claim& claim, u32 generation) {
  std::vector<std::byte>& value = salvaged_.slices[slice].tree(TreeId::extents).at(claim.key);
  const le32 right = generation;
  if (std::memcmp(value.data() + generation_offset, &right, sizeof right) == 0) return;
  std::memcpy(value.data() + generation_offset, &right, sizeof right);
  repairs_.push_back({"extent_pointer_invalid",
                      text(claim.key, claim.blocks) + " are what their checksums say: the pointer names its bucket again",
                      claim.key.inode});
}

void ExtentMender::lose(u16 slice, const Claim& claim) {
  salvaged_.slices[slice].tree(TreeId::extents).erase(claim.key);
  lost_ranges_[claim.key.inode].emplace_back(claim.key.offset, claim.key.offset + claim.blocks);
}

// What a lost node of extents said, the backpointers say as well, without the checksums: those of what is there now are taken,
// unless copies of it differ. Not of files that history changed since: the backpointers are older than that.
Task<void> ExtentMender::restore_from_backpointers(u16 slice) {
  SliceSalvaged& from = salvaged_.slices[slice];
  for (const btree::SlotRange& range : from.lost_of(TreeId::extents)) {
    for (const auto& [place, raw] : from.tree(TreeId::backpointers)) {
      format::BackpointerValue back;
      std::memcpy(&back, raw.data(), sizeof back);
      const Key key{back.inode, back.offset(), format::snapshot_live};
      const InodeValue* owner = format::slice_of(key.inode) < superblock_.slices ? inode(key.inode) : nullptr;
      const auto told = from.tree(TreeId::alloc).find({place.inode, 0, 0});
      const bool known = range.first <= key && key <= range.last && owner != nullptr && has_data(owner->mode) &&
                         !from.changed_files.contains(key.inode) && told != from.tree(TreeId::alloc).end() &&
                         can_hold(BucketId{place.inode}, place.offset, back.blocks()) &&
                         slice_of_block(key.inode, key.offset) == slice;
      if (!known || from.tree(TreeId::extents).contains(key)) continue;
      format::AllocValue alloc;
      std::memcpy(&alloc, told->second.data(), sizeof alloc);
      const format::Address address = format::first_block(BucketId{place.inode}, superblock_.bucket_blocks).plus(place.offset);
      device::AlignedBuffer data(back.blocks() * block_bytes);
      const bool is_known = co_await read_alike(device_, address.offset_bytes(), data.span());
      if (!is_known) continue;
      format::BlockChecksums checksums;
      checksums.kind = static_cast<ChecksumKind>(superblock_.data_checksum);
      codec::checksum_blocks(checksums.kind, data.data(), back.blocks(), checksums.of(0));
      const auto value = format::ExtentValue::data(address, alloc.generation, back.blocks(), checksums);
      from.tree(TreeId::extents)[key].assign(value.bytes().begin(), value.bytes().end());
      owners_.try_emplace(place.inode, slice);
      repairs_.push_back({"node_damaged",
                          text(key, back.blocks()) + " are found by their backpointers; their checksums are taken anew",
                          key.inode});
    }
  }
}

// What else may have been in them is not known. Where a file's count of blocks is right, nothing was.
void ExtentMender::mark_lost_nodes(u16 slice) {
  const u64 region_blocks = superblock_.region_bytes / block_bytes;
  for (const btree::SlotRange& range : salvaged_.slices[slice].lost_of(TreeId::extents)) {
    for (const SliceSalvaged& home : salvaged_.slices) {
      for (const auto& [key, raw] : home.tree(TreeId::inodes)) {
        const u64 number = key.inode;
        if (number < range.first.inode || number > range.last.inode) continue;
        InodeValue value;
        std::memcpy(&value, raw.data(), sizeof value);
        if (!has_data(value.mode) || value.size == 0) continue;
        const u64 from = number == range.first.inode ? range.first.offset : 0;
        u64 end = (value.size + block_bytes - 1) / block_bytes;
        if (number == range.last.inode && range.last.offset < end) end = range.last.offset + 1;
        for (u64 region = from / region_blocks; region * region_blocks < end; ++region) {
          if (slice_of_block(number, region * region_blocks) != slice) continue;
          mark_gaps(number, std::max(from, region * region_blocks), std::min(end, (region + 1) * region_blocks));
        }
      }
    }
  }
}

// Blocks [first, end) of the file, which belong to one slice.
void ExtentMender::mark_gaps(u64 number, u64 first, u64 end) {
  const bool at_home = slice_of_block(number, first) == format::slice_of(number);
  const Keys& extents = salvaged_.slices[slice_of_block(number, first)].tree(TreeId::extents);
  const InodeValue* value = inode(number);
  u64 data_blocks = 0;
  for (auto at = extents.lower_bound({number, 0, 0}); at != extents.end() && at->first.inode == number; ++at) {
    const Extent extent = format::decode_extent(at->second);
    if (extent.kind == ExtentKind::data) data_blocks += extent.blocks;
  }
  const bool all_data_is_there = at_home && value->blocks > 0 && value->blocks == data_blocks;
  if (all_data_is_there) end = first == 0 ? 1 : first;  // but what is in the key of the first block is not counted
  lost_ranges_[number].emplace_back(first, end);
}

// As extents that read as an error, around what is there.
void ExtentMender::put_lost() {
  for (auto& [number, ranges] : lost_ranges_) {
    std::sort(ranges.begin(), ranges.end());
    u64 lost = 0;
    u64 first_lost = ~0ull;
    for (const auto& [first, end] : ranges) {
      for (u64 block = first; block < end;) {
        Keys& extents = salvaged_.slices[slice_of_block(number, block)].tree(TreeId::extents);
        const u64 region_end = round_up((block + 1) * block_bytes, superblock_.region_bytes) / block_bytes;
        u64 stop = std::min({end, region_end, block + format::extent_blocks_max});
        auto behind = extents.upper_bound({number, block, format::snapshot_live});
        if (behind != extents.begin()) {
          const auto before = std::prev(behind);
          const u64 covered = before->first.offset + format::decode_extent(before->second).blocks;
          if (before->first.inode == number && covered > block) {
            block = covered;
            continue;
          }
        }
        if (behind != extents.end() && behind->first.inode == number) stop = std::min(stop, behind->first.offset);
        const auto value = format::ExtentValue::lost(static_cast<u32>(stop - block));
        extents[{number, block, format::snapshot_live}].assign(value.bytes().begin(), value.bytes().end());
        lost += stop - block;
        first_lost = std::min(first_lost, block);
        block = stop;
      }
    }
    if (lost == 0) continue;
    lost_blocks_ += lost;
    repairs_.push_back({"extent_lost",
                        fmt::format("inode {:#x}: {} blocks from block {} on read as an error from now on", number, lost,
                                    first_lost),
                        number, true});
  }
}

// Blocks as the home slice's extents have them; the end of a file not before the end of these. In other slices a crash may have
// left some behind it.
void ExtentMender::measure_files() {
  struct Measured {
    u64 blocks = 0;
    u64 end = 0;
  };
  for (u16 slice = 0; slice < superblock_.slices; ++slice) {
    absl::flat_hash_map<u64, Measured> files;
    for (const auto& [key, value] : salvaged_.slices[slice].tree(TreeId::extents)) {
      const Extent extent = format::decode_extent(value);
      if (format::slice_of(key.inode) != slice || extent.kind == ExtentKind::unwritten) continue;
      Measured& file = files[key.inode];
      if (extent.kind == ExtentKind::data) file.blocks += extent.blocks;
      file.end = key.offset + extent.blocks;
    }
    for (auto& [key, raw] : salvaged_.slices[slice].tree(TreeId::inodes)) {
      InodeValue value;
      std::memcpy(&value, raw.data(), sizeof value);
      const Measured& file = files[key.inode];
      value.blocks = file.blocks;
      const bool is_leaving = value.links == 0 || (value.flags & format::inode_truncating) != 0;
      if (!is_leaving && file.end * block_bytes >= value.size + block_bytes) {
        value.size = file.end * block_bytes;
        repairs_.push_back({"extent_past_end", fmt::format("inode {:#x} is as long as its data", key.inode), key.inode});
      }
      std::memcpy(raw.data(), &value, sizeof value);
    }
  }
}

}  // namespace cowfs::repair
