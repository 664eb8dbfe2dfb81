#include "engine/pool/reduce.h"

namespace cowfs::pool {

format::PoolMap reduced(format::PoolMap map, u32 chunks) {
  map.places.resize(u64{chunks} * map.copies);
  return map;
}

Result<u32> chunks_without(const format::PoolMap& map, u16 member, u32 kept) {
  const Result<Change> whole = moved_off(map, member, kept);
  if (whole) return map.chunks();
  u32 rows_fit = 0, rows_do_not = map.chunks() / map.columns;
  while (rows_do_not - rows_fit > 1) {
    const u32 rows = (rows_fit + rows_do_not) / 2;
    (moved_off(reduced(map, rows * map.columns), member, kept) ? rows_fit : rows_do_not) = rows;
  }
  if (rows_fit == 0) return whole.error();
  return rows_fit * map.columns;
}

}  // namespace cowfs::pool
