// What can go wrong, as values: one table of codes, each with a class that callers branch on, an errno and a meaning.
// Broken invariants are not here; they are assert().
#pragma once
#include <string>
#include <string_view>

#include "engine/base/types.h"

namespace cowfs {

enum class ErrorClass : u8 { corrupt, io, space, retry, request };

enum class Code : u16 {
#define COWFS_CODE(name, error_class, errno_name, meaning) name,
#include "engine/base/error_codes.inc"
#undef COWFS_CODE
};

// Where it happened; fields that do not apply are `nowhere`.
struct Place {
  static constexpr u32 nowhere = ~0u;
  u32 device = nowhere;
  u32 slice = nowhere;
  u32 tree = nowhere;      // format::TreeId
  u64 offset_bytes = ~0ull;  // on the device
};

struct [[nodiscard]] Error {
  Code code;
  u64 value = 0;  // the offending value, as the code's meaning says
  Place place = {};
};

ErrorClass error_class(Code code);
int to_errno(Code code);
std::string_view name(Code code);
std::string_view meaning(Code code);

// "btree_node_checksum_mismatch (0x12ab): a btree node's checksum ...; device 0 offset 1048576, slice 3, tree extents"
std::string to_text(const Error& error);

}  // namespace cowfs
