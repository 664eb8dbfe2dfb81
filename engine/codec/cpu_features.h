// What the processor can do beyond its base instruction set, as far as kernels ask for it. A kernel says what it needs, and
// the quickest one whose needs are met is taken. A user may take features away, to see what the other kernels cost.
#pragma once
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/types.h"

namespace cowfs::codec {

enum class CpuFeature : u8 {
  sse42,
  avx2,
  avx512,  // its parts f, vl, bw and dq
  vpclmulqdq,
  gfni,
};
constexpr u32 cpu_feature_count = 5;

class CpuFeatures {
 public:
  constexpr CpuFeatures() = default;
  constexpr CpuFeatures(std::initializer_list<CpuFeature> features) {
    for (const CpuFeature feature : features) bits_ |= 1u << static_cast<u32>(feature);
  }
  static constexpr CpuFeatures from_bits(u32 bits) { return CpuFeatures(bits); }
  constexpr u32 bits() const { return bits_; }
  constexpr bool has(CpuFeatures needed) const { return (needed.bits_ & ~bits_) == 0; }
  constexpr bool operator==(const CpuFeatures&) const = default;

 private:
  constexpr explicit CpuFeatures(u32 bits) : bits_(bits) {}
  u32 bits_ = 0;
};

// "sse42,avx2"; "none" for no feature.
std::string to_text(CpuFeatures features);
// The same backwards; nothing when a word is none of these.
std::optional<CpuFeatures> parse_cpu_features(std::string_view list);

CpuFeatures native_cpu_features();  // of this processor
CpuFeatures cpu_features();         // of them, what kernels may use
// From now on only these, as far as the processor has them. For tests, tuning and the start of a program: what runs
// meanwhile may still take either kernel, and both give the same bytes.
void limit_cpu_features(CpuFeatures allowed);

}  // namespace cowfs::codec
