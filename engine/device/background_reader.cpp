#include "engine/device/background_reader.h"

#include "engine/runtime/sync.h"

namespace cowfs::device {

namespace {

constexpr u64 considerate_bytes_per_second = 32 * mib;
constexpr u64 look_interval_ns = 20'000'000;
constexpr u64 requests_of_a_busy_interval = 4;
constexpr u64 considerate_run_bytes = 64 * kib;  // what others ask of the device waits for no more
constexpr u64 ns_per_second = 1'000'000'000;

}  // namespace

BackgroundReader::BackgroundReader(std::function<u64()> requests_of_others, u64 bytes_per_second)
    : requests_of_others_(std::move(requests_of_others)), bytes_per_second_(bytes_per_second), spare_(runtime::this_reactor().cores()) {}

AlignedBuffer BackgroundReader::take_buffer() {
  std::vector<AlignedBuffer>& spare = spare_[runtime::this_reactor().core()];
  if (spare.empty()) return AlignedBuffer(run_bytes_max);
  AlignedBuffer buffer = std::move(spare.back());
  spare.pop_back();
  return buffer;
}

void BackgroundReader::give_back(AlignedBuffer buffer) { spare_[runtime::this_reactor().core()].push_back(std::move(buffer)); }

u64 BackgroundReader::run_bytes() const {
  return is_busy_.load(std::memory_order_relaxed) ? considerate_run_bytes : run_bytes_max;
}

u64 BackgroundReader::rate(u64 now_ns) {
  if (bytes_per_second_ != 0) return bytes_per_second_;
  const u64 looked_ns = looked_ns_.load(std::memory_order_relaxed);
  if (now_ns >= looked_ns + look_interval_ns) {
    const u64 others = requests_of_others_();
    const u64 before = others_seen_.exchange(others, std::memory_order_relaxed);
    looked_ns_.store(now_ns, std::memory_order_relaxed);
    is_busy_.store(looked_ns != 0 && others > before + requests_of_a_busy_interval, std::memory_order_relaxed);
  }
  return is_busy_.load(std::memory_order_relaxed) ? considerate_bytes_per_second : 0;
}

runtime::Task<void> BackgroundReader::before(u64 bytes) {
  const u64 now_ns = runtime::this_reactor().now_ns();
  const u64 bytes_per_second = rate(now_ns);
  if (bytes_per_second == 0) co_return;
  const u64 takes_ns = bytes * ns_per_second / bytes_per_second;
  u64 next_ns = next_ns_.load(std::memory_order_relaxed);
  u64 begins_ns = 0;
  do {
    begins_ns = std::max(next_ns, now_ns);
  } while (!next_ns_.compare_exchange_weak(next_ns, begins_ns + takes_ns, std::memory_order_relaxed));
  if (begins_ns > now_ns) co_await runtime::sleep_until(begins_ns);
}

}  // namespace cowfs::device
