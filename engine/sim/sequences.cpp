// The tree: /A with two files in one slice, the root and /B in the other, a link and a symlink between them. Regions are
// as small as they can be useful, so that one write crosses slices.
#include "engine/sim/sequences.h"

#include <array>

#include "engine/sim/client.h"

namespace cowfs::sim {

namespace {

using enum OperationKind;

constexpr u64 region_bytes = 64 * kib;

// By the root's core, then by the other one.
const Operations& set_up_of_core(u64 core) {
  static const std::array<Operations, 2> lists{
      Operations{{.kind = mkdir, .path = "/B"}, {.kind = mkdir, .path = "/B/empty"}, {.kind = create, .path = "/foo"},
                 {.kind = write, .path = "/foo", .bytes = 5000, .salt = 1}},
      Operations{{.kind = mkdir, .path = "/A"},
                 {.kind = create, .path = "/A/foo"},
                 {.kind = write, .path = "/A/foo", .bytes = 9000, .salt = 2},
                 {.kind = create, .path = "/A/bar"},
                 {.kind = write, .path = "/A/bar", .bytes = 100, .salt = 3},
                 {.kind = link, .path = "/B/bar", .other = "/A/bar"},
                 {.kind = symlink, .path = "/s", .other = "/A/foo"},
                 {.kind = sync}}};
  return lists[core];
}

const Operations& first_operations() {
  static const Operations all{
      {.kind = create, .path = "/new"},
      {.kind = create, .path = "/A/new"},
      {.kind = mkdir, .path = "/dir"},
      {.kind = mkdir, .path = "/A/dir"},
      {.kind = rmdir, .path = "/B/empty"},
      {.kind = unlink, .path = "/foo"},
      {.kind = unlink, .path = "/A/foo"},
      {.kind = unlink, .path = "/A/bar"},
      {.kind = link, .path = "/A/link", .other = "/A/foo"},
      {.kind = link, .path = "/B/link", .other = "/A/foo"},
      {.kind = symlink, .path = "/A/s", .other = "/foo"},
      {.kind = rename, .path = "/foo2", .other = "/foo"},
      {.kind = rename, .path = "/A/bar", .other = "/A/foo"},
      {.kind = rename, .path = "/B/foo", .other = "/A/foo"},
      {.kind = rename, .path = "/B/bar", .other = "/A/foo"},
      {.kind = rename, .path = "/A/foo", .other = "/foo"},
      {.kind = rename, .path = "/C", .other = "/A"},
      {.kind = rename, .path = "/A/B", .other = "/B"},
      {.kind = rename, .path = "/B/empty", .other = "/A/dir"},
      {.kind = exchange, .path = "/A/bar", .other = "/A/foo"},
      {.kind = exchange, .path = "/B", .other = "/A/foo"},
      {.kind = write, .path = "/A/foo", .bytes = 4096, .salt = 4},
      {.kind = write, .path = "/A/foo", .offset = 2000, .bytes = 5000, .salt = 5},
      {.kind = write, .path = "/A/foo", .offset = 9000, .bytes = 6000, .salt = 6},
      {.kind = write, .path = "/A/foo", .offset = 4096, .bytes = 4096, .salt = 7, .direct = true},
      {.kind = write, .path = "/A/foo", .offset = 12288, .bytes = 8192, .salt = 8, .direct = true},
      {.kind = write, .path = "/A/foo", .offset = region_bytes - 3000, .bytes = 6000, .salt = 9},
      {.kind = write, .path = "/A/bar", .offset = 50, .bytes = 200, .salt = 10},
      {.kind = write, .path = "/foo", .offset = 3 * region_bytes, .bytes = 100, .salt = 11},
      {.kind = truncate, .path = "/A/foo", .offset = 0},
      {.kind = truncate, .path = "/A/foo", .offset = 5000},
      {.kind = truncate, .path = "/A/foo", .offset = 2 * region_bytes + 10},
      {.kind = punch, .path = "/A/foo", .offset = 4096, .bytes = 4096},
      {.kind = allocate, .path = "/A/foo", .offset = 0, .bytes = 30000},
  };
  return all;
}

// What may follow an operation to make it durable; the first one is nothing.
constexpr u64 persistence_points = 4;

void add_persistence(u64 choice, const Operation& after, Operations& operations) {
  const std::string parent = after.path.substr(0, after.path.rfind('/'));
  if (choice == 1) operations.push_back({.kind = fsync, .path = after.path});
  if (choice == 2) operations.push_back({.kind = fsync, .path = parent.empty() ? "/" : parent});
  if (choice == 3) operations.push_back({.kind = sync});
}

MountSettings workload_settings(u64 seed) {
  MountSettings settings = examination_settings(seed);
  settings.cores = 2;
  return settings;
}

}  // namespace

u64 sequence_count(unsigned length) {
  return length == 0 ? 1 : first_operations().size() * persistence_points * sequence_count(length - 1);
}

Operations sequence(unsigned length, u64 index) {
  Operations operations;
  for (unsigned rest = length; rest > 0; --rest) {
    const u64 step = index / sequence_count(rest - 1) % sequence_count(1);
    const Operation& next = first_operations()[step / persistence_points];
    operations.push_back(next);
    add_persistence(step % persistence_points, next, operations);
  }
  return operations;
}

SequenceRunner::SequenceRunner(const ExplorerSettings& settings, bool single_flush)
    : explorer_(settings),
      image_(make_filesystem(
          {.slices = 2, .region_bytes = region_bytes, .single_flush = single_flush, .seed = settings.seed})) {}

bool SequenceRunner::run(const Operations& operations, u64 seed) {
  ++sequences_;
  Random random(seed);
  const MountSettings settings = workload_settings(random.next());
  SimulatedFilesystem filesystem(image_, settings);
  Model model;
  Client client(model, {});
  const auto perform = [&](u64 core, const Operations& list) {
    OperationList source(list);
    OperationSource* next = &source;
    fs::Operations* target = &filesystem.operations();
    Client* doer = &client;
    filesystem.run(static_cast<runtime::CoreIndex>(core), [=] { return doer->run(target, next); });
  };
  const Status mounted = filesystem.mount();
  if (mounted) {
    for (u64 core = 0; core < filesystem.core_count(); ++core) perform(core, set_up_of_core(core));
    explorer_.watch(filesystem.device(), settings.device.unit_bytes,
                    [&client](const TreeFound& found, std::vector<std::string>& problems) {
                      client.expectation().check_after_crash(found, problems);
                    });
    perform(random.below(2), operations);
    const Status closed = filesystem.close();
    if (!closed) problems_.push_back("close: " + to_text(closed.error()));
  } else {
    problems_.push_back("mount: " + to_text(mounted.error()));
  }
  for (const auto* more : {&client.problems(), &explorer_.problems()}) {
    problems_.insert(problems_.end(), more->begin(), more->end());
  }
  if (problems_.empty()) return true;
  std::string text = "sequence:";
  for (const Operation& operation : operations) text += " [" + to_text(operation) + "]";
  problems_.push_back(text);
  return false;
}

}  // namespace cowfs::sim
