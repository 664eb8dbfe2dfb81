// One request becomes parts, one for each copy of each piece that lies in one run on a member. They live in one allocation until
// the last has been answered, on the core that asked.
#include "engine/pool/pool.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"
#include "engine/pool/change.h"
#include "engine/pool/superblocks.h"

namespace cowfs::pool {

using format::MemberState;
using runtime::IoOperation;

struct Pool::Part : IoOperation {
  Fan* fan = nullptr;
  Piece piece = {};
  format::ChunkPlace place = {};  // of a flush: its member
  bool is_spare = false;          // nobody needs what it writes
  Member* asked = nullptr;
  u8 copies_tried = 0;  // reads
};

struct Pool::Fan {
  Pool& pool;
  IoOperation& asked;
  std::vector<Part> parts;
  std::size_t pending = 1;  // parts under way, and the start of them
  i64 error = 0;
};

// What a request that was let in asks of the pool itself: it does not wait for an exchange, which waits for that request.
struct Pool::Inner : IoOperation {
  Inner(Pool& asked_pool, const IoOperation& outer, u64 done, u64 bytes) : pool(asked_pool) {
    kind = outer.kind;
    durable = outer.durable;
    data = outer.data + done;
    offset = outer.offset + done;
    length = bytes;
    completed = [](IoOperation& inner) { runtime::this_reactor().schedule(inner.waiter); };
  }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    waiter = waiting;
    ++pool.entrance().under_way;
    pool.admit(*this);
  }
  i64 await_resume() const { return result < 0 ? result : 0; }

  Pool& pool;
};

Pool::Pool(const format::Superblock& superblock, format::PoolMap map, std::vector<device::Device*> members, bool read_only)
    : superblock_(superblock),
      bucket_blocks_(superblock.bucket_blocks),
      read_only_(read_only),
      map_(std::move(map)),
      read_memory_(runtime::this_reactor().cores()),
      entrances_(std::make_unique<Entrance[]>(runtime::this_reactor().cores())) {
  assert(members.size() == map_.members.size());
  count_capacity();
  if (map_.is_striped()) stripes_.emplace(*this, bucket_blocks_);
  for (u16 index = 0; index < members.size(); ++index) {
    adopt(index, members[index]);
    const bool counts = members[index] != nullptr && map_.members[index].state == static_cast<u8>(MemberState::current);
    set_standing(index, counts ? Standing::current : Standing::away);
  }
}

void Pool::adopt(u16 member, device::Device* device) {
  all_members_.push_back(std::make_unique<Member>(device, member, read_memory_));
  members_[member].store(all_members_.back().get(), std::memory_order_release);
  limit_time(member);
  if (device == nullptr) return;
  device->set_index(member);
  device->set_id(format::short_id(map_.members[member].device));
}

void Pool::count_capacity() {
  capacity_bytes_.store(map_.buckets(bucket_blocks_) * bucket_blocks_ * block_bytes, std::memory_order_release);
}

std::vector<device::Device*> Pool::devices() const {
  std::vector<device::Device*> all;
  for (u16 index = 0; index < map_.members.size(); ++index) all.push_back(member(index));
  return all;
}

// With copies, a member that hangs is none of the pool's business.
void Pool::set_time_limit(u64 limit_ns, FailureObserver failed) {
  Device::set_time_limit(is_redundant() ? 0 : limit_ns, std::move(failed));
  if (!is_redundant()) return;
  io_limit_ns_ = limit_ns;
  for (u16 index = 0; index < map_.members.size(); ++index) limit_time(index);
}

void Pool::limit_time(u16 member) {
  Member& one = asked(member);
  one.set_time_limit(io_limit_ns_, [this, &one](const Error& error) { timed_out(one, error); });
}

runtime::Task<void> Pool::end_time_limit() {
  co_await Device::end_time_limit();
  for (const auto& member : all_members_) co_await member->end_time_limit();
}

void Pool::timed_out(const Member& asked, const Error& error) {
  if (!give_up(asked)) fail(ETIMEDOUT, error);
}

std::string Pool::describe() const {
  std::string text;
  for (const device::Device* member : devices())
    text += (text.empty() ? "" : " ") + (member == nullptr ? "(missing)" : member->describe());
  return text;
}

bool Pool::discards() const {
  const std::vector<device::Device*> all = devices();
  return std::all_of(all.begin(), all.end(), [](const device::Device* member) { return member == nullptr || member->discards(); });
}

u64 Pool::space_offset(u64 chunk, u64 bucket) const {
  const u64 first = chunk / map_.columns * map_.columns * map_.chunk_buckets;
  return (first + bucket * map_.columns + chunk % map_.columns) * bucket_blocks_ * block_bytes;
}

std::vector<Pool::Piece> Pool::pieces_of(const IoOperation& operation) const {
  const u64 row_buckets = u64{map_.chunk_buckets} * map_.columns;
  std::vector<Piece> pieces;
  for (u64 done = 0; done < operation.length;) {
    const u64 block = (operation.offset + done) / block_bytes;
    const u64 bucket = block / bucket_blocks_;
    Piece piece;
    piece.chunk = bucket / row_buckets * map_.columns + bucket % map_.columns;
    piece.block = bucket / map_.columns % map_.chunk_buckets * bucket_blocks_ + block % bucket_blocks_;
    piece.offset = done;
    const u64 run_blocks = map_.columns == 1 ? map_.chunk_buckets * bucket_blocks_ - piece.block
                                             : bucket_blocks_ - block % bucket_blocks_;
    piece.length = std::min(operation.length - done, run_blocks * block_bytes);
    done += piece.length;
    pieces.push_back(piece);
  }
  return pieces;
}

u64 Pool::place_offset(const format::ChunkPlace& place) const {
  return (map_.members[place.member].first_bucket + u64{place.chunk} * map_.chunk_buckets) * bucket_blocks_ * block_bytes;
}

u64 Pool::member_offset(const Piece& piece, const format::ChunkPlace& place) const {
  return place_offset(place) + piece.block * block_bytes;
}

// On any core, and perhaps beside an exchange of the map.
device::Device::CopyPlace Pool::copy_place(u64 offset_bytes, u8 copy) {
  const std::lock_guard lock(giving_up_);
  if (is_striped(offset_bytes)) {
    const auto [member, at] = stripes_->place(stripes_->layout().range(offset_bytes, block_bytes));
    return {is_current(member) ? this->member(member) : nullptr, at};
  }
  IoOperation there;
  there.offset = offset_bytes;
  there.length = block_bytes;
  const Piece piece = pieces_of(there).front();
  const format::ChunkPlace& place = map_.place(piece.chunk, static_cast<u8>(copy - 1));
  return {is_current(place.member) ? member(place.member) : nullptr, member_offset(piece, place)};
}

void Pool::start(IoOperation& operation) {
  Entrance& here = entrance();
  if (here.is_shut) return here.gate.spawn(start_later(&operation));
  ++here.under_way;
  admit(operation);
}

runtime::Task<void> Pool::start_later(IoOperation* operation) {
  co_await enter();
  admit(*operation);
}

runtime::Task<void> Pool::enter() {
  Entrance& here = entrance();
  while (here.is_shut) co_await here.changed.wait();
  ++here.under_way;
}

void Pool::leave() {
  Entrance& here = entrance();
  if (--here.under_way == 0 && here.is_shut) here.changed.wake_all();
}

void Pool::finish(IoOperation& asked) {
  leave();
  asked.completed(asked);
}

void Pool::admit(IoOperation& operation) {
  if (operation.kind != IoOperation::Kind::flush && stripes_ && is_striped(operation.offset + operation.length - 1))
    return entrance().gate.spawn(run_striped(&operation));
  switch (operation.kind) {
    case IoOperation::Kind::read:
      return start_reads(operation);
    case IoOperation::Kind::write:
    case IoOperation::Kind::discard:
      return start_writes(operation);
    case IoOperation::Kind::flush:
      return start_flushes(operation);
  }
}

// Bucket by bucket: what is asked for at once lies in one, almost always.
runtime::Task<void> Pool::run_striped(IoOperation* operation) {
  IoOperation& asked = *operation;
  const u64 bucket_bytes = bucket_blocks_ * block_bytes;
  i64 error = 0;
  for (u64 done = 0; done < asked.length && error == 0;) {
    const u64 at = asked.offset + done;
    const u64 length = std::min(asked.length - done, bucket_bytes - at % bucket_bytes);
    if (is_striped(at)) {
      error = co_await run_in_stripes(asked, done, length);
    } else {
      error = co_await run_copied(asked, done, length);
    }
    done += length;
  }
  asked.result = error != 0 ? error : static_cast<i64>(asked.length);
  finish(asked);
}

// What begins before the stripes and goes on in them.
runtime::Task<i64> Pool::run_copied(const IoOperation& asked, u64 done, u64 length) {
  if (asked.copy != 0) co_return -EINVAL;
  Inner inner(*this, asked, done, length);
  co_return co_await inner;
}

runtime::Task<i64> Pool::run_in_stripes(const IoOperation& asked, u64 done, u64 length) {
  const StripeRange range = stripes_->layout().range(asked.offset + done, length);
  std::byte* const data = asked.data + done;
  switch (asked.kind) {
    case IoOperation::Kind::read:
      co_return co_await stripes_->read(range, data, asked.copy);
    case IoOperation::Kind::write:
    case IoOperation::Kind::discard: {
      const u64 at = asked.offset + done;
      if (!locks_.try_enter(at, length)) co_await enter_later(at, length);
      const i64 error = co_await change_stripes(asked, range, data);
      locks_.leave(at, length);
      co_return error;
    }
    case IoOperation::Kind::flush:
      break;
  }
  assert(!"a flush goes to every member");
  co_return -EINVAL;
}

runtime::Task<i64> Pool::change_stripes(const IoOperation& asked, StripeRange range, std::byte* data) {
  if (asked.kind == IoOperation::Kind::discard) co_return co_await stripes_->discard(range);
  assert(asked.copy <= 1);
  if (asked.copy == 1) co_return co_await stripes_->heal(range, data);
  co_return co_await stripes_->write(range, data, asked.durable);
}

runtime::Task<Pool::StripesSeen> Pool::scrub_stripes(u64 offset_bytes, u64 bytes, CheckBlock check, bool mend) {
  const StripeRange range = stripes_->layout().range(offset_bytes, bytes);
  const bool may_write = mend && may_heal();
  co_await enter();
  if (may_write && !locks_.try_enter(offset_bytes, bytes)) co_await enter_later(offset_bytes, bytes);
  StripesSeen seen = co_await stripes_->scrub(range, offset_bytes, std::move(check), may_write);
  if (may_write) locks_.leave(offset_bytes, bytes);
  leave();
  co_return seen;
}

runtime::Task<Status> Pool::restore_parity(const VerifiedBlocks& verified) {
  if (read_only_) co_return Status{};
  for (auto next = verified.begin(); next != verified.end();) {
    if (!is_striped(next->first)) {
      ++next;
      continue;
    }
    const u64 offset = next->first;
    const StripeRange first = stripes_->layout().range(offset, block_bytes);
    std::vector<const std::byte*> known(map_.data_shards);
    for (; next != verified.end(); ++next) {
      const StripeRange block = stripes_->layout().range(next->first, block_bytes);
      if (!stripes_->layout().is_same_stripe(first, block)) break;
      known[block.from % map_.data_shards] = next->second.data();
    }
    const i64 error = co_await stripes_->restore_parity(first, known);
    if (error != 0)
      co_return Error{Code::device_io_failed, static_cast<u64>(-error), {.device = index(), .offset_bytes = offset}};
  }
  co_return Status{};
}

void Pool::start_reads(IoOperation& operation) {
  auto* fan = new Fan{*this, operation, {}};
  for (const Piece& piece : pieces_of(operation)) {
    fan->parts.emplace_back().piece = piece;
  }
  start_parts(fan);
}

void Pool::start_writes(IoOperation& operation) {
  if (locks_.try_enter(operation.offset, operation.length)) return start_entered_writes(operation);
  entrance().gate.spawn(start_writes_later(&operation));
}

runtime::Task<void> Pool::start_writes_later(IoOperation* operation) {
  co_await enter_later(operation->offset, operation->length);
  start_entered_writes(*operation);
}

runtime::Task<void> Pool::enter_later(u64 offset_bytes, u64 length_bytes) {
  reached(Point::pool_write_held_off);
  do {
    co_await RangeLocks::pause();
  } while (!locks_.try_enter(offset_bytes, length_bytes));
}

void Pool::start_entered_writes(IoOperation& operation) {
  auto* fan = new Fan{*this, operation, {}};
  for (const Piece& piece : pieces_of(operation)) {
    bool any = false;
    for (u8 copy = 0; copy < map_.copies; ++copy) {
      if (operation.copy != 0 && operation.copy != copy + 1) continue;
      const format::ChunkPlace& place = map_.place(piece.chunk, copy);
      any = any || is_current(place.member);
      add_write(*fan, piece, copy, place);
      for (const Moving& moving : moving_) {
        if (moving.part != format::PoolPart{false, static_cast<u32>(piece.chunk), copy}) continue;
        Part* const moved = add_write(*fan, piece, copy, moving.place);
        if (moved == nullptr) move_broken_.store(true);
        else moved->is_spare = !moving.counts;
      }
    }
    if (!any) fan->error = -ENODEV;
  }
  start_parts(fan);
}

// Null: nothing is written there.
Pool::Part* Pool::add_write(Fan& fan, const Piece& piece, u8 copy, const format::ChunkPlace& place) {
  if (!is_written(place.member)) return nullptr;
  Part& part = fan.parts.emplace_back();
  part.piece = piece;
  part.place = place;
  part.copy = static_cast<u8>(copy + 1);
  return &part;
}

void Pool::start_flushes(IoOperation& operation) {
  auto* fan = new Fan{*this, operation, {}};
  for (u16 member = 0; member < map_.members.size(); ++member) {
    if (!is_written(member)) continue;
    fan->parts.emplace_back().place.member = member;
  }
  start_parts(fan);
}

void Pool::start_parts(Fan* fan) {
  for (Part& part : fan->parts) {
    part.fan = fan;
    part.kind = fan->asked.kind;
    part.durable = fan->asked.durable;
    part.completed = [](IoOperation& done) {
      Part& answer = static_cast<Part&>(done);
      answer.fan->pool.answered(answer);
    };
  }
  fan->pending += fan->parts.size();
  for (Part& part : fan->parts) {
    if (part.kind == IoOperation::Kind::read && !aim(part)) {
      part_done(fan, -ENODEV);
      continue;
    }
    launch(part);
  }
  part_done(fan, 0);
}

// Chooses the copy that a read is tried on next; false when there is none left. Neighbouring pieces of a file begin with
// different copies.
bool Pool::aim(Part& part) {
  constexpr u64 turn_bytes = 64 * kib;
  const u16 asked = part.fan->asked.copy;
  const u64 turn = (part.fan->asked.offset + part.piece.offset) / turn_bytes;
  while (part.copies_tried < (asked != 0 ? 1 : map_.copies)) {
    part.copy = asked != 0 ? asked : static_cast<u16>((turn + part.copies_tried) % map_.copies + 1);
    ++part.copies_tried;
    part.place = map_.place(part.piece.chunk, static_cast<u8>(part.copy - 1));
    if (is_current(part.place.member)) return true;
  }
  return false;
}

void Pool::launch(Part& part) {
  if (part.kind != IoOperation::Kind::flush) {
    part.data = part.fan->asked.data + part.piece.offset;
    part.length = part.piece.length;
    part.offset = member_offset(part.piece, part.place);
  }
  counters_.count(part);
  part.asked = &asked(part.place.member);
  part.asked->start(part);
}

void Pool::answered(Part& part) {
  const bool is_whole = part.result >= 0 && static_cast<u64>(part.result) == part.length;
  i64 error = is_whole ? 0 : part.result < 0 ? part.result : -EIO;
  if (error != 0) part.asked->device()->counters().count_error();
  if (error != 0 && part.kind == IoOperation::Kind::read) {
    if (aim(part)) {
      reached(Point::pool_read_elsewhere);
      return launch(part);
    }
  } else if (part.kind == IoOperation::Kind::discard) {
    error = 0;  // it keeps what it had, which nobody reads
  } else if (error != 0 && part.is_spare) {
    move_broken_.store(true);
    error = 0;
  } else if (error != 0 && give_up(*part.asked)) {
    error = 0;
  }
  part_done(part.fan, error);
}

void Pool::part_done(Fan* fan, i64 error) {
  if (error != 0) fan->error = error;
  if (--fan->pending > 0) return;
  const std::unique_ptr<Fan> done(fan);
  IoOperation& asked = fan->asked;
  if (asked.kind == IoOperation::Kind::write || asked.kind == IoOperation::Kind::discard) locks_.leave(asked.offset, asked.length);
  asked.result = fan->error != 0 ? fan->error : static_cast<i64>(asked.length);
  if (asked.kind == IoOperation::Kind::flush && fan->error == 0 && failures_.load() != remembered_)
    return entrance().gate.spawn(remember_failures(&asked));
  finish(asked);
}

// Everything that is on it is also on other current members, or can be computed from them.
bool Pool::is_spare(u16 member) const {
  return map_.lost([this, member](u16 one) { return one != member && is_current(one); }) == chunks_lost();
}

bool Pool::give_up(const Member& asked) {
  const std::lock_guard lock(giving_up_);
  const u16 member = asked.index();
  if (member >= map_.members.size() || &this->asked(member) != &asked || !is_written(member)) return true;
  const bool counted = is_current(member);
  if (counted && !is_spare(member)) return false;
  set_standing(member, Standing::away);
  if (counted) failures_.fetch_add(1);  // who sees this sees that it does not count
  reached(Point::pool_member_given_up);
  return true;
}

runtime::Task<Status> Pool::take_offline(u16 member) {
  if (!give_up(asked(member))) {
    const u64 lost = map_.lost([this, member](u16 one) { return one != member && is_current(one); });
    co_return Error{Code::pool_copies_needed, lost};
  }
  co_return co_await renew();
}

runtime::Task<Status> Pool::relabel(u16 member, const std::string& label) {
  co_await publishing_.acquire();
  const runtime::MutexHold hold(publishing_);
  const Result<format::PoolMap> changed = relabelled(map_, member, label);
  if (!changed) co_return changed.error();
  std::memcpy(map_.members[member].label, changed->members[member].label, sizeof map_.members[member].label);
  map_.sequence += 1;
  co_return co_await publish();
}

u64 Pool::chunks_lost() const {
  return map_.lost([this](u16 member) { return is_current(member); });
}

runtime::Task<Status> Pool::renew() {
  co_await publishing_.acquire();
  const runtime::MutexHold hold(publishing_);
  map_.sequence += 1;
  co_return co_await publish();
}

runtime::Task<void> Pool::remember_failures(IoOperation* flush) {
  const Status published = co_await renew();
  if (!published) flush->result = -EIO;
  finish(*flush);
}

runtime::Task<Status> Pool::begin_mount(u64 epoch) {
  map_.sequence += 1;
  map_.mounts += 1;
  map_.epoch = epoch;
  co_return co_await publish();
}

runtime::Task<Status> Pool::publish() {
  while (true) {
    remembered_ = failures_.load();
    mark_stale();
    for (u16 index = 0; index < map_.members.size(); ++index) {
      if (!is_current(index)) continue;
      const Member& told = asked(index);
      const Status written = co_await publish_to(index);
      if (!written && !give_up(told)) co_return written;
    }
    if (failures_.load() == remembered_) co_return Status{};
    map_.sequence += 1;
  }
}

runtime::Task<Status> Pool::change_superblock(const format::Superblock& changed) {
  superblock_ = changed;
  co_return co_await renew();
}

void Pool::mark_stale() {
  for (u16 index = 0; index < map_.members.size(); ++index) {
    format::PoolMember& member = map_.members[index];
    if (is_current(index) || member.state == static_cast<u8>(MemberState::stale)) continue;
    member.state = static_cast<u8>(MemberState::stale);
    map_.session = map_.session * 0x9e3779b97f4a7c15ull + index + 1;
  }
}

runtime::Task<Status> Pool::publish_to(u16 index) {
  device::Device& device = asked(index);
  const std::vector<std::byte> encoded = format::encode(map_);
  device::AlignedBuffer raw(encoded.size());
  std::memcpy(raw.data(), encoded.data(), encoded.size());
  Status done = co_await device.write(format::pool_map_block(map_.sequence) * block_bytes, raw.span());
  if (done) done = co_await device.flush();
  if (!done) co_return done;
  format::Superblock superblock = superblock_;
  superblock.device_uuid = map_.members[index].device;
  superblock.device_index = index;
  superblock.device_count = static_cast<u16>(map_.members.size());
  superblock.sequence = map_.sequence;
  superblock.map_sequence = map_.sequence;
  std::memcpy(superblock.device_label, map_.members[index].label, sizeof superblock.device_label);
  co_return co_await write_superblocks(device, superblock, map_.members[index].capacity_blocks);
}

}  // namespace cowfs::pool
