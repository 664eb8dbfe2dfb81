#include "engine/runtime/timer_heap.h"

#include "engine/base/assert.h"

namespace cowfs::runtime {

void TimerHeap::start(Timer& timer) {
  assert(!timer.armed);
  timer.armed = true;
  timer.sequence = next_sequence_++;
  heap_.push_back(&timer);
  rise(timer, heap_.size() - 1);
}

void TimerHeap::cancel(Timer& timer) {
  if (!timer.armed) return;
  assert(heap_[timer.heap_place] == &timer);
  timer.armed = false;
  Timer& last = *heap_.back();
  heap_.pop_back();
  if (&last == &timer) return;
  // The last one takes the free place and may belong above or below it.
  rise(last, timer.heap_place);
  sink(last, last.heap_place);
}

Timer* TimerHeap::pop_due(u64 now_ns) {
  if (empty() || next_deadline_ns() > now_ns) return nullptr;
  Timer& timer = *heap_.front();
  cancel(timer);
  return &timer;
}

void TimerHeap::rise(Timer& timer, u64 place) {
  while (place > 0) {
    Timer& parent = *heap_[(place - 1) / 2];
    if (!before(timer, parent)) break;
    put(parent, place);
    place = (place - 1) / 2;
  }
  put(timer, place);
}

void TimerHeap::sink(Timer& timer, u64 place) {
  while (2 * place + 1 < heap_.size()) {
    u64 child = 2 * place + 1;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], timer)) break;
    put(*heap_[child], place);
    place = child;
  }
  put(timer, place);
}

}  // namespace cowfs::runtime
