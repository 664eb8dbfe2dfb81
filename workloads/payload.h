// What a write carries. Content is a function of (stream, offset in the file), so that a reader that knows which write a
// byte came from can tell what the byte must be, at any offset and length.
#pragma once
#include <optional>
#include <string_view>

#include "engine/base/types.h"

namespace cowbench::workloads {

using cowfs::u32;
using cowfs::u64;
using cowfs::u8;

enum class PayloadKind : u8 {
  zero,          // as dbench; a filesystem that compresses or skips zeros gets it for free
  random,        // does not compress
  compressible,  // about 2:1: of each 512 bytes of a file, 256 random ones and then 256 zeros
};
constexpr std::size_t payload_kind_count = 3;

std::string_view name(PayloadKind kind);
// The kind of that name; nothing when there is none.
std::optional<PayloadKind> to_payload_kind(std::string_view name);

// The stream of one write: different for every client, path and version under one seed.
u64 payload_stream(u64 seed, u32 client, u32 path, u64 version);

// Fills `buffer` with bytes [offset, offset + buffer.size()) of `stream`.
void fill_payload(PayloadKind kind, u64 stream, u64 offset, cowfs::MutableByteSpan buffer);

}  // namespace cowbench::workloads
