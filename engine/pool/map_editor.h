// Plans where what a pool keeps is to lie when members come, go or grow. A place that the old map uses is not written before the new
// map counts, so what moves never goes there; what is new, and holds nothing yet, may. Numbers only.
#pragma once
#include <map>
#include <utility>
#include <vector>

#include "engine/format/pool_map.h"

namespace cowfs::pool {

class MapEditor {
 public:
  explicit MapEditor(format::PoolMap map);

  // What lies on the member behind its first `kept` chunks, to wherever there is room in a domain that nothing else of the same chunk, or
  // stripe set, is in. Answers how many found none.
  u64 move_all_off(u16 member, u32 kept);
  // At most so many rows more, of stripe sets if there are any, else of chunks; where that needs room on members that have none,
  // something moves from them to those that have most. Answers how many there are.
  u64 add_rows(u64 rows_max);

  const format::PoolMap& map() const { return map_; }
  // What lies elsewhere now.
  const std::vector<format::PoolPart>& moves() const { return moves_; }

 private:
  // Chunks of a member that nothing lies in; the next one to be taken is the last.
  struct Room {
    std::vector<u16> untouched;  // nor did in the old map
    std::vector<u16> vacated;
    u64 count() const { return untouched.size() + vacated.size(); }
  };

  std::vector<format::ChunkPlace>& places() { return map_.is_striped() ? map_.shard_places : map_.places; }
  u32 group() const { return map_.is_striped() ? map_.shards() : map_.copies; }
  void note_old_parts(bool are_shards, u32 groups, u32 group);
  bool is_current(u16 member) const;
  double share_free(u16 member) const;
  bool may_take(u16 member, const format::PoolPart& part) const;
  bool move_off(const format::PoolPart& part);
  void move(const format::PoolPart& part, u16 to);
  u16 take_for_new(u16 member);
  bool add_group();
  std::vector<u16> most_free() const;
  bool is_apart(u16 member, const std::vector<u16>& chosen) const;
  bool give_others_room(const std::vector<u16>& chosen);
  bool move_one(u16 from, u16 to);

  format::PoolMap map_;
  std::vector<Room> rooms_;                                  // by member
  std::vector<std::vector<format::PoolPart>> old_parts_;     // by member
  std::map<std::pair<u16, u16>, std::size_t> next_to_move_;  // from, to: nothing before it can
  std::vector<format::PoolPart> moves_;
};

// Neither may have what the other has.
bool share_domain(const format::PoolMember& a, const format::PoolMember& b);

}  // namespace cowfs::pool
