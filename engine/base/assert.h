// Assertions that stay on in every build, the measured one included.
#pragma once

namespace cowfs {
[[noreturn, gnu::cold]] void assertion_failed(const char* expression, const char* file, int line);

// True when checks that cost more than O(1) are wanted (environment COWFS_PARANOID=1). Records say which were on.
bool paranoid();
}  // namespace cowfs

#ifdef assert
#undef assert
#endif
#define assert(expression) \
  (__builtin_expect(static_cast<bool>(expression), 1) ? void(0) : ::cowfs::assertion_failed(#expression, __FILE__, __LINE__))
