#include "workloads/verify_block.h"

#include <fmt/format.h>
#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstring>

#include "engine/base/assert.h"
#include "workloads/payload.h"

namespace cowbench::workloads {
namespace {

using cowfs::ByteSpan;
using cowfs::MutableByteSpan;

constexpr u32 header_magic = 0x57424356;
constexpr std::size_t shown_bytes_max = 8;

u32 crc32c(ByteSpan data) {
  // ISA-L's prototype lacks a const; it only reads.
  auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(data.data()));
  return ~crc32_iscsi(bytes, static_cast<int>(data.size()), ~0u);
}

ByteSpan checksummed(const VerifyHeader& header) {
  return std::as_bytes(std::span(&header, 1)).first(offsetof(VerifyHeader, checksum));
}

std::string hexadecimal(ByteSpan bytes) {
  std::string text;
  for (const std::byte byte : bytes.first(std::min(bytes.size(), shown_bytes_max))) text += fmt::format("{:02x}", byte);
  return text;
}

// "0xabc" is 0a bc.
bool add_hexadecimal(std::string_view digits, std::vector<std::byte>& pattern) {
  if (digits.empty() || digits.size() > 2 * verify_pattern_bytes_max) return false;
  const std::string even = std::string(digits.size() % 2, '0') + std::string(digits);
  for (std::size_t at = 0; at < even.size(); at += 2) {
    u8 byte = 0;
    const auto parsed = std::from_chars(even.data() + at, even.data() + at + 2, byte, 16);
    if (parsed.ptr != even.data() + at + 2) return false;
    pattern.push_back(std::byte{byte});
  }
  return true;
}

bool add_decimal(std::string_view digits, std::vector<std::byte>& pattern) {
  u32 number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (digits.empty() || parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) return false;
  do pattern.push_back(static_cast<std::byte>(number & 0xff));
  while ((number >>= 8) != 0);
  return true;
}

}  // namespace

std::string VerifyMismatch::to_text() const {
  return fmt::format("at byte {}: {}: expected {}, found {}", offset, reason, expected, found);
}

void VerifyContent::fill(const WrittenBlock& block, u64 time_ns, MutableByteSpan into) const {
  assert(into.size() == block.bytes);
  if (form_.method == VerifyMethod::pattern) return fill_body(block, 0, into);
  WrittenBlock piece = block;
  piece.bytes = piece_bytes(block);
  for (; !into.empty(); into = into.subspan(piece.bytes), piece.offset += piece.bytes) {
    const MutableByteSpan body = into.first(piece.bytes).subspan(sizeof(VerifyHeader));
    fill_body(piece, sizeof(VerifyHeader), body);
    const VerifyHeader written = header(piece, time_ns, checksum(body));
    std::memcpy(into.data(), &written, sizeof written);
  }
}

std::optional<VerifyMismatch> VerifyContent::check(const WrittenBlock& block, ByteSpan found) const {
  assert(found.size() == block.bytes);
  if (form_.method == VerifyMethod::pattern) return check_body(block, 0, found);
  WrittenBlock piece = block;
  piece.bytes = piece_bytes(block);
  for (; !found.empty(); found = found.subspan(piece.bytes), piece.offset += piece.bytes)
    if (auto mismatch = check_piece(piece, found.first(piece.bytes))) return mismatch;
  return {};
}

// `at`: where the body begins in its piece.
void VerifyContent::fill_body(const WrittenBlock& piece, u64 at, MutableByteSpan body) const {
  if (form_.pattern.empty())
    return fill_payload(PayloadKind::random, payload_stream(stream_, 0, piece.file, piece.number), piece.offset + at, body);
  std::size_t next = at % form_.pattern.size();
  for (std::byte& byte : body) {
    byte = form_.pattern[next];
    if (++next == form_.pattern.size()) next = 0;
  }
}

u64 VerifyContent::checksum(ByteSpan body) const {
  switch (form_.method) {
    case VerifyMethod::crc32c: return crc32c(body);
    case VerifyMethod::xxhash: return XXH3_64bits(body.data(), body.size());
    default: return 0;
  }
}

VerifyHeader VerifyContent::header(const WrittenBlock& piece, u64 time_ns, u64 body_checksum) const {
  VerifyHeader header;
  header.magic = header_magic;
  header.bytes = static_cast<u32>(piece.bytes);
  header.stream = stream_;
  header.offset = piece.offset;
  header.number = piece.number;
  header.time_ns = time_ns;
  header.body_checksum = body_checksum;
  header.file = piece.file;
  header.checksum = crc32c(checksummed(header));
  return header;
}

std::optional<VerifyMismatch> VerifyContent::check_piece(const WrittenBlock& piece, ByteSpan found) const {
  VerifyHeader header;
  std::memcpy(&header, found.data(), sizeof header);
  if (auto mismatch = check_header(piece, header)) return mismatch;
  const ByteSpan body = found.subspan(sizeof header);
  if (form_.method == VerifyMethod::meta || checksum(body) == header.body_checksum) return {};
  if (auto mismatch = check_body(piece, sizeof header, body)) return mismatch;
  return VerifyMismatch{piece.offset + offsetof(VerifyHeader, body_checksum), "the checksum in the header is not the body's",
                        fmt::format("{:x}", checksum(body)), fmt::format("{:x}", u64{header.body_checksum})};
}

// What is most telling comes first: no header at all, then a damaged one, then one of another block.
std::optional<VerifyMismatch> VerifyContent::check_header(const WrittenBlock& piece, const VerifyHeader& found) const {
  const auto differs = [&](std::size_t at, const char* reason, u64 expected, u64 is) {
    return VerifyMismatch{piece.offset + at, reason, fmt::format("{:#x}", expected), fmt::format("{:#x}", is)};
  };
  if (found.magic != header_magic)
    return differs(offsetof(VerifyHeader, magic), "no header, the write is lost or its first bytes are", header_magic, found.magic);
  if (const u32 checksum = crc32c(checksummed(found)); checksum != found.checksum)
    return differs(offsetof(VerifyHeader, checksum), "a damaged header", checksum, found.checksum);
  if (found.stream != stream_)
    return differs(offsetof(VerifyHeader, stream), "a block of another clone, job or run", stream_, found.stream);
  if (found.file != piece.file)
    return differs(offsetof(VerifyHeader, file), "a block of another file", piece.file, found.file);
  if (found.offset != piece.offset)
    return differs(offsetof(VerifyHeader, offset), "a block of another offset", piece.offset, found.offset);
  if (found.number != piece.number)
    return differs(offsetof(VerifyHeader, number), found.number < piece.number ? "an older write" : "a later write", piece.number,
                   found.number);
  if (found.bytes != piece.bytes)
    return differs(offsetof(VerifyHeader, bytes), "a block of another size", piece.bytes, found.bytes);
  return {};
}

std::optional<VerifyMismatch> VerifyContent::check_body(const WrittenBlock& piece, u64 at, ByteSpan found) const {
  std::vector<std::byte> expected(found.size());
  fill_body(piece, at, expected);
  const auto difference = std::ranges::mismatch(expected, found);
  if (difference.in1 == expected.end()) return {};
  const std::size_t where = static_cast<std::size_t>(difference.in1 - expected.begin());
  return VerifyMismatch{piece.offset + at + where, "not what was written", hexadecimal(ByteSpan(expected).subspan(where)),
                        hexadecimal(found.subspan(where))};
}

std::optional<std::vector<std::byte>> parse_verify_pattern(std::string_view text) {
  std::vector<std::byte> pattern;
  while (!text.empty()) {
    std::size_t end = 0;
    bool taken = false;
    if (text.front() == '"') {
      end = text.find('"', 1);
      if (end == std::string_view::npos) return {};
      for (const char letter : text.substr(1, end++ - 1)) pattern.push_back(static_cast<std::byte>(letter));
      taken = true;
    } else {
      end = std::min(text.find('"'), text.size());
      const std::string_view number = text.substr(0, end);
      const bool hexadecimal = number.starts_with("0x") || number.starts_with("0X");
      taken = hexadecimal ? add_hexadecimal(number.substr(2), pattern) : add_decimal(number, pattern);
    }
    if (!taken || pattern.size() > verify_pattern_bytes_max) return {};
    text = text.substr(end);
  }
  if (pattern.empty()) return {};
  return pattern;
}

}  // namespace cowbench::workloads
