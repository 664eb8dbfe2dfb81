// Superblocks, with the checksum that the bytes have and with the right one.
#include "engine/format/superblock.h"

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"

namespace cowfs::fuzz {

void try_input(ByteSpan input) {
  auto superblock = front_of<format::Superblock>(input);
  const bool was_sound = format::validate(superblock).ok();
  format::seal(superblock);
  const Status sound = format::validate(superblock);
  assert(!was_sound || sound.ok());
  if (sound.ok()) assert(!format::to_text(superblock).empty());

  // The same numbers as a wish for a new filesystem: what is planned is sound.
  format::Superblock planned = superblock;
  const format::GeometryRequest request{
      .capacity = Bytes{superblock.capacity_blocks & ((1ull << 52) - 1)}, .bucket_bytes = superblock.bucket_blocks,
      .slices = superblock.slices, .journal_bytes = superblock.region_bytes};
  planned.features_required = 0;
  planned.features_optional = 0;
  planned.device_index = 0;
  planned.device_count = 1;
  if (!format::plan_geometry(request, planned).ok()) return;
  format::seal(planned);
  assert(format::validate(planned).ok());
}

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::vector<std::byte>> all;
  for (const u64 capacity : {64 * mib, 1 * gib, 1024 * gib}) {
    format::Superblock superblock{};
    superblock.device_count = 1;
    const Status planned = format::plan_geometry({.capacity = Bytes{capacity}}, superblock);
    assert(planned.ok());
    format::seal(superblock);
    all.push_back(copy_of(bytes_of(superblock)));
  }
  return all;
}

}  // namespace cowfs::fuzz
