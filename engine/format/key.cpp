#include "engine/format/key.h"

namespace cowfs::format {

std::string_view name(TreeId tree) {
  switch (tree) {
    case TreeId::inodes: return "inodes";
    case TreeId::dirents: return "dirents";
    case TreeId::xattrs: return "xattrs";
    case TreeId::extents: return "extents";
    case TreeId::leases: return "leases";
    case TreeId::alloc: return "alloc";
    case TreeId::backpointers: return "backpointers";
    case TreeId::orphans: return "orphans";
    case TreeId::counters: return "counters";
  }
  return "unknown";
}

}  // namespace cowfs::format
