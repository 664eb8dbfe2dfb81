// Spares flushes. Where little is written between two flushes, as from a client that waits for each of its commits, each of them is
// written durably: the device then does in one trip what takes two when a flush waits for the writes before it, and that
// flush has nothing left to do (docs/decisions/037).
//
// Shared by all cores. Whoever asks for a flush knows that the writes which it is to cover were answered.
#pragma once
#include <atomic>

#include "engine/runtime/reactor.h"

namespace cowfs::device {

class WriteThrough final : public runtime::IoObserver {
 public:
  // A request is about to go to the device; a write may become durable here. True: it is a flush that need not go there.
  bool begins(runtime::IoOperation& operation);
  void ended(runtime::IoOperation& operation) override;

 private:
  void flush_begins(runtime::IoOperation& flush);

  // Writes that were answered and are durable only with a flush; what was written before the device was opened counts as one.
  std::atomic<u64> cached_{1};
  std::atomic<u64> flushed_{0};       // of them: those of which a flush said so
  std::atomic<u64> writes_{0};        // since the newest flush
  std::atomic<u64> bytes_{0};         // of them
  std::atomic<u64> durable_max_{0};   // so many of them, the first ones, are to be durable
};

}  // namespace cowfs::device
