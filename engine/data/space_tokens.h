// The right to make one more block live. The filesystem has as many tokens as blocks that users may fill; whoever makes a
// block dirty takes one, and it stays taken while the block lives. So a write that was accepted finds room when it is
// written back, and copygc can always move: it takes none.
#pragma once
#include "engine/base/result.h"
#include "engine/runtime/task.h"

namespace cowfs::data {

// Where a core gets tokens when it has none: core 0's pool, which asks the other cores.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // At least 1 and at most `wanted`; 0 when the filesystem is full.
  virtual runtime::Task<Result<u64>> acquire(u64 wanted) = 0;
  // Waits until some of what is being freed is free, or has some freed. False: nothing is. Errors: of the device.
  virtual runtime::Task<Result<bool>> await_freed() = 0;
};

// One core's.
class SpaceTokens {
 public:
  explicit SpaceTokens(TokenSource& source) : source_(source) {}

  bool try_take(u64 count) {
    if (free_ < count) return false;
    free_ -= count;
    return true;
  }
  void give(u64 count) {
    pay(count, borrowed_);
    pay(count, debt_);
    free_ += count;
  }
  // For what cannot be refused (metadata): what is not there is a debt that later gifts pay.
  void force(u64 count) {
    const u64 there = count < free_ ? count : free_;
    free_ -= there;
    debt_ += count - there;
  }
  // For blocks that replace others on a full filesystem: up to `limit` tokens that do not exist, repaid by the first gifts.
  bool try_borrow(u64 count, u64 limit) {
    if (borrowed_ + count > limit) return false;
    borrowed_ += count;
    free_ += count;
    return true;
  }
  // Of those that are free here or elsewhere. Error space_full.
  runtime::Task<Status> take_free(u64 count);
  // Waits for what is being freed besides. Errors: space_full, those of await_freed.
  runtime::Task<Status> take(u64 count);
  // What is free here, up to `count`, for somebody else.
  u64 surrender(u64 count);
  u64 free() const { return free_; }
  // Writers wait for dirty blocks to give theirs back.
  bool are_short() const { return free_ == 0 || borrowed_ > 0; }

 private:
  static void pay(u64& count, u64& owed) {
    const u64 paid = count < owed ? count : owed;
    count -= paid;
    owed -= paid;
  }
  static constexpr u64 batch_ = 4096;
  static constexpr int rounds_max_ = 64;
  static constexpr int waits_max_ = 1024;
  TokenSource& source_;
  u64 free_ = 0;
  u64 borrowed_ = 0;
  u64 debt_ = 0;
};

}  // namespace cowfs::data
