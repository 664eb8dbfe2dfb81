#include "engine/fs/change_set.h"

namespace cowfs::fs {

Status change_chain(ByteSpan old, const NameChange& change, ChainValue& chain) {
  chain.size = 0;
  unsigned entries = 0;
  const auto put = [&](InodeNumber inode, format::FileType type, std::string_view name) {
    format::DirentHeader header;
    if (chain.size + sizeof header + name.size() > chain.bytes.size() || ++entries > format::dirent_chain_max) return false;
    header.inode = inode;
    header.type = static_cast<u8>(type);
    header.name_bytes = static_cast<u8>(name.size());
    std::memcpy(chain.bytes.data() + chain.size, &header, sizeof header);
    std::memcpy(chain.bytes.data() + chain.size + sizeof header, name.data(), name.size());
    chain.size += sizeof header + name.size();
    return true;
  };
  format::DirentChain entries_of(old);
  format::Dirent entry;
  while (entries_of.next(entry)) {
    if (entry.name != change.name && !put(entry.inode, entry.type, entry.name)) {
      return Error{Code::names_collide, change.directory};
    }
  }
  if (change.child != 0 && !put(change.child, change.type, change.name)) {
    return Error{Code::names_collide, change.directory};
  }
  return {};
}

}  // namespace cowfs::fs
