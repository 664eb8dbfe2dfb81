// Small loads of known names: one operation again and again, on what was made for it before. Each shows one limit of a
// filesystem: a lock, a directory, a journal, a path walk.
//
// Names and meanings:
//   FxMark      C. Min et al., "Understanding Manycore Scalability of File Systems", USENIX ATC 2016: D data or M metadata, R or
//               W, the operation, and what clients have in common: L nothing, M a directory or a file, H a block or a name.
//               _bg: one client writes meanwhile, and is not counted.
//   fs_mark     of Ric Wheeler, version 3.3: files made, written, synced and closed
//   mdtest      of IOR: files of a directory; -u: of a directory for each client
//   MLPerf      Storage 2.0: checkpoints, and samples of a dataset in random order, smaller by a factor
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "harness/outcome.h"
#include "harness/target_calls.h"

namespace cowbench::shapes {

using harness::u32;
using harness::u64;
using harness::u8;

enum class Act : u8 {
  append,      // a block at the end of a file, which begins anew when it has its full size
  overwrite,   // a block that is there
  cut,         // a file becomes a block shorter; until it is empty
  read_block,
  create,      // and close; also writes the file when it has a size
  unlink,      // until none is left
  rename,      // to another name of the directory, and back
  move,        // into the common directory, and back
  open,        // at the end of a path, and close
  list,        // all names of a directory
  stat,
  read_file,
  checkpoint,  // a file is written under another name, synced, and renamed over the last one
  read_sample,
};

enum class Sharing : u8 { own, common, same };

struct Shape {
  std::string_view name;
  std::string_view family;
  Act act;
  Sharing sharing;
  std::string_view meaning;
  u64 files = 1;       // of a client, that are there before
  u64 file_bytes = 0;  // of each
  bool sync = false;   // fsync belongs to it
  bool writer = false; // the first client writes where the others read
  u64 sample_bytes = 0;       // read_sample: of one; 0: a file is one
  u64 file_bytes_spread = 0;  // standard deviation
  bool scaled = false;        // sizes are multiplied by ShapeLoad::scale

  // Ends when everything is used up.
  bool is_finite() const { return act == Act::cut || act == Act::unlink; }
  bool writes() const { return act == Act::append || act == Act::overwrite || act == Act::create || act == Act::checkpoint; }
  bool moves_bytes() const;
};

std::span<const Shape> all_shapes();

// By name or by family, in the order of `names`; a shape twice is measured once. Failure request: an unknown one.
harness::Outcome<std::vector<const Shape*>> find_shapes(const std::vector<std::string>& names);

// A shape as it is measured.
struct ShapeLoad {
  const Shape* shape = nullptr;
  u32 clients = 1;
  double seconds = 5;
  std::optional<double> warmup_seconds;  // default: a fifth, whole seconds; none of a load that uses things up
  u64 files = 0;                         // 0: the shape's
  u64 file_bytes = 0;                    // 0: the shape's
  u64 block_bytes = 4 * cowfs::kib;      // of data
  bool direct = false;
  double scale = 0.01;

  u64 files_each() const { return files != 0 ? files : shape->files; }
  // Of file `file` of a client; the same in each round.
  u64 size_of(u32 client, u64 file) const;
  u64 sample_bytes() const;
};

}  // namespace cowbench::shapes
