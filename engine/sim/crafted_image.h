// Images that an attacker could make: one field of valid metadata is changed, and every checksum over it is right again,
// up to the slice header or the commit block. So what refuses them, if anything does, is not a checksum.
#pragma once
#include <string>
#include <vector>

#include "engine/device/image.h"
#include "engine/format/journal.h"
#include "engine/journal/recovery.h"
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
  static constexpr std::size_t none = ~std::size_t{0};
  struct NodePlace {
    u16 slice = 0;
    format::TreeId tree = format::TreeId::inodes;
    u8 level = 0;
    format::NodePointer pointer{};
    std::size_t parent = none;  // none: the slice header
  };

  void find_nodes(u16 slice, format::TreeId tree, u8 level, format::NodePointer pointer, std::size_t parent);
  std::vector<std::byte> value_like(const device::Image& image, format::TreeId tree, Draws& draws) const;

  std::string change_node(device::Image& image, Draws& draws) const;
  std::string change_entry(device::Image& image, Draws& draws) const;
  std::string change_commit(device::Image& image, Draws& draws) const;
  std::string change_header(device::Image& image, Draws& draws) const;
  std::string change_space_list(device::Image& image, Draws& draws) const;
  std::string change_superblock(device::Image& image, Draws& draws) const;
  void put_node(device::Image& image, std::size_t index, std::vector<std::byte> bytes) const;
  void put_entry(device::Image& image, std::size_t index, std::vector<std::byte> bytes) const;
  void put_commit(device::Image& image, std::vector<std::byte> block) const;
  format::SliceHeader header(const device::Image& image, u16 slice) const;
  void put_header(device::Image& image, u16 slice, format::SliceHeader header) const;
  u64 commit_offset() const;

  device::Image sound_;
  format::Superblock superblock_{};
  journal::History history_;
  std::vector<u64> header_offsets_;  // of those in force, by slice
  std::vector<NodePlace> nodes_;
};

}  // namespace cowfs::sim
