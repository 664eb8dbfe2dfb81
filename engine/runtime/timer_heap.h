// Armed timers, earliest deadline first, equal deadlines in the order they were started. A timer knows its place in the
// heap, so cancelling one touches no timer that may be gone.
#pragma once
#include <vector>

#include "engine/runtime/reactor.h"

namespace cowfs::runtime {

class TimerHeap {
 public:
  bool empty() const { return heap_.empty(); }
  u64 next_deadline_ns() const { return heap_.front()->deadline_ns; }
  // Precondition: not armed.
  void start(Timer& timer);
  // Does nothing to a timer that is not armed.
  void cancel(Timer& timer);
  // Takes the earliest timer out if it is due, else null.
  Timer* pop_due(u64 now_ns);

 private:
  static bool before(const Timer& a, const Timer& b) {
    return a.deadline_ns != b.deadline_ns ? a.deadline_ns < b.deadline_ns : a.sequence < b.sequence;
  }
  void put(Timer& timer, u64 place) {
    heap_[place] = &timer;
    timer.heap_place = place;
  }
  void rise(Timer& timer, u64 place);
  void sink(Timer& timer, u64 place);

  std::vector<Timer*> heap_;
  u64 next_sequence_ = 0;
};

}  // namespace cowfs::runtime
