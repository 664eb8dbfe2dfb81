#include "engine/pool/member_requests.h"

#include "engine/base/assert.h"

namespace cowfs::pool {

void MemberRequests::add(Member& member, device::IoOperation::Kind kind, std::byte* data, u64 offset, u64 length,
                         bool durable, u32 tag) {
  assert(requests_.size() < requests_.capacity());
  Request& request = requests_.emplace_back();
  request.kind = kind;
  request.data = data;
  request.offset = offset;
  request.length = length;
  request.durable = durable;
  request.together = this;
  request.member = &member;
  request.tag = tag;
  request.completed = [](device::IoOperation& done) {
    Request& answered = static_cast<Request&>(done);
    if (answered.result != static_cast<i64>(answered.length)) answered.member->device()->counters().count_error();
    MemberRequests& all = *answered.together;
    if (--all.pending_ == 0) runtime::this_reactor().schedule(all.waiter_);
  };
}

// One more is pending while they are started: some may be answered at once.
bool MemberRequests::await_suspend(std::coroutine_handle<> waiter) {
  waiter_ = waiter;
  pending_ = requests_.size() + 1;
  for (Request& request : requests_) {
    counters_.count(request);
    request.member->start(request);
  }
  return --pending_ > 0;
}

}  // namespace cowfs::pool
