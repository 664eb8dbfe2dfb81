// A filesystem that is looked at: its devices opened read-only, with one core to read them and the best superblock.
#pragma once
#include <memory>
#include <string>

#include "engine/admin/device_session.h"
#include "engine/btree/tree.h"
#include "engine/device/device_set.h"
#include "engine/fs/filesystem_state.h"
#include "engine/pool/assemble.h"

namespace cowfs::admin {

class ReadOnlyDevice {
 public:
  // Errors: of DeviceSession, of pool::assemble.
  static Result<std::unique_ptr<ReadOnlyDevice>> open(const DeviceNames& names);

  device::Device& device() { return *assembled_.device; }
  const format::Superblock& superblock() const { return assembled_.superblock; }
  const pool::Assembled& assembled() const { return assembled_; }
  std::vector<std::string> notes() const;
  // Runs the Task that `function` makes on the core, and waits.
  template <typename Function>
  auto run(Function function) {
    return session_->run(std::move(function));
  }

 private:
  ReadOnlyDevice() = default;
  std::unique_ptr<DeviceSession> session_;
  pool::Assembled assembled_;
};

// Reads nodes from the medium, past every cache. Error metadata_address_invalid: the pointer leads outside the device.
class MediumReader final : public btree::NodeStore {
 public:
  explicit MediumReader(device::Device& device) : device_(device) {}
  Task<Status> read(format::NodePointer pointer, MutableByteSpan image) override;
  Task<Status> read_other_copies(format::NodePointer pointer, MutableByteSpan image, Verify verify, Error wrong) override;
  // Never called: nothing is written.
  format::Address allocate(u64 blocks) override;
  Task<Status> write(format::Address address, ByteSpan image) override;
  void release(const format::NodePointer& pointer) override;

 private:
  device::Device& device_;
};

// Both places of a slice's header: validity, and which one is in force.
struct SliceHeaderFound {
  std::optional<format::SliceHeader> newest;
  std::vector<Error> damaged;  // places that cannot be read, or hold something and nothing valid
};
Task<SliceHeaderFound> read_slice_header(device::Device& device, const format::Superblock& superblock, u16 slice);

// The filesystem as the next mount will find it, recovered in memory. On the device's core; close() before it goes.
class RecoveredState {
 public:
  RecoveredState(device::Device& device, const format::Superblock& superblock);
  // Errors: of recovery. A filesystem that was never mounted has no root yet, which is none.
  Task<Status> open();
  Task<void> close();
  bool never_mounted() const { return never_mounted_; }
  fs::FilesystemState& state() { return *state_; }
  slice::Slice& slice(u16 id) { return state_->core(0).slice(id).slice; }

 private:
  std::unique_ptr<fs::FilesystemState> state_;
  bool never_mounted_ = false;
};

}  // namespace cowfs::admin
