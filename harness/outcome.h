// A value, or a Failure that a person can act on: the harness talks to programs, devices and people, so its errors
// carry a sentence where the engine's carry a code.
#pragma once
#include <optional>
#include <string>
#include <utility>

#include "engine/base/assert.h"

namespace cowbench::harness {

enum class FailureKind {
  request,      // the caller asked for something that makes no sense
  refused,      // it would destroy something, or is in use
  missing,      // a program, a file or a privilege is not there
  failed,       // a program or a system call went wrong
  mismatch,     // the workload's expected status was not met: the filesystem or the loadfile is wrong
  interrupted,  // a signal arrived
};

struct [[nodiscard]] Failure {
  FailureKind kind = FailureKind::failed;
  std::string what;    // what went wrong, and where: names the device, file, program or line
  std::string remedy;  // what to do about it; may be empty
};

std::string to_text(const Failure& failure);
// "open /dev/vdb: Device or resource busy"; `error_number` as in errno.
Failure system_failure(std::string action, int error_number);

template <typename T>
class [[nodiscard]] Outcome {
 public:
  Outcome(T value) : value_(std::move(value)) {}
  Outcome(Failure failure) : failure_(std::move(failure)) {}
  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& operator*() {
    assert(ok());
    return *value_;
  }
  const T& operator*() const {
    assert(ok());
    return *value_;
  }
  T* operator->() { return &**this; }
  const T* operator->() const { return &**this; }
  const Failure& failure() const {
    assert(!ok());
    return failure_;
  }

 private:
  std::optional<T> value_;
  Failure failure_;
};

struct Done {};
using Action = Outcome<Done>;  // something that yields nothing but may fail

}  // namespace cowbench::harness
