// Chunks are given out one by one to the members that have the largest share of theirs left, so that members of all sizes are
// full at the same time, and neighbouring chunks lie on different ones. With two copies on 200, 100 and 100 GiB the large one
// is in every chunk; on 300, 100 and 100 a third of it stays unused.
#include "engine/pool/plan.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>

namespace cowfs::pool {
namespace {

using format::ChunkPlace;
using format::PoolMap;
using format::PoolMember;

constexpr u64 chunks_per_member = 64;  // of the smallest member, at least: what does not fill a chunk is lost
constexpr u64 places_max = 16 * 1024;
constexpr u32 first_bucket = 1;

u64 buckets_of(const NewMember& member, u64 bucket_blocks) {
  return format::whole_chunks(member.capacity_blocks, first_bucket, bucket_blocks, 1);
}

u64 chunk_buckets_for(const std::vector<NewMember>& members, u64 bucket_blocks) {
  u64 least = ~0ull, total = 0;
  for (const NewMember& member : members) {
    least = std::min(least, buckets_of(member, bucket_blocks));
    total += buckets_of(member, bucket_blocks);
  }
  const u64 usual = std::bit_floor(std::max<u64>(least / chunks_per_member, 1));
  return std::max(usual, std::bit_ceil((total + places_max - 1) / places_max));
}

class Dealer {
 public:
  Dealer(const std::vector<NewMember>& members, PoolMap& map) : members_(members), map_(map), used_(members.size()) {}

  // All there are, or `chunks_max`; whole columns.
  void deal_copied(u64 chunks_max) {
    deal(map_.places, map_.copies, chunks_max);
  }
  void deal_sets() {
    deal(map_.shard_places, map_.shards(), places_max / map_.shards());
    for (u32 set = 0; set < map_.stripe_sets(); ++set) {
      const auto first = map_.shard_places.begin() + set * map_.shards();
      std::rotate(first, first + set / map_.columns % map_.shards(), first + map_.shards());
    }
  }

 private:
  void deal(std::vector<ChunkPlace>& places, u32 group, u64 groups_max) {
    while (places.size() < groups_max * group && next_group(places, group)) {
    }
    const std::size_t whole = map_.columns * std::size_t{group};
    while (places.size() % whole != 0) {
      --used_[places.back().member];
      places.pop_back();
    }
  }

  bool next_group(std::vector<ChunkPlace>& places, u32 group) {
    std::vector<u16> order(members_.size());
    std::iota(order.begin(), order.end(), u16{0});
    std::sort(order.begin(), order.end(), [this](u16 a, u16 b) {
      return std::pair(share_left(b), a) < std::pair(share_left(a), b);
    });
    std::vector<u16> chosen;
    for (const u16 member : order) {
      if (chosen.size() == group) break;
      const bool is_other_domain =
          std::none_of(chosen.begin(), chosen.end(), [&](u16 one) { return same_domain(one, member); });
      if (left(member) > 0 && is_other_domain) chosen.push_back(member);
    }
    if (chosen.size() < group) return false;
    for (const u16 member : chosen) {
      ChunkPlace place;
      place.member = member;
      place.chunk = static_cast<u16>(used_[member]++);
      places.push_back(place);
    }
    return true;
  }

  u64 left(u16 member) const { return map_.members[member].chunks - used_[member]; }
  double share_left(u16 member) const { return static_cast<double>(left(member)) / map_.members[member].chunks; }
  bool same_domain(u16 a, u16 b) const { return !members_[a].label.empty() && members_[a].label == members_[b].label; }

  const std::vector<NewMember>& members_;
  PoolMap& map_;
  std::vector<u64> used_;  // chunks, by member
};

u64 domain_count(const std::vector<NewMember>& members) {
  std::vector<std::string> labels;
  u64 unlabelled = 0;
  for (const NewMember& member : members) {
    if (member.label.empty()) {
      ++unlabelled;
    } else if (std::find(labels.begin(), labels.end(), member.label) == labels.end()) {
      labels.push_back(member.label);
    }
  }
  return unlabelled + labels.size();
}

}  // namespace

Result<PoolMap> plan(const std::vector<NewMember>& members, const Redundancy& redundancy, u64 bucket_blocks) {
  if (members.size() > format::pool_members_max) return Error{Code::pool_members_too_many, members.size()};
  const u32 needed = redundancy.members_needed();
  const u8 copies_max = redundancy.is_striped() ? format::pool_copies_max : format::pool_replicas_max;
  if (redundancy.copies == 0 || redundancy.copies > copies_max || domain_count(members) < needed)
    return Error{Code::pool_too_few_devices, needed};
  PoolMap map;
  map.copies = redundancy.copies;
  map.data_shards = redundancy.data_shards;
  map.parity_shards = redundancy.parity_shards;
  map.chunk_buckets = static_cast<u32>(chunk_buckets_for(members, bucket_blocks));
  const u64 side_by_side = redundancy.is_striped() ? members.size() / needed : (members.size() + needed - 1) / needed;
  map.columns = static_cast<u8>(std::min<u64>(std::bit_ceil(side_by_side), format::pool_columns_max));
  for (const NewMember& one : members) {
    PoolMember& member = map.members.emplace_back();
    member.device = one.device;
    std::copy_n(one.label.data(), std::min(one.label.size(), sizeof member.label - 1), member.label);
    member.capacity_blocks = one.capacity_blocks;
    member.first_bucket = first_bucket;
    const u64 chunks = format::whole_chunks(one.capacity_blocks, first_bucket, bucket_blocks, map.chunk_buckets);
    if (chunks == 0) return Error{Code::device_too_small, one.capacity_blocks * block_bytes};
    member.chunks = static_cast<u32>(std::min<u64>(chunks, 1u << 16));
    member.state = static_cast<u8>(format::MemberState::current);
  }
  Dealer dealer(members, map);
  const Error too_small{Code::device_too_small, members.front().capacity_blocks * block_bytes};
  if (redundancy.is_striped()) {
    const u64 chunks = (redundancy.copied_buckets + map.chunk_buckets - 1) / map.chunk_buckets;
    const u64 wanted = round_up(std::max<u64>(chunks, 1), map.columns);
    dealer.deal_copied(wanted);
    if (map.chunks() < wanted) return too_small;
    dealer.deal_sets();
    if (map.stripe_sets() == 0) return too_small;
  } else {
    dealer.deal_copied(places_max);
    if (map.places.empty()) return too_small;
  }
  return map;
}

}  // namespace cowfs::pool
