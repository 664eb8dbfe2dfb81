// The inodes of one core that are in memory. It grows as it is used; whoever adds to a table that is large enough drops
// some that nobody uses, a few at a time, so that no operation pays for the whole table.
#pragma once
#include <absl/container/flat_hash_map.h>

#include <memory>
#include <vector>

#include "engine/base/assert.h"
#include "engine/format/values.h"

namespace cowfs::fs {

// Inode: has a `number`, and a `table_place` that belongs to the table.
template <typename Inode>
class InodeTable {
 public:
  Inode* find(format::InodeNumber number) {
    const auto found = inodes_.find(number);
    return found == inodes_.end() ? nullptr : found->second.get();
  }
  // Precondition: none of its number is here.
  Inode& add(std::unique_ptr<Inode> inode) {
    auto& place = inodes_[inode->number];
    assert(place == nullptr);
    place = std::move(inode);
    place->table_place = order_.size();
    order_.push_back(place.get());
    return *place;
  }
  void erase(Inode& inode) {
    order_[inode.table_place] = order_.back();
    order_.back()->table_place = inode.table_place;
    order_.pop_back();
    inodes_.erase(inode.number);
  }
  // Looks at `count` inodes, others at each call, and drops those of which `is_unused` says so.
  template <typename Predicate>
  void drop_some(std::size_t count, Predicate is_unused) {
    for (; count > 0 && !order_.empty(); --count) {
      if (hand_ >= order_.size()) hand_ = 0;
      Inode& inode = *order_[hand_];
      if (is_unused(inode)) {
        erase(inode);  // another one stands under the hand now
      } else {
        ++hand_;
      }
    }
  }
  void clear() {
    order_.clear();
    inodes_.clear();
  }
  std::size_t size() const { return order_.size(); }
  // In no order; the table must not change meanwhile.
  const std::vector<Inode*>& all() const { return order_; }

 private:
  absl::flat_hash_map<format::InodeNumber, std::unique_ptr<Inode>> inodes_;
  std::vector<Inode*> order_;
  std::size_t hand_ = 0;
};

}  // namespace cowfs::fs
