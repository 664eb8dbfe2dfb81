// Filesystems of the kernel as targets: made afresh and mounted for each round, or a directory that is there already; and
// the device itself.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/cleanup.h"
#include "harness/command.h"
#include "harness/device_truth.h"
#include "harness/media.h"
#include "harness/outcome.h"

namespace cowbench::harness {

enum class TargetKind { cowfs, xfs, ext4, btrfs, path, raw, null };

// As --target spells it: "xfs", "ext4", "btrfs", "btrfs:PROFILE", "raw", "null", "path:DIR", "cowfs" or
// "cowfs:option=value,...".
struct TargetName {
  TargetKind kind = TargetKind::null;
  std::string argument;  // path: the directory; cowfs: the options; btrfs: the profile of data and metadata
  std::string text;      // the whole, as typed
};
// Failure request: none of these.
Outcome<TargetName> parse_target(std::string_view text);
// mkfs and mount are ours: xfs, ext4, btrfs.
bool is_made_by_mkfs(TargetKind kind);
// It lives on the medium: those, cowfs and raw.
bool needs_media(TargetKind kind);
// It can be made on several devices.
bool takes_several_devices(TargetKind kind);

struct FinishReport {
  u64 sync_ns = 0;             // syncfs at the end of the round: what the page cache still held
  DeviceCounters sync_moved;   // what that wrote; zero for path:
};

constexpr const char* default_mount_directory = "/var/tmp/cowbench";

class KernelTarget {
 public:
  // `media` is null for path:, and outlives the target otherwise, as `ledger` does. `mount_directory`: where mount
  // points are made, absolute. Precondition: the kind is not cowfs or null. Failures: missing: mkfs, mount or the
  // directory is not there, or no root.
  static Outcome<KernelTarget> create(const TargetName& name, Ledger& ledger, Media* media,
                                      const std::string& mount_directory = default_mount_directory, Keep keep = Keep::nothing);

  // Each command of one round. `devices` stand for a medium that is not attached yet.
  static std::vector<std::string> plan(const TargetName& name, const std::vector<std::string>& devices, Keep keep = Keep::nothing,
                                       const std::string& mount_directory = default_mount_directory);

  // "xfs (metadata crc, barriers)": what is promised is part of the name, so that no table compares a flushed write
  // with an unflushed one by accident.
  std::string label() const;
  std::string promise() const;  // what stands in its brackets

  // mkfs and mount, or a fresh subdirectory; with Keep::found only the mount, or the subdirectory that is there. Failures:
  // failed: a program said no (its words are quoted).
  Action prepare();
  // Valid between prepare() and finish(): an empty directory; raw: the device.
  const std::string& directory() const { return directory_; }
  bool is_device() const { return name_.kind == TargetKind::raw; }
  u64 device_bytes() const { return media_->identity().size_bytes; }  // precondition: is_device()
  // Where it is mounted: filesystem type and options as /proc shows them.
  std::string mount_facts() const;
  // The devices under it; none for path:.
  std::vector<dev_t> device_numbers() const;

  // syncfs, then mounted anew; a directory or a device is only synced. Precondition: prepared. Failures: as prepare();
  // finish() is then still to be called.
  Outcome<FinishReport> remount();
  // syncfs, then unmount or remove the directory. Also to be called after a failed round.
  Outcome<FinishReport> finish();

 private:
  KernelTarget() = default;
  Action make_filesystem();
  Action open_directory();
  Action mount_filesystem();
  Outcome<FinishReport> sync();
  Action undo_made();

  TargetName name_;
  Ledger* ledger_ = nullptr;
  Media* media_ = nullptr;
  std::string mount_directory_;
  Keep keep_ = Keep::nothing;
  std::string directory_;
  std::vector<Made> made_;
  u32 rounds_ = 0;
};

}  // namespace cowbench::harness
