// Finds empty buckets for the write points of one slice, in order of price: those the slice has; those slice 0 can lease;
// those that are free as soon as a commit is durable; those that copygc can empty, here or in other slices. Does so for
// users ahead of their need, in the background, so that they seldom wait.
#pragma once
#include "engine/slice/slice.h"

namespace cowfs::data {

using runtime::Task;
using slice::Slice;
using slice::Watermark;

// Implemented above this room, which knows the other slices: asks them for buckets that they do not need. With `clean`
// they empty one if they must, which may take their cleaners' time: not for a cleaner itself, whom another one may be
// waiting for. True when any was given back, or came nearer to being empty.
class SpacePressure {
 public:
  virtual ~SpacePressure() = default;
  virtual Task<Result<bool>> ask_others(u16 slice, bool clean) = 0;
};

// Somebody waits for what is cleaned; or nobody does yet.
enum class Need : u8 { now, ahead };

// One slice's cleaner, declared here because cleaning itself needs buckets.
class Cleaner {
 public:
  virtual ~Cleaner() = default;
  // Evacuates one bucket. False when there is none worth it, which depends on the need.
  virtual Task<Result<bool>> clean_one(Need need) = 0;
};

class BucketSupply {
 public:
  BucketSupply(Slice& slice, SpacePressure& pressure) : slice_(slice), pressure_(pressure) {}
  void set_cleaner(Cleaner& cleaner) { cleaner_ = &cleaner; }

  // Returns when the slice has an empty bucket for `watermark` (somebody else may take it: try again).
  // Error space_no_buckets: nothing can be emptied.
  Task<Status> wait_for_bucket(Watermark watermark);
  // Returns when the slice has allowed more changes. Error space_no_buckets.
  Task<Status> wait_for_room();
  // A user took one.
  void bucket_taken();
  // Keeps some buckets ready for users; ends after stop(). Several do it quicker: what one waits for is the device.
  static constexpr int runs = 4;
  Task<void> run();
  void stop();
  // How often a user found none, and none to lease.
  u64 shortages() const { return shortages_; }

  // Fewer buckets are empty, or will be with the next commit, than should be ready.
  bool is_low() const;

 private:
  // Beyond what users may not take.
  std::size_t ready_wanted() const;
  bool is_commit_due() const;
  Task<Result<bool>> make_ready();
  Task<Status> find_bucket(Watermark watermark);
  Task<Result<bool>> make_room(Watermark watermark);
  Task<Result<bool>> clean(Need need);
  Task<Result<bool>> checkpoint(Watermark watermark);

  Slice& slice_;
  SpacePressure& pressure_;
  Cleaner* cleaner_ = nullptr;
  runtime::Mutex users_turn_;
  runtime::WaitList low_;  // where run() waits
  bool stopping_ = false;
  bool committing_ = false;
  u64 shortages_ = 0;
};

}  // namespace cowfs::data
