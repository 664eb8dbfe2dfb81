// Named points of the engine's rare paths, for the simulator: it counts those that are reached, and takes rare paths on
// purpose at those that can be forced. Without it a point is a load and a branch that is never taken; none stands where
// operations of a busy filesystem pass one by one.
//
//   reached(Point::inner_node_split);
//   if (forced(Point::transaction_cut)) ...
#pragma once
#include <array>
#include <string_view>

#include "engine/base/random.h"

namespace cowfs {

enum class Point : u8 {
#define COWFS_POINT(kind, name, meaning) name,
#include "engine/base/points.inc"
#undef COWFS_POINT
};

enum class PointKind : u8 { reached, forced };

constexpr std::size_t point_count = 0
#define COWFS_POINT(kind, name, meaning) +1
#include "engine/base/points.inc"
#undef COWFS_POINT
    ;

std::string_view name(Point point);
std::string_view meaning(Point point);
PointKind kind(Point point);

using PointCounts = std::array<u64, point_count>;

// Hears of each point that fires, in the middle of what the engine does there.
class PointObserver {
 public:
  virtual void fired(Point point) = 0;

 protected:
  ~PointObserver() = default;
};

// While it lives, the points of this thread report to it. One a thread. The seed says which forced points are taken, and how
// often of those that are.
class PointRecord {
 public:
  explicit PointRecord(u64 seed);
  ~PointRecord();
  PointRecord(const PointRecord&) = delete;
  PointRecord& operator=(const PointRecord&) = delete;

  // A forced point, which is taken every other time from now on.
  void favour(Point point);
  // One that is not taken any more.
  void avoid(Point point);
  // One at a time; nobody with nullptr.
  void set_observer(PointObserver* observer) { observer_ = observer; }

  void count(Point point) {
    ++counts_[static_cast<std::size_t>(point)];
    if (observer_ != nullptr) observer_->fired(point);
  }
  // True when it is to be taken this time, which is counted.
  bool take(Point point);
  const PointCounts& counts() const { return counts_; }

 private:
  Random random_;
  std::array<u8, point_count> one_in_{};  // of forced points: how often; 0: never
  PointCounts counts_{};
  PointObserver* observer_ = nullptr;
};

namespace internal {
constinit inline thread_local PointRecord* point_record = nullptr;
}

// Only in the simulator.
inline bool has_points() { return __builtin_expect(internal::point_record != nullptr, 0); }

inline void reached(Point point) {
  if (has_points()) internal::point_record->count(point);
}

inline bool forced(Point point) { return has_points() && internal::point_record->take(point); }

}  // namespace cowfs
