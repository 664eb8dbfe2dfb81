// What the program `cowfs` does to a device that is not mounted: looking at it, and checking it. Nothing here writes to
// the device, which is opened read-only; history that a crash left to replay is replayed in memory.
//
// Devices of a filesystem that are missing or stale are noted, while everything has a copy without them.
//
// For threads that are no cores; each call takes as long as it takes and answers when it is done.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace cowfs::admin {

// The devices of one filesystem, in any order; most have one.
struct DeviceNames {
  DeviceNames(std::string name) : names{std::move(name)} {}
  DeviceNames(std::vector<std::string> all) : names(std::move(all)) {}
  std::vector<std::string> names;
};

// show-super: of one device

struct SuperblockShown {
  std::vector<std::pair<std::string, std::string>> fields;  // name and value, in order
  std::vector<std::string> notes;                           // copies that are damaged or older
};

// Errors: of opening the device; superblock_*; device_truncated; device_too_small.
Result<SuperblockShown> show_superblock(const std::string& path);

// devices: in usage and counters

struct DeviceShown {
  u64 number = 0;
  std::string path;   // empty: missing
  std::string label;  // what it fails together with; empty: nothing
  std::string state;  // current, stale or missing
  u64 bytes = 0;      // of it
  std::vector<Activity> activities;  // of device requests and copies, since it belongs to the filesystem; those that happened
};

// usage

struct SliceUsage {
  u64 slice = 0;
  u64 inodes = 0;
  u64 buckets = 0;           // leased to it
  u64 buckets_empty = 0;     // of them
  u64 data_bytes = 0;        // live
  u64 metadata_bytes = 0;    // live
  u64 metadata_buckets = 0;  // of its buckets
};

struct Usage {
  u64 capacity_bytes = 0;
  u64 bucket_bytes = 0;
  u64 journal_bytes = 0;
  u64 data_buckets = 0;      // that slices may lease
  u64 data_buckets_free = 0;  // leased to none
  u64 user_bytes = 0;        // that users may fill
  u64 used_bytes = 0;        // of them: live data, and whole buckets of metadata
  u64 inodes = 0;
  std::vector<SliceUsage> slices;
  std::vector<DeviceShown> devices;
  std::vector<std::string> notes;
};

// As the next mount will find it. Errors: as a mount.
Result<Usage> usage(const DeviceNames& devices);

// counters

struct CountersShown {
  std::vector<Activity> activities;  // that happened at least once since the filesystem was made
  std::vector<DeviceShown> devices;
  std::vector<std::string> notes;
};

// Totals as of the newest unmount or checkpoint of slice 0. Errors: as a mount.
Result<CountersShown> counters(const DeviceNames& devices);

// list

struct ListOptions {
  std::optional<u16> slice;         // none: all
  std::optional<std::string> tree;  // by name; none: all
  bool nodes = false;               // nodes instead of keys
};

struct Listed {
  u64 slice = 0;
  std::string tree;
  std::string text;     // one key with its value, or one node
  bool damaged = false;  // text says what
};

struct ListSummary {
  u64 lines = 0;
  u64 damaged = 0;
  std::vector<std::string> notes;  // which epoch each slice's checkpoint is of, and what the journal has beyond
};

// Shows the trees as of each slice's newest checkpoint; what only the journal has is not in them, and noted.
// Errors: of opening; superblock_*; argument_invalid (no such slice or tree). A damaged slice header or node is a line.
Result<ListSummary> list(const DeviceNames& devices, const ListOptions& options,
                         const std::function<void(const Listed&)>& show);

// list-journal

struct JournalEntryShown {
  u64 epoch = 0;
  u64 stream = 0;
  u64 session = 0;
  u64 sequence = 0;
  u64 records = 0;
  u64 bytes = 0;
  u64 device = 0;
  u64 block = 0;
};

struct JournalShown {
  u64 last_epoch = 0;           // committed
  u64 oldest_needed_epoch = 0;  // entries before it are needed by no slice
  u64 session = 0;
  std::vector<JournalEntryShown> entries;  // in order of epochs
  std::vector<std::string> notes;
};

// Errors: of opening; superblock_*; journal_*.
Result<JournalShown> list_journal(const DeviceNames& devices);

// check

struct CheckProgress {
  std::string phase;
  u64 done = 0;
  u64 total = 0;  // 0: not known
};

struct CheckOptions {
  bool data = true;                                           // read every data block and verify its checksum
  std::function<void(const CheckProgress&)> progress = {};    // called now and then, from another thread
};

// One thing that is wrong.
struct Finding {
  std::string name;   // of its class; stable
  std::string slice;  // empty: of no slice
  std::string tree;   // empty: of no tree
  std::string where;  // a key, an inode, a block
  std::string path;   // of the file, where it is known
  std::string what;
  u64 inode = 0;      // 0: none
};

struct CheckReport {
  std::vector<Finding> findings;   // the first findings_max
  u64 findings_total = 0;
  std::vector<std::string> notes;  // unusual, and not wrong
  std::map<std::string, u64> counted;  // what was looked at
  bool clean() const { return findings_total == 0; }
  static constexpr u64 findings_max = 10'000;
};

// Superblock copies, commit ring, journal, slice headers, space lists, every node and every value on the medium; then
// the state after recovery: pointers, generations, overlaps, leases, derived trees against primary ones, names, links,
// parents, sizes, accounting; and data checksums. What recovery itself refuses is a finding.
// Errors: of opening; superblock_* when no copy is good; device_truncated. Then nothing was checked.
Result<CheckReport> check(const DeviceNames& devices, const CheckOptions& options);

// Every class of findings with its meaning.
struct FindingClassShown {
  const char* name;
  const char* meaning;
};
std::vector<FindingClassShown> finding_classes();

}  // namespace cowfs::admin
