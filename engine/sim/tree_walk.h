// Reads a whole mounted filesystem and holds it to itself: every name leads somewhere, every file can be read to its
// end, link counts and directory sizes are what the names say.
#pragma once
#include "engine/fs/operations.h"
#include "engine/sim/model.h"

namespace cowfs::sim {

using runtime::Task;

struct TreeFound {
  Model::Listing names;                 // path -> description, as Model::list() gives it
  std::map<std::string, u64> inodes;    // by path
  std::map<u64, std::string> contents;  // of files that could be read, by inode
  std::vector<std::string> problems;    // empty: sound
};

// Where a walk of a damaged filesystem ends, which may have rings of directories and files of any size.
struct WalkLimits {
  u64 file_bytes = ~0ull;  // read of each
  u64 names = ~0ull;
};

Task<void> walk_tree(fs::Operations* operations, TreeFound* found, WalkLimits limits = {});

}  // namespace cowfs::sim
