#include "engine/sim/findings.h"

#include "engine/admin/check_device.h"

namespace cowfs::sim {

std::vector<std::string> findings_in(SimulatedFilesystem& filesystem) {
  device::SimDevice* device = &filesystem.device();
  const Result<admin::CheckReport> report =
      filesystem.run(0, [device] { return admin::check_device(*device, admin::CheckOptions{}); });
  if (!report) return {"check: " + to_text(report.error())};
  std::vector<std::string> lines;
  for (const admin::Finding& one : report->findings) {
    lines.push_back("check: " + one.name + ", slice " + one.slice + ", " + one.tree + ", " + one.where + " " + one.path +
                    ": " + one.what);
  }
  return lines;
}

std::vector<std::string> findings_in(const Image& image) {
  SimulatedFilesystem filesystem(image, {.cores = 1});
  return findings_in(filesystem);
}

}  // namespace cowfs::sim
