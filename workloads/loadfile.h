// The dbench loadfile: a text of file operations, read once and turned into a Program that every client executes.
//
// Grammar, one operation a line, as dbench 4.0 reads it:
//
//   line      := [timestamp] operation argument... status
//   timestamp := decimal seconds since the start of the pass; the line waits until then (unless a rate is asked for)
//   status    := NT_STATUS_OK | 0x0 (any spelling of zero): must succeed
//              | NT_STATUS_<other> | 0x<other>: must fail
//   path      := "\dir\name": a quoted string that begins with \ or /, below the directory of the run;
//                each "client1" in it stands for "client<number of the client>", numbers from 0
//   number    := decimal, 0octal or 0xhexadecimal
//
//   NTCreateX path options disposition handle      QUERY_PATH_INFORMATION path level
//   WriteX handle offset size returned             QUERY_FILE_INFORMATION handle level
//   ReadX handle offset size returned              QUERY_FS_INFORMATION level
//   Close handle                                   SET_FILE_INFORMATION handle level
//   Flush handle                                   FIND_FIRST path level max_count count
//   Unlink path attributes                         LockX handle offset size
//   Rename path path                               UnlockX handle offset size
//   Mkdir path   Rmdir path   Deltree path         Sleep microseconds
//
// Before tokens are cut, every \ becomes / and then every " /" becomes " "; tokens are separated by spaces, and double
// quotes group and vanish. Lines that are blank or begin with # are skipped. Arguments beyond those above are ignored.
//
// Deviations from dbench 4.0, each on purpose:
//   refuse        What dbench prints and skips, or reads as zero, is an error here: an unknown operation, a badly formed
//                 status or number, a missing argument, an unquoted path, an unterminated quote, a lone word, a NUL byte.
//   handles       A handle that is not open at that line is refused while reading; dbench dies on reaching it. Handle 0,
//                 which dbench takes for a free slot, cannot be opened.
//   long-lines    A line of more than line_bytes_max is refused; dbench cuts it in two and reads both halves.
//   long-tokens   A token may be as long as its line; dbench overruns a buffer at 100 bytes.
//   last-line     A last line without a newline is read whole (dbench drops its last letter); a CR before the newline is
//                 dropped (dbench would take it as part of the status).
//   sixty-four    Offsets, sizes and lock offsets have 64 bits; dbench cuts them to 32.
//   root          "client1" in the name of the run's own directory is left alone.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::workloads {

using cowfs::i64;
using cowfs::u32;
using cowfs::u64;
using cowfs::u8;

enum class OpKind : u8 {
  nt_create,
  close,
  rename,
  unlink,
  deltree,
  rmdir,
  mkdir,
  query_path,
  query_file,
  query_filesystem,
  set_file,
  find_first,
  write,
  read,
  lock,
  unlock,
  flush,
  sleep,
};
constexpr std::size_t op_kind_count = 18;

// "QUERY_PATH_INFORMATION", as a loadfile spells it.
std::string_view loadfile_name(OpKind kind);
// "Qpathinfo", as dbench 4.0's table of latencies spells it. The table has no row for sleep.
std::string_view report_name(OpKind kind);

// What NTCreateX's disposition adds to an open: open_if is like open (dbench does not create then), and create does not
// insist on being first.
enum class Disposition : u8 { open, create, overwrite };

// One line of the loadfile. Fields that its kind does not use are zero.
struct Op {
  OpKind kind;
  bool must_succeed;        // the line's status
  bool directory;           // nt_create: make a directory, then open it
  Disposition disposition;  // nt_create
  u32 line;                 // from 1, as an editor counts
  u32 path;                 // index into Program::paths; rename: the old name
  u32 handle;               // index into Program::handles; rename: the new name's path index
  u64 offset;               // bytes
  u64 size;                 // bytes; find_first: entries to read at most; sleep: microseconds
  u64 returned;             // write, read: the bytes that the call should return
};
static_assert(sizeof(Op) == 40);

// A path cut at each "client1": pieces.size() - 1 of them stood between the pieces.
struct PathTemplate {
  std::vector<std::string> pieces;
  bool is_private() const { return pieces.size() > 1; }  // no two clients use the same file
};

// A path as one client uses it.
struct ClientPath {
  std::string path;         // the run's directory and the name
  std::string parent;       // up to the last slash; "/" when nothing is left
  std::string name;         // after the last slash
  bool is_pattern = false;  // has one of <>*?" : FIND_FIRST scans the parent
  bool is_private = false;
};

struct Program {
  std::vector<Op> ops;
  std::vector<u64> due_ns;  // empty when no line has a timestamp; else one an operation, 0 where it has none
  std::vector<PathTemplate> paths;
  std::vector<i64> handles;  // the numbers that the loadfile uses
  u64 lines = 0;             // comments and blank lines included
  u64 accounted_bytes = 0;   // what dbench counts in one pass: sizes of reads and writes
  u64 transfer_bytes_max = 0;  // the largest read or write

  // Every path for client number `client` with `directory` in front (no slash at its end; may be empty).
  std::vector<ClientPath> paths_for(u32 client, std::string_view directory) const;
  std::array<u64, op_kind_count> count_by_kind() const;
};

struct LoadfileError {
  std::string file;
  u64 line = 0;  // 0: the file as a whole
  std::string reason;
  std::string to_text() const;  // "FILE:LINE: reason"
};

using LoadfileResult = std::variant<Program, LoadfileError>;

// Longest line, without its newline: what fits dbench's buffer.
constexpr std::size_t line_bytes_max = 1021;
constexpr std::size_t tokens_max = 19;
constexpr u64 file_bytes_max = 256 * cowfs::mib;
constexpr u32 open_files_max = 200;  // in one client, as dbench's table of handles

// Reads a regular file. Errors: cannot be opened or read, is no regular file, is larger than file_bytes_max, holds no
// operation, or the first line that is wrong. Memory is bounded by a small multiple of the file's size.
LoadfileResult read_loadfile(const std::string& file);

// The same from memory; `file` only names it in errors.
LoadfileResult parse_loadfile(std::string_view text, std::string_view file);

}  // namespace cowbench::workloads
