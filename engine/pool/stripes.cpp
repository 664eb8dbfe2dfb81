// A bucket's blocks are dealt to the data shards in turn, so what is one run of the space is a run of every shard; it is
// gathered from, and scattered to, the memory of who asked.
#include "engine/pool/stripes.h"

#include <bit>
#include <cerrno>

#include "engine/base/points.h"
#include "engine/pool/member_requests.h"
#include "engine/pool/pool.h"

namespace cowfs::pool {

using Kind = device::IoOperation::Kind;

namespace {

constexpr ShardMask bit(u32 shard) { return 1u << shard; }
constexpr ShardMask first_bits(u32 count) { return (1u << count) - 1; }

// Tags of changes.
constexpr u32 needed = 0, spare = 1;

}  // namespace

Stripes::Stripes(Pool& pool, u64 bucket_blocks)
    : pool_(pool), layout_(pool.map(), bucket_blocks), code_(pool.map().data_shards, pool.map().parity_shards),
      spare_(runtime::this_reactor().cores()) {}

SpareMemory& Stripes::spare_here() { return spare_[runtime::this_reactor().core()]; }

u16 Stripes::reconstructions() const { return static_cast<u16>(choices(k() + m(), m())); }

ShardMask Stripes::absent(u64 set) const {
  ShardMask mask = 0;
  for (u32 shard = 0; shard < layout_.shards(); ++shard)
    if (!pool_.is_current(layout_.member(set, shard))) mask |= bit(shard);
  return mask;
}

std::pair<u16, u64> Stripes::place(const StripeRange& block) const {
  const u32 shard = static_cast<u32>(block.from % k());
  return {layout_.member(block.set, shard), layout_.member_offset(block.set, shard, block.first_stripe + block.from / k())};
}

// What a shard has of these stripes, which may be nothing.
ShardRun Stripes::run_of(const StripeRows& rows, u32 shard) const {
  return {.set = rows.set, .shard = shard, .first_stripe = rows.first_stripe, .blocks = layout_.length(rows, shard)};
}

void Stripes::add_read(MemberRequests& requests, const ShardRun& run, std::byte* memory) const {
  if (run.blocks == 0) return;
  const u64 offset = layout_.member_offset(run.set, run.shard, run.first_stripe);
  requests.add(pool_.asked(layout_.member(run.set, run.shard)), Kind::read, memory, offset, run.blocks * block_bytes, false, run.shard);
}

// Wherever the shard lies, or moves.
void Stripes::add_change(MemberRequests& requests, Kind kind, const ShardRun& run, std::byte* memory, bool durable) const {
  if (run.blocks == 0) return;
  const format::PoolPart part{.is_shard = true, .group = static_cast<u32>(run.set), .number = static_cast<u8>(run.shard)};
  const auto add = [&](const format::ChunkPlace& place, u32 tag) {
    if (!pool_.is_written(place.member)) return false;
    const u64 offset = pool_.place_offset(place) + run.first_stripe * block_bytes;
    requests.add(pool_.asked(place.member), kind, memory, offset, run.blocks * block_bytes, durable, tag);
    return true;
  };
  add(pool_.map().place(part), needed);
  for (const Pool::Moving& moving : pool_.moving()) {
    if (moving.part != part) continue;
    if (!add(moving.place, moving.counts ? needed : spare)) pool_.break_moving();
  }
}

// Requests that so many changes may need.
std::size_t Stripes::with_moving(std::size_t changes) const { return pool_.moving().empty() ? changes : 2 * changes; }

// What nobody needs may fail.
template <typename Failed>
void Stripes::each_failed_change(const MemberRequests& requests, Failed failed) const {
  requests.each_failed([&](u32 tag, i64 why, const Member& asked) {
    if (tag == spare) return pool_.break_moving();
    failed(why, asked);
  });
}

Task<i64> Stripes::read(StripeRange range, std::byte* into, u16 reading) {
  const ShardMask missing = absent(range.set);
  if (reading > 1) {
    const ShardMask lost = choice(layout_.shards(), m(), reading - 2u) | missing;
    co_return co_await reconstruct(range, into, lost);
  }
  ShardMask failed = missing;
  const i64 error = co_await read_in_place(range, into, &failed);
  if (error == 0 || reading == 1) co_return error;
  co_return co_await reconstruct(range, into, failed);
}

// Shards in `failed` cannot be read; those that turn out not to be are added.
Task<i64> Stripes::read_in_place(StripeRange range, std::byte* into, ShardMask* failed) {
  const StripeRows rows = layout_.rows(range);
  const bool is_one = rows.count == 1;
  std::optional<ShardMemory> shards;
  if (!is_one) shards.emplace(k(), rows.count, spare_here());
  MemberRequests requests(k(), pool_.counters());
  for (u32 shard = 0; shard < k(); ++shard) {
    const u64 first = range.from / k();
    const u64 from = first + (first * k() + shard < range.from ? 1 : 0);
    const u64 to = range.to / k() + (range.to % k() > shard ? 1 : 0);
    if (from >= to) continue;
    if ((*failed & bit(shard)) != 0) co_return -ENODEV;
    std::byte* memory = is_one ? into + (first * k() + shard - range.from) * block_bytes
                               : (*shards)[shard] + (from - first) * block_bytes;
    const ShardRun run{.set = range.set, .shard = shard, .first_stripe = range.first_stripe + from, .blocks = to - from};
    add_read(requests, run, memory);
  }
  co_await requests;
  i64 error = 0;
  requests.each_failed([&](u32 shard, i64 why, const Member&) {
    *failed |= bit(shard);
    error = why;
  });
  if (error == 0 && !is_one) scatter(range, *shards, into);
  co_return error;
}

Task<i64> Stripes::reconstruct(StripeRange range, std::byte* into, ShardMask lost) {
  const StripeRows rows = layout_.rows(range);
  ShardMemory shards(layout_.shards(), rows.count, spare_here());
  const i64 error = co_await load(rows, shards, lost);
  if (error == 0) {
    reached(Point::stripe_reconstructed);
    scatter(range, shards, into);
  }
  co_return error;
}

// All data shards of some stripes; what is lost, or cannot be read, from the others.
Task<i64> Stripes::load(StripeRows rows, ShardMemory& shards, ShardMask lost) {
  i64 error = -EIO;
  while (static_cast<u32>(std::popcount(lost)) <= m()) {
    u32 parity_wanted = static_cast<u32>(std::popcount(lost & first_bits(k())));
    const bool is_complete = parity_wanted == 0;
    MemberRequests requests(layout_.shards(), pool_.counters());
    for (u32 shard = 0; shard < layout_.shards(); ++shard) {
      if ((lost & bit(shard)) != 0 || (shard >= k() && parity_wanted == 0)) continue;
      if (shard >= k()) --parity_wanted;
      add_read(requests, run_of(rows, shard), shards[shard]);
    }
    co_await requests;
    bool all = true;
    requests.each_failed([&](u32 shard, i64 why, const Member&) {
      lost |= bit(shard);
      error = why;
      all = false;
    });
    if (!all) continue;
    clear_missing(rows, shards);
    if (!is_complete) code_.recovery(lost).run(shards.data(), rows.count * block_bytes);
    co_return 0;
  }
  co_return error;
}

Task<i64> Stripes::write(StripeRange range, const std::byte* from, bool durable) {
  assert(layout_.is_whole(range));
  const StripeRows rows = layout_.rows(range);
  ShardMemory shards(layout_.shards(), rows.count, spare_here());
  gather(range, from, shards);
  clear_missing(rows, shards);
  code_.encode(shards.data(), shards.parity(k()), rows.count * block_bytes);
  co_return co_await write_shards(rows, shards, first_bits(layout_.shards()), durable);
}

// A member that fails is given up if it can be.
Task<i64> Stripes::write_shards(StripeRows rows, ShardMemory& shards, ShardMask which, bool durable) {
  MemberRequests requests(with_moving(layout_.shards()), pool_.counters());
  for (u32 shard = 0; shard < layout_.shards(); ++shard) {
    if ((which & bit(shard)) != 0) add_change(requests, Kind::write, run_of(rows, shard), shards[shard], durable);
  }
  co_await requests;
  i64 error = 0;
  each_failed_change(requests, [&](i64 why, const Member& asked) {
    if (!pool_.give_up(asked)) error = why;
  });
  co_return error;
}

Task<i64> Stripes::heal(StripeRange range, const std::byte* from) {
  MemberRequests requests(with_moving(range.to - range.from), pool_.counters());
  for (u64 block = range.from; block < range.to; ++block) {
    const ShardRun run{.set = range.set,
                       .shard = static_cast<u32>(block % k()),
                       .first_stripe = range.first_stripe + block / k(),
                       .blocks = 1};
    add_change(requests, Kind::write, run, const_cast<std::byte*>(from) + (block - range.from) * block_bytes);
  }
  co_await requests;
  i64 error = 0;
  each_failed_change(requests, [&](i64 why, const Member& asked) {
    if (pool_.is_current(asked.index()) || !pool_.give_up(asked)) error = why;
  });
  co_return error;
}

// What is not whole stripes stays, and so does what a device refuses to forget.
Task<i64> Stripes::discard(StripeRange range) {
  if (!layout_.is_whole(range)) co_return 0;
  const StripeRows rows = layout_.rows(range);
  MemberRequests requests(with_moving(layout_.shards()), pool_.counters());
  for (u32 shard = 0; shard < layout_.shards(); ++shard) add_change(requests, Kind::discard, run_of(rows, shard), nullptr);
  co_await requests;
  co_return 0;
}

Task<i64> Stripes::restore_parity(StripeRange block, const std::vector<const std::byte*>& known) {
  const StripeRows rows = layout_.rows(block);
  const ShardMask missing = absent(rows.set);
  ShardMemory right(layout_.shards(), rows.count, spare_here());
  i64 error = co_await load(rows, right, missing);
  if (error != 0) co_return error;
  for (u32 shard = 0; shard < k(); ++shard)
    if (known[shard] != nullptr) std::memcpy(right[shard], known[shard], block_bytes);
  code_.encode(right.data(), right.parity(k()), rows.count * block_bytes);
  ShardMemory present(layout_.shards(), rows.count, spare_here());
  MemberRequests requests(m(), pool_.counters());
  for (u32 shard = k(); shard < layout_.shards(); ++shard) {
    if ((missing & bit(shard)) == 0) add_read(requests, run_of(rows, shard), present[shard]);
  }
  co_await requests;
  ShardMask wrong = 0;
  requests.each_failed([&](u32 shard, i64, const Member&) { wrong |= bit(shard); });
  for (u32 shard = k(); shard < layout_.shards(); ++shard)
    if ((missing & bit(shard)) == 0 && std::memcmp(right[shard], present[shard], rows.count * block_bytes) != 0) wrong |= bit(shard);
  if (wrong == 0) co_return 0;
  co_return co_await write_shards(rows, right, wrong, false);
}

// All shards that are there; answers those that are not, or cannot be read.
Task<ShardMask> Stripes::read_all(StripeRows rows, ShardMemory& shards, u64* bytes) {
  ShardMask unread = absent(rows.set);
  MemberRequests requests(layout_.shards(), pool_.counters());
  for (u32 shard = 0; shard < layout_.shards(); ++shard) {
    if ((unread & bit(shard)) != 0) continue;
    add_read(requests, run_of(rows, shard), shards[shard]);
    *bytes += layout_.length(rows, shard) * block_bytes;
  }
  co_await requests;
  requests.each_failed([&](u32 shard, i64, const Member&) { unread |= bit(shard); });
  clear_missing(rows, shards);
  co_return unread;
}

// Its data blocks are. `offset_bytes`: of the stripe in the space.
bool Stripes::is_right(const StripeRows& rows, u64 stripe, u64 offset_bytes, ShardMemory& shards,
                       const device::Device::CheckBlock& check) const {
  const u64 blocks = stripe + 1 == rows.count ? rows.last_blocks : k();
  for (u32 shard = 0; shard < blocks; ++shard) {
    const ByteSpan block(shards[shard] + stripe * block_bytes, block_bytes);
    if (!check(offset_bytes + shard * block_bytes, block)) return false;
  }
  return true;
}

// Parity is computed from the very bytes that were found right, so that nothing else becomes what it protects.
Task<device::Device::StripesSeen> Stripes::scrub(StripeRange range, u64 offset_bytes, device::Device::CheckBlock check, bool mend) {
  assert(layout_.is_whole(range));
  const StripeRows rows = layout_.rows(range);
  device::Device::StripesSeen seen;
  ShardMemory found(layout_.shards(), rows.count, spare_here());
  ShardMemory right(m(), rows.count, spare_here());
  const ShardMask unread = co_await read_all(rows, found, &seen.bytes);
  const bool has_data = (unread & first_bits(k())) == 0;
  if (has_data) code_.encode(found.data(), right.data(), rows.count * block_bytes);
  MemberRequests mending(with_moving(rows.count * m()), pool_.counters());
  for (u64 stripe = 0; stripe < rows.count; ++stripe) {
    const u64 at = offset_bytes + stripe * k() * block_bytes;
    if (!has_data || !is_right(rows, stripe, at, found, check)) {
      seen.suspects.push_back(at);
      continue;
    }
    for (u32 shard = k(); shard < layout_.shards(); ++shard) {
      const u16 member = layout_.member(rows.set, shard);
      std::byte* const parity = right[shard - k()] + stripe * block_bytes;
      const bool is_read = (unread & bit(shard)) == 0;
      const bool fits = is_read && std::memcmp(found[shard] + stripe * block_bytes, parity, block_bytes) == 0;
      if (fits || !pool_.is_current(member)) continue;
      const u64 there = layout_.member_offset(rows.set, shard, rows.first_stripe + stripe);
      const Error error = is_read ? Error{Code::stripe_parity_mismatch, shard - k()} : Error{Code::device_io_failed, EIO};
      seen.wrong_parity.push_back({at, {pool_.member(member), there}, error});
      const ShardRun run{.set = rows.set, .shard = shard, .first_stripe = rows.first_stripe + stripe, .blocks = 1};
      add_change(mending, Kind::write, run, parity);
    }
  }
  if (seen.wrong_parity.empty() || !mend) co_return seen;
  co_await mending;
  seen.repaired = true;
  each_failed_change(mending, [&](i64, const Member&) { seen.repaired = false; });
  co_return seen;
}

Task<i64> Stripes::make_shard(StripeRows rows, u32 shard, std::byte* into) {
  ShardMemory shards(layout_.shards(), rows.count, spare_here());
  const i64 error = co_await load(rows, shards, absent(rows.set));
  if (error != 0) co_return error;
  if (shard >= k()) code_.encode(shards.data(), shards.parity(k()), rows.count * block_bytes);
  std::memcpy(into, shards[shard], layout_.length(rows, shard) * block_bytes);
  co_return 0;
}

Task<i64> Stripes::read_shard(StripeRows rows, u32 shard, std::byte* into) {
  if (!pool_.is_current(layout_.member(rows.set, shard))) co_return co_await make_shard(rows, shard, into);
  MemberRequests requests(1, pool_.counters());
  add_read(requests, run_of(rows, shard), into);
  co_await requests;
  i64 error = 0;
  requests.each_failed([&](u32, i64 why, const Member&) { error = why; });
  if (error == 0) co_return 0;
  if (rows.count == 1) co_return co_await make_shard(rows, shard, into);
  for (u64 stripe = 0; stripe < rows.count; ++stripe) {
    const StripeRows one = layout_.row(rows, stripe);
    const i64 read = co_await read_shard(one, shard, into + stripe * block_bytes);
    if (read != 0) co_return read;
  }
  co_return 0;
}

// The blocks that the last stripe of a bucket does not have count as zeros.
void Stripes::clear_missing(const StripeRows& rows, ShardMemory& shards) const {
  for (u32 shard = static_cast<u32>(rows.last_blocks); shard < k(); ++shard)
    std::memset(shards[shard] + (rows.count - 1) * block_bytes, 0, block_bytes);
}

void Stripes::gather(const StripeRange& range, const std::byte* from, ShardMemory& shards) const {
  for (u64 block = range.from; block < range.to; ++block, from += block_bytes)
    std::memcpy(shards[static_cast<u32>(block % k())] + (block - range.from) / k() * block_bytes, from, block_bytes);
}

void Stripes::scatter(const StripeRange& range, ShardMemory& shards, std::byte* into) const {
  const u64 first = range.from / k();
  for (u64 block = range.from; block < range.to; ++block, into += block_bytes)
    std::memcpy(into, shards[static_cast<u32>(block % k())] + (block / k() - first) * block_bytes, block_bytes);
}

}  // namespace cowfs::pool
