// Damage on purpose: plants one damage of a class that check can name, so that check and repair can be tried.
//
// For threads that are no cores.
#pragma once
#include "engine/repair/metadata_editor.h"

namespace cowfs::repair {

struct Planted {
  std::string what;        // was changed
  std::string impossible;  // not empty: why nothing was
};

// Changes one place of `medium`, which is as `editor` found it; the checksums over it are right again, unless they are what is
// damaged. Not every change leads to a finding: see corrupt().
Planted plant(const MetadataEditor& editor, const Medium& medium, const std::string& finding_class, u64 seed);

struct CorruptOptions {
  std::string finding_class;  // as `cowfs check --classes` lists them
  u64 seed = 1;               // where
  bool force = false;         // also on a block device
};

// Plants one damage on a sound device that is not mounted, after it was seen in memory that check names the class then.
// Nothing is written when `impossible` says why not. Errors: of opening; of reading its history; of the device.
Result<Planted> corrupt(const std::string& path, const CorruptOptions& options);

}  // namespace cowfs::repair
