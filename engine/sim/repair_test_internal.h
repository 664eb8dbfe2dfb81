// For tests of repair: sound filesystems on one device and several, a damage on them, and what its repair must leave.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "engine/admin/check_device.h"
#include "engine/pool/superblocks.h"
#include "engine/repair/corrupt.h"
#include "engine/repair/repair.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

using repair::RepairOptions;
using repair::RepairReport;

// On which devices.
struct Layout {
  const char* name;
  u64 devices = 1;
  u8 replicas = 1;
  ErasureCoding erasure = {};

  bool has_copies() const { return replicas > 1 || erasure.data_shards > 0; }
};
constexpr Layout one_device{"one_device"};
constexpr Layout two_copies{"two_copies", 2, 2};
constexpr Layout two_devices{"two_devices", 2};
constexpr Layout in_stripes{"stripes", 3, 1, {2, 1}};
inline const Layout* const layouts[] = {&one_device, &two_copies, &two_devices, &in_stripes};
inline void PrintTo(const Layout* layout, std::ostream* out) { *out << layout->name; }

struct Sound {
  Images images;
  TreeFound tree;
};

// Closed at the end, or while history was left to replay, or a file was open that has no name any more.
const Sound& closed(const Layout& layout = one_device);
const Sound& crashed(const Layout& layout = one_device);
const Sound& with_orphan(const Layout& layout = one_device);
// Of those the one that can have a damage of the class.
const Sound& sound_for(const std::string& finding_class, const Layout& layout);
Sound sound_of(Images images);
TreeFound tree_of(const Images& images, bool degraded = false);

// The devices of a filesystem, with one core to work on them.
class Bench {
 public:
  explicit Bench(const Images& images);

  std::vector<device::Device*> devices() const;
  device::SimDevice& device(std::size_t index = 0) { return *devices_[index]; }
  Images images() const;
  // Of those that are there.
  u64 writes() const;
  // When the power of one device goes, it goes for all.
  void share_power();
  Result<RepairReport> repair(const RepairOptions& options);
  Result<admin::CheckReport> check();
  Result<repair::Planted> corrupt(const repair::CorruptOptions& options);

 private:
  runtime::SimCores cores_;
  std::vector<std::unique_ptr<device::SimDevice>> devices_;  // null: missing
};

admin::CheckReport check(const Images& images);
std::string text(const admin::CheckReport& report);
std::string text(const RepairReport& report);
bool names(const admin::CheckReport& report, const std::string& finding_class);

struct Repaired {
  RepairReport report;
  Images images;
  u64 writes = 0;
};
Repaired repair_images(const Images& images, const RepairOptions& options);

// The images with one damage that check names so.
std::optional<Images> damaged(const Sound& sound, const std::string& finding_class, u64 seed);

// What is not touched has its names and its content.
void expect_rest(const TreeFound& sound, const TreeFound& now, const std::set<u64>& touched);
// A dry run writes nothing, the repair leaves nothing to find, and the rest is as it was.
void expect_repaired(const Sound& sound, const Images& images, const std::string& finding_class);

}  // namespace cowfs::sim
