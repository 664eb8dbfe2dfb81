#include "engine/data/write_turns.h"

#include <algorithm>

#include "engine/data/write_point.h"

namespace cowfs::data {

WriteTurns::WriteTurns() {
  hook_.owner = this;
  hook_.call = [](runtime::TurnHook& hook) { static_cast<Hook&>(hook).owner->turn_ended(); };
}

void WriteTurns::wait(WritePoint& point) {
  if (std::find(waiting_.begin(), waiting_.end(), &point) == waiting_.end()) waiting_.push_back(&point);
  runtime::this_reactor().at_turn_end(hook_);
}

void WriteTurns::ended() {
  assert(in_flight_ > 0);
  --in_flight_;
  if (!waiting_.empty()) runtime::this_reactor().at_turn_end(hook_);
}

// A request costs as much as its first thirty blocks do: what brings less to a device waits for the write that is under way,
// but for what a commit needs.
bool WriteTurns::is_worth_a_request(const WritePoint& point) const {
  constexpr u64 device_bytes_min = 128 * kib;
  return in_flight_ == 0 || point.open_bytes_of_device() >= device_bytes_min || point.is_for_commit();
}

void WriteTurns::turn_ended() {
  for (std::size_t i = 0; i < waiting_.size() && in_flight_ < in_flight_wanted_;) {
    WritePoint& point = *waiting_[i];
    if (!is_worth_a_request(point)) {
      ++i;
      continue;
    }
    if (point.expects_more()) {
      runtime::this_reactor().at_turn_end(hook_);
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    point.send();
  }
}

}  // namespace cowfs::data
