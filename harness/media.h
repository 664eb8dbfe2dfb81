// What the targets stand on: an image on a disk's filesystem, an image in memory, or a real device. The same medium is
// used for all targets and rounds of a comparison, so its whole space is written once before the first: neither the
// backing filesystem's allocator nor the first touch of memory is measured then.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/cleanup.h"
#include "harness/device_guard.h"
#include "harness/device_identity.h"
#include "harness/outcome.h"

namespace cowbench::harness {

// What lies on a medium, or in a directory, from one run to the next.
enum class Keep {
  nothing,  // all is made afresh, and removed
  made,     // made afresh, and left
  found,    // what an earlier run left is used as it is, and left
};

enum class MediaKind { disk, ram, device };
std::string_view to_text(MediaKind kind);

struct MediaRequest {
  MediaKind kind = MediaKind::disk;
  u64 size_bytes = 8 * cowfs::gib;  // disk, ram
  std::string directory = "/var/tmp/cowbench";  // where the image, or the mount point of the private tmpfs, goes
  u32 images = 1;                   // disk, ram: so many, of `size_bytes` each
  std::vector<std::string> devices;  // device: all of them, for filesystems that take several
  std::vector<std::string> erase;   // devices whose contents may go
  // disk, ram: the image in `directory` and nothing else, no loop device and no tmpfs of its own. Needs no root; cowfs can
  // be made on it, a kernel's filesystem cannot.
  bool plain_image = false;
  Keep keep = Keep::nothing;  // disk: `kept_image` in `directory`
};
constexpr const char* kept_image = "kept.image";

// What attach() would do, one line each, with the identity of each real device and whether the guard would refuse it.
// Failures: identify_device's.
Outcome<std::vector<std::string>> plan_media(const MediaRequest& request);

class Media {
 public:
  // Makes the image, writes it through, and attaches it; or attaches the one that is there; or claims the device. `progress` (may be empty) gets the
  // written share of the image, 0 to 1. `ledger` outlives the medium. Failures: missing: not root, a program is not
  // there; refused: too little disk or memory, a directory that is not ours alone, or the device guard's reasons;
  // interrupted. Of a kept image: refused: it is there although it is to be made, or a run that was killed left it attached;
  // missing: it is not there.
  static Outcome<Media> attach(Ledger& ledger, const MediaRequest& request,
                               const std::function<void(double)>& progress = {});

  MediaKind kind() const { return kind_; }
  // Of a plain image: its path; identity() then has no device number.
  const std::string& device() const { return identity_.real_path; }
  std::vector<std::string> devices() const;  // that one, and those beside it
  std::vector<dev_t> device_numbers() const;  // none of plain images
  bool is_plain_image() const { return identity_.number == 0; }
  bool is_found() const { return is_found_; }  // with what an earlier run left on it
  const std::string& image() const { return image_; }  // empty for a real device
  const DeviceIdentity& identity() const { return identity_; }
  std::string label() const;  // "disk: 8.00 GiB image, loop with direct-io on"

  // Around everything that opens the device exclusively: mkfs and mount, or the engine. No-ops for images.
  Action lend(DeviceClaim::Borrower borrower);
  Action take_back();

  // Detaches and removes what attach() made; the ledger does so too at its end. A real device is released.
  Action detach();

 private:
  Media() = default;
  static Outcome<Media> attach_one(Ledger& ledger, const MediaRequest& request, std::size_t number,
                                   const std::function<void(double)>& progress);
  Ledger* ledger_ = nullptr;
  MediaKind kind_ = MediaKind::disk;
  bool is_found_ = false;
  std::string image_;
  DeviceIdentity identity_;
  std::optional<DeviceClaim> claim_;
  std::vector<Made> made_;
  std::vector<Media> beside_;  // the other devices of the same medium
};

}  // namespace cowbench::harness
