#include "engine/codec/cpu_features.h"

#include <array>
#include <atomic>

namespace cowfs::codec {
namespace {

constexpr std::array<std::string_view, cpu_feature_count> feature_names = {"sse42", "avx2", "avx512", "vpclmulqdq",
                                                                           "gfni"};

u32 detect() {
  u32 bits = 0;
#if defined(__x86_64__)
  const auto note = [&](CpuFeature feature, bool present) { bits |= (present ? 1u : 0u) << static_cast<u32>(feature); };
  note(CpuFeature::sse42, __builtin_cpu_supports("sse4.2"));
  note(CpuFeature::avx2, __builtin_cpu_supports("avx2"));
  note(CpuFeature::avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"));
  note(CpuFeature::vpclmulqdq, __builtin_cpu_supports("vpclmulqdq"));
  note(CpuFeature::gfni, __builtin_cpu_supports("gfni"));
#endif
  return bits;
}

std::atomic<u32>& allowed_bits() {
  static std::atomic<u32> bits = detect();
  return bits;
}

}  // namespace

std::string to_text(CpuFeatures features) {
  std::string text;
  for (u32 i = 0; i < cpu_feature_count; ++i) {
    if ((features.bits() >> i & 1) == 0) continue;
    if (!text.empty()) text += ',';
    text += feature_names[i];
  }
  return text.empty() ? "none" : text;
}

std::optional<CpuFeatures> parse_cpu_features(std::string_view list) {
  if (list == "none") return CpuFeatures{};
  u32 bits = 0;
  for (;;) {
    const std::size_t comma = list.find(',');
    const std::string_view word = list.substr(0, comma);
    u32 feature = 0;
    while (feature < cpu_feature_count && feature_names[feature] != word) ++feature;
    if (feature == cpu_feature_count) return std::nullopt;
    bits |= 1u << feature;
    if (comma == std::string_view::npos) return CpuFeatures::from_bits(bits);
    list.remove_prefix(comma + 1);
  }
}

CpuFeatures native_cpu_features() {
  static const u32 bits = detect();
  return CpuFeatures::from_bits(bits);
}

CpuFeatures cpu_features() { return CpuFeatures::from_bits(allowed_bits().load(std::memory_order_relaxed)); }

void limit_cpu_features(CpuFeatures allowed) {
  allowed_bits().store(allowed.bits() & native_cpu_features().bits(), std::memory_order_relaxed);
}

}  // namespace cowfs::codec
