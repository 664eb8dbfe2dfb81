#include "engine/device/patience.h"

#include <utility>

namespace cowfs::device {

namespace {

// A process that was stopped for a while finds its timers due before it hears what the device answered meanwhile: it looks
// again after this share of the limit.
constexpr u64 second_look_share = 8;

}  // namespace

void Patience::set_limit(u64 limit_ns, Overdue overdue) {
  limit_ns_ = limit_ns;
  overdue_ = overdue;
}

void Patience::begin(Awaited& request, u64 now_ns) {
  request.began_ns = now_ns;
  if (limit_ns_ == 0) return;
  request.is_watched = true;
  request.older = newest_;
  (newest_ == nullptr ? oldest_ : newest_->newer) = &request;
  newest_ = &request;
  if (!armed) look_at(now_ns + limit_ns_);
}

void Patience::end(Awaited& request) {
  if (!std::exchange(request.is_watched, false)) return;
  (request.older == nullptr ? oldest_ : request.older->newer) = request.newer;
  (request.newer == nullptr ? newest_ : request.newer->older) = request.older;
}

void Patience::stop() {
  limit_ns_ = 0;
  stopped_ = true;
  runtime::this_reactor().cancel_timer(*this);
}

void Patience::look_at(u64 time_ns) {
  fire = [](runtime::Timer& timer) { static_cast<Patience&>(timer).look(); };
  deadline_ns = time_ns;
  runtime::this_reactor().start_timer(*this);
}

void Patience::look() {
  if (oldest_ == nullptr) return;  // the next request starts the timer again
  const u64 now_ns = runtime::this_reactor().now_ns();
  const u64 due_ns = oldest_->began_ns + limit_ns_;
  if (due_ns > now_ns) return look_at(due_ns);
  if (!std::exchange(oldest_->is_overdue, true)) return look_at(now_ns + limit_ns_ / second_look_share);
  overdue_(*oldest_, now_ns - oldest_->began_ns);
}

}  // namespace cowfs::device
