// Random content costs one multiplication a word, about as much as copying it: a write with a random payload stays
// comparable to dbench's, which clears a buffer for each write.
#include "workloads/payload.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace cowbench::workloads {
namespace {

constexpr std::array<std::string_view, payload_kind_count> names = {"zero", "random", "compressible"};
constexpr u64 word_bytes = 8;
constexpr u64 cell_bytes = 512;
constexpr u64 golden = 0x9e3779b97f4a7c15;

// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
u64 mix(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

u64 word_at(u64 stream, u64 index) {
  u64 z = stream + index * golden;
  z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93;
  return z ^ (z >> 32);
}

void fill_random(u64 stream, u64 offset, std::byte* out, u64 length) {
  u64 index = offset / word_bytes;
  if (const u64 skip = offset % word_bytes; skip != 0) {
    const u64 word = word_at(stream, index++);
    const u64 take = std::min(word_bytes - skip, length);
    std::memcpy(out, reinterpret_cast<const std::byte*>(&word) + skip, take);
    out += take;
    length -= take;
  }
  for (; length >= word_bytes; length -= word_bytes, out += word_bytes) {
    const u64 word = word_at(stream, index++);
    std::memcpy(out, &word, word_bytes);
  }
  if (length > 0) {
    const u64 word = word_at(stream, index);
    std::memcpy(out, &word, length);
  }
}

}  // namespace

std::string_view name(PayloadKind kind) { return names[static_cast<std::size_t>(kind)]; }

std::optional<PayloadKind> to_payload_kind(std::string_view wanted) {
  const auto found = std::find(names.begin(), names.end(), wanted);
  if (found == names.end()) return std::nullopt;
  return static_cast<PayloadKind>(found - names.begin());
}

u64 payload_stream(u64 seed, u32 client, u32 path, u64 version) {
  return mix(mix(mix(seed + golden) ^ (u64{client} << 32 | path)) + version * golden);
}

void fill_payload(PayloadKind kind, u64 stream, u64 offset, cowfs::MutableByteSpan buffer) {
  if (buffer.empty()) return;
  if (kind == PayloadKind::zero) {
    std::memset(buffer.data(), 0, buffer.size());
    return;
  }
  if (kind == PayloadKind::random) {
    fill_random(stream, offset, buffer.data(), buffer.size());
    return;
  }
  u64 done = 0;
  while (done < buffer.size()) {
    const u64 in_cell = (offset + done) % cell_bytes;
    const bool random_half = in_cell < cell_bytes / 2;
    const u64 half_left = (random_half ? cell_bytes / 2 : cell_bytes) - in_cell;
    const u64 length = std::min<u64>(half_left, buffer.size() - done);
    if (random_half) {
      fill_random(stream, offset + done, buffer.data() + done, length);
    } else {
      std::memset(buffer.data() + done, 0, length);
    }
    done += length;
  }
}

}  // namespace cowbench::workloads
