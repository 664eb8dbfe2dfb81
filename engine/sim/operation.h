// One operation of a history, as a value and as a line of text. It names everything it uses, so any part of a list of
// operations is again a list that can be run: what a missing operation would have made is an error that the model expects.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::sim {

enum class OperationKind : u8 {
  mkdir,
  rmdir,
  create,  // exclusively
  unlink,
  link,     // path is another name of `other`
  symlink,  // path leads to `other`
  rename,   // `other` becomes path
  rename_new,
  exchange,
  hold,  // opens path; operations on this path use this handle until it is released, wherever its file went
  release,
  write,
  read,
  truncate,  // to `offset`
  punch,
  allocate,
  stat,
  fsync,
  sync,
};

struct Operation {
  OperationKind kind = OperationKind::sync;
  std::string path = {};
  std::string other = {};
  u64 offset = 0;
  u64 bytes = 0;
  u64 salt = 0;         // of what is written
  bool direct = false;  // of hold, and of reads and writes without a held handle
};

using Operations = std::vector<Operation>;

// "write /home0/n1 4096 100 7 direct"
std::string to_text(const Operation& operation);
// Nothing when it is none.
std::optional<Operation> parse_operation(std::string_view line);

}  // namespace cowfs::sim
