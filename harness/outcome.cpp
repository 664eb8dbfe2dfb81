#include "harness/outcome.h"

#include <cstring>

namespace cowbench::harness {

std::string to_text(const Failure& failure) {
  return failure.remedy.empty() ? failure.what : failure.what + "; " + failure.remedy;
}

Failure system_failure(std::string action, int error_number) {
  return {FailureKind::failed, std::move(action) + ": " + std::strerror(error_number), ""};
}

}  // namespace cowbench::harness
