// The walk goes backwards from the newest entry of each chain, and only a bucket's first entry says which bucket comes
// next. So that it need not wait for the device at each, the first entries of all buckets are read before, side by side,
// and their sequence numbers say in which order the chains will want the buckets. That is a guess to read ahead by: what
// history is, the chains alone decide.
//
// The walk keeps pointers only (about 56 bytes an entry), and the few records that say who owns which bucket; replay reads
// the buckets again, in order of epochs, each core those with records of its slices. Cores that wrote the history find their
// own there, so a gigabyte of journal is read twice: two seconds at 1 GB/s. Chains are walked side by side for the same reason.
#include "engine/journal/recovery.h"

#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "engine/base/points.h"
#include "engine/device/copies.h"
#include "engine/journal/verify.h"
#include "engine/runtime/on.h"

namespace cowfs::journal {
namespace {

// Where an entry lies in its bucket. Precondition: layout.contains(pointer).
ByteSpan entry_in(ByteSpan bucket, const JournalLayout& layout, const format::EntryPointer& pointer) {
  const u64 block = format::Address{pointer.address}.block() % layout.bucket_blocks;
  return bucket.subspan(block * block_bytes, pointer.bytes);
}

device::Verify entry_check(const JournalLayout& layout, const format::EntryPointer& pointer) {
  return [filesystem = layout.filesystem, pointer](ByteSpan raw) {
    return format::validate_entry(raw.first(pointer.bytes), filesystem, pointer);
  };
}

device::AlignedBuffer buffer_for(const format::EntryPointer& pointer) {
  return device::AlignedBuffer(round_up(pointer.bytes, block_bytes));
}

// An entry that is wrong in the copy that was read; `buffer` holds it. Error: `wrong`.
Task<Result<ByteSpan>> entry_of_other_copy(device::Device& device, JournalLayout layout, format::EntryPointer pointer,
                                           device::AlignedBuffer& buffer, Error wrong) {
  if (device.copies() == 1) co_return wrong;
  buffer = buffer_for(pointer);
  const u64 offset = format::Address{pointer.address}.offset_bytes();
  const Status read =
      co_await device::read_other_copies(device, offset, buffer.span(), entry_check(layout, pointer), wrong);
  if (!read.ok()) co_return read.error();
  co_return ByteSpan(buffer.span()).first(pointer.bytes);
}

// The first entry of each bucket, as far as it looks like one.
struct Survey {
  struct First {
    u64 bucket = 0;
    bool plausible = false;
    u32 stream = 0;
    u32 session = 0;
    u64 sequence = 0;
    u64 epoch = 0;
  };
  std::vector<First> buckets;
  u64 next = 0;
};

constexpr u64 survey_reads_max = 64;  // at once

Task<void> survey_some(device::Device& device, const JournalLayout& layout, Survey& survey) {
  device::AlignedBuffer block(block_bytes);
  while (survey.next < survey.buckets.size()) {
    Survey::First& first = survey.buckets[survey.next];
    first.bucket = survey.next++;
    device::IoAwaiter read = device.read(layout.bucket_block(first.bucket) * block_bytes, block.span());
    const Status status = co_await read;
    if (!status.ok()) continue;
    format::EntryHeader header;
    std::memcpy(&header, block.data(), sizeof header);
    first.plausible = header.magic == format::entry_magic && header.filesystem == layout.filesystem &&
                      header.address == layout.address(first.bucket, 0).value;
    first.stream = header.stream;
    first.session = header.session;
    first.sequence = header.sequence;
    first.epoch = header.epoch;
  }
}

// The buckets that each chain of `commit` probably leads through, in order, none twice.
Task<std::vector<std::vector<u64>>> guess_orders(device::Device& device, const JournalLayout& layout,
                                                 const Commit& commit) {
  Survey survey;
  survey.buckets.resize(commit.tails.empty() ? 0 : layout.buckets);
  runtime::Gate gate;
  for (u64 i = 0; i < std::min(survey_reads_max, survey.buckets.size()); ++i)
    gate.spawn(survey_some(device, layout, survey));
  co_await gate.drained();

  std::vector<std::vector<u64>> orders;
  absl::flat_hash_set<u64> seen;
  std::vector<Survey::First> chain;
  for (const format::EntryPointer& tail : commit.tails) {
    std::vector<u64>& order = orders.emplace_back();
    if (!layout.contains(tail)) continue;
    const Survey::First newest = survey.buckets[layout.bucket_of({tail.address})];
    if (!newest.plausible) continue;
    chain.clear();
    std::copy_if(survey.buckets.begin(), survey.buckets.end(), std::back_inserter(chain),
                 [&](const Survey::First& one) {
                   return one.plausible && one.stream == newest.stream && one.session == newest.session &&
                          one.sequence <= newest.sequence;
                 });
    std::sort(chain.begin(), chain.end(), [](const auto& a, const auto& b) { return a.sequence > b.sequence; });
    for (const Survey::First& one : chain) {
      if (seen.insert(one.bucket).second) order.push_back(one.bucket);
      if (one.epoch < commit.oldest_needed.value) break;  // what lies before it is older still
    }
  }
  co_return orders;
}

struct WalkedLease {
  LeaseRecord lease;
  std::size_t found;  // orders those of one entry
};

struct Walk {
  std::vector<HistoryEntry> entries;
  std::vector<WalkedLease> leases;
  std::optional<Error> broken;  // the first entry that does not verify
  Epoch broken_epoch;
};

// The bucket that a walk is in.
class WalkWindow {
 public:
  WalkWindow(device::Device& device, const JournalLayout& layout, BucketFeed& feed)
      : device_(device), layout_(layout), feed_(feed) {}

  // Errors: of the device.
  Task<Result<ByteSpan>> move(u64 bucket) {
    if (bucket == bucket_) co_return bytes_;
    let_go();
    if (feed_.has(bucket)) {
      const Result<ByteSpan> taken = co_await feed_.take(bucket);
      if (!taken.ok()) co_return taken;
      held_ = true;
      bytes_ = *taken;
    } else {
      if (own_.size() == 0) own_ = device::AlignedBuffer(layout_.bucket_bytes());
      device::IoAwaiter read = device_.read(layout_.bucket_block(bucket) * block_bytes, own_.span());
      const Status status = co_await read;
      if (!status.ok()) co_return status.error();
      bytes_ = own_.span();
    }
    bucket_ = bucket;
    co_return bytes_;
  }
  // Of an entry in this bucket that is wrong in it; valid until the next one.
  Task<Result<ByteSpan>> other_copy(format::EntryPointer pointer, Error wrong) {
    return entry_of_other_copy(device_, layout_, pointer, other_copy_, wrong);
  }
  void let_go() {
    if (held_) feed_.done(bucket_);
    held_ = false;
    bucket_ = ~0ull;
  }

 private:
  device::Device& device_;
  const JournalLayout& layout_;
  BucketFeed& feed_;
  device::AlignedBuffer own_;  // for buckets that were not foreseen
  device::AlignedBuffer other_copy_;
  ByteSpan bytes_;
  u64 bucket_ = ~0ull;
  bool held_ = false;
};

void look_through(HistoryEntry& entry, ByteSpan raw, std::vector<WalkedLease>& leases) {
  format::RecordReader records(raw);
  format::Record record;
  while (records.next(record)) {
    entry.slices |= slice_bit(record.slice);
    if (record.tree != format::TreeId::leases) continue;
    const LeaseRecord lease{entry.epoch(),
                            entry.stream,
                            entry.sequence,
                            record.slice,
                            record.kind,
                            record.key,
                            {record.value.begin(), record.value.end()}};
    leases.push_back({lease, leases.size()});
  }
}

auto place_in_history(const HistoryEntry& entry) { return std::tuple(entry.epoch(), entry.stream, entry.sequence); }
auto place_in_history(const WalkedLease& walked) {
  return std::tuple(walked.lease.epoch, walked.lease.stream, walked.lease.sequence, walked.found);
}

template <typename Item>
void put_in_order(std::vector<Item>& items) {
  std::sort(items.begin(), items.end(),
            [](const Item& a, const Item& b) { return place_in_history(a) < place_in_history(b); });
}

constexpr u32 streams_max = 1u << 16;  // cores are numbered with 16 bits

// What `previous` in a chain may name, so that every walk ends: an older entry of the same stream.
bool goes_back(const HistoryEntry& newer, const format::EntryHeader& header) {
  return header.stream == newer.stream && header.session == newer.session && header.sequence < newer.sequence;
}

Task<Status> walk_chain(const JournalLayout& layout, const Commit& commit, format::EntryPointer pointer,
                        WalkWindow& window, Walk& walk) {
  std::optional<HistoryEntry> newer;
  const u64 entries_max = layout.buckets * layout.bucket_blocks;
  while (pointer.address != 0 && pointer.epoch >= commit.oldest_needed.value) {
    const Place place{.device = layout.device_index, .offset_bytes = format::Address{pointer.address}.offset_bytes()};
    Status verdict;
    format::EntryHeader header{};
    ByteSpan raw;
    if (!layout.contains(pointer) || walk.entries.size() >= entries_max) {
      verdict = Error{Code::journal_chain_broken, pointer.epoch, place};
    } else {
      const u64 number = layout.bucket_of(format::Address{pointer.address});
      const Result<ByteSpan> bucket = co_await window.move(number);
      if (!bucket.ok()) co_return bucket.error();
      raw = entry_in(*bucket, layout, pointer);
      verdict = format::validate_entry(raw, layout.filesystem, pointer);
      if (!verdict.ok()) {
        const Result<ByteSpan> other = co_await window.other_copy(pointer, verdict.error());
        verdict = other.ok() ? Status{} : Status{other.error()};
        if (other.ok()) raw = *other;
      }
      std::memcpy(&header, raw.data(), sizeof header);
      if (verdict.ok() && (header.stream >= streams_max || (newer && !goes_back(*newer, header))))
        verdict = Error{Code::journal_chain_broken, pointer.epoch, place};
    }
    if (!verdict.ok()) {
      walk.broken = verdict.error();
      walk.broken_epoch = {pointer.epoch};
      co_return Status{};
    }
    newer = HistoryEntry{.pointer = pointer,
                         .stream = header.stream,
                         .session = header.session,
                         .records = header.records,
                         .sequence = header.sequence};
    look_through(*newer, raw, walk.leases);
    walk.entries.push_back(*newer);
    pointer = header.previous;
  }
  co_return Status{};
}

// One core's share of a walk: every so-manieth chain.
struct WalkShare {
  device::Device& device;
  const JournalLayout& layout;
  const Commit& commit;
  const std::vector<std::vector<u64>>& orders;
  std::size_t first;
  std::size_t step;
  Walk walk;
  Status status;

  Task<void> run() {
    for (std::size_t i = first; i < commit.tails.size() && status.ok() && !walk.broken; i += step) {
      BucketFeed feed(device, layout, orders[i], 1);
      WalkWindow window(device, layout, feed);
      status = co_await walk_chain(layout, commit, commit.tails[i], window, walk);
      window.let_go();
      co_await feed.stop();
    }
  }
};

Task<void> run_on(runtime::CoreIndex core, WalkShare& share) {
  auto run = [&share] { return share.run(); };
  co_await runtime::on(core, std::move(run));
}

// What is broken furthest back decides.
void merge(Walk& walk, Walk&& other) {
  if (other.broken && (!walk.broken || other.broken_epoch < walk.broken_epoch)) {
    walk.broken = other.broken;
    walk.broken_epoch = other.broken_epoch;
  }
  walk.entries.insert(walk.entries.end(), other.entries.begin(), other.entries.end());
  std::move(other.leases.begin(), other.leases.end(), std::back_inserter(walk.leases));
}

Task<Result<Walk>> walk_commit(device::Device& device, const JournalLayout& layout, const Commit& commit) {
  const std::vector<std::vector<u64>> orders = co_await guess_orders(device, layout, commit);
  const u16 cores = runtime::this_reactor().cores();
  std::vector<WalkShare> shares;
  for (u16 core = 0; core < cores; ++core) shares.push_back({device, layout, commit, orders, core, cores, {}, {}});
  runtime::Gate gate;
  for (u16 core = 0; core < cores; ++core) gate.spawn(run_on(core, shares[core]));
  co_await gate.drained();
  Walk walk;
  for (WalkShare& share : shares) {
    if (!share.status.ok()) co_return share.status.error();
    merge(walk, std::move(share.walk));
  }
  put_in_order(walk.entries);
  put_in_order(walk.leases);
  co_return walk;
}

History history_of(const JournalLayout& layout, const Commit& commit, Walk& walk) {
  History history;
  history.layout = layout;
  history.last = commit.epoch;
  history.oldest_needed = commit.oldest_needed;
  history.session = commit.session;
  history.entries = std::move(walk.entries);
  for (WalkedLease& walked : walk.leases) history.leases.push_back(std::move(walked.lease));
  std::copy_if(commit.tails.begin(), commit.tails.end(), std::back_inserter(history.tails),
               [&](const format::EntryPointer& tail) { return tail.epoch >= commit.oldest_needed.value; });
  return history;
}

// Entries that may have reached only some of the copies are in all of them afterwards.
Task<Status> settle_entries(const History& history, Epoch flushed, device::Device& device) {
  if (device.copies() == 1) co_return Status{};
  for (const HistoryEntry& entry : history.entries) {
    if (entry.epoch() <= flushed) continue;
    device::AlignedBuffer buffer = buffer_for(entry.pointer);
    const u64 offset = format::Address{entry.pointer.address}.offset_bytes();
    const Result<bool> settled =
        co_await device::settle_copies(device, offset, buffer.span(), entry_check(history.layout, entry.pointer));
    if (!settled.ok()) co_return settled.error();
  }
  co_return Status{};
}

// What `commit` says history is. Nothing when it was flushed together with what is missing of it. Entries that were
// flushed before it was written cannot be missing: one that does not verify was damaged later.
Task<Result<std::optional<History>>> history_to(device::Device& device, const JournalLayout& layout,
                                                const Commit& commit, Epoch flushed) {
  Result<Walk> walk = co_await walk_commit(device, layout, commit);
  if (!walk.ok()) co_return walk.error();
  if (walk->broken && walk->broken_epoch <= flushed)
    co_return Error{Code::journal_chain_broken, commit.epoch.value, walk->broken->place};
  std::optional<History> history;
  if (walk->broken) co_return history;
  history = history_of(layout, commit, *walk);
  if (flushed == commit.epoch) co_return history;
  if (const Status settled = co_await settle_entries(*history, flushed, device); !settled.ok()) co_return settled.error();
  const Result<bool> there = co_await data_is_there(*history, flushed, device);
  if (!there.ok()) co_return there.error();
  if (!*there) history.reset();
  co_return history;
}

}  // namespace

Task<Result<History>> read_history(device::Device& device, const format::Superblock& superblock) {
  const JournalLayout layout = JournalLayout::of(superblock);
  CommitRing ring(device, layout);
  const Result<std::vector<Commit>> commits = co_await ring.read_all();
  if (!commits.ok()) co_return commits.error();
  if (commits->empty()) co_return Error{Code::journal_no_commit, 0, {.device = layout.device_index}};
  const Commit& newest = commits->front();
  const bool flushed_before = newest.previous.value == 0;
  Result<std::optional<History>> history =
      co_await history_to(device, layout, newest, flushed_before ? newest.epoch : newest.previous);
  if (!history.ok()) co_return history.error();
  if (!*history) {
    reached(Point::commit_cut_short);
    // The commit before was acknowledged, with everything that it stands for.
    const auto before = std::find_if(commits->begin(), commits->end(),
                                     [&newest](const Commit& commit) { return commit.epoch == newest.previous; });
    if (before == commits->end())
      co_return Error{Code::journal_commit_damaged, newest.previous.value, {.device = layout.device_index}};
    history = co_await history_to(device, layout, *before, before->epoch);
    if (!history.ok()) co_return history.error();
    (*history)->refused = newest.epoch;
    (*history)->session = newest.session;
  }
  // Epochs that were tried and lost are never used again, nor is the one whose commit block may be half-written.
  (*history)->next = {newest.epoch.value + 2};
  co_return std::move(**history);
}

Task<Status> retire(History& history, device::Device& device) {
  if (history.refused.value == 0 && device.copies() == 1) co_return Status{};
  if (device.copies() > 1) {
    device::IoAwaiter flush = device.flush();
    if (const Status flushed = co_await flush; !flushed.ok()) co_return flushed;
  }
  const Epoch last{std::max(history.refused, history.last).value + 1};
  const Commit commit{.epoch = last,
                      .oldest_needed = history.oldest_needed,
                      .session = history.session,
                      .previous = {},
                      .tails = history.tails};
  CommitRing ring(device, history.layout);
  const Status written = co_await ring.write(commit, true);
  if (!written.ok()) co_return written;
  history.last = last;
  history.refused = {};
  co_return Status{};
}

std::vector<u64> History::buckets() const {
  std::vector<u64> order;
  absl::flat_hash_set<u64> seen;
  for (const HistoryEntry& entry : entries) {
    const u64 bucket = layout.bucket_of({entry.pointer.address});
    if (seen.insert(bucket).second) order.push_back(bucket);
  }
  return order;
}

History History::part(u64 slices) const {
  History part;
  part.layout = layout;
  std::copy_if(entries.begin(), entries.end(), std::back_inserter(part.entries),
               [slices](const HistoryEntry& entry) { return (entry.slices & slices) != 0; });
  return part;
}

ReplayReader::~ReplayReader() {
  for (Window& window : windows_) let_go(window);
}

Task<Result<bool>> ReplayReader::next() {
  if (position_ == history_.entries.size()) co_return false;
  const HistoryEntry& entry = history_.entries[position_++];
  if (windows_.size() <= entry.stream) windows_.resize(entry.stream + 1);
  Window& window = windows_[entry.stream];
  const u64 bucket = history_.layout.bucket_of({entry.pointer.address});
  if (!window.held || window.bucket != bucket) {
    const Status moved = co_await move(window, bucket);
    if (!moved.ok()) co_return moved.error();
  }
  ByteSpan raw = entry_in(window.bytes, history_.layout, entry.pointer);
  const Status valid = format::validate_entry(raw, history_.layout.filesystem, entry.pointer);
  if (!valid.ok()) {
    const Result<ByteSpan> other =
        co_await entry_of_other_copy(feed_.device(), history_.layout, entry.pointer, other_copy_, valid.error());
    if (!other.ok()) co_return other.error();
    raw = *other;
  }
  epoch_ = entry.epoch();
  entry_ = raw;
  co_return true;
}

Task<Status> ReplayReader::move(Window& window, u64 bucket) {
  let_go(window);
  const Result<ByteSpan> taken = co_await feed_.take(bucket);
  if (!taken.ok()) co_return taken.error();
  window = {*taken, bucket, true};
  co_return Status{};
}

void ReplayReader::let_go(Window& window) {
  if (std::exchange(window.held, false)) feed_.done(window.bucket);
}

namespace {

Task<Status> visit_all(const History& history, BucketFeed& feed, const RecordVisitor& visitor) {
  ReplayReader reader(history, feed);
  while (true) {
    const Result<bool> more = co_await reader.next();
    if (!more.ok()) co_return more.error();
    if (!*more) co_return Status{};
    format::RecordReader records = reader.records();
    format::Record record;
    while (records.next(record)) {
      const Status status = visitor(reader.epoch(), record);
      if (!status.ok()) co_return status;
    }
  }
}

}  // namespace

Task<Status> replay(const History& history, device::Device& device, RecordVisitor visitor) {
  BucketFeed feed(device, history.layout, history.buckets(), 1);
  const Status visited = co_await visit_all(history, feed, visitor);
  co_await feed.stop();
  co_return visited;
}

std::string to_text(const History& history) {
  std::string text =
      fmt::format("history to epoch {}, needed from {}, session {}, {} entries in {} chains\n", history.last.value,
                  history.oldest_needed.value, history.session, history.entries.size(), history.tails.size());
  if (history.refused.value != 0) text += fmt::format("epoch {} was cut short\n", history.refused.value);
  for (const HistoryEntry& entry : history.entries) {
    const format::Address address{entry.pointer.address};
    text += fmt::format("epoch {} stream {} session {} sequence {} records {} bytes {} at {}:{}\n", entry.epoch().value,
                        entry.stream, entry.session, entry.sequence, entry.records, u32{entry.pointer.bytes},
                        address.device(), address.block());
  }
  return text;
}

}  // namespace cowfs::journal
