// Everything that the harness makes on the machine (loop devices, mounts, images, directories) is written down before
// it is made and undone on every exit: return, exception, exit(), SIGINT, SIGTERM, SIGHUP, a closed pipe. After a kill -9 the record
// is still there, and clean_up_leftovers() undoes what it names.
//
// The record is <state directory>/<pid>-<start>.json, replaced atomically: {"schema":"cowbench.state/1", "pid",
// "start_ticks", "boot_id", "made":[{"kind","path"}]}. Start time and boot tell a process from a later one of that
// number.
#pragma once
#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "harness/outcome.h"

namespace cowbench::harness {

enum class MadeKind {
  directory,  // removed if it is empty
  tree,       // removed with all that is in it; never crosses into another filesystem, never follows a link
  file,       // unlinked
  loop,       // `path` is the backing file: every loop device on it is detached
  mount,      // `path` is the mount point
  memory_group,  // `path` is the cgroup's directory; this process leaves it, others are waited for
};
std::string_view to_text(MadeKind kind);

struct Made {
  MadeKind kind;
  std::string path;  // absolute
  bool operator==(const Made&) const = default;
};

// "remove /var/tmp/..": how --plan and cleanup say it.
std::string undo_text(const Made& made);

// Undoes one thing; no error when it is not there (any more). When it returns without one, the thing is gone, not about
// to go: a loop device that somebody else has open for a moment, as mkfs.ext4 does with all that are mounted, is waited
// for. Failure failed: somebody holds it longer than patience_ms; the text says who. A mount is then detached from its
// directory, and a loop device from its image as soon as the last holder lets go.
// `process_ends`: this process is about to end, so that what only it holds counts as gone.
Action undo(const Made& made, bool process_ends = false);
constexpr int patience_ms = 2000;

// /var/lib/cowbench/state for root, else below $XDG_RUNTIME_DIR or /tmp: not /run, so that images that survived a power
// cut are still known after it.
std::string default_state_directory();

// Makes `directory` (0700) and what is above it (0755) where they are missing. Failure refused: it is there, and is not
// this user's alone: what root makes in it could be swapped for something else.
Action make_private_directory(const std::string& directory);

class Ledger {
 public:
  // Failures: make_private_directory's.
  static Outcome<std::unique_ptr<Ledger>> open(const std::string& state_directory = default_state_directory());
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Writes `made` down, then runs `make`; undoes it if that fails. Failures: refused: the path exists already, so it is
  // not ours (files, directories, trees); interrupted: a signal has begun to undo everything; those of `make`.
  Action make(const Made& made, const std::function<Action()>& make);
  // Undoes one thing now and strikes it out; when that fails it stays in the record.
  Action undo_now(const Made& made);
  // Undoes all, last first; what could not be undone stays in the record. Returns what went wrong.
  std::vector<std::string> undo_all();

  const std::string& record_path() const { return record_path_; }

 private:
  Ledger() = default;
  Action write_record();

  std::recursive_mutex mutex_;
  std::vector<Made> made_;
  std::string record_path_;
  pid_t owner_ = 0;  // a forked client must not undo its parent's things
  bool closed_ = false;
};

// Undo `ledger` on SIGINT, SIGTERM, SIGHUP (which a closed pipe becomes), exit() and std::terminate. Call it from the main thread before any other
// thread starts: it blocks the signals, which later threads inherit, and a thread of its own waits for them, kills the
// running children, undoes everything and lets the signal end the process. Once per process; the ledger may die first.
void undo_on_exit(Ledger& ledger);

struct CleanupReport {
  std::vector<std::string> undone;
  std::vector<std::string> problems;   // what could not be undone, and why; its record is kept
  std::vector<std::string> still_running;  // records of processes that live: left alone
};
// Undoes what dead processes left behind.
CleanupReport clean_up_leftovers(const std::string& state_directory = default_state_directory());

}  // namespace cowbench::harness
