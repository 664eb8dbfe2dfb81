// Totals of what happened: gathered from the cores, the journal and the devices, kept in a tree of slice 0, under each device's
// id also for it alone. They are stored when the filesystem is closed and before each checkpoint of slice 0, so a crash forgets what was counted since.
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::Activity;
using format::ActivityTotals;
using format::TreeId;
using format::UpdateKind;
using runtime::IoOperation;

namespace {

Totals& of(ActivityTotals& totals, Activity activity) { return totals[static_cast<u8>(activity)]; }

Totals totals_of(const device::Device& device, Activity activity) {
  const device::DeviceCounts counts = device.counts();
  switch (activity) {
    case Activity::device_read:
      return device.totals(IoOperation::Kind::read);
    case Activity::device_write:
      return device.totals(IoOperation::Kind::write);
    case Activity::device_flush:
      return device.totals(IoOperation::Kind::flush);
    case Activity::device_discard:
      return device.totals(IoOperation::Kind::discard);
    case Activity::device_error:
      return {.count = counts.errors};
    case Activity::copy_damaged:
      return {.count = counts.damaged_copies};
    default:
      assert(activity == Activity::copy_repaired);
      return {.count = counts.repaired_copies};
  }
}

void add_devices(ActivityTotals& totals, const device::DeviceSet& devices) {
  for (u16 index = 0; index < devices.size(); ++index) {
    of(totals, Activity::device_read) += devices[index].totals(IoOperation::Kind::read);
    of(totals, Activity::device_write) += devices[index].totals(IoOperation::Kind::write);
    of(totals, Activity::device_flush) += devices[index].totals(IoOperation::Kind::flush);
    of(totals, Activity::device_discard) += devices[index].totals(IoOperation::Kind::discard);
    for (const device::Device* member : devices[index].members()) {
      if (member == nullptr) continue;
      for (const Activity activity : {Activity::device_error, Activity::copy_damaged, Activity::copy_repaired})
        of(totals, activity) += totals_of(*member, activity);
    }
  }
}

}  // namespace

u64 FilesystemState::operations() const {
  u64 count = 0;
  for (const auto& core : cores_)
    for (u8 kind = 0; kind <= static_cast<u8>(Activity::read_directory); ++kind)
      count += core->activity(static_cast<Activity>(kind)).counted();
  return count;
}

Task<void> FilesystemState::count_copygc(CoreIndex index, Totals* moved) {
  core(index).each_slice([moved](SliceState& slice) { moved->count += slice.copygc.counters().moved_blocks; });
  co_return;
}

Task<ActivityTotals> FilesystemState::activity_since_mount() {
  ActivityTotals totals{};
  Totals& moved = of(totals, Activity::copygc);
  for (CoreIndex index = 0; index < cores(); ++index) {
    for (u8 activity = 0; activity < format::activity_count; ++activity) {
      totals[activity] += core(index).activity(static_cast<Activity>(activity)).totals();
    }
    auto count = [this, index, &moved] { return count_copygc(index, &moved); };
    co_await runtime::on(index, std::move(count));
  }
  moved.bytes = moved.count * block_bytes;
  Totals& commits = of(totals, Activity::commit);
  commits.count = journal_->counters().commits;
  commits.latencies = journal_->counters().commit_latencies;
  add_devices(totals, devices_);
  co_return totals;
}

// Since the filesystem was made, and for each device since it belongs to it.
Task<std::vector<FilesystemState::Counted>> FilesystemState::counted_in_all() {
  const ActivityTotals since_mount = co_await activity_since_mount();
  std::vector<Counted> all;
  const auto add = [this, &all](format::Key key, Totals totals) {
    if (const auto before = counted_before_.find(key); before != counted_before_.end()) totals += before->second;
    if (totals.count > 0) all.push_back({key, totals});
  };
  for (u8 activity = 0; activity < format::activity_count; ++activity)
    add(format::counter_key(static_cast<Activity>(activity)), since_mount[activity]);
  if (scrub_position_) all.push_back({format::scrub_position_key, {.count = *scrub_position_}});
  for (const device::Device* member : members()) {
    if (member == nullptr || member->id() == 0) continue;
    for (const Activity activity : format::device_activities)
      add(format::counter_key(activity, member->id()), totals_of(*member, activity));
  }
  co_return all;
}

std::vector<device::Device*> FilesystemState::members() const {
  std::vector<device::Device*> all;
  for (device::Device* device : device_list_) {
    const std::vector<device::Device*> some = device->members();
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Task<Status> FilesystemState::load_counter(format::Key key) {
  const auto value = co_await core(0).slice(0).slice.get(TreeId::counters, key);
  if (!value) co_return value.error();
  if (*value) counted_before_.emplace(key, format::decode_counter(**value));
  co_return Status{};
}

Task<Status> FilesystemState::load_counters() {
  for (u8 activity = 0; activity < format::activity_count; ++activity) {
    const Status loaded = co_await load_counter(format::counter_key(static_cast<Activity>(activity)));
    if (!loaded) co_return loaded;
  }
  for (const device::Device* member : members()) {
    for (const Activity activity : format::device_activities) {
      if (member == nullptr || member->id() == 0) continue;
      const Status loaded = co_await load_counter(format::counter_key(activity, member->id()));
      if (!loaded) co_return loaded;
    }
  }
  const Status loaded = co_await load_counter(format::scrub_position_key);
  const auto position = counted_before_.find(format::scrub_position_key);
  if (position != counted_before_.end()) scrub_position_ = position->second.count;
  co_return loaded;
}

Task<Status> FilesystemState::store_counters(bool may_wait) {
  if ((superblock_.features_required & format::feature_counters) == 0) co_return Status{};
  slice::Slice& zero = core(0).slice(0).slice;
  journal::Stream& stream = core(0).stream();
  const std::vector<Counted> counted = co_await counted_in_all();
  for (std::size_t next = 0; next < counted.size();) {
    const format::CounterValue value = format::encode_counter(counted[next].totals);
    const slice::Update update{TreeId::counters, UpdateKind::upsert, counted[next].key, bytes_of(value)};
    slice::Missing missing;
    if (!zero.ready(update, missing, slice::Room::kept)) {
      btree::NodesHeld held;
      const Status loaded = co_await zero.load(missing, held);
      if (!loaded) co_return loaded;
    } else if (stream.try_reserve(slice::journal_bytes(update))) {
      zero.apply(update);
      ++next;
    } else if (!may_wait) {
      co_return Status{};
    } else {
      const Status reserved = co_await stream.reserve(slice::journal_bytes(update));
      if (!reserved) co_return reserved;
      stream.unreserve(slice::journal_bytes(update));
    }
  }
  co_return Status{};
}

}  // namespace cowfs::fs
