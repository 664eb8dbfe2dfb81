// Images that an attacker could make: one field of valid metadata is changed, and every checksum over it is right again,
// up to the slice header or the commit block. So what refuses them, if anything does, is not a checksum.
#pragma once
#include <string>
#include <vector>

#include "engine/device/image.h"
#include "engine/repair/metadata_editor.h"
#include "engine/sim/draws.h"
#include "engine/sim/scenario.h"

namespace cowfs::sim {

// A small filesystem with all kinds of files in all of its trees, several nodes deep, and history to replay.
device::Image image_to_change(const ScenarioSettings& settings);

class Crafter {
 public:
  // `sound` can be mounted; best as image_to_change() makes it.
  explicit Crafter(device::Image sound);

  const device::Image& sound() const { return sound_; }
  // Changes one number, or one value for another, of a node, a journal entry, the commit block, a slice header, a space list
  // or the superblock, and says what. `image` is the sound one, changed any number of times before.
  std::string change(device::Image& image, Draws& draws) const;

 private:
  std::vector<std::byte> value_like(const repair::Medium& medium, format::TreeId tree, Draws& draws) const;

  std::string change_node(const repair::Medium& medium, Draws& draws) const;
  std::string change_entry(const repair::Medium& medium, Draws& draws) const;
  std::string change_commit(const repair::Medium& medium, Draws& draws) const;
  std::string change_header(const repair::Medium& medium, Draws& draws) const;
  std::string change_space_list(const repair::Medium& medium, Draws& draws) const;
  std::string change_superblock(device::Image& image, Draws& draws) const;

  device::Image sound_;
  repair::MetadataEditor editor_;
};

}  // namespace cowfs::sim
