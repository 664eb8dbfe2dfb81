// Messages from one core to one other: a bounded single-producer single-consumer ring of pointers. The sender keeps
// what does not fit in a list of its own and moves it into the ring as room appears, so nothing is lost and order is
// kept.
//
// Each side owns a cache line that only it writes, and remembers what it last read of the other's: a line moves between
// the cores once a batch, not once a message.
#pragma once
#include <algorithm>
#include <array>
#include <atomic>

#include "engine/base/assert.h"
#include "engine/runtime/reactor.h"

namespace cowfs::runtime {

class Mailbox {
 public:
  static constexpr u64 ring_messages_max = 1024;
  static constexpr u64 batch_messages_max = 64;  // taken at a time: bounds how long one sender holds the receiver
  static constexpr u64 overflow_messages_max = 1 << 20;  // more than any set of bounded requests sends: a runaway loop

  // Sender.
  void push(Message& message) {
    if (overflow_count_ == 0 && try_push(message)) return;
    assert(overflow_count_ < overflow_messages_max);
    message.next = nullptr;
    if (overflow_count_++ == 0) {
      overflow_first_ = &message;
    } else {
      overflow_last_->next = &message;
    }
    overflow_last_ = &message;
  }
  // Sender: moves kept messages into the ring. True when any moved.
  bool push_overflow() {
    bool moved = false;
    while (overflow_count_ > 0) {
      // Read before the push: from then on the message is the receiver's and may be gone.
      Message* next = overflow_first_->next;
      if (!try_push(*overflow_first_)) break;
      overflow_first_ = next;
      --overflow_count_;
      moved = true;
    }
    return moved;
  }
  bool has_overflow() const { return overflow_count_ > 0; }

  // Receiver: takes a batch out, in order; the slots are free for the sender before anything is delivered.
  u64 take(std::array<Message*, batch_messages_max>& batch) {
    const u64 first = taken_.load(std::memory_order_relaxed);
    if (first == pushed_seen_) {
      pushed_seen_ = pushed_.load(std::memory_order_acquire);
      if (first == pushed_seen_) return 0;
    }
    const u64 count = std::min(pushed_seen_ - first, batch_messages_max);
    for (u64 i = 0; i < count; ++i) batch[i] = ring_[(first + i) % ring_messages_max];
    taken_.store(first + count, std::memory_order_release);
    return count;
  }
  // Receiver.
  bool empty() const { return pushed_.load(std::memory_order_acquire) == taken_.load(std::memory_order_relaxed); }

 private:
  bool try_push(Message& message) {
    const u64 place = pushed_.load(std::memory_order_relaxed);
    if (place - taken_seen_ == ring_messages_max) {
      taken_seen_ = taken_.load(std::memory_order_acquire);
      if (place - taken_seen_ == ring_messages_max) return false;
    }
    ring_[place % ring_messages_max] = &message;
    pushed_.store(place + 1, std::memory_order_release);
    return true;
  }

  static constexpr std::size_t cache_line = 64;
  alignas(cache_line) std::atomic<u64> pushed_{0};  // sender writes
  u64 taken_seen_ = 0;
  Message* overflow_first_ = nullptr;
  Message* overflow_last_ = nullptr;
  u64 overflow_count_ = 0;
  alignas(cache_line) std::atomic<u64> taken_{0};  // receiver writes
  u64 pushed_seen_ = 0;
  alignas(cache_line) std::array<Message*, ring_messages_max> ring_{};
};

}  // namespace cowfs::runtime
