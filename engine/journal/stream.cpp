// Records are copied into the open entry, whose place is known when it is opened: the rest of the current bucket bounds
// it, so that no bucket ends in more waste than one record. It is sealed when it is full, or when its epoch closes, and
// is written at once. The chain's checksums need entries to be sealed in order; the writes themselves overlap.
//
// Room: reservations are charged against the blocks that the stream owns, one bucket ahead of what it needs. What
// padding costs is not known in advance (each epoch that closes rounds an entry up to a block), so padding_bytes are
// kept back, and reclaim_bytes more for urgent reservations. Should padding ever eat even that, sealed entries wait in
// memory for a bucket: append() never fails.
#include "engine/journal/stream.h"

#include <algorithm>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"
#include "engine/journal/journal.h"
#include "engine/journal/verify.h"
#include "engine/runtime/on.h"

namespace cowfs::journal {
namespace {

constexpr u64 padding_bytes = 64 * kib;
constexpr u64 reclaim_bytes = 128 * kib;
constexpr std::size_t spare_entries_max = 8;
constexpr u64 cut_entry_bytes = block_bytes;  // has room for any record
static_assert(cut_entry_bytes >= sizeof(format::EntryHeader) + record_bytes(format::node_value_bytes_max));

}  // namespace

struct Stream::Entry {
  device::AlignedBuffer buffer{entry_bytes_max};
  Epoch epoch;
  u64 used = 0;
  u64 capacity = 0;
  u32 records = 0;
  bool placed = false;  // it will lie at the next free block of the current bucket
  format::Address address;

  u64 blocks() const { return round_up(used, block_bytes) / block_bytes; }
  void add(ByteSpan bytes) {
    if (bytes.empty()) return;
    std::memcpy(buffer.data() + used, bytes.data(), bytes.size());
    used += bytes.size();
  }
};

struct Stream::CommitAwaiter {
  Stream& stream;
  Epoch epoch;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) { stream.commit_waiters_.push_back({epoch, self}); }
  void await_resume() const noexcept {}
};

Stream::Stream(Journal& journal, CoreIndex core, const CoreHooks& hooks, Epoch first)
    : journal_(journal),
      core_(core),
      hooks_(hooks),
      attendance_(first),
      current_(first),
      durable_{first.value - 1},
      asked_{first.value - 1} {
  assert(hooks.observer != nullptr && hooks.reclaim != nullptr && first.value > 0);
  attend();  // core 0 does not know yet what this core needs
}

Stream::~Stream() = default;

void Stream::attend() {
  current_ = attendance_.attend();
  attends_ = true;
}

void Stream::append(u16 slice, TreeId tree, UpdateKind kind, const Key& key, ByteSpan value) {
  assert(value.size() <= format::node_value_bytes_max && !format::is_derived(tree));
  const u64 bytes = record_bytes(value.size());
  assert(bytes <= reserved_bytes_);
  reserved_bytes_ -= bytes;
  if (failure_) return;
  if (open_ == nullptr || open_->used + bytes > open_->capacity) {
    if (open_ != nullptr) seal_open_entry();
    open_entry();
  }
  const format::RecordHeader header{
      slice,  static_cast<u8>(tree),     static_cast<u8>(kind), static_cast<u16>(value.size()),
      u16{0}, format::PackedKey::of(key)};
  open_->add(bytes_of(header));
  open_->add(value);
  ++open_->records;
  ++counters_.records;
  counters_.record_bytes += bytes;
  verification_bytes_ += verification_bytes(tree, kind, value);
  if (!announced_) {
    announced_ = true;
    gate_.spawn(announce_dirty());
    if (forced(Point::commit_begun)) want_commit(current());
  }
}

u64 Stream::free_bytes() const {
  const u64 bucket_bytes = journal_.layout().bucket_bytes();
  u64 owned = next_buckets_.size() * bucket_bytes;
  if (has_bucket_) owned += bucket_bytes - bucket_block_ * block_bytes;
  u64 taken = open_ != nullptr ? open_->blocks() * block_bytes : 0;
  for (const auto& entry : sealed_) taken += entry->blocks() * block_bytes;
  return owned - std::min(owned, taken);
}

bool Stream::try_reserve(u64 bytes, Urgency urgency) {
  assert(bytes <= reservation_bytes_max);
  if (failure_) return false;
  if (!has_room(bytes, urgency)) {
    refill();
    return false;
  }
  reserved_bytes_ += bytes;
  return true;
}

bool Stream::has_room(u64 bytes, Urgency urgency) const {
  const u64 kept = padding_bytes + (urgency == Urgency::normal ? reclaim_bytes : 0);
  return pending_bytes_ <= pending_bytes_max && free_bytes() >= reserved_bytes_ + bytes + kept;
}

Task<Status> Stream::reserve(u64 bytes, Urgency urgency) {
  while (!try_reserve(bytes, urgency)) {
    if (failure_) co_return failed();
    ++counters_.reserve_waits;
    reached(Point::journal_room_awaited);
    u64& blocked = blocked_[static_cast<u8>(urgency)];
    ++blocked;
    refill();
    // On core 0 it may be answered already, and nobody would wake us.
    if (!has_room(bytes, urgency)) co_await room_.wait();
    --blocked;
  }
  co_return Status{};
}

void Stream::unreserve(u64 bytes) {
  assert(bytes <= reserved_bytes_);
  reserved_bytes_ -= bytes;
  if (!room_.empty()) room_.wake_all();
}

Status Stream::failed() const { return Error{Code::journal_failed, static_cast<u64>(failure_->code), failure_->place}; }

EpochHold Stream::hold() {
  ++holds_;
  return {*this, current()};
}

Task<EpochHold> Stream::hold_open() {
  while (closing_) co_await moved_.wait();
  co_return hold();
}

Task<EpochHold> Stream::hold_at_least(Epoch epoch) {
  while (current() < epoch) co_await moved_.wait();
  co_return hold();
}

Task<void> Stream::reach(Epoch epoch) {
  while (current() < epoch) co_await moved_.wait();
}

Task<Status> Stream::commit(Epoch epoch) {
  if (durable_ >= epoch) co_return Status{};
  if (failure_) co_return failed();
  while (durable_ < epoch) {
    if (failure_) co_return *failure_;
    want_commit(epoch);
    CommitAwaiter wait{*this, epoch};
    co_await wait;
  }
  co_return Status{};
}

void Stream::want_commit(Epoch epoch) {
  if (asked_ >= epoch || durable_ >= epoch || failure_) return;
  asked_ = epoch;
  gate_.spawn(ask_close(epoch));
}

Epoch Stream::write_began() {
  ++unwritten_current_;
  return current();
}

void Stream::write_ended(Epoch epoch, const Status& status) {
  u64& unwritten = epoch < current_ ? unwritten_closed_ : unwritten_current_;
  assert(unwritten > 0);
  --unwritten;
  if (!status.ok()) stop(status.error());
  if (unwritten_closed_ == 0) settled_.wake_all();
}

std::unique_ptr<Stream::Entry> Stream::take_entry() {
  if (spare_.empty()) return std::make_unique<Entry>();
  std::unique_ptr<Entry> entry = std::move(spare_.back());
  spare_.pop_back();
  return entry;
}

void Stream::open_entry() {
  open_ = take_entry();
  open_->epoch = current();
  open_->used = sizeof(format::EntryHeader);
  open_->records = 0;
  const u64 bucket_blocks = journal_.layout().bucket_blocks;
  if (has_bucket_ && sealed_.empty() && forced(Point::journal_room_lost)) lose_room();
  open_->placed = sealed_.empty() && ((has_bucket_ && bucket_block_ < bucket_blocks) || advance_bucket());
  open_->capacity = entry_bytes_max;
  if (open_->placed) open_->capacity = std::min(entry_bytes_max, (bucket_blocks - bucket_block_) * block_bytes);
  if (forced(Point::entry_cut)) open_->capacity = std::min(open_->capacity, cut_entry_bytes);
  refill();
}

void Stream::seal_open_entry() {
  pending_bytes_ += open_->used;
  write_began();
  sealed_.push_back(std::move(open_));
  pump();
}

bool Stream::advance_bucket() {
  if (next_buckets_.empty()) return false;
  if (has_bucket_) retired_.push_back({bucket_, bucket_newest_});
  has_bucket_ = true;
  bucket_ = next_buckets_.front();
  next_buckets_.pop_front();
  bucket_block_ = 0;
  return true;
}

// Of the simulator. What is reserved, and what is kept back, has room still.
void Stream::lose_room() {
  const JournalLayout& layout = journal_.layout();
  const u64 needed_bytes = reserved_bytes_ + padding_bytes + reclaim_bytes;
  if (next_buckets_.size() * layout.bucket_bytes() >= needed_bytes) {
    advance_bucket();
    return;
  }
  const u64 spare_bytes = free_bytes() - std::min(free_bytes(), needed_bytes);
  bucket_block_ += std::min(spare_bytes / block_bytes, layout.bucket_blocks - bucket_block_);
}

bool Stream::place(Entry& entry) {
  if (entry.placed) return true;
  const u64 rest = has_bucket_ ? journal_.layout().bucket_blocks - bucket_block_ : 0;
  entry.placed = rest >= entry.blocks() || advance_bucket();
  return entry.placed;
}

void Stream::pump() {
  while (!sealed_.empty() && place(*sealed_.front())) {
    std::unique_ptr<Entry> entry = std::move(sealed_.front());
    sealed_.pop_front();
    finish_header(*entry);
    gate_.spawn(write(std::move(entry)));
  }
  settled_.wake_all();
  refill();
}

void Stream::finish_header(Entry& entry) {
  const JournalLayout& layout = journal_.layout();
  entry.address = layout.address(bucket_, bucket_block_);
  bucket_block_ += entry.blocks();
  bucket_newest_ = entry.epoch;
  assert(bucket_block_ <= layout.bucket_blocks);

  format::EntryHeader header{};
  header.filesystem = layout.filesystem;
  header.address = entry.address.value;
  header.epoch = entry.epoch.value;
  header.bytes = static_cast<u32>(entry.used);
  header.records = entry.records;
  header.stream = core_;
  header.session = journal_.session_;
  header.previous = tail_;
  header.sequence = sequence_++;
  header.checksum_kind = layout.checksum_kind;
  const MutableByteSpan image = entry.buffer.span().first(entry.used);
  std::memcpy(image.data(), &header, sizeof header);
  format::seal_entry(image);
  std::memset(entry.buffer.data() + entry.used, 0, entry.blocks() * block_bytes - entry.used);
  std::memcpy(&header, image.data(), sizeof header);
  tail_ = {header.address, header.epoch, format::seal_mark(header.checksum), header.bytes};
  if (entry.epoch < current_) closed_tail_ = tail_;
  ++counters_.entries;
  counters_.entry_blocks += entry.blocks();
}

Task<void> Stream::write(std::unique_ptr<Entry> entry) {
  const ByteSpan image = entry->buffer.span().first(entry->blocks() * block_bytes);
  device::IoAwaiter written = journal_.device().write(entry->address.offset_bytes(), image);
  const Status status = co_await written;
  pending_bytes_ -= entry->used;
  write_ended(entry->epoch, status);
  if (spare_.size() < spare_entries_max) spare_.push_back(std::move(entry));
  room_.wake_all();
}

Stream::Hunger Stream::hunger() const {
  // An entry without a place keeps its epoch from closing, and without that no bucket gets free.
  if (blocked_[static_cast<u8>(Urgency::reclaim)] > 0 || !sealed_.empty()) return Hunger::urgent;
  if (blocked_[static_cast<u8>(Urgency::normal)] > 0) return Hunger::blocked;
  return free_bytes() < reserved_bytes_ + journal_.layout().bucket_bytes() ? Hunger::ahead : Hunger::none;
}

void Stream::refill() {
  if (exchanging_ || failure_) return;
  if (retired_.empty() && hunger() <= refused_) return;
  exchanging_ = true;
  gate_.spawn(exchange_buckets());
}

Task<void> Stream::exchange_buckets() {
  while (!failure_) {
    const Hunger hungry = hunger();
    if (retired_.empty() && hungry <= refused_) break;
    std::vector<Retired> retired = std::exchange(retired_, {});
    auto ask = [&journal = journal_, core = core_, retired = std::move(retired), hungry] {
      return journal.exchange(core, retired, hungry);
    };
    auto call = runtime::on(0, std::move(ask));
    const std::optional<u64> bucket = co_await call;
    refused_ = bucket ? Hunger::none : hungry;
    if (!bucket) continue;
    next_buckets_.push_back(*bucket);
    pump();
    room_.wake_all();
    co_await runtime::yield();  // who was blocked looks again before this asks for more
  }
  exchanging_ = false;
}

Task<void> Stream::announce_dirty() {
  auto call = runtime::on(0, [&journal = journal_, epoch = current_] { journal.mark_dirty(epoch); });
  co_await call;
}

Task<void> Stream::ask_close(Epoch epoch) {
  auto call = runtime::on(0, [&journal = journal_, core = core_, epoch] { return journal.close_asked(core, epoch); });
  const Epoch durable = co_await call;
  if (durable > durable_) became_durable(durable, false);
}

void Stream::stop(const Error& error) {
  fail(error);
  gate_.spawn(report(error));
}

Task<void> Stream::report(Error error) {
  auto call = runtime::on(0, [&journal = journal_, error] { journal.fail(error); });
  co_await call;
}

Task<Stream::Sealed> Stream::seal(Epoch epoch) {
  [[maybe_unused]] const Epoch left = current();
  assert(epoch == left && !closing_);
  closing_ = true;
  if (holds_ > 0) reached(Point::close_awaited_hold);
  while (holds_ > 0) co_await unheld_.wait();
  if (open_ != nullptr) seal_open_entry();
  closed_tail_ = tail_;
  const u64 to_verify_bytes = std::exchange(verification_bytes_, 0);
  current_.value += 1;
  attends_ = false;
  attendance_.leave_for(current_);
  closing_ = false;
  announced_ = false;
  unwritten_closed_ += std::exchange(unwritten_current_, 0);
  hooks_.observer->epoch_sealed(epoch);
  told_oldest_ = hooks_.reclaim->oldest_needed(core_);
  moved_.wake_all();
  Sealed sealed{.tail = {}, .oldest_needed = told_oldest_, .verification_bytes = to_verify_bytes};
  while (!sealed_.empty() && sealed_.front()->epoch <= epoch && !failure_) co_await settled_.wait();
  sealed.tail = closed_tail_;
  sealed.written = unwritten_closed_ == 0;
  co_return sealed;
}

Task<void> Stream::written() {
  while (unwritten_closed_ > 0 && !failure_) co_await settled_.wait();
}

void Stream::became_durable(Epoch epoch, bool pressed) {
  assert(epoch > durable_);
  durable_ = epoch;
  hooks_.observer->epoch_durable(epoch);
  wake_commit_waiters();
  refused_ = Hunger::none;
  refill();
  // What became durable may have let go of journal space: the next commit says so, under pressure at once.
  if (hooks_.reclaim->oldest_needed(core_) <= told_oldest_) return;
  const Epoch next = current();
  if (pressed) want_commit(next);
}

void Stream::wake_commit_waiters() {
  std::erase_if(commit_waiters_, [this](const Waiter& waiter) {
    const bool answered = failure_ || waiter.epoch <= durable_;
    if (answered) runtime::this_reactor().schedule(waiter.handle);
    return answered;
  });
}

void Stream::fail(const Error& error) {
  if (failure_) return;
  failure_ = error;
  wake_commit_waiters();
  room_.wake_all();
  settled_.wake_all();
}

Task<void> Stream::drained() { co_await gate_.drained(); }

}  // namespace cowfs::journal
