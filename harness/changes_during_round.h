// What is done to cowfs's devices while a load runs: "2 offline 1", two seconds into the measured window; "4 online 1"; "1 scrub".
// In each round anew, since each begins with a fresh filesystem.
#pragma once
#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "harness/outcome.h"

namespace cowbench::harness {

using cowfs::u64;

struct ChangeDuringRound {
  enum class Kind { change, replace, scrub };
  double at_seconds = 0;  // of the measured window
  Kind kind = Kind::scrub;
  cowfs::DeviceChange change;  // of change; replace: its member
  std::string path;            // of replace and add: the new device; of online: where the device is now, or empty
  std::string text;            // "offline 1"
};

// For --help: every form.
std::string known_changes_during_round();
// Failure request: what is wrong with it.
Outcome<ChangeDuringRound> parse_change_during_round(std::string_view text);
// "2 s: offline 1"
std::string to_text(const ChangeDuringRound& change);

// For the name of a load, from others of which it differs: ", during it 2 s: offline 1"; empty without changes.
std::string remark_of(const std::vector<ChangeDuringRound>& changes);

// The changes of one round, on core 0, each when its time has come and the one before has ended.
class ChangesOfRound {
 public:
  // Both outlive it.
  ChangesOfRound(cowfs::Filesystem& filesystem, const std::vector<ChangeDuringRound>& changes)
      : filesystem_(filesystem), changes_(changes) {}

  // When the measured window begins.
  void begin();
  // The window has ended: what was not begun is a failure.
  void window_ends() { window_ended_.store(true, std::memory_order_relaxed); }
  // Waits for the end of what was begun. Failures failed: one of them failed, and why; request: there was
  // no time for one; interrupted.
  Action end();
  // "2.0 s: offline 1, took 0.03 s"
  const std::vector<std::string>& remarks() const { return remarks_; }

 private:
  cowfs::Task<void> run();
  cowfs::Task<cowfs::Status> make(const ChangeDuringRound& change);
  bool goes_on() const;

  cowfs::Filesystem& filesystem_;
  const std::vector<ChangeDuringRound>& changes_;
  u64 began_ns_ = 0;
  std::atomic<bool> window_ended_{false};
  std::atomic<bool> running_{false};
  // Of core 0 until running_ is false.
  std::vector<std::string> remarks_;
  Action outcome_ = Done{};
};

}  // namespace cowbench::harness
