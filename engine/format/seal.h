// What nodes, journal entries, commit blocks and slice headers share: their first eight bytes are the checksum of the rest, of the
// kind that the structure names itself. So a filesystem whose kind was changed still reads what it wrote before. No structure is
// without a checksum: recovery finds the end of history by them.
#pragma once
#include "engine/codec/checksum.h"

namespace cowfs::format {

constexpr std::size_t seal_bytes = sizeof(le64);

// What the checksum of `sealed` has to be; 0 for a kind that there is not, and for none.
inline u64 seal_checksum(ByteSpan sealed, u8 kind) {
  return is_checksum_kind(kind) ? codec::checksum(static_cast<ChecksumKind>(kind), sealed.subspan(seal_bytes)) : 0;
}

inline bool seal_holds(ByteSpan sealed, u8 kind) {
  le64 stored;
  std::memcpy(&stored, sealed.data(), sizeof stored);
  const bool sealing_kind = is_checksum_kind(kind) && static_cast<ChecksumKind>(kind) != ChecksumKind::none;
  return sealing_kind && stored == seal_checksum(sealed, kind);
}

// What pointers to a structure repeat of its checksum: enough to tell one image from another.
inline u32 seal_mark(u64 checksum) { return static_cast<u32>(checksum); }

}  // namespace cowfs::format
