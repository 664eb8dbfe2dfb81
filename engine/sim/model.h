// A small filesystem in memory that does what POSIX says: the reference for the engine. Plain, slow and obviously
// right. For files it also remembers every content since the last fsync, since a crash may leave any of them, block by
// block.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::sim {

enum class NodeType : u8 { file, directory, symlink };

struct Node;
using NodePointer = std::shared_ptr<Node>;

struct Node {
  NodeType type = NodeType::file;
  u64 inode = 0;  // what the engine called it; 0: not known yet
  u32 links = 0;
  std::string data;  // of a file, or a symlink's target
  std::map<std::string, NodePointer> entries;
  Node* parent = nullptr;
  std::vector<std::string> versions;  // of data, since it was last durable: the first one is, the last is the newest
  u64 last_change = 0;                // number of the newest operation on its names or its inode
};

// Every operation answers an errno, 0 when it was done.
class Model {
 public:
  Model();

  struct End {
    int error = 0;
    NodePointer parent;
    std::string name;
    NodePointer node;  // null: no such name
  };
  End resolve(std::string_view path, bool follow, int links_left = 40) const;
  NodePointer find(std::string_view path) const { return resolve(path, false).node; }

  int create(std::string_view path);  // a file, exclusively
  int mkdir(std::string_view path);
  int rmdir(std::string_view path);
  int unlink(std::string_view path);
  int link(std::string_view existing, std::string_view path);
  int symlink(std::string_view target, std::string_view path);
  int rename(std::string_view from, std::string_view to, unsigned flags);

  // Contents, pure.
  static std::string written(std::string data, u64 offset, std::string_view bytes);
  static std::string resized(std::string data, u64 bytes);
  static std::string punched(std::string data, u64 offset, u64 bytes);

  // One line for each name: path -> what it is. `prefix` is the beginning of the paths wanted.
  using Listing = std::map<std::string, std::string>;
  Listing list(std::string_view prefix) const;
  static std::string describe(NodeType type, u64 inode, u32 links, std::string_view target);

  void set_operation(u64 number) { operation_ = number; }

 private:
  void touch(Node& node) { node.last_change = operation_; }
  static bool is_below(const Node* node, const Node* directory);

  NodePointer root_;
  u64 operation_ = 0;
};

}  // namespace cowfs::sim
