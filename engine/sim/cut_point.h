// A power cut that strikes where something is half done: a few requests after a named point has fired a few times. What leads
// there is forced often. A cut at any request rarely meets these places.
#pragma once
#include "engine/base/points.h"
#include "engine/device/sim_device.h"

namespace cowfs::sim {

class CutPoint final : PointObserver {
 public:
  // Draws the point and when to strike. `points` and `device`, whose power goes, outlive this.
  CutPoint(Random random, PointRecord& points, device::SimDevice& device);
  ~CutPoint();
  CutPoint(const CutPoint&) = delete;
  CutPoint& operator=(const CutPoint&) = delete;

  Point point() const { return point_; }

 private:
  void fired(Point point) override;

  PointRecord& points_;
  device::SimDevice& device_;
  Point point_{};
  u64 times_ = 0;     // that it still has to fire
  u64 requests_ = 0;  // from there to the one that is under way when the power goes
};

}  // namespace cowfs::sim
