// What lies on the medium, without recovery: each structure by itself, and each slice's nodes against its space list.
#include <fmt/format.h>

#include "engine/admin/check_internal.h"
#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/copies.h"
#include "engine/journal/recovery.h"

namespace cowfs::admin {

using format::TreeId;

namespace {

constexpr u64 commit_slot_bytes = format::commit_slot_blocks * block_bytes;

std::string block_text(format::Address address) {
  return fmt::format("block {}:{}", address.device(), address.block());
}

// True when something of this filesystem was written there: one damaged byte hides the magic or the id, not both.
bool was_commit_block(ByteSpan raw, u64 filesystem) {
  format::CommitBlock block;
  std::memcpy(&block, raw.data(), sizeof block);
  return block.magic == format::commit_magic || block.filesystem == filesystem;
}

}  // namespace

Task<void> Checker::check_commit_ring() {
  device::AlignedBuffer ring(format::commit_slots * commit_slot_bytes);
  const Status read = co_await device_.read(superblock_.commit_ring_block * block_bytes, ring.span());
  if (!read) {
    found(FindingClass::commit_block_damaged, read.error());
    co_return;
  }
  const u64 filesystem = format::filesystem_id(superblock_);
  for (u64 slot = 0; slot < format::commit_slots; ++slot) {
    const MutableByteSpan raw = ring.span().subspan(slot * commit_slot_bytes, commit_slot_bytes);
    Status valid = format::validate_commit(raw, filesystem);
    if (!valid) {
      const auto check = [filesystem](ByteSpan copy) { return format::validate_commit(copy, filesystem); };
      const u64 offset = superblock_.commit_ring_block * block_bytes + slot * commit_slot_bytes;
      valid = co_await device::read_other_copies(device_, offset, raw, check, valid.error());
    }
    if (valid) count("commit blocks");
    const bool foreign = !valid && valid.error().code == Code::commit_block_identity_mismatch;
    if (valid || foreign || !was_commit_block(raw, filesystem)) continue;
    found(FindingClass::commit_block_damaged, valid.error(),
          fmt::format("commit ring place {}, block {}", slot,
                      superblock_.commit_ring_block + slot * format::commit_slot_blocks));
  }
}

Task<void> Checker::check_journal() {
  const Result<journal::History> history = co_await journal::read_history(device_, superblock_);
  if (!history) {
    found(FindingClass::journal_damaged, history.error());
    co_return;
  }
  phase("journal entries", history->entries.size());
  journal::BucketFeed feed(device_, history->layout, history->buckets(), 1);
  co_await check_entries(*history, feed);
  co_await feed.stop();
}

Task<void> Checker::check_entries(const journal::History& history, journal::BucketFeed& feed) {
  journal::ReplayReader reader(history, feed);
  while (true) {
    const Result<bool> more = co_await reader.next();
    if (!more) {
      found(FindingClass::journal_damaged, more.error());
      co_return;
    }
    if (!*more) co_return;
    format::RecordReader records = reader.records();
    format::Record record;
    while (records.next(record)) {
      count("journal records");
      if (record.kind == format::UpdateKind::erase) continue;
      const Status valid = format::validate_value(record.tree, record.key, record.value);
      if (valid) continue;
      Error error = valid.error();
      error.place.slice = record.slice;
      found(FindingClass::journal_damaged, error, fmt::format("epoch {}", reader.epoch().value));
    }
    advance(1);
  }
}

// Counts nodes by bucket; adds up what derived and counted trees say.
class MediumVisitor final : public btree::NodeVisitor {
 public:
  MediumVisitor(Checker& checker, u16 slice, TreeId tree) : checker_(checker), slice_(slice), tree_(tree) {}

  Status visit(const format::NodePointer& pointer, const format::NodeHeader& header, ByteSpan image) override {
    checker_.count("btree nodes");
    const format::Address address{pointer.address};
    const u64 bucket_blocks = checker_.superblock_.bucket_blocks;
    checker_.metadata_blocks_[format::bucket_of(address, bucket_blocks).value] += pointer.blocks();
    if (address.block() % bucket_blocks + pointer.blocks() > bucket_blocks) {
      checker_.found(FindingClass::node_misplaced, {slice_, tree_, 0, block_text(address)},
                     "it crosses its bucket's end");
    }
    if (header.level > 0) return {};
    checker_.count("keys on the medium", header.count);
    if (tree_ == TreeId::inodes) checker_.inode_keys_ += header.count;
    if (tree_ != TreeId::alloc) return {};
    for (u32 i = 0; i < header.count; ++i) {
      format::Slot slot;
      std::memcpy(&slot, image.data() + sizeof header + i * sizeof slot, sizeof slot);
      format::AllocValue value;
      std::memcpy(&value, image.data() + slot.value_offset, sizeof value);
      checker_.alloc_blocks_ += value.live_blocks;
    }
    return {};
  }
  void damaged(const format::NodePointer&, const btree::SlotRange&, const Error& error) override {
    whole = false;
    checker_.found(FindingClass::node_damaged, error);
  }
  bool whole = true;

 private:
  Checker& checker_;
  const u16 slice_;
  const TreeId tree_;
};

Task<void> Checker::check_slice_on_medium(u16 slice) {
  const SliceHeaderFound headers = co_await read_slice_header(device_, superblock_, slice);
  for (const Error& error : headers.damaged) found(FindingClass::slice_header_damaged, error);
  if (!headers.newest) {
    found(FindingClass::slice_header_missing, {slice, std::nullopt, 0, {}}, "neither place holds a valid header");
    co_return;
  }
  const format::SliceHeader& header = *headers.newest;
  count("slices");
  metadata_blocks_.clear();
  alloc_blocks_ = inode_keys_ = 0;
  bool whole = true;
  for (u8 id = 0; id < format::tree_count; ++id) {
    const TreeId tree = static_cast<TreeId>(id);
    MediumVisitor visitor(*this, slice, tree);
    const format::NodeIdentity identity{format::filesystem_id(superblock_), slice, tree};
    const btree::Root root{header.roots[id], header.levels[id]};
    const Status walked = co_await btree::walk(medium_, identity, root, visitor);
    assert(walked.ok());
    whole = whole && visitor.whole;
  }
  if (!whole) co_return;  // sums of a part say nothing
  if (header.inodes != inode_keys_) {
    found(FindingClass::accounting_wrong, {slice, TreeId::inodes, 0, "slice header"},
          fmt::format("{} inodes are counted, {} are there", u64{header.inodes}, inode_keys_));
  }
  if (header.data_blocks != alloc_blocks_) {
    found(FindingClass::accounting_wrong, {slice, TreeId::alloc, 0, "slice header"},
          fmt::format("{} data blocks are counted, the alloc tree has {}", u64{header.data_blocks}, alloc_blocks_));
  }
  co_await check_space_list(header, slice);
}

Task<void> Checker::check_space_list(const format::SliceHeader& header, u16 slice) {
  const At at{slice, std::nullopt, 0, "space list"};
  absl::flat_hash_map<u64, u64> reachable = std::move(metadata_blocks_);
  metadata_blocks_.clear();
  const u64 bytes = header.space_buckets * sizeof(format::MetadataBucket);
  const format::Address place{header.space_list_address};
  if (header.space_buckets > superblock_.bucket_count) {
    found(FindingClass::space_list_damaged, at, fmt::format("it names {} buckets", u32{header.space_buckets}));
    co_return;
  }
  device::AlignedBuffer raw(bytes);
  if (bytes > 0) {
    const format::NodePointer pointer{place.value, 0, 0, static_cast<u32>(raw.size())};
    const auto kind = static_cast<ChecksumKind>(header.checksum_kind);
    const auto check = [bytes, slice, place, kind, expected = u64{header.space_list_checksum}](ByteSpan list) -> Status {
      if (codec::checksum(kind, list.first(bytes)) == expected) return {};
      return Error{Code::space_list_checksum_mismatch, slice, {.slice = slice, .offset_bytes = place.offset_bytes()}};
    };
    Status read = co_await medium_.read(pointer, raw.span());
    if (read) read = check(raw.span());
    if (!read) read = co_await medium_.read_other_copies(pointer, raw.span(), check, read.error());
    if (!read) {
      found(FindingClass::space_list_damaged, at, to_text(read.error()));
      co_return;
    }
    reachable[format::bucket_of(place, superblock_.bucket_blocks).value] += raw.size() / block_bytes;
  }
  for (u32 i = 0; i < header.space_buckets; ++i) {
    format::MetadataBucket entry;
    std::memcpy(&entry, raw.data() + i * sizeof entry, sizeof entry);
    count("metadata buckets");
    const std::string where = fmt::format("bucket {}", u64{entry.bucket});
    const auto counted = reachable.find(entry.bucket);
    const u64 blocks = counted == reachable.end() ? 0 : counted->second;
    if (counted != reachable.end()) reachable.erase(counted);
    if (entry.filled_blocks > superblock_.bucket_blocks || entry.live_blocks > entry.filled_blocks) {
      found(FindingClass::space_list_damaged, {slice, std::nullopt, 0, where},
            fmt::format("{} of {} blocks live", u32{entry.live_blocks}, u32{entry.filled_blocks}));
    }
    if (entry.live_blocks != blocks) {
      found(FindingClass::metadata_count_wrong, {slice, std::nullopt, 0, where},
            fmt::format("{} live blocks are listed, {} are reachable", u32{entry.live_blocks}, blocks));
    }
  }
  for (const auto& [bucket, blocks] : reachable) {
    found(FindingClass::node_misplaced, {slice, std::nullopt, 0, fmt::format("bucket {}", bucket)},
          fmt::format("{} blocks of nodes are in a bucket that the space list does not name", blocks));
  }
}

}  // namespace cowfs::admin
