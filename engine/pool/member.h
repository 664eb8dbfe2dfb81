// A device as its pool asks it: once there is a time limit, every request is answered in time. One that the device does not
// answer is answered with ETIMEDOUT, and so is all that is asked from then on. The request itself goes on without anybody who
// waits: it has memory of its own for what it reads, and what it writes goes to a device that nobody trusts any more.
#pragma once
#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "engine/device/aligned_buffer.h"
#include "engine/device/device.h"
#include "engine/device/patience.h"
#include "engine/runtime/sync.h"

namespace cowfs::pool {

// What reads were made into, to be used again. Of one core.
class ReadMemory {
 public:
  device::AlignedBuffer take(u64 bytes);
  void give_back(device::AlignedBuffer memory);

 private:
  static constexpr std::size_t sizes = 9;  // 4 KiB to 1 MiB
  std::array<std::vector<device::AlignedBuffer>, sizes> spare_;
};

class Member final : public device::Device {
 public:
  // `device`: null when it is missing; nothing is asked of it then. It outlives the member, and so does `memory`, by core.
  Member(device::Device* device, u16 number, std::vector<ReadMemory>& memory);
  ~Member() override;

  device::Device* device() const { return device_; }
  // Something that nobody waits for any more is still under way to it.
  bool is_silent() const { return hanging_.load(std::memory_order_relaxed) > 0; }
  // It is asked again. Precondition: not silent.
  void forgive();

  Bytes capacity() const override { return device_->capacity(); }
  std::string describe() const override { return device_->describe(); }
  bool discards() const override { return device_->discards(); }
  // `failed` is called before the first request is answered in the device's stead, on the core that asked it.
  void set_time_limit(u64 limit_ns, FailureObserver failed) override;
  runtime::Task<void> end_time_limit() override;
  void start(device::IoOperation& asked) override;

 private:
  struct Errand;
  struct alignas(64) Desk {  // of a core
    bool is_limited = false;
    device::Patience patience;
    u64 hanging = 0;  // requests that nobody waits for
    runtime::WaitList answered;
  };

  static void answered(device::IoOperation& operation);
  static void overdue(device::Awaited& request, u64 waited_ns);
  Desk& desk_here() { return desks_[runtime::this_reactor().core()]; }
  void give_up(Desk& desk);

  device::Device* const device_;
  std::vector<ReadMemory>& memory_;
  const std::unique_ptr<Desk[]> desks_;
  FailureObserver on_failure_;
  std::atomic<bool> is_refused_{false};
  std::atomic<u64> hanging_{0};
};

}  // namespace cowfs::pool
