#include "engine/sim/cut_point.h"

#include <array>
#include <initializer_list>

namespace cowfs::sim {

namespace {

constexpr u64 times_max = 4;
constexpr u64 requests_max = 16;

struct Place {
  Point point;
  std::initializer_list<Point> leads_there;
  std::initializer_list<Point> leads_away = {};
};

// The first ones every other time: what is found there is not found elsewhere.
constexpr std::size_t preferred = 2;
const std::array places{
    Place{Point::leases_offered_late,
          {Point::leases_offered_late, Point::checkpoint_begun, Point::publish_put_off, Point::bucket_cleaned,
           Point::data_bucket_left},
          {Point::freed_bucket_preferred}},
    Place{Point::removal_cut, {Point::removal_cut}},
    Place{Point::leases_returned,
          {Point::leases_offered, Point::checkpoint_begun, Point::bucket_cleaned, Point::data_bucket_left},
          {Point::freed_bucket_preferred}},
    Place{Point::publish_put_off, {Point::publish_put_off, Point::checkpoint_begun}},
    Place{Point::journal_bucket_reused, {Point::checkpoint_begun, Point::journal_room_lost}},
    Place{Point::extent_moved, {Point::bucket_cleaned}},
    Place{Point::transaction_cut, {Point::transaction_cut}},
    Place{Point::change_undone, {Point::change_undone}},
    Place{Point::half_applied, {Point::half_applied}},
    Place{Point::metadata_bucket_freed, {Point::freed_bucket_preferred, Point::checkpoint_begun}},
};

}  // namespace

CutPoint::CutPoint(Random random, PointRecord& points, device::SimDevice& device) : points_(points), device_(device) {
  const Place& place = places[random.below(random.one_in(2) ? preferred : places.size())];
  point_ = place.point;
  times_ = 1 + random.below(times_max);
  requests_ = 1 + random.below(requests_max);
  for (const Point point : place.leads_there) points_.favour(point);
  for (const Point point : place.leads_away) points_.avoid(point);
  points_.set_observer(this);
}

CutPoint::~CutPoint() { points_.set_observer(nullptr); }

void CutPoint::fired(Point point) {
  if (point == point_ && times_ > 0 && --times_ == 0) device_.set_faults({.power_cut_at = requests_});
}

}  // namespace cowfs::sim
