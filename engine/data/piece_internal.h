// One placement's worth of a file on its way to the medium: where it goes, and the checksums of its blocks.
#pragma once
#include "engine/data/file_data.h"

namespace cowfs::data {

struct FileData::Piece {
  u64 first_block = 0;
  Placement placement;
  format::BlockChecksums checksums;
  bool serial = false;  // of a direct write: nothing of the file is written back meanwhile

  u64 end_block() const { return first_block + placement.blocks; }
  ExtentRange range(format::InodeNumber inode) const { return {inode, first_block, end_block()}; }
  format::ExtentValue value() const {
    return format::ExtentValue::data(placement.address, placement.generation, placement.blocks, checksums);
  }
};

}  // namespace cowfs::data
