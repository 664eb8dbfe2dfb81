#include "engine/sim/model.h"

#include <linux/fs.h>

#include <algorithm>
#include <cerrno>

namespace cowfs::sim {

Model::Model() : root_(std::make_shared<Node>()) {
  root_->type = NodeType::directory;
  root_->links = 2;
  root_->inode = 1;
  root_->parent = root_.get();
}

Model::End Model::resolve(std::string_view path, bool follow, int links_left) const {
  End end;
  end.node = end.parent = root_;
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
    if (name.empty()) continue;
    if (end.node == nullptr) return {ENOENT, nullptr, {}, nullptr};
    if (end.node->type != NodeType::directory) return {ENOTDIR, nullptr, {}, nullptr};
    end.parent = end.node;
    end.name = name;
    const auto found = end.parent->entries.find(end.name);
    end.node = found == end.parent->entries.end() ? nullptr : found->second;
    const bool enter = end.node != nullptr && end.node->type == NodeType::symlink && (follow || !path.empty());
    if (!enter) continue;
    // Targets here are absolute paths.
    if (links_left == 0) return {ELOOP, nullptr, {}, nullptr};
    const End target = resolve(end.node->data, true, links_left - 1);
    if (target.error != 0) return target;
    end.parent = target.parent;
    end.name = target.name;
    end.node = target.node;
  }
  return end;
}

int Model::create(std::string_view path) {
  const End end = resolve(path, false);
  if (end.error != 0) return end.error;
  if (end.node != nullptr) return EEXIST;
  NodePointer node = std::make_shared<Node>();
  node->links = 1;
  node->versions = {{}};
  end.parent->entries[end.name] = node;
  touch(*node);
  touch(*end.parent);
  return 0;
}

int Model::mkdir(std::string_view path) {
  const End end = resolve(path, false);
  if (end.error != 0) return end.error;
  if (end.node != nullptr) return EEXIST;
  NodePointer node = std::make_shared<Node>();
  node->type = NodeType::directory;
  node->links = 2;
  node->parent = end.parent.get();
  end.parent->entries[end.name] = node;
  ++end.parent->links;
  touch(*node);
  touch(*end.parent);
  return 0;
}

int Model::rmdir(std::string_view path) {
  const End end = resolve(path, false);
  if (end.error != 0) return end.error;
  if (end.node == nullptr) return ENOENT;
  if (end.node->type != NodeType::directory) return ENOTDIR;
  if (!end.node->entries.empty()) return ENOTEMPTY;
  end.node->links = 0;
  --end.parent->links;
  touch(*end.node);
  touch(*end.parent);
  end.parent->entries.erase(end.name);
  return 0;
}

int Model::unlink(std::string_view path) {
  const End end = resolve(path, false);
  if (end.error != 0) return end.error;
  if (end.node == nullptr) return ENOENT;
  if (end.node->type == NodeType::directory) return EISDIR;
  --end.node->links;
  touch(*end.node);
  touch(*end.parent);
  end.parent->entries.erase(end.name);
  return 0;
}

int Model::link(std::string_view existing, std::string_view path) {
  const End source = resolve(existing, false);
  if (source.error != 0) return source.error;
  if (source.node == nullptr) return ENOENT;
  const End end = resolve(path, false);
  if (source.node->type == NodeType::directory) return EPERM;
  if (end.error != 0) return end.error;
  if (end.node != nullptr) return EEXIST;
  ++source.node->links;
  end.parent->entries[end.name] = source.node;
  touch(*source.node);
  touch(*end.parent);
  return 0;
}

int Model::symlink(std::string_view target, std::string_view path) {
  const End end = resolve(path, false);
  if (end.error != 0) return end.error;
  if (end.node != nullptr) return EEXIST;
  NodePointer node = std::make_shared<Node>();
  node->type = NodeType::symlink;
  node->links = 1;
  node->data = target;
  end.parent->entries[end.name] = node;
  touch(*node);
  touch(*end.parent);
  return 0;
}

bool Model::is_below(const Node* node, const Node* directory) {
  while (true) {
    if (node == directory) return true;
    if (node->parent == node) return false;
    node = node->parent;
  }
}

int Model::rename(std::string_view from, std::string_view to, unsigned flags) {
  const End source = resolve(from, false);
  if (source.error != 0) return source.error;
  if (source.node == nullptr) return ENOENT;
  const End target = resolve(to, false);
  if (target.error != 0) return target.error;
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  if (exchange && target.node == nullptr) return ENOENT;
  if ((flags & RENAME_NOREPLACE) != 0 && target.node != nullptr) return EEXIST;
  if (source.node == target.node) return 0;
  const bool source_directory = source.node->type == NodeType::directory;
  const bool target_directory = target.node != nullptr && target.node->type == NodeType::directory;
  const bool moves = source.parent != target.parent;
  if (source_directory && is_below(target.parent.get(), source.node.get())) return EINVAL;
  if (exchange && target_directory && is_below(source.parent.get(), target.node.get())) return EINVAL;
  if (target.node != nullptr && !exchange) {
    if (source_directory && !target_directory) return ENOTDIR;
    if (!source_directory && target_directory) return EISDIR;
    if (target_directory && !target.node->entries.empty()) return ENOTEMPTY;
  }
  touch(*source.node);
  touch(*source.parent);
  touch(*target.parent);
  if (target.node != nullptr) touch(*target.node);
  if (exchange) {
    source.parent->entries[source.name] = target.node;
    target.parent->entries[target.name] = source.node;
    if (source_directory) --source.parent->links, ++target.parent->links, source.node->parent = target.parent.get();
    if (target_directory) --target.parent->links, ++source.parent->links, target.node->parent = source.parent.get();
    return 0;
  }
  if (target_directory) {
    --target.parent->links;
    target.node->links = 0;
  } else if (target.node != nullptr) {
    --target.node->links;
  }
  source.parent->entries.erase(source.name);
  target.parent->entries[target.name] = source.node;
  if (source_directory && moves) {
    --source.parent->links;
    ++target.parent->links;
    source.node->parent = target.parent.get();
  }
  return 0;
}

std::string Model::written(std::string data, u64 offset, std::string_view bytes) {
  if (data.size() < offset + bytes.size()) data.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), data.begin() + static_cast<std::ptrdiff_t>(offset));
  return data;
}

std::string Model::resized(std::string data, u64 bytes) {
  data.resize(bytes);
  return data;
}

std::string Model::punched(std::string data, u64 offset, u64 bytes) {
  for (u64 at = offset; at < std::min<u64>(data.size(), offset + bytes); ++at) data[at] = 0;
  return data;
}

std::string Model::describe(NodeType type, u64 inode, u32 links, std::string_view target) {
  const char* kind = type == NodeType::file ? "file" : type == NodeType::directory ? "directory" : "symlink";
  std::string text =
      std::string(kind) + " inode " + (inode == 0 ? "?" : std::to_string(inode)) + " links " + std::to_string(links);
  if (type == NodeType::symlink) text += " to " + std::string(target);
  return text;
}

Model::Listing Model::list(std::string_view prefix) const {
  Listing listing;
  struct Visit {
    std::string path;
    const Node* node;
  };
  std::vector<Visit> stack{{"", root_.get()}};
  while (!stack.empty()) {
    const Visit visit = stack.back();
    stack.pop_back();
    for (const auto& [name, node] : visit.node->entries) {
      const std::string path = visit.path + "/" + name;
      if (path.starts_with(prefix)) listing[path] = describe(node->type, node->inode, node->links, node->data);
      if (node->type == NodeType::directory) stack.push_back({path, node.get()});
    }
  }
  return listing;
}

}  // namespace cowfs::sim
