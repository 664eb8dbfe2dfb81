// The values of fio's options: numbers with suffixes, times, percentages, ranges, lists, and arithmetic in brackets.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::workloads {

using cowfs::u32;
using cowfs::u64;

// "4k", "4KiB", "0x1000", "(2*3)k", "$ncpus*2" after expansion; k is `kilo` (1024 or 1000), and ki the other of the two.
// Nothing for what is none, is negative, or does not fit 64 bits.
std::optional<u64> parse_fio_number(std::string_view text, u64 kilo);

// Nanoseconds. A number without a unit counts `unit_ns` each.
std::optional<u64> parse_fio_time(std::string_view text, u64 unit_ns);

// A number, or "20%" of something that is known later.
struct FioAmount {
  u64 bytes = 0;
  std::optional<u32> percent;
  u64 of(u64 whole) const { return percent ? whole / 100 * *percent + whole % 100 * *percent / 100 : bytes; }
};
std::optional<FioAmount> parse_fio_amount(std::string_view text, u64 kilo);

struct FioRange {
  u64 low = 0, high = 0;
};
// "4k-16k" or "4k:16k", in any order; a lone number is both ends.
std::optional<FioRange> parse_fio_range(std::string_view text, u64 kilo);

// "a,b,c" cut at the separator, blanks dropped.
std::vector<std::string_view> split(std::string_view text, char separator);

}  // namespace cowbench::workloads
