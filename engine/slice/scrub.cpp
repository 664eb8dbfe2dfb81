// Level by level from the roots, each in the order of addresses, so that the leaves, which are nearly all of it, are read as
// they lie. While the header that led to a node is in force, the node's bucket is not used again, and a pin keeps it so: what
// is wrong then is damage. When another header has come, what is left is looked for anew below its roots.
#include "engine/slice/scrub.h"

#include <absl/container/flat_hash_set.h>

#include <algorithm>

#include "engine/codec/checksum.h"
#include "engine/device/parity.h"

namespace cowfs::slice {

namespace {

using device::ScrubPiece;
using format::BucketId;
using format::NodePointer;

constexpr int header_tries_max = 64;
constexpr int passes_max = 256;  // each after a checkpoint that came meanwhile

struct Wanted {
  NodePointer pointer;
  TreeId tree;
  u64 offset_bytes() const { return format::Address{pointer.address}.offset_bytes(); }
  ScrubPiece piece() const { return {offset_bytes(), pointer.blocks() * block_bytes}; }
};

class CheckpointScrub {
 public:
  CheckpointScrub(Slice& slice, device::BackgroundReader& reader, device::ScrubFindings& findings)
      : slice_(slice), reader_(reader), findings_(findings), began_at_(slice.header().checkpoint_epoch) {}

  Task<Status> run() {
    for (u64 place = 0; place < 2; ++place) {
      const Status done = co_await scrub_header(place);
      if (!done) co_return done;
    }
    for (int pass = 0; pass < passes_max && !is_in_force(); ++pass) {
      sequence_ = slice_.header().sequence;
      in_force_.clear();
      co_await scrub_space_list();
      want_roots();
      for (u8 level = format::node_level_max + 1; level-- > 0;) co_await scrub_level(level);
    }
    co_await scrub_parity();
    co_return Status{};
  }

 private:
  device::Device& device() { return slice_.devices()[0]; }
  bool is_in_force() const { return sequence_ == slice_.header().sequence; }

  // The bucket is what the header in force says it is, and stays so.
  std::optional<space::BucketPin> pin(BucketId id) {
    const space::Bucket* bucket = slice_.buckets().find(id);
    if (!is_in_force() || bucket == nullptr || bucket->state != space::BucketState::metadata) return std::nullopt;
    return slice_.buckets().pin(format::first_block(id, slice_.bucket_blocks()));
  }

  Status check_header(u64 place, ByteSpan raw) const {
    format::SliceHeader header;
    std::memcpy(&header, raw.data(), sizeof header);
    const bool is_blank = std::all_of(raw.begin(), raw.end(), [](std::byte byte) { return byte == std::byte{0}; });
    const bool counts = place == slice_.header().sequence % 2;
    if (is_blank && !counts) return {};
    const Status valid = format::validate_slice_header(header, slice_.header().filesystem, slice_.id());
    if (!valid || !counts || header.sequence == slice_.header().sequence) return valid;
    return Error{Code::slice_header_outdated, slice_.id()};
  }

  // A checkpoint may be writing it.
  Task<Status> scrub_header(u64 place) {
    const ScrubPiece piece{slice_.header_offset_bytes(place), block_bytes};
    device::AlignedBuffer raw(block_bytes);
    for (int tries = 0; tries < header_tries_max; ++tries) {
      co_await slice_.checkpoint_ended();
      const u64 sequence = slice_.header().sequence;
      const auto check = [this, place](ByteSpan header) { return check_header(place, header); };
      const device::Looked looked = co_await device::look_through(device(), piece.offset_bytes, raw.span(), check);
      findings_.bytes += block_bytes * device().copies();
      if (looked.bad.empty()) break;
      if (slice_.checkpoint_running() || slice_.header().sequence != sequence) continue;
      device::ScrubDamage damage = device::damage_of(device(), "slice header", piece, looked.bad);
      for (u64 written = 0; written < 2; ++written) {  // each of them goes to the other place
        const Status done = co_await slice_.checkpoint();
        if (!done) co_return done;
      }
      damage.repaired = true;
      findings_.damage.push_back(std::move(damage));
      break;
    }
    co_return Status{};
  }

  Task<void> scrub_space_list() {
    const format::SliceHeader header = slice_.header();
    if (header.space_buckets == 0) co_return;
    const format::Address place{header.space_list_address};
    const std::optional<space::BucketPin> pinned = pin(format::bucket_of(place, slice_.bucket_blocks()));
    if (!pinned) co_return;
    const u64 bytes = header.space_buckets * sizeof(format::MetadataBucket);
    const auto kind = static_cast<ChecksumKind>(header.checksum_kind);
    const auto check = [this, bytes, kind, expected = u64{header.space_list_checksum}](ByteSpan list) -> Status {
      if (codec::checksum(kind, list.first(bytes)) == expected) return {};
      return Error{Code::space_list_checksum_mismatch, slice_.id()};
    };
    const ScrubPiece piece{place.offset_bytes(), round_up(bytes, block_bytes)};
    findings_.bytes += piece.bytes * device().copies_at(piece.offset_bytes);
    std::optional<device::ScrubDamage> damage = co_await device::mend(device(), "space list", piece, check);
    if (damage) take(std::move(*damage));
    in_force_.push_back(piece);
  }

  void want_roots() {
    for (u8 id = 0; id < format::tree_count; ++id) {
      const NodePointer& root = slice_.header().roots[id];
      if (root.present()) wanted_[slice_.header().levels[id]].push_back({root, static_cast<TreeId>(id)});
    }
  }

  Task<void> scrub_level(u8 level) {
    std::vector<Wanted> nodes = std::exchange(wanted_[level], {});
    for (const Wanted& node : nodes) in_force_.push_back(node.piece());
    std::erase_if(nodes, [this](const Wanted& node) { return verified_.contains(node.pointer.address); });
    std::sort(nodes.begin(), nodes.end(),
              [](const Wanted& a, const Wanted& b) { return a.pointer.address < b.pointer.address; });
    for (std::size_t first = 0; first < nodes.size();) {
      const BucketId bucket = bucket_of(nodes[first]);
      std::size_t end = first;
      while (end < nodes.size() && bucket_of(nodes[end]) == bucket) ++end;
      const auto from = nodes.begin() + static_cast<std::ptrdiff_t>(first);
      const auto to = nodes.begin() + static_cast<std::ptrdiff_t>(end);
      co_await scrub_nodes(bucket, level, std::vector<Wanted>(from, to));
      first = end;
    }
  }

  BucketId bucket_of(const Wanted& node) const {
    return format::bucket_of(format::Address{node.pointer.address}, slice_.bucket_blocks());
  }
  BucketId bucket_at(u64 offset_bytes) const { return BucketId::of(0, offset_bytes / (slice_.bucket_blocks() * block_bytes)); }

  Task<void> scrub_nodes(BucketId bucket, u8 level, std::vector<Wanted> nodes) {
    const std::optional<space::BucketPin> pinned = pin(bucket);
    if (!pinned) co_return;
    std::vector<bool> descended(nodes.size());
    const auto check = [this, level, &nodes, &descended](std::size_t number, ByteSpan image) {
      const Status valid = check_node(nodes[number], level, image);
      if (valid && !descended[number]) want_children(nodes[number], level, image);
      if (valid) descended[number] = true;
      return valid;
    };
    std::vector<ScrubPiece> pieces;
    for (const Wanted& node : nodes) pieces.push_back(node.piece());
    const std::vector<std::size_t> suspects = co_await device::suspects_among(device(), pieces, check, reader_, findings_);
    for (const std::size_t number : suspects) {
      const auto check_one = [&check, number](ByteSpan image) { return check(number, image); };
      std::optional<device::ScrubDamage> damage = co_await device::mend(device(), "node", pieces[number], check_one);
      if (damage) take(std::move(*damage));
    }
    if (level > 0) co_return;
    for (const Wanted& node : nodes) verified_.insert(node.pointer.address);
  }

  void take(device::ScrubDamage damage) {
    if (damage.lost) lost_.insert(bucket_at(damage.offset_bytes).value);
    findings_.damage.push_back(std::move(damage));
  }

  // Of the stripes that hold what the header in force leads to, all of which is verified by now.
  Task<void> scrub_parity() {
    std::sort(in_force_.begin(), in_force_.end(),
              [](const ScrubPiece& a, const ScrubPiece& b) { return a.offset_bytes < b.offset_bytes; });
    for (auto first = in_force_.begin(); first != in_force_.end();) {
      const BucketId bucket = bucket_at(first->offset_bytes);
      const auto end = std::find_if(first, in_force_.end(), [&](const ScrubPiece& piece) { return bucket_at(piece.offset_bytes) != bucket; });
      co_await scrub_parity(bucket, std::vector<ScrubPiece>(first, end));
      first = end;
    }
  }

  Task<void> scrub_parity(BucketId bucket, std::vector<ScrubPiece> pieces) {
    const u64 first_byte = format::first_block(bucket, slice_.bucket_blocks()).offset_bytes();
    const std::optional<space::BucketPin> pinned = pin(bucket);
    if (!pinned || !device().is_striped(first_byte) || lost_.contains(bucket.value)) co_return;
    const auto right = [](u64, ByteSpan) { return Status{}; };
    device::StripedPieces striped{std::move(pieces), {first_byte, slice_.bucket_blocks() * block_bytes}};
    co_await device::mend_parity(device(), std::move(striped), right, reader_, findings_);
  }

  Status check_node(const Wanted& node, u8 level, ByteSpan image) const {
    const format::NodeIdentity identity{slice_.header().filesystem, slice_.id(), node.tree};
    return format::validate_node(image, node.pointer, identity, level);
  }

  void want_children(const Wanted& node, u8 level, ByteSpan image) {
    if (level == 0) return;
    format::NodeHeader header;
    std::memcpy(&header, image.data(), sizeof header);
    for (u32 i = 0; i < header.count; ++i) {
      format::Slot slot;
      std::memcpy(&slot, image.data() + sizeof header + i * sizeof slot, sizeof slot);
      Wanted child{{}, node.tree};
      std::memcpy(&child.pointer, image.data() + slot.value_offset, sizeof child.pointer);
      const bool is_new_leaf = level == 1 && child.pointer.epoch > began_at_;
      if (!is_new_leaf) wanted_[level - 1].push_back(child);
    }
  }

  Slice& slice_;
  device::BackgroundReader& reader_;
  device::ScrubFindings& findings_;
  const u64 began_at_;  // epoch of the checkpoint that was in force
  u64 sequence_ = 0;    // of the header that is being followed; 0: none
  std::array<std::vector<Wanted>, format::node_level_max + 1> wanted_;
  absl::flat_hash_set<u64> verified_;  // addresses of leaves
  std::vector<ScrubPiece> in_force_;   // what the header that is being followed leads to
  absl::flat_hash_set<u64> lost_;      // buckets with something that has no good copy
};

}  // namespace

Task<Status> scrub_checkpoint(Slice& slice, device::BackgroundReader& reader, device::ScrubFindings& findings) {
  CheckpointScrub scrub(slice, reader, findings);
  co_return co_await scrub.run();
}

}  // namespace cowfs::slice
