#include "engine/sim/operation_source.h"

#include <algorithm>

#include "engine/format/values.h"

namespace cowfs::sim {

namespace {

constexpr std::size_t held_max = 6;
constexpr u64 names_in_directory = 8;  // few, so that operations meet
constexpr u64 names_end = 1'000'000;
constexpr u64 long_target_bytes = 3800;
constexpr u64 names_turn = 30;

u64 size_of(const OperationView& view, const std::string& path) {
  const NodePointer node = view.model.resolve(path, true).node;
  return node != nullptr && node->type == NodeType::file ? node->data.size() : 0;
}

}  // namespace

std::optional<Operation> RandomOperations::next(const OperationView& view) {
  if (left_ == 0) return std::nullopt;
  --left_;
  switch (load_.kind) {
    case Load::names:
      return with_names(view);
    case Load::moves:
      return random_.one_in(8) ? of_file(view) : of_names(view);
    case Load::one_file:
      return with_one_file(view);
    case Load::large:
      return with_large_files(view);
    case Load::full:
      return on_full_device(view);
    case Load::mixed:
      break;
  }
  return mixed(view);
}

Operation RandomOperations::mixed(const OperationView& view) {
  return random_.one_in(3) ? of_names(view) : of_file(view);
}

Operation RandomOperations::with_names(const OperationView& view) {
  const u64 dice = random_.below(20);
  if (dice < 4) return mixed(view);
  // Names are removed in the order in which they were made, so that whole nodes become empty.
  Operation operation{.path = view.home + "/m" + std::to_string(names_end - left_)};
  const bool removes = left_ / names_turn % 3 == 0;
  if (removes && dice < 17) {
    operation.kind = OperationKind::unlink;
    const auto at = view.names.lower_bound(view.home + "/m");
    if (at != view.names.end()) operation.path = at->first;
  } else if (dice < 11) {
    operation.kind = OperationKind::symlink;
    operation.other = view.home;
    const u64 bytes = random_.below(random_.one_in(4) ? long_target_bytes : format::inline_bytes_max);
    while (operation.other.size() < bytes) operation.other += "/" + std::string(200, 'x');
  } else if (dice < 16) {
    operation.kind = OperationKind::create;
  } else if (dice < 19) {
    operation.kind = OperationKind::rename;
    operation.other = some_path(view);
  } else {
    operation.kind = OperationKind::fsync;
    operation.path = view.home;
  }
  return operation;
}

Operation RandomOperations::with_one_file(const OperationView& view) {
  Operation operation{.path = view.home + "/n0"};
  const u64 size = size_of(view, operation.path);
  const u64 dice = random_.below(40);
  if (dice == 0) return mixed(view);
  if (size == 0 && random_.one_in(2)) {
    operation.kind = OperationKind::create;
  } else if (dice < 16) {
    operation.kind = OperationKind::read;
    operation.offset = random_.one_in(2) ? 0 : random_.below(size + 1);
    operation.bytes = 1 + random_.below(64 * kib);
    operation.direct = random_.one_in(4);
  } else if (dice < 34) {
    operation = write(view, operation.path);
    if (operation.offset > size) operation.offset = size / 2;
    operation.direct = !random_.one_in(4);
    if (operation.direct) operation.offset = round_down(operation.offset, block_bytes);
    if (operation.direct) operation.bytes = round_up(operation.bytes, block_bytes);
  } else if (dice < 38) {
    operation.kind = OperationKind::fsync;
  } else {
    operation.kind = OperationKind::truncate;
    operation.offset = random_.below(size + 1);
  }
  return operation;
}

Operation RandomOperations::with_large_files(const OperationView& view) {
  const u64 dice = random_.below(20);
  if (dice < 5) return mixed(view);
  Operation operation{.path = some_file(view)};
  if (dice < 13) {
    operation = write(view, operation.path);
    operation.offset = random_.below(load_.file_bytes_max);
    operation.bytes = std::min<u64>(operation.bytes, 20000);
  } else if (dice < 15) {
    operation.kind = OperationKind::truncate;
    operation.offset = random_.below(load_.file_bytes_max);
  } else if (dice < 16) {
    operation.kind = OperationKind::punch;
    operation.offset = random_.below(load_.file_bytes_max);
    operation.bytes = 1 + random_.below(load_.file_bytes_max);
  } else if (dice < 17) {
    operation.kind = OperationKind::unlink;
  } else if (dice < 18) {
    operation.kind = OperationKind::hold;
  } else {
    operation.kind = OperationKind::fsync;
  }
  return operation;
}

Operation RandomOperations::on_full_device(const OperationView& view) {
  const u64 dice = random_.below(20);
  if (dice == 0) return mixed(view);
  std::vector<std::string> files;
  u64 used_bytes = 0;
  for (const auto& [path, text] : view.names) {
    if (!text.starts_with("file")) continue;
    files.push_back(path);
    used_bytes += size_of(view, path);
  }
  Operation operation{.path = view.home + "/f" + std::to_string(files.size())};
  const bool room = used_bytes < load_.data_bytes_max;
  if (room && used_bytes >= files.size() * load_.file_bytes_max / 2) {
    operation.kind = OperationKind::create;
    return operation;
  }
  if (files.empty()) return mixed(view);
  operation.path = files[random_.below(files.size())];
  const u64 size = size_of(view, operation.path);
  if (dice < 2) {
    operation.kind = random_.one_in(2) ? OperationKind::truncate : OperationKind::unlink;
  } else if (dice < 4) {
    operation.kind = OperationKind::fsync;
  } else {
    operation.kind = OperationKind::write;
    const bool more = room && size < load_.file_bytes_max;
    operation.offset = more ? round_down(size, block_bytes) : round_down(random_.below(size + 1), block_bytes);
    operation.bytes = more ? 128 * kib * (1 + random_.below(3)) : block_bytes * (1 + random_.below(8));
    operation.salt = random_.below(1 << 20);
    operation.direct = random_.one_in(2);
  }
  return operation;
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
  u64 offset = random_.below(load_.file_bytes_max);
  if (random_.one_in(2)) offset = std::min(offset, size_of(view, operation.path));
  if (random_.one_in(3)) offset = 0;
  u64 bytes = 1 + random_.below(random_.one_in(4) ? load_.file_bytes_max / 3 : random_.one_in(2) ? 20000 : 3000);
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
    operation.offset = random_.one_in(4) ? 0 : random_.below(random_.one_in(3) ? load_.file_bytes_max : size + 1);
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
