// Where choices come from: a seed, or the bytes of a fuzzer's input, of which each choice takes few, so that a changed byte
// is another choice and the others stay.
#pragma once
#include <optional>

#include "engine/base/random.h"

namespace cowfs::sim {

class Draws {
 public:
  explicit Draws(u64 seed) : random_(seed) {}
  // Its choices are zero behind its end.
  explicit Draws(ByteSpan input) : input_(input) {}

  u64 next() { return random_ ? random_->next() : take(sizeof(u64)); }
  // In [0, bound); `bound` > 0.
  u64 below(u64 bound) {
    if (random_) return random_->below(bound);
    return bound == 1 ? 0 : take((static_cast<u64>(std::bit_width(bound - 1)) + 7) / 8) % bound;
  }
  bool one_in(u64 n) { return below(n) == 0; }
  // Of an input: whether its bytes are all taken.
  bool used_up() const { return !random_ && input_.empty(); }

 private:
  u64 take(u64 bytes) {
    u64 number = 0;
    for (; bytes > 0 && !input_.empty(); --bytes, input_ = input_.subspan(1)) {
      number = number << 8 | std::to_integer<u64>(input_.front());
    }
    return number;
  }

  std::optional<Random> random_;
  ByteSpan input_;
};

}  // namespace cowfs::sim
