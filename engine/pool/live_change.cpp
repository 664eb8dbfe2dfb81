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
  const u64 bucket_blocks = pool_.superblock().bucket_blocks;
  if (!moved || change.map.buckets(bucket_blocks) == pool_.map().buckets(bucket_blocks)) co_return moved;
  co_return co_await pool_.set_space(change.map);
}

runtime::Task<Status> LiveChange::move_chunks(const Change& change) {
  u64 done = 0;
  const u64 total = change.moves.size();
  while (done < total) {
    if (progress_ && !progress_(done, total)) co_return Error{Code::pool_move_stopped, done};
    Pool::Movings moving;
    for (u64 i = done; i < std::min(done + chunks_at_once, total); ++i) {
      const format::PoolPart& part = change.moves[i];
      moving.push_back({.part = part, .place = change.map.place(part)});
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
    const std::optional<MovedPiece> piece = next(*copying);
    if (!piece) break;
    const format::ChunkPlace to = copying->moving[copying->begun - 1].place;
    co_await reader_.before(piece->length);
    co_await pool_.locks().hold(piece->offset_bytes, piece->bytes);
    const Status copied = co_await copy_piece(*piece, to, buffer.span().first(piece->length));
    pool_.locks().release(piece->offset_bytes, piece->bytes);
    if (!copied) copying->failure = copied;
  }
  reader_.give_back(std::move(buffer));
}

runtime::Task<Status> LiveChange::copy_piece(MovedPiece piece, format::ChunkPlace to, MutableByteSpan data) {
  const Status read = co_await read_moved(pool_, piece, data);
  if (!read) co_return read;
  co_return co_await pool_.asked(to.member).write(pool_.place_offset(to) + piece.begin, data);
}

std::optional<MovedPiece> LiveChange::next(Copying& copying) const {
  while (true) {
    std::optional<MovedPiece> piece = copying.pieces ? copying.pieces->next() : std::nullopt;
    if (piece || copying.begun == copying.moving.size()) return piece;
    copying.pieces.emplace(pool_, copying.moving[copying.begun++].part, reader_.run_bytes());
  }
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
  const runtime::CoreIndex cores = runtime::this_reactor().cores();
  for (runtime::CoreIndex core = 0; core < cores; ++core) co_await runtime::on(core, [this] { return shut(); });
  {
    const std::lock_guard lock(giving_up_);
    exchange();
    count_capacity();
  }
  for (runtime::CoreIndex core = 0; core < cores; ++core) co_await runtime::on(core, [this] { return reopen(); });
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
    const bool all_there =
        std::all_of(moving_.begin(), moving_.end(), [this](const Moving& moving) { return is_current(moving.place.member); });
    if (move_broken_.load() || !all_there) return;
    for (Moving& moving : moving_) {
      std::swap(map_.place(moving.part), moving.place);
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
  const auto exchange = [this, &planned] {
    map_.places = planned.places;
    map_.shard_places = planned.shard_places;
  };
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
