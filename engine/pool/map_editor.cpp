#include "engine/pool/map_editor.h"

#include <algorithm>
#include <optional>

namespace cowfs::pool {

using format::ChunkPlace;
using format::PoolMap;
using format::PoolMember;
using format::PoolPart;

bool share_domain(const PoolMember& a, const PoolMember& b) {
  const std::string label = format::label_text(a.label);
  return !label.empty() && label == format::label_text(b.label);
}

MapEditor::MapEditor(PoolMap map) : map_(std::move(map)), rooms_(map_.members.size()), old_parts_(map_.members.size()) {
  note_old_parts(false, map_.chunks(), map_.copies);
  note_old_parts(true, map_.stripe_sets(), map_.shards());
  for (u16 member = 0; member < map_.members.size(); ++member) {
    std::vector<bool> used(map_.members[member].chunks);
    for (const PoolPart& part : old_parts_[member]) used[map_.place(part).chunk] = true;
    for (std::size_t chunk = used.size(); chunk-- > 0;)
      if (!used[chunk]) rooms_[member].untouched.push_back(static_cast<u16>(chunk));
  }
}

void MapEditor::note_old_parts(bool are_shards, u32 groups, u32 group) {
  PoolPart part{.is_shard = are_shards};
  for (part.group = 0; part.group < groups; ++part.group)
    for (part.number = 0; part.number < group; ++part.number) old_parts_[map_.place(part).member].push_back(part);
}

u64 MapEditor::move_all_off(u16 member, u32 kept) {
  const auto is_behind = [kept](u16 chunk) { return chunk >= kept; };
  std::erase_if(rooms_[member].untouched, is_behind);
  u64 unplaced = 0;
  for (const PoolPart& part : old_parts_[member]) {
    if (!is_behind(map_.place(part).chunk)) continue;
    unplaced += !move_off(part);
    std::erase_if(rooms_[member].vacated, is_behind);
  }
  return unplaced;
}

bool MapEditor::move_off(const PoolPart& part) {
  std::optional<u16> best;
  for (u16 member = 0; member < map_.members.size(); ++member)
    if (may_take(member, part) && (!best || share_free(member) > share_free(*best))) best = member;
  if (best) move(part, *best);
  return best.has_value();
}

bool MapEditor::is_current(u16 member) const {
  return map_.members[member].state == static_cast<u8>(format::MemberState::current);
}

double MapEditor::share_free(u16 member) const {
  return static_cast<double>(rooms_[member].count()) / static_cast<double>(map_.members[member].chunks);
}

// It has room for what moves, and nothing else of the same chunk or set in its domain.
bool MapEditor::may_take(u16 member, const PoolPart& part) const {
  if (!is_current(member) || rooms_[member].untouched.empty()) return false;
  PoolPart other = part;
  for (other.number = 0; other.number < (part.is_shard ? map_.shards() : map_.copies); ++other.number) {
    const u16 holder = map_.place(other).member;
    if (other != part && (holder == member || share_domain(map_.members[holder], map_.members[member]))) return false;
  }
  return true;
}

void MapEditor::move(const PoolPart& part, u16 to) {
  ChunkPlace& place = map_.place(part);
  rooms_[place.member].vacated.push_back(place.chunk);
  place.member = to;
  place.chunk = rooms_[to].untouched.back();
  rooms_[to].untouched.pop_back();
  moves_.push_back(part);
}

u16 MapEditor::take_for_new(u16 member) {
  Room& room = rooms_[member];
  std::vector<u16>& from = room.vacated.empty() ? room.untouched : room.vacated;
  const u16 chunk = from.back();
  from.pop_back();
  return chunk;
}

u64 MapEditor::add_rows(u64 rows_max) {
  const std::size_t row = std::size_t{map_.columns} * group();
  for (u64 rows = 0; rows < rows_max; ++rows) {
    if (format::encoded_bytes(map_) + row * sizeof(ChunkPlace) > format::pool_map_bytes_max) return rows;
    const std::size_t before = places().size();
    for (u8 column = 0; column < map_.columns; ++column) {
      if (add_group()) continue;
      places().resize(before);
      return rows;
    }
  }
  return rows_max;
}

// The shards of a set are dealt in turn, as in a new pool.
bool MapEditor::add_group() {
  std::vector<u16> chosen = most_free();
  while (chosen.size() < group() && give_others_room(chosen)) chosen = most_free();
  if (chosen.size() < group()) return false;
  if (map_.is_striped())
    std::rotate(chosen.begin(), chosen.begin() + map_.stripe_sets() / map_.columns % group(), chosen.end());
  for (const u16 member : chosen) {
    ChunkPlace place;
    place.member = member;
    place.chunk = take_for_new(member);
    places().push_back(place);
  }
  return true;
}

// Members with room, each in its own domain, as many as a chunk, or a set, needs.
std::vector<u16> MapEditor::most_free() const {
  std::vector<std::pair<double, u16>> order;
  for (u16 member = 0; member < map_.members.size(); ++member)
    if (is_current(member) && rooms_[member].count() > 0) order.emplace_back(-share_free(member), member);
  std::sort(order.begin(), order.end());
  std::vector<u16> chosen;
  for (const auto& [share, member] : order)
    if (chosen.size() < group() && is_apart(member, chosen)) chosen.push_back(member);
  return chosen;
}

bool MapEditor::is_apart(u16 member, const std::vector<u16>& chosen) const {
  return std::none_of(chosen.begin(), chosen.end(),
                      [&](u16 one) { return one == member || share_domain(map_.members[one], map_.members[member]); });
}

// Something of a full member moves to one that has room, and keeps some.
bool MapEditor::give_others_room(const std::vector<u16>& chosen) {
  for (const u16 to : chosen) {
    if (rooms_[to].count() < 2) continue;
    for (u16 full = 0; full < map_.members.size(); ++full)
      if (is_current(full) && is_apart(full, chosen) && move_one(full, to)) return true;
  }
  return false;
}

bool MapEditor::move_one(u16 from, u16 to) {
  for (std::size_t& next = next_to_move_[{from, to}]; next < old_parts_[from].size(); ++next) {
    const PoolPart& part = old_parts_[from][next];
    if (map_.place(part).member != from || !may_take(to, part)) continue;
    move(part, to);
    ++next;
    return true;
  }
  return false;
}

}  // namespace cowfs::pool
