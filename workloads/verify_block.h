// What the blocks of a job with verify= hold, and how a reader tells that a block is the one that was written. The content
// of a block follows from the clone, the file, the offset and which of the clone's writes it is, so that a reader who knows
// which write must stand there can name the first byte that is wrong.
//
// As fio, a block begins with a header (so does every verify_interval bytes of it, if that is set); behind it stand random
// bytes, or verify_pattern. verify=pattern has no header and is that pattern alone: it cannot tell an old block, or one of
// another place, from the right one. The header's form is ours: fio cannot check our files, nor we its.
//
// The checksums are those of ISA-L and xxHash, not of the engine's own code, which may be what is being tested.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::workloads {

using cowfs::le32;
using cowfs::le64;
using cowfs::u32;
using cowfs::u64;
using cowfs::u8;

enum class VerifyMethod : u8 {
  none,
  crc32c,
  xxhash,   // XXH3, 64 bits
  meta,     // the header alone
  pattern,  // no header
};

struct VerifyForm {
  VerifyMethod method = VerifyMethod::none;
  u64 interval = 0;                // 0: one header a block
  std::vector<std::byte> pattern;  // empty: random
};

// A write of a clone, as a reader must find it.
struct WrittenBlock {
  u32 file = 0;
  u64 offset = 0;
  u64 bytes = 0;
  u64 number = 0;  // of the clone's writes, from 1
};

struct VerifyHeader {
  le32 magic;
  le32 bytes;      // that it stands for, itself included
  le64 stream;     // of the clone
  le64 offset;     // in its file
  le64 number;     // of the write
  le64 time_ns;    // when it was written, since 1970
  le64 body_checksum;
  le32 file;
  le32 checksum;   // crc32c of what stands before
};
static_assert(sizeof(VerifyHeader) == 56);
constexpr u64 verify_bytes_min = 64;  // of what has a header

struct VerifyMismatch {
  u64 offset = 0;  // in the file: of the first wrong byte
  std::string reason, expected, found;
  std::string to_text() const;  // "at byte 4196: REASON: expected 5a.., found 00.."
};

// The blocks of one clone.
class VerifyContent {
 public:
  // `stream`: different for each clone.
  VerifyContent(const VerifyForm& form, u64 stream) : form_(form), stream_(stream) {}

  // Precondition: `into` is as large as the block; with a header, it (and the interval) has verify_bytes_min at least, and
  // the interval divides it.
  void fill(const WrittenBlock& block, u64 time_ns, cowfs::MutableByteSpan into) const;
  // Nothing: `found` is what that write left. Same preconditions.
  std::optional<VerifyMismatch> check(const WrittenBlock& block, cowfs::ByteSpan found) const;

 private:
  u64 piece_bytes(const WrittenBlock& block) const { return form_.interval > 0 ? form_.interval : block.bytes; }
  void fill_body(const WrittenBlock& block, u64 at, cowfs::MutableByteSpan body) const;
  u64 checksum(cowfs::ByteSpan body) const;
  VerifyHeader header(const WrittenBlock& piece, u64 time_ns, u64 body_checksum) const;
  std::optional<VerifyMismatch> check_piece(const WrittenBlock& piece, cowfs::ByteSpan found) const;
  std::optional<VerifyMismatch> check_header(const WrittenBlock& piece, const VerifyHeader& found) const;
  std::optional<VerifyMismatch> check_body(const WrittenBlock& piece, u64 at, cowfs::ByteSpan found) const;

  VerifyForm form_;
  u64 stream_;
};

// A pattern as fio 3.33 reads it: one after the other, numbers (decimal: as many bytes as it needs, the lowest first;
// 0x...: its bytes as written) and texts in double quotes. Nothing: it is none of these, is empty, or has more than
// verify_pattern_bytes_max bytes.
std::optional<std::vector<std::byte>> parse_verify_pattern(std::string_view text);
constexpr std::size_t verify_pattern_bytes_max = 512;

}  // namespace cowbench::workloads
