// The devices of a filesystem that is not mounted, with one core to work on them. For threads that are no cores.
#pragma once
#include <memory>
#include <vector>

#include "engine/admin/tools.h"
#include "engine/device/file_device.h"
#include "engine/runtime/cores.h"

namespace cowfs::admin {

class DeviceSession {
 public:
  // Errors: of open_device, whose place names the device by its number; of Cores.
  static Result<std::unique_ptr<DeviceSession>> open(const DeviceNames& names, device::OpenMode mode);
  ~DeviceSession() { cores_->stop(); }

  std::vector<device::Device*> devices() const;
  // Runs the Task that `function` makes on the core, and waits.
  template <typename Function>
  auto run(Function function) {
    return cores_->run(0, std::move(function));
  }

 private:
  DeviceSession(std::vector<std::unique_ptr<device::Device>> devices, std::unique_ptr<runtime::Cores> cores)
      : devices_(std::move(devices)), cores_(std::move(cores)) {}
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::unique_ptr<runtime::Cores> cores_;
};

// Opens them for this process alone. Errors: as open().
Result<std::vector<std::unique_ptr<device::Device>>> open_devices(const std::vector<std::string>& names,
                                                                  device::OpenMode mode);
std::vector<device::Device*> plain(const std::vector<std::unique_ptr<device::Device>>& devices);

}  // namespace cowfs::admin
