#include "engine/sim/tree_walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <set>

namespace cowfs::sim {

namespace {

constexpr u64 read_bytes = 64 * kib;
constexpr u64 directory_buffer_bytes = 1 * kib;  // small, so that listings resume

struct Links {
  u32 told = 0;   // by stat
  u32 names = 0;  // found
};

struct WalkState {
  fs::Operations* operations;
  TreeFound* found;
  WalkLimits limits;
  std::map<u64, Links> links;
  std::vector<std::string> directories;  // to be visited
  void problem(const std::string& path, const std::string& what) { found->problems.push_back(path + ": " + what); }
  void problem(const std::string& path, const Error& error) { problem(path, to_text(error)); }
};

Task<void> read_file(WalkState* walk, std::string path, Attributes attributes) {
  const Result<FileHandle> handle = co_await walk->operations->open(path, O_RDONLY, 0);
  if (!handle) {
    walk->problem(path, handle.error());
    co_return;
  }
  std::string content;
  std::string buffer(read_bytes, '\0');
  bool whole = true;
  while (content.size() < walk->limits.file_bytes) {
    const MutableByteSpan into = std::as_writable_bytes(std::span<char>(buffer));
    const Result<u64> read = co_await walk->operations->read(*handle, content.size(), into);
    if (!read) {
      walk->problem(path, read.error());
      whole = false;
      break;
    }
    if (*read == 0) break;
    content.append(buffer, 0, *read);
  }
  if (whole && content.size() != attributes.size) walk->problem(path, "is not as long as stat says");
  if (whole) walk->found->contents[attributes.inode] = std::move(content);
  const Status closed = co_await walk->operations->close(*handle);
  if (!closed) walk->problem(path, closed.error());
}

Task<void> visit_name(WalkState* walk, std::string path, u8 type_listed, u64 inode_listed) {
  const Result<Attributes> attributes = co_await walk->operations->stat(path, false);
  if (!attributes) {
    walk->problem(path, attributes.error());
    co_return;
  }
  const u64 inode = attributes->inode;
  if (inode != inode_listed || IFTODT(attributes->mode) != type_listed) walk->problem(path, "is not what was listed");
  walk->found->inodes[path] = inode;
  NodeType type = NodeType::file;
  std::string target;
  if (S_ISDIR(attributes->mode)) {
    type = NodeType::directory;
    walk->directories.push_back(path);
  } else if (S_ISLNK(attributes->mode)) {
    type = NodeType::symlink;
    const Result<std::string> link = co_await walk->operations->read_link(path);
    if (!link) walk->problem(path, link.error());
    if (link) target = *link;
  } else if (!walk->found->contents.contains(inode)) {
    co_await read_file(walk, path, *attributes);
  }
  if (type != NodeType::directory) {
    Links& links = walk->links[inode];
    links.told = attributes->links;
    ++links.names;
  }
  walk->found->names[path] = Model::describe(type, inode, attributes->links, target);
}

Task<void> visit_directory(WalkState* walk, std::string path) {
  const std::string shown = path.empty() ? "/" : path;
  const Result<FileHandle> handle = co_await walk->operations->open(shown, O_RDONLY | O_DIRECTORY, 0);
  if (!handle) {
    walk->problem(shown, handle.error());
    co_return;
  }
  u64 entries = 0;
  u32 directories = 0;
  std::set<std::string> seen;
  std::vector<std::byte> buffer(directory_buffer_bytes);
  for (u64 cookie = 0;;) {
    const Result<DirectoryRead> read = co_await walk->operations->read_directory(*handle, cookie, buffer);
    if (!read) {
      walk->problem(shown, read.error());
      break;
    }
    if (read->bytes == 0) break;
    for (u64 at = 0; at < read->bytes;) {
      const dirent64* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      const std::string name = entry->d_name;
      const u8 type = entry->d_type;
      const u64 inode = entry->d_ino;
      at += entry->d_reclen;
      if (!seen.insert(name).second) walk->problem(shown, "lists " + name + " twice");
      if (name == "." || name == "..") continue;
      ++entries;
      if (type == DT_DIR) ++directories;
      co_await visit_name(walk, path + "/" + name, type, inode);
    }
    cookie = read->next_cookie;
  }
  const Result<Attributes> attributes = co_await walk->operations->stat(*handle);
  if (!attributes) {
    walk->problem(shown, attributes.error());
  } else {
    if (attributes->size != entries) {
      walk->problem(shown, "size " + std::to_string(attributes->size) + ", entries " + std::to_string(entries));
    }
    if (attributes->links != directories + 2) {
      walk->problem(shown,
                    "links " + std::to_string(attributes->links) + ", directories " + std::to_string(directories));
    }
  }
  const Status closed = co_await walk->operations->close(*handle);
  if (!closed) walk->problem(shown, closed.error());
}

}  // namespace

Task<void> walk_tree(fs::Operations* operations, TreeFound* found, WalkLimits limits) {
  WalkState walk{operations, found, limits, {}, {""}};
  while (!walk.directories.empty() && found->names.size() < limits.names) {
    const std::string path = walk.directories.back();
    walk.directories.pop_back();
    co_await visit_directory(&walk, path);
  }
  for (const auto& [inode, links] : walk.links) {
    if (links.told == links.names) continue;
    walk.problem("inode " + std::to_string(inode),
                 "links " + std::to_string(links.told) + ", names " + std::to_string(links.names));
  }
}

}  // namespace cowfs::sim
