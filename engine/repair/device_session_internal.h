// A device that is changed without a mount, with one core to work on it. For threads that are no cores.
#pragma once
#include "engine/admin/superblocks.h"
#include "engine/device/file_device.h"
#include "engine/runtime/cores.h"

namespace cowfs::repair {

class DeviceSession {
 public:
  // Errors: of open_device, of Cores.
  static Result<std::unique_ptr<DeviceSession>> open(const std::string& path, device::OpenMode mode) {
    auto device = device::open_device(path, mode);
    if (!device) return device.error();
    auto cores = runtime::Cores::start({.cores = 1, .pin = false});
    if (!cores) return cores.error();
    return std::unique_ptr<DeviceSession>(new DeviceSession(std::move(*device), std::move(*cores)));
  }
  ~DeviceSession() { cores_->stop(); }

  device::Device& device() { return *device_; }
  template <typename Function>
  auto run(Function function) {
    return cores_->run(0, std::move(function));
  }

 private:
  DeviceSession(std::unique_ptr<device::Device> device, std::unique_ptr<runtime::Cores> cores)
      : device_(std::move(device)), cores_(std::move(cores)) {}
  std::unique_ptr<device::Device> device_;
  std::unique_ptr<runtime::Cores> cores_;
};

}  // namespace cowfs::repair
