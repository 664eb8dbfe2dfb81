#include "engine/repair/salvage_internal.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/admin/read_only_device.h"
#include "engine/repair/node_scan_internal.h"
#include "engine/repair/readable_history_internal.h"

namespace cowfs::repair {

namespace {

constexpr std::array salvaged_trees{TreeId::inodes,   TreeId::dirents, TreeId::xattrs,      TreeId::extents,
                                    TreeId::counters, TreeId::alloc,   TreeId::backpointers};

// Takes the keys of every leaf, and notes what is missing. Leaves below a damaged node are sound, as far as anybody knows.
class KeyGatherer final : public btree::NodeVisitor {
 public:
  KeyGatherer(u16 id, TreeId tree, u64 bucket_blocks, Salvaged& all, std::vector<Unreached>& unreached)
      : slice_(all.slices[id]), id_(id), tree_(tree), bucket_blocks_(bucket_blocks), all_(all), unreached_(unreached) {}

  Status visit(const format::NodePointer& pointer, const format::NodeHeader& header, ByteSpan image) override {
    all_.metadata_buckets.insert(format::bucket_of(format::Address{pointer.address}, bucket_blocks_).value);
    if (header.level == 1) leaves_ = {header.first.key(), header.last.key()};
    if (header.level > 0) return {};
    Keys& keys = slice_.tree(tree_);
    for (u32 i = 0; i < header.count; ++i) {
      format::Slot slot;
      std::memcpy(&slot, image.data() + sizeof header + i * sizeof slot, sizeof slot);
      const ByteSpan value = image.subspan(slot.value_offset, slot.value_bytes);
      keys.insert_or_assign(keys.end(), slot.key(), std::vector<std::byte>(value.begin(), value.end()));
    }
    return {};
  }
  void damaged(const format::NodePointer& pointer, const btree::SlotRange& range, const Error&) override {
    all_.metadata_buckets.insert(format::bucket_of(format::Address{pointer.address}, bucket_blocks_).value);
    const auto tree = static_cast<std::size_t>(tree_);
    const bool is_leaf = slice_.header->levels[tree] == 0 ||
                         (leaves_ && leaves_->first <= range.first && range.last <= leaves_->last);
    if (is_leaf)
      slice_.lost[tree].push_back(range);
    else
      unreached_.push_back({id_, tree_, range});
  }

 private:
  SliceSalvaged& slice_;
  const u16 id_;
  const TreeId tree_;
  const u64 bucket_blocks_;
  Salvaged& all_;
  std::vector<Unreached>& unreached_;
  std::optional<btree::SlotRange> leaves_;  // below the node of level 1 that was visited last
};

struct HeaderPlace {
  format::SliceHeader header{};
  bool is_valid = false;
};

// Of the copies that are valid, the newest.
Task<HeaderPlace> read_header_place(device::Device& device, const format::Superblock& superblock, u16 id, u64 place) {
  HeaderPlace best;
  device::AlignedBuffer raw(block_bytes);
  const u64 offset = (superblock.slice_headers_block + id * 2ull + place) * block_bytes;
  for (u8 copy = 1; copy <= device.copies(); ++copy) {
    const Status read = co_await device.read(offset, raw.span(), copy);
    HeaderPlace found;
    if (read) std::memcpy(&found.header, raw.data(), sizeof found.header);
    found.is_valid = read && format::validate_slice_header(found.header, format::filesystem_id(superblock), id).ok();
    const bool is_better = found.is_valid && (!best.is_valid || found.header.sequence > best.header.sequence);
    if (copy == 1 || is_better) best = found;
  }
  co_return best;
}

// What a checkpoint, or a repair, left of an epoch that was not committed does not count.
Task<void> read_header(device::Device& device, const format::Superblock& superblock, u16 id, u64 committed, Salvaged& all) {
  SliceSalvaged& slice = all.slices[id];
  std::array<HeaderPlace, 2> places;
  for (u64 place = 0; place < 2; ++place) {
    places[place] = co_await read_header_place(device, superblock, id, place);
    const format::SliceHeader& header = places[place].header;
    if (!places[place].is_valid) continue;
    all.newest_epoch = std::max<u64>(all.newest_epoch, header.publish_epoch);
    if (header.checkpoint_epoch > committed) continue;
    if (!slice.header || header.sequence > slice.header->sequence) slice.header = header;
  }
  if (!slice.header) co_return;
  const HeaderPlace& other = places[1 - slice.header->sequence % 2];
  slice.twin_is_sound = other.is_valid || format::is_superseded(other.header, *slice.header);
}

Task<Status> gather_slice(device::Device& device, const format::Superblock& superblock, u16 id, Salvaged& all,
                          std::vector<Unreached>& unreached) {
  SliceSalvaged& slice = all.slices[id];
  if (!slice.header) {
    for (const TreeId tree : salvaged_trees) unreached.push_back({id, tree, {}});
    co_return Status{};
  }
  admin::MediumReader reader(device);
  for (const TreeId tree : salvaged_trees) {
    const auto index = static_cast<std::size_t>(tree);
    KeyGatherer gatherer(id, tree, superblock.bucket_blocks, all, unreached);
    const format::NodeIdentity identity{format::filesystem_id(superblock), id, tree};
    const btree::Root root{slice.header->roots[index], slice.header->levels[index]};
    const Status walked = co_await btree::walk(reader, identity, root, gatherer);
    if (!walked) co_return walked;
  }
  co_return Status{};
}

void tell_lost(const Salvaged& all, std::vector<Repair>& repairs) {
  for (u16 id = 0; id < all.slices.size(); ++id) {
    for (const TreeId tree : salvaged_trees) {
      for (const btree::SlotRange& range : all.slices[id].lost_of(tree)) {
        const bool is_loss = !format::is_derived(tree);
        const bool everything = range.first == format::key_min && range.last == format::key_max;
        const std::string which = everything ? std::string("no keys")
                                             : fmt::format("keys from {:#x}:{} to {:#x}:{} not", range.first.inode,
                                                           range.first.offset, range.last.inode, range.last.offset);
        repairs.push_back({all.slices[id].header ? "node_damaged" : "slice_header_missing",
                           fmt::format("slice {} tree {}: {} found", id, format::name(tree), which), 0, is_loss});
      }
    }
  }
}

// One record of history over what the checkpoint holds.
void lay_over(Salvaged& all, Epoch epoch, const format::Record& record, std::vector<Repair>& repairs) {
  const bool ours = record.slice < all.slices.size() && !format::is_derived(record.tree) &&
                    format::belongs_to(record.slice, record.tree, record.key);
  const bool erased = record.kind == format::UpdateKind::erase;
  if (!ours || (!erased && !format::validate_value(record.tree, record.key, record.value))) {
    repairs.push_back({"journal_damaged", fmt::format("a record of epoch {} makes no sense and is dropped", epoch.value),
                       0, true});
    return;
  }
  SliceSalvaged& slice = all.slices[record.slice];
  if (slice.header && epoch.value <= slice.header->checkpoint_epoch) return;
  if (record.tree == TreeId::extents) slice.changed_files.insert(record.key.inode);
  if (record.tree == TreeId::leases) return;  // who has which bucket follows from what is in it
  if (erased)
    slice.tree(record.tree).erase(record.key);
  else
    slice.tree(record.tree)[record.key].assign(record.value.begin(), record.value.end());
}

}  // namespace

Task<Result<Salvaged>> salvage(device::Device& device, const format::Superblock& superblock, bool cut_journal,
                               std::vector<Repair>& repairs) {
  Result<journal::History> history = co_await journal::read_history(device, superblock);
  if (!history && !cut_journal) co_return history.error();
  const bool cut = !history;
  if (cut) history = co_await readable_history(device, superblock, repairs);

  Salvaged all;
  all.slices.resize(superblock.slices);
  all.newest_epoch = cut ? history->next.value - 1 : history->last.value;
  all.session = history->session;
  const u64 committed = all.newest_epoch;
  for (u16 id = 0; id < superblock.slices; ++id) co_await read_header(device, superblock, id, committed, all);
  std::vector<Unreached> unreached;
  for (u16 id = 0; id < superblock.slices; ++id) {
    const Status gathered = co_await gather_slice(device, superblock, id, all, unreached);
    if (!gathered) co_return gathered.error();
  }
  co_await find_unreached(device, superblock, unreached, all, repairs);
  tell_lost(all, repairs);
  for (const SliceSalvaged& slice : all.slices) {
    if (!slice.header || slice.twin_is_sound || history->oldest_needed.value <= slice.header->checkpoint_epoch + 1) continue;
    repairs.push_back({"slice_header_damaged",
                       fmt::format("slice {}: changes of the epochs {} to {} may be lost: the newest header is damaged",
                                   &slice - all.slices.data(), u64{slice.header->checkpoint_epoch} + 1,
                                   history->oldest_needed.value - 1),
                       0, true});
  }
  Salvaged* into = &all;
  journal::RecordVisitor lay = [into, &repairs](Epoch epoch, const format::Record& record) {
    lay_over(*into, epoch, record, repairs);
    return Status{};
  };
  const Status replayed = co_await journal::replay(*history, device, std::move(lay));
  if (!replayed) co_return replayed.error();
  co_return all;
}

}  // namespace cowfs::repair
