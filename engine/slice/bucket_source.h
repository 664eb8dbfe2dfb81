// Where a slice gets empty buckets when it has none: slice 0's lease table, on whichever core it lives. Declared here,
// answered by the room that knows all slices.
#pragma once
#include <vector>

#include "engine/base/result.h"
#include "engine/format/address.h"
#include "engine/runtime/task.h"

namespace cowfs::slice {

// Who asks decides how far down the last empty buckets may be used: users never take what copygc and checkpoints need. `changes`
// takes none: more nodes may become dirty while so many are empty.
enum class Watermark : u8 { user, changes, copygc, metadata };

// Of a slice's empty buckets, for copygc to move data into: without them nothing would get free again. One that it fills
// comes back with the next commit, as the bucket that it emptied.
constexpr std::size_t buckets_for_copygc = 2;
// And for a checkpoint to move nodes into that keep others from getting empty.
constexpr std::size_t buckets_for_moved_nodes = 2;

struct LeaseGrant {
  std::vector<format::BucketId> buckets;  // may be fewer than asked, or none
  Epoch epoch;                            // the lease is part of it: do not use the buckets in an earlier one
};

class BucketSource {
 public:
  virtual ~BucketSource() = default;
  // Answers with an empty grant when nothing is free above `watermark` now; the caller makes room and asks again.
  virtual runtime::Task<Result<LeaseGrant>> lease(u16 slice, std::size_t count, Watermark watermark) = 0;
  // On the slice's core: resumes when Slice::allow_changes() has allowed some more. Errors: space_no_buckets; of the device.
  virtual runtime::Task<Status> make_room(u16 slice) = 0;
};

}  // namespace cowfs::slice
