// Goes ahead of an extent that will replace the one of the same key: to that one, and to its backpointer. Random
// overwrites touch leaves that nobody used for long; of many at once the steps are taken in turn (see btree/ahead.h).
#pragma once
#include <optional>

#include "engine/btree/ahead.h"
#include "engine/slice/slice.h"

namespace cowfs::slice {

class ExtentAhead {
 public:
  static constexpr u32 steps = 5;
  // `step`: 0, 1, ... steps - 1.
  void take(u32 step, Slice& slice, const Key& key);
  // After the steps, just before the extent goes in.
  void lead(Slice& slice) const;

 private:
  void head_for_backpointer(Slice& slice);
  void fetch_backpointer(const Slice& slice) const;

  btree::Ahead extent_;
  btree::Ahead backpointer_;
  ByteSpan old_value_;
  std::optional<format::Address> replaced_;  // data that the extent will replace
};

}  // namespace cowfs::slice
