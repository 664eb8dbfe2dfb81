#include "engine/admin/device_session.h"

#include <cerrno>

namespace cowfs::admin {

Result<std::vector<std::unique_ptr<device::Device>>> open_devices(const std::vector<std::string>& names,
                                                                  device::OpenMode mode) {
  if (names.empty()) return Error{Code::device_open_failed, ENODEV};
  std::vector<std::unique_ptr<device::Device>> devices;
  for (const std::string& name : names) {
    auto device = device::open_device(name, mode);
    if (!device) {
      Error error = device.error();
      if (names.size() > 1) error.place.device = static_cast<u32>(devices.size());
      return error;
    }
    devices.push_back(std::move(*device));
  }
  return devices;
}

std::vector<device::Device*> plain(const std::vector<std::unique_ptr<device::Device>>& devices) {
  std::vector<device::Device*> all;
  for (const auto& device : devices) all.push_back(device.get());
  return all;
}

Result<std::unique_ptr<DeviceSession>> DeviceSession::open(const DeviceNames& names, device::OpenMode mode) {
  auto devices = open_devices(names.names, mode);
  if (!devices) return devices.error();
  auto cores = runtime::Cores::start({.cores = 1, .pin = false});
  if (!cores) return cores.error();
  return std::unique_ptr<DeviceSession>(new DeviceSession(std::move(*devices), std::move(*cores)));
}

std::vector<device::Device*> DeviceSession::devices() const { return plain(devices_); }

}  // namespace cowfs::admin
