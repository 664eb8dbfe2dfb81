// All integers of the frame are big-endian. The payload is one ZigZag LEB128 number a slot, up to the last that counts
// anything; a negative one stands for so many empty slots. Its ninth byte, if there is one, carries eight bits.
#include "results/histogram_codec.h"

#include <array>
#include <optional>

#include "results/deflate.h"

namespace cowbench::results {
namespace {

using cowfs::Code;
using cowfs::Error;
using cowfs::i64;
using cowfs::u8;

constexpr u32 outer_cookie = 0x1c849314;
constexpr u32 inner_cookie = 0x1c849313;
constexpr u32 significant_digits = 3;
constexpr std::size_t outer_bytes = 8, inner_bytes = 40;
constexpr std::size_t number_bytes_max = 9;
constexpr double conversion_ratio = 1.0;

template <typename Integer>
void put(std::string& out, Integer value) {
  for (int shift = static_cast<int>(8 * sizeof value) - 8; shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<u8>(value >> shift));
}

template <typename Integer>
Integer get(std::string_view bytes, std::size_t at) {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) value = static_cast<Integer>(value << 8 | static_cast<u8>(bytes[at + i]));
  return value;
}

void put_number(std::string& out, i64 number) {
  u64 rest = static_cast<u64>(number) << 1 ^ static_cast<u64>(number >> 63);
  for (std::size_t bytes = 1; bytes < number_bytes_max && rest > 0x7f; ++bytes, rest >>= 7)
    out += static_cast<char>(static_cast<u8>(rest) | 0x80);
  out += static_cast<char>(static_cast<u8>(rest));
}

std::optional<i64> take_number(std::string_view& bytes) {
  u64 value = 0;
  for (std::size_t at = 0; at < number_bytes_max && at < bytes.size(); ++at) {
    const u8 byte = static_cast<u8>(bytes[at]);
    const bool last = at + 1 == number_bytes_max || byte < 0x80;
    value |= u64{at + 1 == number_bytes_max ? byte : byte & 0x7fu} << (7 * at);
    if (!last) continue;
    bytes.remove_prefix(at + 1);
    return static_cast<i64>(value >> 1) ^ -static_cast<i64>(value & 1);
  }
  return std::nullopt;
}

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string to_base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t here = std::min<std::size_t>(3, bytes.size() - at);
    u32 group = 0;
    for (std::size_t i = 0; i < 3; ++i) group = group << 8 | (i < here ? static_cast<u8>(bytes[at + i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) out += i <= here ? base64_digits[group >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  out.reserve(text.size() * 3 / 4);
  u32 group = 0, bits = 0;
  for (const char digit : text) {
    const std::size_t value = base64_digits.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    group = group << 6 | static_cast<u32>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(static_cast<u8>(group >> bits));
  }
  return out;
}

std::string payload_of(const HistogramCounts& counts) {
  u32 end = layout::slots;
  while (end > 0 && counts.slot_counts[end - 1] == 0) --end;
  std::string payload;
  i64 empty_slots = 0;
  for (u32 slot = 0; slot < end; ++slot) {
    if (counts.slot_counts[slot] == 0) {
      ++empty_slots;
      continue;
    }
    if (empty_slots > 0) put_number(payload, -empty_slots);
    empty_slots = 0;
    put_number(payload, static_cast<i64>(counts.slot_counts[slot]));
  }
  return payload;
}

bool add_payload(std::string_view payload, HistogramCounts& counts) {
  u64 slot = 0;
  while (!payload.empty()) {
    const auto number = take_number(payload);
    if (!number) return false;
    if (*number <= 0) {
      if (*number < -i64{layout::slots}) return false;
      slot += *number == 0 ? 1 : static_cast<u64>(-*number);
      continue;
    }
    if (slot >= layout::slots) return false;
    counts.record_many(layout::highest_in_slot(static_cast<u32>(slot)), static_cast<u64>(*number));
    ++slot;
  }
  return slot <= layout::slots;
}

}  // namespace

std::string encode_histogram(const HistogramCounts& counts) {
  const std::string payload = payload_of(counts);
  std::string inner;
  put(inner, inner_cookie);
  put(inner, static_cast<u32>(payload.size()));
  put(inner, u32{0});  // normalizing offset
  put(inner, significant_digits);
  put(inner, u64{1});  // lowest discernible value
  put(inner, layout::highest_trackable_ns);
  put(inner, std::bit_cast<u64>(conversion_ratio));
  const std::string compressed = deflate(inner + payload);
  std::string outer;
  put(outer, outer_cookie);
  put(outer, static_cast<u32>(compressed.size()));
  return to_base64(outer + compressed);
}

cowfs::Result<std::unique_ptr<HistogramCounts>> decode_histogram(std::string_view text) {
  const Error invalid{Code::histogram_invalid};
  const auto outer = from_base64(text);
  if (!outer || outer->size() < outer_bytes || get<u32>(*outer, 0) != outer_cookie) return invalid;
  if (get<u32>(*outer, 4) != outer->size() - outer_bytes) return invalid;
  const auto inner = inflate(std::string_view(*outer).substr(outer_bytes), inner_bytes + layout::slots * number_bytes_max);
  if (!inner || inner->size() < inner_bytes || get<u32>(*inner, 0) != inner_cookie) return invalid;
  const bool ours = get<u32>(*inner, 8) == 0 && get<u32>(*inner, 12) == significant_digits &&
                    get<u64>(*inner, 16) == 1 && get<u64>(*inner, 24) == layout::highest_trackable_ns;
  if (!ours || get<u32>(*inner, 4) != inner->size() - inner_bytes) return invalid;
  auto counts = std::make_unique<HistogramCounts>();
  counts->reset();
  if (!add_payload(std::string_view(*inner).substr(inner_bytes), *counts)) return invalid;
  return counts;
}

}  // namespace cowbench::results
