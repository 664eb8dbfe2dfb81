// show-super, usage, list, list-journal: looking without judging.
#include <fmt/format.h>

#include <algorithm>

#include "engine/admin/read_only_device.h"
#include "engine/admin/tools.h"
#include "engine/journal/recovery.h"

namespace cowfs::admin {

using format::TreeId;

namespace {

// "name    value" lines, as format::to_text makes them.
std::vector<std::pair<std::string, std::string>> fields_of(const std::string& text) {
  constexpr std::size_t name_column = 23;
  std::vector<std::pair<std::string, std::string>> fields;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    std::string name = line.substr(0, name_column);
    name.erase(name.find_last_not_of(' ') + 1);
    fields.emplace_back(name, line.size() > name_column ? line.substr(name_column) : "");
    at = end + 1;
  }
  return fields;
}

// Of one device, or of all, whose id is 0.
Task<Result<std::vector<Activity>>> counted(RecoveredState* recovered, u64 device_id) {
  std::vector<Activity> activities;
  for (u8 id = 0; id < format::activity_count; ++id) {
    const format::Activity activity = static_cast<format::Activity>(id);
    const auto value = co_await recovered->slice(0).get(TreeId::counters, format::counter_key(activity, device_id));
    if (!value) co_return value.error();
    if (*value) activities.push_back({std::string(format::name(activity)), format::decode_counter(**value)});
  }
  co_return activities;
}

DeviceShown shown_member(const pool::Pool& pool, u16 number) {
  const format::PoolMember& member = pool.map().members[number];
  const device::Device* device = pool.member(number);
  const bool is_missing = device == nullptr;
  return {.number = number,
          .path = is_missing ? "" : device->describe(),
          .label = format::label_text(member.label),
          .state = is_missing ? "missing" : pool.is_current(number) ? "current" : "stale",
          .bytes = member.capacity_blocks * block_bytes,
          .activities = {}};
}

Task<Result<std::vector<DeviceShown>>> shown_devices(RecoveredState* recovered, const pool::Assembled* assembled) {
  std::vector<DeviceShown> devices;
  std::vector<u64> ids;
  if (assembled->pool == nullptr) {
    const device::Device& device = *assembled->device;
    devices.push_back({.number = 0, .path = device.describe(), .label = "", .state = "current", .bytes = device.capacity().value,
                       .activities = {}});
    ids.push_back(device.id());
  } else {
    for (u16 number = 0; number < assembled->pool->map().members.size(); ++number) {
      devices.push_back(shown_member(*assembled->pool, number));
      ids.push_back(format::short_id(assembled->pool->map().members[number].device));
    }
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Result<std::vector<Activity>> activities = co_await counted(recovered, ids[i]);
    if (!activities) co_return activities.error();
    devices[i].activities = std::move(*activities);
  }
  co_return devices;
}

Task<Result<Usage>> measure(RecoveredState* recovered, const pool::Assembled* assembled) {
  const format::Superblock* superblock = &assembled->superblock;
  const Status opened = co_await recovered->open();
  if (!opened) {
    co_await recovered->close();
    co_return opened.error();
  }
  const u64 bucket_bytes = superblock->bucket_blocks * block_bytes;
  Usage usage;
  usage.capacity_bytes = superblock->capacity_blocks * block_bytes;
  usage.bucket_bytes = bucket_bytes;
  usage.journal_bytes = superblock->journal_buckets * bucket_bytes;
  usage.data_buckets = usage.data_buckets_free = superblock->bucket_count - superblock->first_data_bucket;
  usage.user_bytes = usage.data_buckets * bucket_bytes * superblock->usable_percent / 100;
  for (u16 id = 0; id < superblock->slices; ++id) {
    slice::Slice& slice = recovered->slice(id);
    SliceUsage one;
    one.slice = id;
    one.inodes = slice.inode_count();
    one.buckets = slice.buckets().owned_count();
    one.buckets_empty = slice.buckets().empty_count();
    one.data_bytes = slice.buckets().live_blocks() * block_bytes;
    one.metadata_bytes = slice.metadata().live_blocks() * block_bytes;
    one.metadata_buckets = slice.metadata().bucket_count();
    usage.inodes += one.inodes;
    usage.data_buckets_free -= std::min(usage.data_buckets_free, one.buckets);
    usage.used_bytes += one.data_bytes + one.metadata_buckets * bucket_bytes;
    usage.slices.push_back(one);
  }
  const journal::History& history = recovered->state().history();
  if (!history.entries.empty()) {
    usage.notes.push_back(fmt::format("after {} journal entries up to epoch {} were replayed in memory",
                                      history.entries.size(), history.last.value));
  }
  Result<std::vector<DeviceShown>> devices = co_await shown_devices(recovered, assembled);
  co_await recovered->close();
  if (!devices) co_return devices.error();
  usage.devices = std::move(*devices);
  co_return usage;
}

Task<Result<CountersShown>> read_counters(RecoveredState* recovered, const pool::Assembled* assembled) {
  const Status opened = co_await recovered->open();
  if (!opened) {
    co_await recovered->close();
    co_return opened.error();
  }
  Result<std::vector<Activity>> activities = co_await counted(recovered, 0);
  Result<std::vector<DeviceShown>> devices = co_await shown_devices(recovered, assembled);
  co_await recovered->close();
  if (!activities) co_return activities.error();
  if (!devices) co_return devices.error();
  co_return CountersShown{.activities = std::move(*activities), .devices = std::move(*devices), .notes = {}};
}

// Prints keys or nodes as walk() meets them.
class Lister final : public btree::NodeVisitor {
 public:
  Lister(const ListOptions& options, const std::function<void(const Listed&)>& show, u16 slice, TreeId tree,
         ListSummary& summary)
      : options_(options), show_(show), slice_(slice), tree_(tree), summary_(summary) {}

  Status visit(const format::NodePointer& pointer, const format::NodeHeader& header, ByteSpan image) override {
    if (options_.nodes) {
      const format::Key first = header.first.key();
      const format::Key last = header.last.key();
      const format::Address address{pointer.address};
      line(fmt::format("level {} at {}:{} epoch {} keys {} bytes {} from {:#x}:{} to {:#x}:{}", header.level,
                       address.device(), address.block(), u64{header.epoch}, u16{header.count}, u32{header.image_bytes},
                       first.inode, first.offset, last.inode, last.offset),
           false);
      return {};
    }
    if (header.level > 0) return {};
    for (u32 i = 0; i < header.count; ++i) {
      format::Slot slot;
      std::memcpy(&slot, image.data() + sizeof header + i * sizeof slot, sizeof slot);
      line(format::to_text(tree_, slot.key(), image.subspan(slot.value_offset, slot.value_bytes)), false);
    }
    return {};
  }
  void damaged(const format::NodePointer&, const btree::SlotRange&, const Error& error) override {
    ++summary_.damaged;
    line(to_text(error), true);
  }

 private:
  void line(std::string text, bool damaged) {
    ++summary_.lines;
    show_({slice_, std::string(format::name(tree_)), std::move(text), damaged});
  }

  const ListOptions& options_;
  const std::function<void(const Listed&)>& show_;
  const u16 slice_;
  const TreeId tree_;
  ListSummary& summary_;
};

Task<Status> list_slice(ReadOnlyDevice* opened, const ListOptions* options,
                        const std::function<void(const Listed&)>* show, u16 slice, ListSummary* summary) {
  const SliceHeaderFound found = co_await read_slice_header(opened->device(), opened->superblock(), slice);
  for (const Error& error : found.damaged) {
    ++summary->damaged;
    const Listed line{slice, "", to_text(error), true};
    (*show)(line);
  }
  if (!found.newest) co_return Status{};
  const format::SliceHeader& header = *found.newest;
  summary->notes.push_back(fmt::format("slice {}: checkpoint {} of epoch {}, next inode {}", slice,
                                       u64{header.sequence}, u64{header.checkpoint_epoch}, u64{header.next_inode}));
  MediumReader reader(opened->device());
  for (u8 id = 0; id < format::tree_count; ++id) {
    const TreeId tree = static_cast<TreeId>(id);
    if (options->tree && *options->tree != format::name(tree)) continue;
    Lister lister(*options, *show, slice, tree, *summary);
    const format::NodeIdentity identity{format::filesystem_id(opened->superblock()), slice, tree};
    const btree::Root root{header.roots[id], header.levels[id]};
    const Status walked = co_await btree::walk(reader, identity, root, lister);
    if (!walked) co_return walked;
  }
  co_return Status{};
}

Task<Result<journal::History>> history_of(ReadOnlyDevice* opened) {
  return journal::read_history(opened->device(), opened->superblock());
}

Task<Result<ListSummary>> list_slices(ReadOnlyDevice* opened, const ListOptions* options,
                                      const std::function<void(const Listed&)>* show) {
  ListSummary summary;
  summary.notes = opened->notes();
  for (u16 slice = 0; slice < opened->superblock().slices; ++slice) {
    if (options->slice && *options->slice != slice) continue;
    const Status listed = co_await list_slice(opened, options, show, slice, &summary);
    if (!listed) co_return listed.error();
  }
  const Result<journal::History> history = co_await history_of(opened);
  if (history) {
    summary.notes.push_back(fmt::format("trees are as of the checkpoints; the journal has {} entries, epochs {} to {}",
                                        history->entries.size(), history->oldest_needed.value, history->last.value));
  } else {
    summary.notes.push_back("the journal: " + to_text(history.error()));
  }
  co_return summary;
}

}  // namespace

namespace {

Task<Result<SuperblockShown>> show(device::Device* device) {
  const Result<pool::SuperblockFound> found = co_await pool::read_superblock(*device);
  if (!found) co_return found.error();
  std::string text = format::to_text(found->superblock);
  SuperblockShown shown{{}, found->notes};
  if (format::is_of_pool(found->superblock)) {
    const std::optional<format::PoolMap> map = co_await pool::read_map(*device, found->superblock);
    if (map) text += format::to_text(*map, found->superblock.bucket_blocks);
    if (!map) shown.notes.push_back("its map of the filesystem's devices is damaged");
  }
  shown.fields = fields_of(text);
  co_return std::move(shown);
}

}  // namespace

Result<SuperblockShown> show_superblock(const std::string& path) {
  const auto session = DeviceSession::open(path, device::OpenMode::read_only);
  if (!session) return session.error();
  device::Device* device = (*session)->devices().front();
  return (*session)->run([device] { return show(device); });
}

Result<Usage> usage(const DeviceNames& devices) {
  const auto opened = ReadOnlyDevice::open(devices);
  if (!opened) return opened.error();
  RecoveredState recovered((*opened)->device(), (*opened)->superblock());
  RecoveredState* state = &recovered;
  const pool::Assembled* assembled = &(*opened)->assembled();
  Result<Usage> measured = (*opened)->run([state, assembled] { return measure(state, assembled); });
  if (measured) {
    const std::vector<std::string> notes = (*opened)->notes();
    measured->notes.insert(measured->notes.begin(), notes.begin(), notes.end());
  }
  return measured;
}

Result<CountersShown> counters(const DeviceNames& devices) {
  const auto opened = ReadOnlyDevice::open(devices);
  if (!opened) return opened.error();
  RecoveredState recovered((*opened)->device(), (*opened)->superblock());
  RecoveredState* state = &recovered;
  Result<CountersShown> shown = (*opened)->run([&] { return read_counters(state, &(*opened)->assembled()); });
  if (!shown) return shown;
  shown->notes = (*opened)->notes();
  if (((*opened)->superblock().features_required & format::feature_counters) == 0)
    shown->notes.push_back("this filesystem was made by a version that kept no counters");
  return shown;
}

Result<ListSummary> list(const DeviceNames& devices, const ListOptions& options,
                         const std::function<void(const Listed&)>& show) {
  const auto opened = ReadOnlyDevice::open(devices);
  if (!opened) return opened.error();
  if (options.slice && *options.slice >= (*opened)->superblock().slices) {
    return Error{Code::slice_unknown, *options.slice};
  }
  bool known = !options.tree;
  for (u8 id = 0; id < format::tree_count; ++id)
    known = known || *options.tree == format::name(static_cast<TreeId>(id));
  if (!known) return Error{Code::tree_unknown, 0};
  ReadOnlyDevice* device = opened->get();
  return (*opened)->run([device, &options, &show] { return list_slices(device, &options, &show); });
}

Result<JournalShown> list_journal(const DeviceNames& devices) {
  const auto opened = ReadOnlyDevice::open(devices);
  if (!opened) return opened.error();
  ReadOnlyDevice* device = opened->get();
  const Result<journal::History> history = (*opened)->run([device] { return history_of(device); });
  if (!history) return history.error();
  JournalShown shown;
  shown.last_epoch = history->last.value;
  shown.oldest_needed_epoch = history->oldest_needed.value;
  shown.session = history->session;
  for (const journal::HistoryEntry& entry : history->entries) {
    const format::Address address{entry.pointer.address};
    shown.entries.push_back({entry.epoch().value, entry.stream, entry.session, entry.sequence, entry.records,
                             entry.pointer.bytes, address.device(), address.block()});
  }
  shown.notes = (*opened)->notes();
  if (history->refused.value != 0) {
    shown.notes.push_back(
        fmt::format("epoch {} was cut short by a crash: history ends before it", history->refused.value));
  }
  return shown;
}

}  // namespace cowfs::admin
