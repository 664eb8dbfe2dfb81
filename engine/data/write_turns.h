// The write points of one core take turns at the device. As long as two of their writes are in flight, or one and little to
// add to it, what is placed gathers: the device's latency is the batching window, and no timer is needed. Were it two writes
// for each point, a file whose regions lie in many slices would be written block by block.
#pragma once
#include <vector>

#include "engine/runtime/reactor.h"

namespace cowfs::data {

class WritePoint;

class WriteTurns {
 public:
  WriteTurns();

  // `point` has something to send, and may have said so before: it is asked at the ends of turns, after those before it, until it has sent or left.
  void wait(WritePoint& point);
  void leave(WritePoint& point) { std::erase(waiting_, &point); }

  // A device write of one of the points; a full buffer need not wait for its turn.
  void began() { ++in_flight_; }
  void ended();

 private:
  struct Hook : runtime::TurnHook {
    WriteTurns* owner = nullptr;
  };
  static constexpr u32 in_flight_wanted_ = 2;

  void turn_ended();
  bool is_worth_a_request(const WritePoint& point) const;

  Hook hook_;
  u32 in_flight_ = 0;
  std::vector<WritePoint*> waiting_;  // the oldest first
};

}  // namespace cowfs::data
