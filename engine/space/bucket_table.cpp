#include "engine/space/bucket_table.h"

#include <algorithm>

#include "engine/base/points.h"

namespace cowfs::space {
namespace {

constexpr u32 victim_candidates_max = 512;
constexpr u64 unhurried_gain_share = 8;  // of a bucket has to be gained

u32 generation_of(Epoch epoch) { return static_cast<u32>(epoch.value); }

Error invalid_pointer(Address address) {
  return Error{Code::alloc_pointer_invalid, address.value,
               Place{.device = address.device(), .offset_bytes = address.offset_bytes()}};
}

}  // namespace

BucketPin::BucketPin(BucketTable& table, u32 index) : table_(&table), index_(index) { ++table.buckets_[index].pins; }

BucketPin& BucketPin::operator=(BucketPin&& other) noexcept {
  release();
  table_ = std::exchange(other.table_, nullptr);
  index_ = other.index_;
  return *this;
}

void BucketPin::release() {
  if (table_ != nullptr) std::exchange(table_, nullptr)->unpin(index_);
}

Bucket& BucketTable::at(BucketId id) {
  const auto found = index_.find(id.value);
  assert(found != index_.end());
  return buckets_[found->second];
}

const Bucket* BucketTable::find(BucketId id) const {
  const auto found = index_.find(id.value);
  return found == index_.end() ? nullptr : &buckets_[found->second];
}

void BucketTable::adopt(BucketId id) {
  assert(!index_.contains(id.value));
  u32 index;
  if (unused_.empty()) {
    index = static_cast<u32>(buckets_.size());
    buckets_.emplace_back();
  } else {
    index = unused_.back();
    unused_.pop_back();
    buckets_[index] = {};
  }
  buckets_[index].id = id;
  index_.emplace(id.value, index);
  if (!opening_) add_empty(index);
}

void BucketTable::add_empty(u32 index) {
  if (is_beyond(buckets_[index].id)) {
    empty_beyond_.push_back(index);
  } else {
    empty_.push_back(index);
  }
}

std::vector<BucketId> BucketTable::give_back(std::size_t count) {
  std::vector<BucketId> given;
  // From the back, so that the buckets emptied longest ago are used first. One whose alloc entry is still to be erased
  // stays: its next owner's checkpoint would not know of the entry.
  for (std::size_t tries = empty_.size(); tries > 0 && given.size() < count; --tries) {
    const u32 index = empty_.back();
    empty_.pop_back();
    if (!may_leave(index)) {
      reached(Point::bucket_kept_from_lease);
      empty_.push_front(index);
      continue;
    }
    given.push_back(leave(index));
  }
  return given;
}

BucketId BucketTable::leave(u32 index) {
  const BucketId id = buckets_[index].id;
  index_.erase(id.value);
  unused_.push_back(index);
  return id;
}

void BucketTable::limit(BucketId end) {
  end_ = end;
  std::deque<u32> empty = std::move(empty_);
  empty.insert(empty.end(), empty_beyond_.begin(), empty_beyond_.end());
  empty_.clear();
  empty_beyond_.clear();
  for (const u32 index : empty) add_empty(index);
}

std::vector<BucketId> BucketTable::give_back_beyond() {
  std::vector<BucketId> given;
  std::vector<u32> kept;
  for (const u32 index : std::exchange(empty_beyond_, {})) {
    if (may_leave(index)) {
      reached(Point::bucket_vacated);
      given.push_back(leave(index));
    } else {
      kept.push_back(index);
    }
  }
  empty_beyond_ = std::move(kept);
  return given;
}

// The emptiest: its move needs least.
std::optional<u32> BucketTable::find_beyond() const {
  std::optional<u32> best;
  for (u32 index = 0; index < buckets_.size(); ++index) {
    const Bucket& bucket = buckets_[index];
    if (bucket.state != BucketState::closed || bucket.evacuating || !is_beyond(bucket.id)) continue;
    if (!best || bucket.live_blocks < buckets_[*best].live_blocks) best = index;
  }
  return best;
}

std::optional<BucketId> BucketTable::choose_beyond() {
  const std::optional<u32> chosen = find_beyond();
  if (!chosen) return std::nullopt;
  buckets_[*chosen].evacuating = true;
  return buckets_[*chosen].id;
}

bool BucketTable::owns_beyond() const {
  return std::any_of(index_.begin(), index_.end(), [this](const auto& one) { return is_beyond(BucketId{one.first}); });
}

Status BucketTable::restore(BucketId id, const format::AllocValue& value) {
  const auto found = index_.find(id.value);
  if (found == index_.end()) return Error{Code::alloc_bucket_not_leased, id.value};
  Bucket& bucket = buckets_[found->second];
  bucket.generation = value.generation;
  bucket.live_blocks = value.live_blocks;
  bucket.stream = static_cast<Stream>(value.stream);
  bucket.state = BucketState::closed;
  live_blocks_ += bucket.live_blocks;
  return {};
}

Status BucketTable::restore_metadata(BucketId id) {
  const auto found = index_.find(id.value);
  if (found == index_.end()) return Error{Code::alloc_bucket_not_leased, id.value};
  buckets_[found->second].state = BucketState::metadata;
  buckets_[found->second].stream = Stream::metadata;
  return {};
}

void BucketTable::opened(const std::vector<BucketId>& foreign) {
  for (BucketId id : foreign) {
    const u32 index = index_.at(id.value);
    assert(buckets_[index].state == BucketState::empty && buckets_[index].pins == 0);
    index_.erase(id.value);
    // Otherwise its alloc entry is still to be erased, and the place stays its own.
    if (!buckets_[index].changed) unused_.push_back(index);
  }
  for (const auto& [id, index] : index_) {
    if (buckets_[index].state == BucketState::empty) empty_.push_back(index);
  }
  std::sort(empty_.begin(), empty_.end(), [this](u32 a, u32 b) { return buckets_[a].id < buckets_[b].id; });
  opening_ = false;
}

std::optional<BucketId> BucketTable::take(Stream stream, Epoch epoch) {
  if (empty_.empty()) return std::nullopt;
  const u32 index = empty_.front();
  empty_.pop_front();
  Bucket& bucket = buckets_[index];
  assert(bucket.state == BucketState::empty && bucket.live_blocks == 0 && bucket.pins == 0);
  bucket.state = stream == Stream::metadata ? BucketState::metadata : BucketState::open;
  bucket.stream = stream;
  bucket.generation = generation_of(epoch);
  bucket.evacuating = false;
  return bucket.id;
}

void BucketTable::close(BucketId id, Epoch now) {
  Bucket& bucket = at(id);
  assert(bucket.state == BucketState::open);
  bucket.state = BucketState::closed;
  bucket.written = now;
  if (bucket.live_blocks == 0) start_freeing(index_.at(id.value), now);
}

void BucketTable::free_metadata(BucketId id) {
  Bucket& bucket = at(id);
  assert(bucket.state == BucketState::metadata);
  if (bucket.pins == 0) return finish_freeing(index_.at(id.value));
  bucket.state = BucketState::freeing;  // by the last who repairs a copy in it
  bucket.freed = {};
}

Status BucketTable::check_live(Address address, u32 blocks, u32 generation) const {
  const Bucket* bucket = find(format::bucket_of(address, bucket_blocks_));
  const bool fits = address.block() % bucket_blocks_ + blocks <= bucket_blocks_;
  if (bucket != nullptr && fits && bucket->generation == generation && bucket->live_blocks >= blocks) return {};
  return invalid_pointer(address);
}

Status BucketTable::check_pointer(Address address, u32 blocks, u32 generation, u32 leaving) const {
  const Bucket* bucket = find(format::bucket_of(address, bucket_blocks_));
  const bool fits = address.block() % bucket_blocks_ + blocks <= bucket_blocks_;
  if (bucket == nullptr || !fits || bucket->live_blocks - leaving + blocks > bucket_blocks_)
    return invalid_pointer(address);
  const bool holds_data = bucket->state == BucketState::open || bucket->state == BucketState::closed ||
                          bucket->state == BucketState::freeing;
  // History may have emptied a bucket, and taken it again.
  const bool taken_again = opening_ && bucket->live_blocks == leaving && bucket->state != BucketState::metadata;
  if (taken_again || (holds_data && bucket->generation == generation)) return {};
  return invalid_pointer(address);
}

void BucketTable::add_live(Address address, u32 blocks, u32 generation) {
  const u32 index = index_.at(format::bucket_of(address, bucket_blocks_).value);
  Bucket& bucket = buckets_[index];
  if (bucket.state == BucketState::freeing) {
    // Its last block died, and one that was being written came to life; in history the bucket may have been taken again.
    reached(opening_ ? Point::bucket_taken_again : Point::bucket_revived);
    bucket.state = BucketState::closed;
    if (opening_) bucket.generation = generation;
  } else if (bucket.state == BucketState::empty) {
    assert(opening_);  // history took this bucket after the checkpoint
    bucket.state = BucketState::closed;
    bucket.generation = generation;
  }
  assert(bucket.generation == generation);
  bucket.live_blocks += blocks;
  live_blocks_ += blocks;
  assert(bucket.live_blocks <= bucket_blocks_);
  mark_changed(index);
}

void BucketTable::remove_live(Address address, u32 blocks, Epoch now) {
  const u32 index = index_.at(format::bucket_of(address, bucket_blocks_).value);
  Bucket& bucket = buckets_[index];
  assert(bucket.live_blocks >= blocks);
  bucket.live_blocks -= blocks;
  live_blocks_ -= blocks;
  mark_changed(index);
  if (bucket.live_blocks == 0 && bucket.state == BucketState::closed) start_freeing(index, now);
}

void BucketTable::mark_changed(u32 index) {
  if (buckets_[index].changed) return;
  buckets_[index].changed = true;
  changed_.push_back(index);
}

void BucketTable::start_freeing(u32 index, Epoch now) {
  buckets_[index].state = BucketState::freeing;
  buckets_[index].freed = now;
  freeing_.push_back({now, index});
}

void BucketTable::finish_freeing(u32 index) {
  Bucket& bucket = buckets_[index];
  assert(bucket.live_blocks == 0 && bucket.pins == 0);
  if (opening_) {
    bucket.state = BucketState::empty;
    return;
  }
  if (discard_) {
    bucket.state = BucketState::discarding;
    to_discard_.push_back(index);
    return;
  }
  become_empty(index);
}

void BucketTable::become_empty(u32 index) {
  buckets_[index].state = BucketState::empty;
  if (forced(Point::freed_bucket_preferred) && !is_beyond(buckets_[index].id)) {
    empty_.push_front(index);
  } else {
    add_empty(index);
  }
}

void BucketTable::epoch_durable(Epoch epoch) {
  durable_ = std::max(durable_, epoch);
  for (std::size_t left = freeing_.size(); left > 0; --left) {
    const Freeing freeing = freeing_.front();
    if (freeing.epoch > durable_) break;
    freeing_.pop_front();
    const Bucket& bucket = buckets_[freeing.index];
    if (bucket.state != BucketState::freeing || bucket.freed != freeing.epoch) continue;  // it came back to life
    if (bucket.pins == 0) finish_freeing(freeing.index);  // otherwise its last reader does
  }
}

void BucketTable::unpin(u32 index) {
  Bucket& bucket = buckets_[index];
  assert(bucket.pins > 0);
  --bucket.pins;
  if (bucket.pins > 0 || bucket.state != BucketState::freeing || bucket.freed > durable_) return;
  reached(Point::bucket_freed_by_reader);
  finish_freeing(index);
}

std::optional<BucketId> BucketTable::next_discard() {
  if (to_discard_.empty()) return std::nullopt;
  const u32 index = to_discard_.front();
  to_discard_.pop_front();
  return buckets_[index].id;
}

void BucketTable::discarded(BucketId id) {
  assert(at(id).state == BucketState::discarding);
  become_empty(index_.at(id.value));
}

BucketPin BucketTable::pin(Address address) {
  return {*this, index_.at(format::bucket_of(address, bucket_blocks_).value)};
}

// Some of the closed buckets, taken in turn.
void BucketTable::find_candidates(u64 live_max) {
  candidates_.clear();
  const u32 total = static_cast<u32>(buckets_.size());
  for (u32 seen = 0; seen < total && (seen < victim_candidates_max || candidates_.empty()); ++seen) {
    victim_cursor_ = (victim_cursor_ + 1) % total;
    const Bucket& bucket = buckets_[victim_cursor_];
    if (bucket.state != BucketState::closed || bucket.evacuating || bucket.live_blocks > live_max) continue;
    if (!is_beyond(bucket.id)) candidates_.push_back(victim_cursor_);
  }
}

std::optional<BucketId> BucketTable::choose_victim(Epoch now, bool urgent) {
  find_candidates(bucket_blocks_ - (urgent ? 1 : bucket_blocks_ / unhurried_gain_share));
  if (candidates_.empty()) return std::nullopt;
  const auto age_of = [now](const Bucket& bucket) {
    return static_cast<double>(now.value - std::min(now, bucket.written).value + 1);
  };
  const auto middle = candidates_.begin() + static_cast<std::ptrdiff_t>(candidates_.size() / 2);
  const auto is_younger = [&](u32 a, u32 b) { return buckets_[a].written > buckets_[b].written; };
  std::nth_element(candidates_.begin(), middle, candidates_.end(), is_younger);
  const double middle_age = age_of(buckets_[*middle]);
  const auto score_of = [&](u32 index) {
    const Bucket& bucket = buckets_[index];
    const double live = static_cast<double>(bucket.live_blocks);
    const double gain_per_move = (static_cast<double>(bucket_blocks_) - live) / live;
    const double age = age_of(bucket);
    return urgent ? -live : gain_per_move * age / (age + middle_age);
  };
  const auto is_worse = [&](u32 a, u32 b) { return score_of(a) < score_of(b); };
  Bucket& best = buckets_[*std::max_element(candidates_.begin(), candidates_.end(), is_worse)];
  best.evacuating = true;
  return best.id;
}

void BucketTable::evacuation_ended(BucketId id) {
  if (const auto found = index_.find(id.value); found != index_.end()) buckets_[found->second].evacuating = false;
}

}  // namespace cowfs::space
