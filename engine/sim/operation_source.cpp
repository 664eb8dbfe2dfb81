#include "engine/sim/operation_source.h"

namespace cowfs::sim {

namespace {

constexpr std::size_t held_max = 6;
constexpr u64 names_in_directory = 8;  // few, so that operations meet

u64 size_of(const OperationView& view, const std::string& path) {
  const NodePointer node = view.model.resolve(path, true).node;
  return node != nullptr && node->type == NodeType::file ? node->data.size() : 0;
}

}  // namespace

std::optional<Operation> RandomOperations::next(const OperationView& view) {
  if (left_ == 0) return std::nullopt;
  --left_;
  return random_.one_in(3) ? of_names(view) : of_file(view);
}

std::string RandomOperations::some_directory(const OperationView& view) {
  std::vector<std::string> directories{view.home, view.home};
  for (const auto& [path, text] : view.names) {
    if (text.starts_with("directory")) directories.push_back(path);
  }
  return directories[random_.below(directories.size())];
}

std::string RandomOperations::some_path(const OperationView& view) {
  if (random_.one_in(2) && view.names.size() > 1) {
    auto at = view.names.begin();
    std::advance(at, static_cast<long>(random_.below(view.names.size())));
    if (at->first != view.home) return at->first;
  }
  const std::string name = "n" + std::to_string(random_.below(names_in_directory));
  if (!view.shared_prefix.empty() && random_.one_in(4)) return view.shared_prefix + name;
  return some_directory(view) + "/" + name;
}

std::string RandomOperations::some_file(const OperationView& view) {
  if (!view.held.empty() && !random_.one_in(4)) return view.held[random_.below(view.held.size())];
  return some_path(view);
}

Operation RandomOperations::of_names(const OperationView& view) {
  Operation operation{.path = some_path(view)};
  const u64 kind = random_.below(14);
  if (kind < 2) {
    operation.kind = OperationKind::mkdir;
  } else if (kind < 4) {
    operation.kind = OperationKind::unlink;
  } else if (kind < 6) {
    operation.kind = OperationKind::rmdir;
  } else if (kind < 8) {
    operation.kind = OperationKind::create;
  } else if (kind < 9) {
    operation.kind = OperationKind::link;
    operation.other = some_path(view);
  } else if (kind < 10) {
    operation.kind = OperationKind::symlink;
    operation.other = view.home + "/n1";
  } else {
    const bool plain = !random_.one_in(4);
    operation.kind = plain ? OperationKind::rename
                           : random_.one_in(2) ? OperationKind::rename_new : OperationKind::exchange;
    operation.other = some_path(view);
  }
  return operation;
}

Operation RandomOperations::write(const OperationView& view, std::string path) {
  Operation operation{.kind = OperationKind::write, .path = std::move(path)};
  u64 offset = random_.below(file_bytes_max_);
  if (random_.one_in(2)) offset = std::min(offset, size_of(view, operation.path));
  if (random_.one_in(3)) offset = 0;
  u64 bytes = 1 + random_.below(random_.one_in(4) ? file_bytes_max_ / 3 : random_.one_in(2) ? 20000 : 3000);
  if (random_.one_in(2)) {
    offset = round_down(offset, block_bytes);
    bytes = round_up(bytes, block_bytes);
  }
  operation.offset = offset;
  operation.bytes = bytes;
  operation.salt = random_.below(1 << 20);
  operation.direct = random_.one_in(3);
  return operation;
}

Operation RandomOperations::of_file(const OperationView& view) {
  const u64 dice = random_.below(70);
  Operation operation{.path = some_file(view)};
  const u64 size = size_of(view, operation.path);
  if (dice < 8 && view.held.size() < held_max) {
    operation.kind = OperationKind::hold;
    operation.direct = random_.one_in(3);
  } else if (dice < 34) {
    return write(view, operation.path);
  } else if (dice < 44) {
    operation.kind = OperationKind::read;
    operation.offset = random_.one_in(3) ? 0 : round_down(random_.below(size + 5000), random_.one_in(2) ? 4096 : 1);
    operation.bytes = random_.one_in(2) ? 4096 * (1 + random_.below(40)) : 1 + random_.below(100000);
    operation.direct = random_.one_in(3);
  } else if (dice < 49) {
    operation.kind = OperationKind::truncate;
    operation.offset = random_.one_in(4) ? 0 : random_.below(random_.one_in(3) ? file_bytes_max_ : size + 1);
  } else if (dice < 53) {
    operation.kind = random_.one_in(4) ? OperationKind::allocate : OperationKind::punch;
    operation.offset = random_.below(size + 1);
    operation.bytes = 1 + random_.below(100000);
  } else if (dice < 62) {
    operation.kind = OperationKind::fsync;
    if (random_.one_in(5)) operation.path = some_directory(view);
  } else if (dice < 63) {
    operation.kind = OperationKind::sync;
    operation.path.clear();
  } else if (dice < 66) {
    operation.kind = OperationKind::stat;
  } else {
    operation.kind = OperationKind::release;
  }
  return operation;
}

}  // namespace cowfs::sim
