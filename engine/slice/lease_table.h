// Which slice owns which bucket: the leases tree of slice 0, and the list of buckets that nobody has. Lives on slice 0's
// core. A lease is a journalled update; whoever uses the bucket does so in the lease's epoch or a later one.
#pragma once
#include <set>
#include <vector>

#include "engine/slice/slice.h"

namespace cowfs::slice {

class LeaseTable {
 public:
  LeaseTable(Slice& zero, const format::Superblock& superblock);

  // Open: reads the leases tree. Answers each slice's buckets. Error lease_entry_invalid.
  Task<Result<std::vector<std::vector<format::BucketId>>>> restore();

  // Leases up to `count` buckets to `slice`; none when nothing is free above the watermark. Errors: of the journal, of load.
  Task<Result<LeaseGrant>> grant(u16 slice, std::size_t count, Watermark watermark);
  // The slice does not use these any more, and no durable state names them. Errors: of the journal, of load.
  Task<Status> take_back(std::vector<format::BucketId> buckets);

  // The space has so many buckets now; those beyond were nobody's.
  void extend(u64 bucket_count);
  // The space is to have no more than so many buckets: none beyond is leased any more, nor counted. The superblock's number lifts it.
  void limit(u64 bucket_count);
  // The superblock says so now. Precondition: none beyond is leased.
  void forget_beyond() { free_beyond_.clear(); }
  // That are leased although they are beyond it.
  std::size_t leased_beyond() const;

  std::size_t free_count() const { return free_.size(); }
  std::size_t total_count() const { return total_; }
  // Free buckets that `watermark` cannot have.
  std::size_t kept_back(Watermark watermark) const;

 private:
  Task<Status> write(std::vector<Update> updates);
  void put_back(format::BucketId bucket);

  Slice& zero_;
  const format::Superblock& superblock_;
  std::set<u64> free_;  // bucket ids; low ones first, so that runs stay together
  std::set<u64> free_beyond_;
  std::size_t total_ = 0;
  u64 end_;  // of the buckets
};

}  // namespace cowfs::slice
