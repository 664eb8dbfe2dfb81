// One dbench client: executes a Program on a target with the semantics of dbench 4.0's file backend.
//
// Faithful on purpose, because it is what makes the load: each name is looked up first with stat; when that fails its
// directory is scanned to the end (an SMB server ignores case), so a FIND_FIRST with a pattern scans twice; NTCreateX never
// insists on being first, and open-if does not create; -S does not cover creation; Deltree leaves directories behind;
// SET_FILE_INFORMATION sets times by the name that the file was opened under. As in dbench, a wrong result of Unlink, Rename,
// Rmdir and WriteX and a use of a handle that is not open end the client; a wrong result of NTCreateX, ReadX and of a
// directory sync is only a complaint, and all other results are ignored. ReadX counts the bytes it asks for.
//
// Deviations, each on purpose:
//   buffers     Writes come from a prepared buffer; dbench clears a new one for each. No buffer is larger than
//               piece_bytes_max: a longer read or write is made in pieces.
//   clock       One clock read an operation: the end of one is the start of the next, so the few nanoseconds of dispatch
//               belong to the operation that follows. After a pause the clock is read again.
//   liveness    No kill(parent, 0) for each line.
//   stop        Looked for before each operation; handles that are still open then are closed by cleanup().
#pragma once
#include <fcntl.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/base/assert.h"
#include "engine/base/random.h"
#include "engine/runtime/task.h"
#include "harness/page_buffer.h"
#include "harness/target_calls.h"
#include "workloads/content_model.h"
#include "workloads/loadfile.h"
#include "workloads/payload.h"

namespace cowbench::harness {

using workloads::ClientPath;
using workloads::Op;
using workloads::OpKind;

// Where the client gets its time from and reports to. Called on the client's own thread. Sleep lines are recorded too,
// though dbench's table has no row for them.
//
// A host may also have turn(), an awaitable that is awaited before each operation: there it lets other clients of its core
// run (a client whose every call is answered from memory would otherwise keep the core for a whole pass). What a turn
// takes counts as part of the operation that follows.
template <typename Host>
concept DbenchHost = requires(Host& host, OpKind kind, u64 number) {
  { host.now_ns() } -> std::convertible_to<u64>;        // monotonic
  { host.stop_requested() } -> std::convertible_to<bool>;
  host.record(kind, number, number, number);            // an operation ended: start, end (ns), bytes as dbench counts them
  host.late(number);                                    // a line with a timestamp began this many ns after it was due
  host.pass_done(number);                               // the whole loadfile was executed once more; its end (ns)
  { host.sleep(number) } -> AwaitableVoid;              // nanoseconds
};

struct ClientOptions {
  u32 client = 0;              // its number, from 0
  std::string directory;       // the run's, without a slash at its end; empty: the root of the target
  u64 passes_max = 0;          // stop after so many; 0: when the host says so
  bool sync_open = false;          // -s: O_SYNC on each open of a file
  bool sync_directories = false;   // -S
  bool sync_writes = false;        // -F: fsync after each write
  bool extended_attributes = false;  // -x
  bool resolve_by_scan = true;     // false: --no-resolve
  bool skip_cleanup = false;
  double rate_mb_s = 0;            // -R: 0 is as fast as possible
  workloads::PayloadKind payload = workloads::PayloadKind::zero;
  u64 seed = 0;                    // of the payload
  // Compare reads and sizes with a model; slows the client. Follows files whose name has the client's number in it, and
  // expects that they did not exist before the run. A zero payload hides writes that were lost: ask for random.
  bool verify = false;
};

struct ClientOutcome {
  bool failed = false;        // ended by a result that dbench, too, would have ended at
  std::string message;        // why
  u64 passes = 0;             // whole ones
  u64 operations = 0;
  u64 bytes = 0;              // as dbench counts
  u64 complaints = 0;         // wrong results that dbench prints and survives
  std::vector<std::string> complaint_texts;  // the first complaint_texts_max
  u64 mismatches = 0;         // verify mode; the client ends at the first
  std::optional<workloads::Mismatch> mismatch;
};
constexpr std::size_t complaint_texts_max = 16;
constexpr u64 piece_bytes_max = 16 * cowfs::mib;
constexpr u32 deltree_depth_max = 128;

// dbench's table of open files: the lowest free slot is taken, the lowest slot with the number is found.
struct OpenFile {
  i64 target_handle = -1;  // negative: the slot is free
  u32 number = 0;          // index into Program::handles
  u32 path = 0;            // the name it was opened under
  workloads::FileRef content;  // verify mode; null when it is not followed
};
class HandleTable {
 public:
  OpenFile* find(u32 number) {
    for (u32 slot = 0; slot < used_; slot++) {
      if (slots_[slot].number == number && slots_[slot].target_handle >= 0) return &slots_[slot];
    }
    return nullptr;
  }
  // Null when the table is full.
  OpenFile* take() {
    for (u32 slot = 0; slot < used_; slot++) {
      if (slots_[slot].target_handle < 0) return &slots_[slot];
    }
    return used_ == slots_.size() ? nullptr : &slots_[used_++];
  }
  std::span<OpenFile> slots() { return {slots_.data(), used_}; }

 private:
  std::array<OpenFile, workloads::open_files_max> slots_;
  u32 used_ = 0;  // slots beyond were never taken
};

// dbench's -R: before each operation, the pause that the bytes of the last one ask for. As there, a pause is cut to whole
// milliseconds and is not made up for later, and nothing is held back before the first bytes moved.
class RateLimit {
 public:
  void reset() { last_bytes_ = 0; }
  // Nanoseconds to sleep at `now_ns`, then call slept().
  u64 pause_ns(double rate_mb_s, u64 bytes, u64 now_ns) const;
  void slept(u64 bytes, u64 now_ns);

 private:
  u64 last_bytes_ = 0;
  u64 last_ns_ = 0;
};

// "client 3, line 17: unlink /a/b: No such file or directory, but the loadfile expects success"
std::string wrong_result_text(u32 client, const Op& op, std::string_view call, const std::string& path, i64 result);
// "client 3, line 17: wrote 12 bytes instead of 4096"
std::string wrong_count_text(u32 client, const Op& op, std::string_view verb, i64 result);
std::string line_text(u32 client, u64 line, std::string_view text);
// The 44 bytes that -x stores: dbench fills in a time, of which a fifth can be shared between files.
std::array<std::byte, 44> attribute_value(cowfs::Random& random);
constexpr const char* attribute_name = "user.DosAttrib";

template <TargetCalls Target, DbenchHost Host>
class DbenchClient {
  template <typename T>
  using Task = cowfs::runtime::Task<T>;

 public:
  // `program`, `target` and `host` outlive the client. A target that has begin(const Op&) is told of each operation.
  DbenchClient(const workloads::Program& program, ClientOptions options, Target& target, Host& host);

  // Executes passes until the host stops it, passes_max is reached, or it fails. At most once.
  Task<ClientOutcome> run();
  // Closes what is open; unless skip_cleanup, deletes the client's tree and tries to remove "clients", as dbench does.
  Task<void> cleanup();

 private:
  Task<u64> pace(std::size_t index, u64 pass_start_ns, u64 now_ns);
  // Each executes one operation; false ends the client, and outcome_ says why.
  Task<bool> execute(const Op& op);
  Task<bool> execute_simple(const Op& op);
  Task<bool> nt_create(const Op& op);
  Task<bool> keep_open(const Op& op, i64 target_handle, int flags);
  Task<bool> close(const Op& op);
  Task<bool> unlink(const Op& op);
  Task<bool> rename(const Op& op);
  Task<bool> rmdir(const Op& op);
  Task<bool> write(const Op& op);
  Task<bool> read(const Op& op);
  Task<bool> query_file(const Op& op);
  Task<bool> set_file(const Op& op);
  Task<bool> find_first(const Op& op);

  Task<void> resolve(const ClientPath& path);
  Task<void> scan(const std::string& directory, u64 entries_max, const char* stop_at_name);
  Task<void> deltree(std::string directory, u32 depth);
  Task<void> sync_parent(const ClientPath& path);
  Task<bool> write_attribute(i64 handle);

  OpenFile* file_of(const Op& op);
  ByteSpan next_payload(u64 offset, u64 length, u64 stream);
  bool follow_open(OpenFile& file, const ClientPath& path, int flags, u64 size);
  bool fail(std::string message);
  bool check(const Op& op, std::string_view call, const ClientPath& path, i64 result);
  bool complain();
  void note(std::string text);
  bool differs(std::optional<workloads::Mismatch> mismatch);

  const workloads::Program& program_;
  const ClientOptions options_;
  Target& target_;
  Host& host_;
  const std::string root_;
  std::vector<ClientPath> paths_;
  HandleTable files_;
  ClientOutcome outcome_;
  RateLimit rate_;
  workloads::ContentModel model_;
  cowfs::Random random_;
  u64 write_version_ = 0;
  u64 op_bytes_ = 0;  // of the operation that runs
  PageBuffer write_buffer_;
  PageBuffer read_buffer_;
  std::vector<std::byte> directory_buffer_;
  std::vector<std::byte> attribute_buffer_;
};

}  // namespace cowbench::harness

#include "harness/dbench_client_internal.h"
