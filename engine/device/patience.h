// Who has waited too long for a device.
#pragma once
#include "engine/runtime/reactor.h"

namespace cowfs::device {

// A request that a device has yet to answer.
struct Awaited {
  u64 began_ns = 0;
  Awaited* older = nullptr;
  Awaited* newer = nullptr;
  bool is_watched = false;  // by a Patience
  bool is_overdue = false;
};

// The requests of one core that a device has yet to answer, oldest first. All are given the same time, so one timer looks at
// the oldest, at most once in that time, and a request costs two links.
class alignas(64) Patience : private runtime::Timer {
 public:
  // Called with the oldest request that was not answered within the limit and an eighth more, and its age. It may end requests.
  using Overdue = void (*)(Awaited& request, u64 waited_ns);

  // 0: none.
  void set_limit(u64 limit_ns, Overdue overdue);
  void begin(Awaited& request, u64 now_ns);
  void end(Awaited& request);
  Awaited* oldest() { return oldest_; }
  // On its core, before it is gone.
  void stop();
  bool is_stopped() const { return stopped_; }

 private:
  void look_at(u64 time_ns);
  void look();

  u64 limit_ns_ = 0;
  Overdue overdue_ = nullptr;
  bool stopped_ = false;
  Awaited* oldest_ = nullptr;
  Awaited* newest_ = nullptr;
};

}  // namespace cowfs::device
