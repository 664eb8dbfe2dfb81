#include "harness/verified_writes.h"

#include <algorithm>
#include <atomic>

namespace cowbench::harness {
namespace {

using workloads::FioOp;
using workloads::WrittenBlock;

bool overlap(const WrittenBlock& one, const WrittenBlock& other) {
  return one.file == other.file && one.offset < other.offset + other.bytes && other.offset < one.offset + one.bytes;
}

WrittenBlock block_of(const FioOp& write) { return {write.file, write.offset, write.bytes, write.number}; }

// At once and whole: whoever reads it after this process was killed sees it.
void store(u64& word, u64 value) { std::atomic_ref(word).store(value, std::memory_order_release); }

}  // namespace

void VerifiedWrites::draw(const FioOp& write) {
  claims_.push_back({block_of(write)});
  drawn_ = write.number;
  store(*progress_.begun, drawn_);
  backlog_.forget(write.file, write.offset, write.bytes);
}

VerifiedWrites::Turn VerifiedWrites::turn(const FioOp& write) {
  return {*this, *claim_of(write)};
}

std::list<VerifiedWrites::Claim>::iterator VerifiedWrites::claim_of(const FioOp& write) {
  const auto drawn = std::ranges::find(claims_, write.number, [](const Claim& claim) { return claim.range.number; });
  assert(drawn != claims_.end());
  return drawn;
}

void VerifiedWrites::fill(const FioOp& write, u64 time_ns, MutableByteSpan into) const {
  content_.fill(block_of(write), time_ns, into);
}

void VerifiedWrites::done(const FioOp& write, bool made) {
  const auto claim = claim_of(write);
  if (made && job_.verify.backlog > 0) {
    const WrittenBlock block = claim->range;
    const bool newest = std::ranges::count_if(claims_, [&](const Claim& other) { return overlap(other.range, block); }) == 1;
    if (newest) backlog_.add(block);
    if (++backlog_writes_ >= job_.verify.backlog) {
      backlog_writes_ = 0;
      batch_left_ = job_.verify.backlog_batch > 0 ? job_.verify.backlog_batch : job_.verify.backlog;
    }
  }
  release(claim);
  if (made && (job_.sync_each || job_.data_sync_each)) synced(write.file, complete());
}

u64 VerifiedWrites::complete() const {
  const auto oldest = std::ranges::find_if(claims_, [](const Claim& claim) { return claim.range.number > 0; });
  return oldest == claims_.end() ? drawn_ : oldest->range.number - 1;
}

void VerifiedWrites::synced(u32 file, u64 complete) {
  store(progress_.durable[file], std::max(progress_.durable[file], complete));
}

std::optional<WrittenBlock> VerifiedWrites::next_of_backlog() {
  if (batch_left_ == 0) return {};
  const auto block = backlog_.take_first();
  batch_left_ = block ? batch_left_ - 1 : 0;
  if (!block) return {};
  claims_.push_back({*block});
  claims_.back().range.number = 0;
  return block;
}

void VerifiedWrites::read_back(const WrittenBlock& block) {
  const auto claim = std::ranges::find_if(
      claims_, [&](const Claim& read) { return read.range.number == 0 && overlap(read.range, block); });
  assert(claim != claims_.end());
  release(claim);
}

bool VerifiedWrites::is_first(const Claim& claim) const {
  for (const Claim& other : claims_) {
    if (&other == &claim) return true;
    if (overlap(other.range, claim.range)) return false;
  }
  return false;
}

// A lane that goes on may change the list before it waits again.
void VerifiedWrites::release(std::list<Claim>::iterator claim) {
  claims_.erase(claim);
  while (true) {
    const auto next = std::ranges::find_if(claims_, [&](const Claim& other) { return other.waiting && is_first(other); });
    if (next == claims_.end()) return;
    std::exchange(next->waiting, {}).resume();
  }
}

}  // namespace cowbench::harness
