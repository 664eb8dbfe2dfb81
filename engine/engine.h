// cowfs as a library: the only header of the engine that programs, workloads and the harness include.
//
// A mounted Filesystem owns one pinned thread a core. Its operations are Tasks that may be awaited on any of these cores;
// they find the core that owns the inode themselves. Other threads use run(), which posts to a core and waits.
//
// Paths are absolute within the filesystem and taken by view: they live until the Task is done. Buffers belong to the
// engine until the operation answers. Errors carry an errno (to_errno) and a text that says what and where (to_text).
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/checksum_kind.h"
#include "engine/base/latency.h"
#include "engine/base/result.h"
#include "engine/runtime/task.h"

namespace cowfs {

using runtime::Task;

// Reed-Solomon: any `parity_shards` of the devices that a stripe lies on may be lost.
struct ErasureCoding {
  u8 data_shards = 0;    // 2 to 16; 0: none
  u8 parity_shards = 0;  // 1 to 4
};
// "4+2". Nothing when it is something else, or out of range.
std::optional<ErasureCoding> parse_erasure_code(std::string_view text);

struct FormatOptions {
  std::vector<std::string> devices;  // block devices or existing image files
  bool force = false;                // also when a device carries a signature
  std::string label;
  u64 bucket_bytes = 0;   // 0: from capacity
  u16 slices = 0;         // 0: from capacity and cores; a power of two
  unsigned cores = 0;     // that will mostly work on it, though any number can; 0: as many as this process may run on
  u64 journal_bytes = 0;  // 0: from capacity
  u64 region_bytes = 0;   // files are dealt to slices in pieces of this size; 0: 64 MiB
  u8 replicas = 1;        // copies of everything, data and metadata, each on another device; 1 to 4
  ErasureCoding erasure;  // in place of replicas; what is written in place has one copy more than there are parity shards
  std::vector<std::string> device_labels;  // of each device in order, or none; copies and shards are on devices with different labels
  ChecksumKind data_checksum = ChecksumKind::crc32c;
  ChecksumKind metadata_checksum = ChecksumKind::crc32c;  // not none: recovery finds the end of history by them
  bool single_flush = true;  // a commit flushes the device once, and a mount after a crash verifies the last epoch
};

// Errors: device_*, device_has_signature, pool_too_few_devices, pool_members_too_many, geometry errors.
Status format_devices(const FormatOptions& options);

struct MountOptions {
  std::vector<std::string> devices;    // all of the filesystem, in any order
  bool degraded = false;               // without those that are missing or stale, while everything has a copy
  std::vector<unsigned> cpus;          // one core each, pinned; empty: every cpu that this process may run on
  bool pin = true;
  u64 cache_bytes = 1 * gib;           // page cache of all cores together
  bool populate_cache = true;          // touch its memory at mount, and that of nodes while history is looked for
  u64 node_cache_bytes = 512 * mib;    // btree nodes of all cores together
  bool discard = false;                // discard buckets when they are free
  bool read_only = false;
  u64 commit_interval_ns = 1'000'000'000;
  u64 io_limit_ns =
      60'000'000'000;  // a device that takes longer to answer has failed: nothing is acknowledged any more
  u64 spin_us = 0;                     // look for work this long before sleeping
};

struct Attributes {
  u64 inode = 0;
  u32 mode = 0;  // as in stat
  u32 links = 0;
  u32 user = 0;
  u32 group = 0;
  u64 size = 0;
  u64 blocks_512 = 0;
  u64 device = 0;
  u64 access_ns = 0;  // since 1970
  u64 modify_ns = 0;
  u64 change_ns = 0;
  u64 birth_ns = 0;
};

struct SpaceUse {  // statfs
  u64 block_bytes = 0;
  u64 blocks = 0;       // that users may fill
  u64 blocks_free = 0;
  u64 inodes = 0;       // in use
  u64 name_bytes_max = 0;
};

// An open file or directory. A value; close() ends it. All operations on it are served by one core.
struct FileHandle {
  void* file = nullptr;
  u16 core = 0;
};

struct DirectoryRead {
  u64 bytes = 0;        // of records put into the buffer; 0: the end
  u64 next_cookie = 0;  // where to go on
};

// What happened since the mount; exact.
struct Counters {
  u64 device_write_bytes = 0;
  u64 device_read_bytes = 0;
  u64 device_flushes = 0;
  u64 commits = 0;
  u64 checkpoints = 0;
  u64 cache_bytes = 0;
  u64 node_bytes = 0;
  u64 copygc_blocks = 0;
  u64 system_calls = 0;  // of the cores; the kernel's own threads, which serve them, make none
};

// One kind of operation, or of what they cause: "open", "commit", "device_write" (docs/on-disk-format.md has the list).
struct Activity {
  std::string name;
  Totals totals;
};

// scrub

struct ScrubProgress {
  u64 bytes_done = 0;   // of all copies
  u64 bytes_total = 0;  // about
  u64 seconds_left = 0;  // at the speed so far; 0: not known
  u64 damaged = 0;      // pieces of which a copy was wrong
  u64 lost = 0;         // of them, those without a good copy
};

struct ScrubOptions {
  u64 bytes_per_second = 0;  // of all copies; 0: as fast as the devices are while nobody else asks anything of them, else little
  bool from_start = false;   // and not where the one before was stopped
  std::function<bool(const ScrubProgress&)> progress = {};  // called now and then, on core 0; false: stop here
};

struct ScrubFinding {
  struct Copy {
    u64 device = 0;        // its number
    u64 offset_bytes = 0;  // on it
    std::string error;
  };
  std::string what;  // data, node, space list, slice header, journal entry, commit block, superblock
  u64 bucket = 0;    // of the filesystem's space
  u64 bytes = 0;
  u64 inode = 0;     // data: the file, a name of it where one is known, and where in it
  std::string path;
  u64 file_offset_bytes = 0;
  std::vector<Copy> copies;  // that were wrong
  bool lost = false;         // no copy is good: reading these bytes is an error
  bool repaired = false;     // all copies are good now
};

struct ScrubReport {
  bool finished = false;  // false: stopped; the next one goes on here
  u64 bytes = 0;          // read, of all copies
  u64 buckets = 0;        // of data that were looked through
  u64 damaged = 0;
  u64 repaired = 0;
  u64 lost = 0;
  std::vector<ScrubFinding> findings;  // the first findings_max
  static constexpr u64 findings_max = 10'000;
};

// devices

// Of a filesystem of several devices.
struct DeviceChange {
  enum class Kind : u8 {
    offline,   // what is on the device does not count any more
    online,    // it gets what it should hold, and counts
    label,     // what it fails together with
    add,       // a new device; the filesystem's space grows
    spare,     // a new device, which has room for what others hold; the space stays as it is
    evacuate,  // what is on it moves to the others
    remove,    // the same, and it does not belong to the filesystem any more
    resize,  // the room on it that is not used, since it has become larger or was a spare, is: the space grows. Or, with a size: no more
             // of it is used than that, so that it may be cut off there when it is not mounted
  };
  Kind kind = Kind::offline;
  u16 member = 0;     // its number; add, spare: of no meaning
  std::string label = {};  // label, add, spare
  std::optional<u64> capacity_bytes = {};  // resize; none: all of the device
};

struct DeviceWork {
  // Where a device is: of online, when it is not where it was, or was not there at all; of replace, add and spare, the new one.
  std::string path = {};
  bool force = false;        // of a new one: also one with a filesystem or another signature on it
  u64 bytes_per_second = 0;  // as ScrubOptions
  // Called now and then, on core 0; false: stop. Where the space becomes smaller, of the buckets that go, first.
  std::function<bool(u64 chunks_done, u64 chunks_total)> progress = {};
};

class Filesystem {
 public:
  // Recovers if it has to. Errors: device_*, superblock_*, pool_*, journal_*, slice_*: what is damaged and where.
  static Result<std::unique_ptr<Filesystem>> mount(const MountOptions& options);
  virtual ~Filesystem() = default;
  // Writes everything and stops the cores. After an error the device holds the last committed state.
  virtual Status unmount() = 0;

  virtual unsigned cores() const = 0;
  // Runs a Task on a core and waits for it; from threads that are not cores.
  virtual void run(unsigned core, std::function<Task<void>()> function) = 0;
  // Starts a Task on a core and returns; it must be done before unmount().
  virtual void start(unsigned core, std::function<Task<void>()> function) = 0;

  // flags: O_RDONLY O_WRONLY O_RDWR O_CREAT O_EXCL O_TRUNC O_DIRECTORY O_NOFOLLOW O_APPEND O_SYNC O_DSYNC O_DIRECT.
  virtual Task<Result<FileHandle>> open(std::string_view path, int flags, u32 mode) = 0;
  virtual Task<Status> close(FileHandle handle) = 0;
  virtual Task<Result<u64>> read(FileHandle handle, u64 offset, MutableByteSpan into) = 0;
  // Answers how many bytes are in the file, from the front: fewer than asked for when an error, like a full filesystem, came
  // behind them; the rest, asked for again, says which.
  virtual Task<Result<u64>> write(FileHandle handle, u64 offset, ByteSpan from) = 0;
  // Durable on the medium when it answers: data, size, and every name the file has.
  virtual Task<Status> fsync(FileHandle handle) = 0;
  virtual Task<Status> sync() = 0;
  virtual Task<Status> truncate(FileHandle handle, u64 bytes) = 0;
  // fallocate(2): mode 0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | KEEP_SIZE.
  virtual Task<Status> allocate(FileHandle handle, int mode, u64 offset, u64 bytes) = 0;
  // SEEK_DATA and SEEK_HOLE. Error no_such_offset (ENXIO).
  virtual Task<Result<u64>> seek(FileHandle handle, u64 offset, int whence) = 0;
  virtual Task<Result<Attributes>> stat(FileHandle handle) = 0;
  // Advisory whole-range locks between handles. Errors: lock_held (EAGAIN).
  virtual Task<Status> lock(FileHandle handle, u64 offset, u64 bytes) = 0;
  virtual Task<Status> unlock(FileHandle handle, u64 offset, u64 bytes) = 0;

  virtual Task<Result<Attributes>> stat(std::string_view path, bool follow) = 0;
  virtual Task<Status> mkdir(std::string_view path, u32 mode) = 0;
  virtual Task<Status> rmdir(std::string_view path) = 0;
  virtual Task<Status> unlink(std::string_view path) = 0;
  // flags: RENAME_NOREPLACE, RENAME_EXCHANGE.
  virtual Task<Status> rename(std::string_view from, std::string_view to, unsigned flags) = 0;
  virtual Task<Status> link(std::string_view existing, std::string_view path) = 0;
  virtual Task<Status> symlink(std::string_view target, std::string_view path) = 0;
  virtual Task<Status> make_node(std::string_view path, u32 mode, u64 device) = 0;
  virtual Task<Result<std::string>> read_link(std::string_view path) = 0;
  virtual Task<Status> set_times(std::string_view path, u64 access_ns, u64 modify_ns) = 0;
  virtual Task<Status> set_mode(std::string_view path, u32 mode) = 0;
  virtual Task<Status> set_owner(std::string_view path, u32 user, u32 group) = 0;
  virtual Task<Result<u64>> get_xattr(std::string_view path, std::string_view name, MutableByteSpan into) = 0;
  virtual Task<Status> set_xattr(std::string_view path, std::string_view name, ByteSpan value) = 0;
  virtual Task<Result<SpaceUse>> space_use() = 0;

  // Fills `into` with linux_dirent64 records, "." and ".." included, from `cookie` on (0: the beginning). Entries made or
  // removed meanwhile may or may not be seen; every other one is seen once.
  virtual Task<Result<DirectoryRead>> read_directory(FileHandle handle, u64 cookie, MutableByteSpan into) = 0;

  // On core 0. Reads all copies of everything in use from all devices, verifies them, and overwrites those that are wrong with
  // a good one, while the filesystem is used. It must be done, or told to stop, before unmount(). Errors: scrub_under_way;
  // read_only_filesystem; of the devices, when the filesystem cannot commit any more.
  virtual Task<Result<ScrubReport>> scrub(ScrubOptions options) = 0;

  // On core 0, while the filesystem is used, one at a time; must be done, or told to stop, before unmount(). Online brings a device that does
  // not count up to date: what is written goes there from the beginning, and when it has everything it counts; a crash, or an error, leaves
  // it stale. Chunks that move count where they were, or where they come, whatever is cut off; stopped, they go on when the same is asked
  // for again. What is refused has changed nothing. Errors: pool_change_under_way; pool_alone; pool_member_unknown;
  // pool_copies_needed (offline); pool_chunks_unplaced (label, evacuate, remove, resize); space_still_needed, space_bucket_stuck (the same,
  // where the space has to become smaller); pool_move_stopped, pool_move_failed (evacuate, remove, add, resize); pool_members_too_many, pool_map_full, device_too_small, device_has_signature (add, spare); read_only_filesystem;
  // superblock_devices_missing (online, resize); of online pool_device_silent, pool_refill_failed, pool_refill_stopped,
  // pool_device_foreign, pool_split_brain, device_truncated; of the devices.
  virtual Task<Status> change_device(DeviceChange change, DeviceWork work = {}) = 0;
  // The same: the device at work.path takes the place of the one with this number, which is missing or stale, and is brought up to date.
  // Errors: as of online; pool_member_needed; device_has_signature; device_too_small.
  virtual Task<Status> replace_device(u16 member, DeviceWork work) = 0;

  virtual Counters counters() = 0;
  // Since the mount. Every one is counted; what takes less than a device needs is timed one time in 64.
  virtual std::vector<Activity> activities() = 0;
  virtual std::string integrity_label() const = 0;  // "crc32c per 4 KiB, fsync=flush"
};

}  // namespace cowfs
