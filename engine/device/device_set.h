// The devices of one filesystem by index, addressed by block.
#pragma once
#include <vector>

#include "engine/device/device.h"

namespace cowfs::device {

class DeviceSet {
 public:
  explicit DeviceSet(std::vector<Device*> devices) : devices_(std::move(devices)) {}
  std::size_t size() const { return devices_.size(); }
  Device& operator[](std::size_t index) const { return *devices_[index]; }
  bool has(std::size_t index) const { return index < devices_.size(); }

 private:
  std::vector<Device*> devices_;
};

}  // namespace cowfs::device
