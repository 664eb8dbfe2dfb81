// A write is copied when it is started, since from then on any part of it may be on the medium, and compared with the
// caller's buffer when it completes, unless it was given up: whoever changes a buffer in flight is found here.
//
// Writes that completed wait in `completed_` until a flush, or their own durability, makes them safe. They move into
// `durable_` only from the front: a durable write behind one that may still be lost stays, because the crash image must
// lay it over the other.
#include "engine/device/sim_device.h"

#include <algorithm>
#include <cerrno>

#include "engine/base/assert.h"

namespace cowfs::device {
namespace {

constexpr u64 slow_factor = 100;

u64 hash_bytes(ByteSpan bytes) {
  u64 hash = bytes.size();
  for (std::size_t at = 0; at + sizeof(u64) <= bytes.size(); at += sizeof(u64)) {
    u64 word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    hash = std::rotl((hash ^ word) * 0x9e3779b97f4a7c15, 31);
  }
  return hash;
}

void fill_random(Random& random, MutableByteSpan bytes) {
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
}

}  // namespace

SimDevice::SimDevice(Image image, const SimDeviceSettings& settings)
    : settings_(settings), random_(settings.seed), durable_(image), current_(std::move(image)) {
  assert(current_.size() % block_bytes == 0);
  assert(settings.unit_bytes > 0 && block_bytes % settings.unit_bytes == 0);
}

SimDevice::~SimDevice() {
  for (const auto& flight : flights_) flight->reactor->cancel_timer(*flight);
}

std::string SimDevice::describe() const { return "simulated, seed " + std::to_string(settings_.seed); }

void SimDevice::set_faults(const SimFaults& faults) { faults_ = faults; }

void SimDevice::make_unreadable(u64 offset, u64 length) {
  assert(offset <= current_.size() && length <= current_.size() - offset);
  unreadable_.resize(current_.size() / block_bytes);
  for (u64 block = offset / block_bytes; block * block_bytes < offset + length; ++block) unreadable_[block] = true;
}

void SimDevice::flip_bit(u64 offset, unsigned bit) {
  durable_.flip_bit(offset, bit);
  current_.flip_bit(offset, bit);
}

void SimDevice::damage(u64 offset, u64 length) {
  std::vector<std::byte> noise(length);
  fill_random(random_, noise);
  durable_.write(offset, noise);
  current_.write(offset, noise);
}

// Requests

void SimDevice::start(IoOperation& operation) {
  if (settings_.write_through && write_through_.begins(operation)) {
    operation.result = 0;
    return operation.completed(operation);
  }
  counters_.count(operation);
  if (start_observer_) start_observer_(*this);
  trace(static_cast<u64>(operation.kind) | (operation.durable ? 8u : 0u));
  trace(operation.offset);
  trace(operation.length);
  auto flight = std::make_unique<Flight>();
  flight->device = this;
  flight->reactor = runtime::current_reactor();
  flight->operation = &operation;
  flight->moved = operation.length;
  flight->gone = power_is_cut_ || vanished_;
  if (!flight->gone) {
    switch (operation.kind) {
      case IoOperation::Kind::read:
        start_read(*flight);
        break;
      case IoOperation::Kind::write:
        start_write(*flight);
        break;
      case IoOperation::Kind::discard:
        start_discard(*flight);
        break;
      case IoOperation::Kind::flush:
        start_flush(*flight);
        break;
    }
  }
  launch(std::move(flight));
  if (strikes(faults_.power_cut_at)) power_cut();
  if (strikes(faults_.vanish_at)) vanish();
  if (strikes(faults_.revert_at)) revert();
}

void SimDevice::start_read(Flight& flight) {
  const IoOperation& operation = *flight.operation;
  flight.read_from = operation.offset;
  if (strikes(faults_.misdirected_read_at)) flight.read_from = other_block(operation.offset, operation.length);
  flight.flipped = strikes(faults_.flipped_read_at);
  if (strikes(faults_.read_error_at, faults_.for_good) || unreadable(operation.offset, operation.length)) flight.error = EIO;
  if (strikes(faults_.short_read_at, faults_.for_good)) flight.moved = some_units(operation.length);
}

void SimDevice::start_write(Flight& flight) {
  const IoOperation& operation = *flight.operation;
  const ByteSpan data{operation.data, operation.length};
  trace(hash_bytes(data));
  flight.write = std::make_shared<Write>();
  flight.write->offset = operation.offset;
  flight.write->data.assign(data.begin(), data.end());
  if (strikes(faults_.write_error_at, faults_.for_good)) flight.error = EIO;
  if (strikes(faults_.misdirected_write_at)) flight.write->offset = other_block(operation.offset, operation.length);
  if (strikes(faults_.flipped_write_at) && operation.length > 0) {
    flight.write->data[random_.below(operation.length)] ^= std::byte{1} << random_.below(8);
    flight.flipped = true;
  }
  if (strikes(faults_.short_write_at, faults_.for_good)) {
    flight.moved = some_units(operation.length);
    flight.write->data.resize(flight.moved);
  }
  flight.lost = strikes(faults_.lost_write_at);
  if (!flight.lost) under_way_.push_back(flight.write);
}

// Discarded blocks hold anything afterwards: a write of old bytes, zeros or noise.
void SimDevice::start_discard(Flight& flight) {
  const IoOperation& operation = *flight.operation;
  flight.write = std::make_shared<Write>();
  flight.write->offset = operation.offset;
  flight.write->data.resize(operation.length);
  current_.read(operation.offset, flight.write->data);
  for (u64 at = 0; at < operation.length; at += block_bytes) {
    const MutableByteSpan block = MutableByteSpan{flight.write->data}.subspan(at, block_bytes);
    const u64 choice = random_.below(3);
    if (choice == 0) std::fill(block.begin(), block.end(), std::byte{0});
    if (choice == 1) fill_random(random_, block);
  }
  under_way_.push_back(flight.write);
}

void SimDevice::start_flush(Flight& flight) {
  flight.lost = strikes(faults_.lost_flush_at);
  if (strikes(faults_.flush_error_at, faults_.for_good)) flight.error = EIO;
  if (!flight.lost) flight.flushed.assign(completed_.begin(), completed_.end());
}

void SimDevice::launch(std::unique_ptr<Flight> flight) {
  flight->fire = &SimDevice::landed;
  flight->deadline_ns = flight->reactor->now_ns() + delay_ns(flight->operation->kind);
  if (!power_is_cut_ || !settings_.hangs_after_power_cut) flight->reactor->start_timer(*flight);
  flights_.push_back(std::move(flight));
}

u64 SimDevice::delay_ns(IoOperation::Kind kind) {
  const auto between = [this](u64 least, u64 most) { return least + random_.below(most - least + 1); };
  u64 delay = 0;
  switch (kind) {
    case IoOperation::Kind::read:
      delay = between(settings_.read_ns_min, settings_.read_ns_max);
      break;
    case IoOperation::Kind::write:
    case IoOperation::Kind::discard:
      delay = between(settings_.write_ns_min, settings_.write_ns_max);
      break;
    case IoOperation::Kind::flush:
      delay = between(settings_.flush_ns_min, settings_.flush_ns_max);
      break;
  }
  if (settings_.slow_one_in > 0 && random_.one_in(settings_.slow_one_in)) delay *= slow_factor;
  if (strikes(faults_.hang_at)) delay = settings_.hang_ns;
  return delay;
}

void SimDevice::landed(runtime::Timer& timer) {
  auto& flight = static_cast<Flight&>(timer);
  flight.device->finish(flight);
}

void SimDevice::finish(Flight& flight) {
  const auto place =
      std::find_if(flights_.begin(), flights_.end(), [&](const auto& own) { return own.get() == &flight; });
  assert(place != flights_.end());
  const std::unique_ptr<Flight> landing = std::move(*place);
  *place = std::move(flights_.back());
  flights_.pop_back();

  IoOperation& operation = *flight.operation;
  if (flight.gone || power_is_cut_) {
    operation.result = -ENODEV;
    return answer(operation);
  }
  if (durability_observer_ && (operation.kind == IoOperation::Kind::flush || operation.durable)) {
    durability_observer_(*this);
  }
  if (operation.kind == IoOperation::Kind::read) finish_read(flight);
  if (flight.write != nullptr) finish_write(flight);
  if (operation.kind == IoOperation::Kind::flush) finish_flush(flight);
  operation.result = flight.error != 0 ? -flight.error : static_cast<i64>(flight.moved);
  if (observer_) observer_(*this);
  answer(operation);
}

void SimDevice::answer(IoOperation& operation) {
  trace(static_cast<u64>(operation.result));
  write_through_.ended(operation);
  operation.completed(operation);
}

void SimDevice::finish_read(Flight& flight) {
  const IoOperation& operation = *flight.operation;
  if (flight.error != 0) return;
  const MutableByteSpan into{operation.data, operation.length};
  current_.read(flight.read_from, into);
  if (flight.flipped && !into.empty()) into[random_.below(into.size())] ^= std::byte{1} << random_.below(8);
  fill_random(random_, into.subspan(flight.moved));
}

void SimDevice::finish_write(Flight& flight) {
  const IoOperation& operation = *flight.operation;
  const bool checkable = operation.kind == IoOperation::Kind::write && !operation.abandoned && !flight.flipped;
  assert(!checkable || std::memcmp(operation.data, flight.write->data.data(), flight.moved) == 0);
  if (flight.lost) return;
  under_way_.erase(std::find(under_way_.begin(), under_way_.end(), flight.write));
  if (flight.error != 0) {
    store_part(*flight.write);
    return;
  }
  current_.write(flight.write->offset, flight.write->data);
  if (!unreadable_.empty()) {
    for (u64 at = 0; at < flight.moved; at += block_bytes) {
      unreadable_[(flight.write->offset + at) / block_bytes] = false;
    }
  }
  flight.write->durable = operation.durable;
  completed_.push_back(flight.write);
  settle_durable();
}

void SimDevice::finish_flush(Flight& flight) {
  for (const auto& write : flight.flushed) {
    if (flight.error != 0) {
      write->doubtful = !write->durable;
      continue;
    }
    if (write->doubtful && random_.one_in(2)) {
      // The cache forgot it: reads may go on seeing it, a power cut does not.
      std::erase(completed_, write);
      continue;
    }
    write->durable = true;
  }
  settle_durable();
  if (strikes(faults_.remember_at)) remembered_ = crash_image_all_lost();
}

// A write that failed: each unit was stored or not, and may be lost again.
void SimDevice::store_part(const Write& write) {
  for (u64 at = 0; at < write.data.size(); at += settings_.unit_bytes) {
    if (random_.one_in(2)) continue;
    auto part = std::make_shared<Write>();
    part->offset = write.offset + at;
    const auto begin = write.data.begin() + static_cast<std::ptrdiff_t>(at);
    part->data.assign(begin, begin + static_cast<std::ptrdiff_t>(settings_.unit_bytes));
    current_.write(part->offset, part->data);
    completed_.push_back(std::move(part));
  }
}

void SimDevice::settle_durable() {
  while (!completed_.empty() && completed_.front()->durable) {
    durable_.write(completed_.front()->offset, completed_.front()->data);
    completed_.pop_front();
  }
}

// Fewer than there are, and may be none.
u64 SimDevice::some_units(u64 length) { return random_.below(length / settings_.unit_bytes) * settings_.unit_bytes; }

// What is under way is answered with ENODEV, and some of it may have been stored.
void SimDevice::vanish() {
  vanished_ = true;
  for (const auto& flight : flights_) flight->gone = true;
}

void SimDevice::come_back_stale() {
  vanished_ = false;
  under_way_.clear();
  revert();
}

void SimDevice::revert() {
  Image then = remembered_ ? *remembered_ : crash_image_all_lost();
  completed_.clear();
  current_ = then;
  durable_ = std::move(then);
}

// Power cuts

void SimDevice::power_cut() {
  if (power_is_cut_) return;
  power_is_cut_ = true;
  trace(~u64{0});
  if (power_observer_) power_observer_();
  if (!settings_.hangs_after_power_cut) return;
  for (const auto& flight : flights_) flight->reactor->cancel_timer(*flight);
}

std::vector<PendingWrite> SimDevice::pending_writes() const {
  std::vector<PendingWrite> pending;
  for (const auto& write : completed_) {
    if (!write->durable) pending.push_back({write->offset, write->data.size(), true});
  }
  for (const auto& write : under_way_) pending.push_back({write->offset, write->data.size(), false});
  return pending;
}

Image SimDevice::crash_image(const std::function<bool(std::size_t write, u64 unit)>& kept) const {
  Image image = durable_;
  std::size_t index = 0;
  const auto lay = [&](const Write& write) {
    if (write.durable) {
      image.write(write.offset, write.data);
      return;
    }
    const u64 unit_bytes = settings_.unit_bytes;
    for (u64 unit = 0; unit * unit_bytes < write.data.size(); ++unit) {
      if (!kept(index, unit)) continue;
      image.write(write.offset + unit * unit_bytes, ByteSpan{write.data}.subspan(unit * unit_bytes, unit_bytes));
    }
    ++index;
  };
  for (const auto& write : completed_) lay(*write);
  for (const auto& write : under_way_) lay(*write);
  return image;
}

Image SimDevice::crash_image(Random& random) const {
  // Per write: missing, whole, the units before or after a place, or each unit by chance.
  enum class Fate { missing, whole, front, back, mixed };
  constexpr u64 fates = 5;
  std::size_t current = ~std::size_t{0};
  Fate fate = Fate::missing;
  u64 border = 0;
  const std::vector<PendingWrite> pending = pending_writes();
  return crash_image([&](std::size_t write, u64 unit) {
    if (write != current) {
      current = write;
      fate = static_cast<Fate>(random.below(fates));
      border = random.below(pending[write].length / settings_.unit_bytes + 1);
    }
    switch (fate) {
      case Fate::missing:
        return false;
      case Fate::whole:
        return true;
      case Fate::front:
        return unit < border;
      case Fate::back:
        return unit >= border;
      case Fate::mixed:
        return random.one_in(2);
    }
    return false;
  });
}

Image SimDevice::crash_image_all_lost() const {
  return crash_image([](std::size_t, u64) { return false; });
}

bool SimDevice::unreadable(u64 offset, u64 length) const {
  if (unreadable_.empty()) return false;
  for (u64 at = offset; at < offset + length; at += block_bytes) {
    if (unreadable_[at / block_bytes]) return true;
  }
  return false;
}

// Where a misdirected request of this length goes: anywhere but where it should, unless the device is too small.
u64 SimDevice::other_block(u64 offset, u64 length) {
  const u64 places = (current_.size() - length) / block_bytes + 1;
  if (places == 1) return offset;
  const u64 other = random_.below(places - 1) * block_bytes;
  return other >= offset ? other + block_bytes : other;
}

void SimDevice::trace(u64 fact) { trace_hash_ = std::rotl(trace_hash_ ^ fact, 29) * 0x9e3779b97f4a7c15; }

}  // namespace cowfs::device
