// Totals of what happened: gathered from the cores, the journal and the devices, kept in a tree of slice 0. They are
// stored when the filesystem is closed and before each checkpoint of slice 0, so a crash forgets what was counted since.
#include "engine/fs/filesystem_state.h"

namespace cowfs::fs {

using format::Activity;
using format::ActivityTotals;
using format::TreeId;
using format::UpdateKind;
using runtime::IoOperation;

namespace {

Totals& of(ActivityTotals& totals, Activity activity) { return totals[static_cast<u8>(activity)]; }

format::Key counter_key(u64 activity) { return {activity, 0, 0}; }

void add_devices(ActivityTotals& totals, const device::DeviceSet& devices) {
  for (u16 index = 0; index < devices.size(); ++index) {
    of(totals, Activity::device_read) += devices[index].totals(IoOperation::Kind::read);
    of(totals, Activity::device_write) += devices[index].totals(IoOperation::Kind::write);
    of(totals, Activity::device_flush) += devices[index].totals(IoOperation::Kind::flush);
    of(totals, Activity::device_discard) += devices[index].totals(IoOperation::Kind::discard);
  }
}

}  // namespace

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

Task<ActivityTotals> FilesystemState::activity_in_all() {
  ActivityTotals totals = co_await activity_since_mount();
  for (u8 activity = 0; activity < format::activity_count; ++activity) totals[activity] += counted_before_[activity];
  co_return totals;
}

Task<Status> FilesystemState::load_counters() {
  slice::Slice& zero = core(0).slice(0).slice;
  for (u8 activity = 0; activity < format::activity_count; ++activity) {
    const auto value = co_await zero.get(TreeId::counters, counter_key(activity));
    if (!value) co_return value.error();
    if (*value) counted_before_[activity] = format::decode_counter(**value);
  }
  co_return Status{};
}

Task<Status> FilesystemState::store_counters(bool may_wait) {
  if ((superblock_.features_required & format::feature_counters) == 0) co_return Status{};
  slice::Slice& zero = core(0).slice(0).slice;
  journal::Stream& stream = core(0).stream();
  const ActivityTotals totals = co_await activity_in_all();
  for (u8 activity = 0; activity < format::activity_count;) {
    const format::CounterValue value = format::encode_counter(totals[activity]);
    const slice::Update update{TreeId::counters, UpdateKind::upsert, counter_key(activity), bytes_of(value)};
    slice::Missing missing;
    if (totals[activity].count == 0) {
      ++activity;
    } else if (!zero.ready(update, missing)) {
      btree::NodesHeld held;
      const Status loaded = co_await zero.load(missing, held);
      if (!loaded) co_return loaded;
    } else if (stream.try_reserve(slice::journal_bytes(update))) {
      zero.apply(update);
      ++activity;
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
