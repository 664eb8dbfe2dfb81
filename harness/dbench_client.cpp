#include "harness/dbench_client.h"

#include <fmt/format.h>
#include <time.h>

#include <cmath>
#include <cstring>

namespace cowbench::harness {
namespace {
constexpr u64 millisecond_ns = 1'000'000;
}  // namespace

u64 RateLimit::pause_ns(double rate_mb_s, u64 bytes, u64 now_ns) const {
  if (last_bytes_ == 0) return 0;
  const double wanted_ns = static_cast<double>(bytes - last_bytes_) / rate_mb_s * 1e3;  // at 1e6 bytes a second per MB/s
  const double pause = wanted_ns - static_cast<double>(now_ns - last_ns_);
  return pause > 0 ? static_cast<u64>(pause) / millisecond_ns * millisecond_ns : 0;
}

void RateLimit::slept(u64 bytes, u64 now_ns) {
  last_bytes_ = bytes;
  last_ns_ = now_ns;
}

std::string line_text(u32 client, u64 line, std::string_view text) {
  return fmt::format("client {}, line {}: {}", client, line, text);
}

std::string wrong_result_text(u32 client, const Op& op, std::string_view call, const std::string& path, i64 result) {
  const std::string_view got = result >= 0 ? "succeeded" : std::strerror(static_cast<int>(-result));
  const std::string_view expected = op.must_succeed ? "success" : "failure";
  return line_text(client, op.line, fmt::format("{} {}: {}, but the loadfile expects {}", call, path, got, expected));
}

std::string wrong_count_text(u32 client, const Op& op, std::string_view verb, i64 result) {
  if (result < 0) return line_text(client, op.line, fmt::format("{}: {}", verb, std::strerror(static_cast<int>(-result))));
  return line_text(client, op.line, fmt::format("{}: {} bytes instead of {}", verb, result, op.returned));
}

std::array<std::byte, 44> attribute_value(cowfs::Random& random) {
  std::array<std::byte, 44> value = {};
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  const i64 seconds = now.tv_sec;
  const i64 microseconds = now.tv_nsec / 1000;
  std::memcpy(value.data(), &seconds, sizeof seconds);
  if (random.below(10) >= 2) std::memcpy(value.data() + sizeof seconds, &microseconds, sizeof microseconds);
  return value;
}

}  // namespace cowbench::harness
