#include "shapes/shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

namespace cowbench::shapes {
namespace {

using cowfs::kib;
using cowfs::mib;
using harness::Failure;
using harness::FailureKind;

constexpr u64 files_to_use_up = 20'000;
constexpr u64 files_to_look_at = 10'000;
constexpr u64 files_to_list = 1'000;
constexpr u64 checkpoint_bytes = 13'000'000'000;

constexpr Shape shape_table[] = {
    {"DWAL", "fxmark", Act::append, Sharing::own, "append a block to an own file", 1, 64 * mib},
    {"DWOL", "fxmark", Act::overwrite, Sharing::own, "overwrite a block of an own file"},
    {"DWOM", "fxmark", Act::overwrite, Sharing::common, "overwrite an own block of a common file"},
    {"DWSL", "fxmark", Act::overwrite, Sharing::own, "overwrite a block of an own file, fsync", 1, 0, true},
    {"DWTL", "fxmark", Act::cut, Sharing::own, "truncate an own file by a block, until it is empty", 1, 64 * mib},
    {"DRBL", "fxmark", Act::read_block, Sharing::own, "read a block of an own file"},
    {"DRBM", "fxmark", Act::read_block, Sharing::common, "read an own block of a common file"},
    {"DRBH", "fxmark", Act::read_block, Sharing::same, "read the same block of a common file"},
    {"DRBM_bg", "fxmark", Act::read_block, Sharing::common, "DRBM while one client overwrites its block", 1, 0, false, true},
    {"DRBH_bg", "fxmark", Act::read_block, Sharing::same, "DRBH while one client overwrites the block", 1, 0, false, true},
    {"MWCL", "fxmark", Act::create, Sharing::own, "create empty files in an own directory", 0},
    {"MWCM", "fxmark", Act::create, Sharing::common, "create empty files in a common directory", 0},
    {"MWUL", "fxmark", Act::unlink, Sharing::own, "unlink empty files of an own directory, until none is left", files_to_use_up},
    {"MWUM", "fxmark", Act::unlink, Sharing::common, "unlink empty files of a common directory", files_to_use_up},
    {"MWRL", "fxmark", Act::rename, Sharing::own, "rename a file within an own directory"},
    {"MWRM", "fxmark", Act::move, Sharing::common, "move a file from an own directory into a common one, and back"},
    {"MRPL", "fxmark", Act::open, Sharing::own, "open a file five directories deep, of an own path"},
    {"MRPM", "fxmark", Act::open, Sharing::common, "open a random file of a common tree of four levels, eight names each"},
    {"MRPH", "fxmark", Act::open, Sharing::same, "open one common file five directories deep"},
    {"MRPM_bg", "fxmark", Act::open, Sharing::common, "MRPM while one client makes and removes a file", 1, 0, false, true},
    {"MRPH_bg", "fxmark", Act::open, Sharing::same, "MRPH while one client makes and removes a file beside it", 1, 0, false, true},
    {"MRDL", "fxmark", Act::list, Sharing::own, "list an own directory", files_to_list},
    {"MRDM", "fxmark", Act::list, Sharing::common, "list a common directory", files_to_list},
    {"MRDM_bg", "fxmark", Act::list, Sharing::common, "MRDM while one client makes and removes a file", files_to_list, 0, false, true},
    {"fs_mark", "fs_mark", Act::create, Sharing::own, "create files, write, fsync, close (fs_mark -S 1)", 0, 50 * kib, true},
    {"fs_mark-S0", "fs_mark", Act::create, Sharing::own, "create files, write, close (fs_mark -S 0)", 0, 50 * kib},
    {"mdtest-create", "mdtest", Act::create, Sharing::common, "create files of a common directory", 0},
    {"mdtest-stat", "mdtest", Act::stat, Sharing::common, "stat files of a common directory", files_to_look_at},
    {"mdtest-read", "mdtest", Act::read_file, Sharing::common, "open, read and close files of a common directory", files_to_look_at, 3901},
    {"mdtest-remove", "mdtest", Act::unlink, Sharing::common, "remove files of a common directory", files_to_use_up},
    {"mdtest-create-u", "mdtest-u", Act::create, Sharing::own, "create files of an own directory", 0},
    {"mdtest-stat-u", "mdtest-u", Act::stat, Sharing::own, "stat files of an own directory", files_to_look_at},
    {"mdtest-read-u", "mdtest-u", Act::read_file, Sharing::own, "open, read and close files of an own directory", files_to_look_at, 3901},
    {"mdtest-remove-u", "mdtest-u", Act::unlink, Sharing::own, "remove files of an own directory", files_to_use_up},
    {"checkpoint", "mlperf", Act::checkpoint, Sharing::own, "write a checkpoint of 13 GB a client, fsync, rename it over the last one", 1,
     checkpoint_bytes, true, false, 0, 0, true},
    {"restore", "mlperf", Act::read_sample, Sharing::own, "read a checkpoint of 13 GB", 1, checkpoint_bytes, false, false, 0, 0, true},
    {"unet3d", "mlperf", Act::read_sample, Sharing::own, "read samples of 147 MB, a file each, in random order", 16, 146'600'628, false,
     false, 0, 68'341'808, true},
    {"cosmoflow", "mlperf", Act::read_sample, Sharing::own, "read samples of 2.8 MB, a file each, in random order", 256, 2'828'486, false,
     false, 0, 71'311, true},
    {"resnet50", "mlperf", Act::read_sample, Sharing::own, "read samples of 115 KB at random places of files of 143 MB", 16,
     1251 * 114'660, false, false, 114'660, 0, true},
};

}  // namespace

bool Shape::moves_bytes() const {
  switch (act) {
    case Act::append:
    case Act::overwrite:
    case Act::read_block:
    case Act::read_file:
    case Act::checkpoint:
    case Act::read_sample: return true;
    case Act::create: return file_bytes > 0;
    default: return false;
  }
}

std::span<const Shape> all_shapes() { return shape_table; }

harness::Outcome<std::vector<const Shape*>> find_shapes(const std::vector<std::string>& names) {
  std::vector<const Shape*> found;
  for (const std::string& name : names) {
    bool known = false;
    for (const Shape& shape : shape_table) {
      if (name != shape.name && name != shape.family) continue;
      known = true;
      if (std::ranges::find(found, &shape) == found.end()) found.push_back(&shape);
    }
    if (!known)
      return Failure{FailureKind::request, fmt::format("there is no load \"{}\"", name), "cowbench bench --list names all"};
  }
  return found;
}

u64 ShapeLoad::size_of(u32 client, u64 file) const {
  double bytes = static_cast<double>(file_bytes != 0 ? file_bytes : shape->file_bytes);
  if (!shape->scaled) return static_cast<u64>(bytes);
  if (file_bytes == 0) {
    std::mt19937_64 random(u64{client} << 32 | file);
    if (shape->file_bytes_spread > 0)
      bytes = std::normal_distribution(bytes, static_cast<double>(shape->file_bytes_spread))(random);
    bytes = std::max(bytes, 0.0) * scale;
  }
  const u64 unit = sample_bytes() != 0 ? sample_bytes() : block_bytes;  // so that every read may be direct
  return std::max<u64>(1, static_cast<u64>(bytes) / unit) * unit;
}

u64 ShapeLoad::sample_bytes() const { return cowfs::round_up(shape->sample_bytes, block_bytes); }

}  // namespace cowbench::shapes
