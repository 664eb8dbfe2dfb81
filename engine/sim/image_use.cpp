#include "engine/sim/image_use.h"

#include <fcntl.h>
#include <linux/falloc.h>

#include "engine/repair/repair.h"
#include "engine/sim/findings.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

namespace {

constexpr WalkLimits walk_limits{.file_bytes = 1 * mib, .names = 500};

Task<void> change_file(fs::Operations* operations, std::string path, u64 number) {
  const std::vector<std::byte> data(3 * block_bytes, std::byte{7});
  const Result<FileHandle> handle = co_await operations->open(path, O_RDWR, 0);
  if (!handle) co_return;
  (void)co_await operations->write(*handle, number % 5 * block_bytes / 2, data);
  (void)co_await operations->fsync(*handle);
  (void)co_await operations->allocate(*handle, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block_bytes, block_bytes);
  (void)co_await operations->truncate(*handle, number % 7 * 1000);
  (void)co_await operations->fsync(*handle);
  (void)co_await operations->close(*handle);
}

Task<void> change_name(fs::Operations* operations, std::string path, u64 number) {
  const std::string moved = "/moved" + std::to_string(number);
  (void)co_await operations->link(path, moved + "_link");
  const Status renamed = co_await operations->rename(path, moved, 0);
  const std::string now = renamed ? moved : path;
  const Result<FileHandle> made = co_await operations->open(now + "_new", O_RDWR | O_CREAT, 0644);
  if (made) (void)co_await operations->close(*made);
  (void)co_await operations->unlink(now);
  (void)co_await operations->rmdir(now);
}

Task<void> change_everything(fs::Operations* operations, const TreeFound* found) {
  u64 number = 0;
  for (const auto& [path, inode] : found->inodes) {
    ++number;
    co_await change_file(operations, path, number);
    co_await change_name(operations, path, number);
  }
  (void)co_await operations->sync();
}

void plan_repair(const Image& image) {
  runtime::SimCores cores({.cores = 1});
  device::SimDevice device(image, {});
  const repair::RepairOptions options{.dry_run = true, .cut_journal = true};
  (void)cores.run(0, [&] { return repair::repair_devices({&device}, options); });
  assert(device.counts().writes == 0);
}

}  // namespace

bool use_image(const Image& image, const MountSettings& settings) {
  SimulatedFilesystem filesystem(image, settings);
  const Status mounted = filesystem.mount();
  if (mounted) {
    TreeFound found;
    TreeFound* into = &found;
    fs::Operations* operations = &filesystem.operations();
    filesystem.run(0, [operations, into] { return walk_tree(operations, into, walk_limits); });
    filesystem.run(0, [operations, into] { return change_everything(operations, into); });
    (void)filesystem.close();
  }
  (void)findings_in(image);
  plan_repair(image);
  return mounted.ok();
}

}  // namespace cowfs::sim
