// Requests to several members of a pool that go out together and are waited for together.
#pragma once
#include <cerrno>
#include <coroutine>
#include <vector>

#include "engine/pool/member.h"

namespace cowfs::pool {

class MemberRequests {
 public:
  // `counters`: of the pool, which counts what it asks of members.
  MemberRequests(std::size_t count_max, device::DeviceCounters& counters) : counters_(counters) { requests_.reserve(count_max); }
  MemberRequests(const MemberRequests&) = delete;
  MemberRequests& operator=(const MemberRequests&) = delete;

  // `tag`: what the caller knows it by. Precondition: not yet awaited, and fewer than `count_max`.
  void add(Member& member, device::IoOperation::Kind kind, std::byte* data, u64 offset, u64 length, bool durable,
           u32 tag);

  // Starts all; resumes when all have been answered.
  bool await_ready() const noexcept { return requests_.empty(); }
  bool await_suspend(std::coroutine_handle<> waiter);
  void await_resume() const noexcept {}

  // Calls failed(tag, error, member) for each that did not move its whole length; `error` is negative.
  template <typename Failed>
  void each_failed(Failed failed) const {
    for (const Request& request : requests_) {
      if (request.result == static_cast<i64>(request.length)) continue;
      failed(request.tag, request.result < 0 ? request.result : -EIO, *request.member);
    }
  }

 private:
  struct Request : device::IoOperation {
    MemberRequests* together = nullptr;
    Member* member = nullptr;
    u32 tag = 0;
  };

  device::DeviceCounters& counters_;
  std::vector<Request> requests_;
  std::size_t pending_ = 0;
  std::coroutine_handle<> waiter_;
};

}  // namespace cowfs::pool
