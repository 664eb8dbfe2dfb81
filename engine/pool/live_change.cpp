// Requests read the map without a lock, so it is exchanged while there are none: each core lets those that it began end, and has new
// ones wait, for the time of a device's answer. That happens three times for some chunks, of which there are a hundred or so on a device.
#include "engine/pool/live_change.h"

#include <algorithm>

#include "engine/base/points.h"
#include "engine/runtime/on.h"

namespace cowfs::pool {

namespace {

constexpr u64 chunks_at_once = 4;  // what all members remember costs as much as a MiB or two, whatever it is
constexpr int pieces_at_once = 4;  // reading one while the others are written

}  // namespace

runtime::Task<Status> LiveChange::carry_out(Change change, device::Device* added) {
  if (added != nullptr) {
    const u16 member = static_cast<u16>(pool_.map().members.size());
    co_await pool_.let_in(*added, change.map.members.back());
    const Status told = co_await pool_.announce(member);
    if (!told) co_return told;
  }
  co_await pool_.set_sizes(change.map);
  const Status moved = co_await move_chunks(change);
  if (!moved || change.map.chunks() == pool_.map().chunks()) co_return moved;
  co_return co_await pool_.set_space(change.map);
}

runtime::Task<Status> LiveChange::move_chunks(const Change& change) {
  u64 done = 0;
  const u64 total = change.moves.size();
  while (done < total) {
    if (progress_ && !progress_(done, total)) co_return Error{Code::pool_move_stopped, done};
    Pool::Movings moving;
    for (u64 i = done; i < std::min(done + chunks_at_once, total); ++i) {
      const Move& move = change.moves[i];
      moving.push_back({.chunk = move.chunk, .copy = move.copy, .place = change.map.place(move.chunk, move.copy)});
    }
    const Status moved = co_await move_some(moving);
    if (!moved) co_return moved;
    done += moving.size();
  }
  if (progress_ && done > 0) (void)progress_(done, total);
  co_return Status{};
}

runtime::Task<Status> LiveChange::move_some(const Pool::Movings& moving) {
  co_await pool_.set_moving(moving);
  Status done = co_await copy(moving);
  if (done) done = co_await pool_.flush();
  if (done && !co_await pool_.let_moved_count()) done = Error{Code::pool_move_failed, moving.front().place.member};
  if (!done) {
    co_await pool_.set_moving({});
    co_return done;
  }
  reached(Point::pool_chunk_moved);
  // If that fails, either map may be found after a crash: both places stay what they are.
  done = co_await pool_.renew();
  if (done) co_await pool_.set_moving({});
  co_return done;
}

runtime::Task<Status> LiveChange::copy(const Pool::Movings& moving) {
  Copying copying{.moving = moving};
  runtime::Gate gate;
  for (int worker = 0; worker < pieces_at_once; ++worker) gate.spawn(copy_pieces(&copying));
  co_await gate.drained();
  co_return copying.failure;
}

runtime::Task<void> LiveChange::copy_pieces(Copying* copying) {
  device::AlignedBuffer buffer = reader_.take_buffer();
  while (copying->failure) {
    const std::optional<Piece> piece = next(*copying);
    if (!piece) break;
    co_await reader_.before(piece->bytes);
    co_await pool_.locks().hold(piece->from, piece->bytes);
    const Status copied = co_await copy_piece(*piece, buffer.span().first(piece->bytes));
    pool_.locks().release(piece->from, piece->bytes);
    if (!copied) copying->failure = copied;
  }
  reader_.give_back(std::move(buffer));
}

runtime::Task<Status> LiveChange::copy_piece(Piece piece, MutableByteSpan data) {
  const Status read = co_await read_moved(pool_, piece.from, piece.copy, data);
  if (!read) co_return read;
  co_return co_await pool_.asked(piece.member).write(piece.to, data);
}

std::optional<LiveChange::Piece> LiveChange::next(Copying& copying) const {
  const u64 bucket_bytes = pool_.superblock().bucket_blocks * block_bytes;
  const u64 chunk_bytes = pool_.map().chunk_buckets * bucket_bytes;
  if (copying.next == copying.moving.size() * chunk_bytes) return std::nullopt;
  const Pool::Moving& moving = copying.moving[copying.next / chunk_bytes];
  const u64 bucket = copying.next % chunk_bytes / bucket_bytes, begin = copying.next % bucket_bytes;
  const u64 bytes = std::min(reader_.run_bytes(), bucket_bytes - begin);
  copying.next += bytes;
  return Piece{.from = pool_.space_offset(moving.chunk, bucket) + begin,
               .copy = moving.copy,
               .member = moving.place.member,
               .to = pool_.place_offset(moving.place, bucket) + begin,
               .bytes = bytes};
}

// Of the pool.

runtime::Task<void> Pool::shut() {
  Entrance& here = entrance();
  here.is_shut = true;
  while (here.under_way > 0) co_await here.changed.wait();
}

runtime::Task<void> Pool::reopen() {
  Entrance& here = entrance();
  here.is_shut = false;
  here.changed.wake_all();
  co_return;
}

template <typename Exchange>
runtime::Task<void> Pool::while_nobody_asks(Exchange exchange) {
  assert(!map_.is_striped());  // whose requests are made of others
  const runtime::CoreIndex cores = runtime::this_reactor().cores();
  for (runtime::CoreIndex core = 0; core < cores; ++core) co_await runtime::on(core, [this] { return shut(); });
  {
    const std::lock_guard lock(giving_up_);
    exchange();
    count_capacity();
  }
  for (runtime::CoreIndex core = 0; core < cores; ++core) co_await runtime::on(core, [this] { return reopen(); });
}

u64 Pool::place_offset(const format::ChunkPlace& place, u64 bucket) const {
  return (map_.members[place.member].first_bucket + u64{place.chunk} * map_.chunk_buckets + bucket) * bucket_blocks_ * block_bytes;
}

runtime::Task<void> Pool::set_moving(Movings moving) {
  const auto exchange = [this, moving = std::move(moving)] {
    moving_ = moving;
    move_broken_.store(false);
  };
  return while_nobody_asks(exchange);
}

runtime::Task<bool> Pool::let_moved_count() {
  const auto exchange = [this] {
    if (move_broken_.load()) return;
    for (Moving& moving : moving_) {
      std::swap(map_.places[moving.chunk * map_.copies + moving.copy], moving.place);
      moving.counts = true;
    }
  };
  co_await while_nobody_asks(exchange);
  co_return moving_.front().counts;
}

runtime::Task<void> Pool::let_in(device::Device& device, const format::PoolMember& entry) {
  const auto exchange = [this, &device, entry] {
    map_.members.push_back(entry);
    const u16 member = static_cast<u16>(map_.members.size() - 1);
    adopt(member, &device);
    set_standing(member, Standing::current);
  };
  return while_nobody_asks(exchange);
}

runtime::Task<Status> Pool::announce(u16 member) {
  co_await publishing_.acquire();
  const runtime::MutexHold hold(publishing_);
  map_.sequence += 1;
  const Status told = co_await publish_to(member);
  if (!told) co_return told;
  co_return co_await publish();
}

runtime::Task<void> Pool::set_sizes(const format::PoolMap& planned) {
  const auto exchange = [this, &planned] {
    for (std::size_t member = 0; member < map_.members.size(); ++member) {
      map_.members[member].chunks = planned.members[member].chunks;
      map_.members[member].capacity_blocks = planned.members[member].capacity_blocks;
    }
  };
  return while_nobody_asks(exchange);
}

runtime::Task<Status> Pool::set_space(const format::PoolMap& planned) {
  const auto exchange = [this, &planned] { map_.places = planned.places; };
  co_await while_nobody_asks(exchange);
  co_return co_await change_superblock(with_space_of(superblock_, map_));
}

runtime::Task<Status> Pool::let_go(u16 member) {
  Result<format::PoolMap> left = without(map_, member);
  if (!left) co_return left.error();
  const auto exchange = [this, member, &left] {
    map_ = std::move(*left);
    for (u16 index = member; index < map_.members.size(); ++index) {
      Member* const next = members_[index + 1].load();
      members_[index].store(next);
      standings_[index].store(standings_[index + 1].load());
      next->set_index(index);
      if (next->device() != nullptr) next->device()->set_index(index);
    }
  };
  co_await while_nobody_asks(exchange);
  co_return co_await renew();
}

}  // namespace cowfs::pool
