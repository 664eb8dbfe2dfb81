#include "engine/base/assert.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cowfs {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: invariant broken: %s\n", file, line, expression);
  std::abort();
}

bool paranoid() {
  static const bool on = [] {
    const char* value = std::getenv("COWFS_PARANOID");
    return value != nullptr && std::strcmp(value, "0") != 0;
  }();
  return on;
}

}  // namespace cowfs
