#include "engine/base/points.h"

#include "engine/base/assert.h"

namespace cowfs {
namespace {

struct Row {
  PointKind kind;
  std::string_view name;
  std::string_view meaning;
};

constexpr auto rows = std::to_array<Row>({
#define COWFS_POINT(kind, name, meaning) Row{PointKind::kind, #name, meaning},
#include "engine/base/points.inc"
#undef COWFS_POINT
});

// Some so often that little else happens, others so rarely that what they lead to goes on undisturbed.
constexpr std::array<u8, 4> frequencies{2, 4, 16, 64};

const Row& row(Point point) { return rows[static_cast<std::size_t>(point)]; }

}  // namespace

std::string_view name(Point point) { return row(point).name; }
std::string_view meaning(Point point) { return row(point).meaning; }
PointKind kind(Point point) { return row(point).kind; }

PointRecord::PointRecord(u64 seed) : random_(seed) {
  assert(internal::point_record == nullptr);
  for (u8& one_in : one_in_) one_in = random_.one_in(2) ? frequencies[random_.below(frequencies.size())] : u8{0};
  internal::point_record = this;
}

PointRecord::~PointRecord() { internal::point_record = nullptr; }

void PointRecord::favour(Point point) {
  assert(kind(point) == PointKind::forced);
  one_in_[static_cast<std::size_t>(point)] = frequencies.front();
}

void PointRecord::avoid(Point point) {
  assert(kind(point) == PointKind::forced);
  one_in_[static_cast<std::size_t>(point)] = 0;
}

bool PointRecord::take(Point point) {
  assert(kind(point) == PointKind::forced);
  const u8 one_in = one_in_[static_cast<std::size_t>(point)];
  if (one_in == 0 || !random_.one_in(one_in)) return false;
  count(point);
  return true;
}

}  // namespace cowfs
