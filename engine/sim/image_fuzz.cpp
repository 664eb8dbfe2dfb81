// Whole images: mounted, walked, changed and checked. An input draws changes to a sound image; every checksum is right again
// after each (crafted_image.h). Small caches and few cores, since what a mount allocates is most of what an input costs.
#include "engine/base/fuzz.h"
#include "engine/sim/crafted_image.h"
#include "engine/sim/image_use.h"

namespace cowfs::fuzz {
namespace {

constexpr u64 changes_max = 8;
constexpr u64 seed_count = 64;
constexpr std::size_t seed_bytes = 24;  // one or two changes

const sim::Crafter& crafter() {
  static const sim::Crafter one(sim::image_to_change(
      {.seed = 7, .format = {.slices = 2}, .clients = 2, .loads = {{.file_bytes_max = 100 * kib}}}));
  return one;
}

}  // namespace

void try_input(ByteSpan input) {
  sim::Draws draws(input);
  device::Image image = crafter().sound();
  const u64 seed = draws.below(256);
  for (u64 i = 0; i < changes_max && !draws.used_up(); ++i) (void)crafter().change(image, draws);
  (void)sim::use_image(image, {.seed = seed,
                               .cores = static_cast<u16>(seed % 8 == 0 ? 2 : 1),
                               .cache_bytes = 1 * mib,
                               .node_cache_bytes = 1 * mib,
                               .inodes_max = 16,
                               .name_places = 64});
}

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::vector<std::byte>> all(seed_count);
  Random random(1);
  for (auto& seed : all) {
    while (seed.size() < seed_bytes) seed.push_back(static_cast<std::byte>(random.next()));
  }
  return all;
}

}  // namespace cowfs::fuzz
