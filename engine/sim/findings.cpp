#include "engine/sim/findings.h"

#include "engine/admin/check_device.h"

namespace cowfs::sim {

namespace {

Task<Result<admin::CheckReport>> check_all(SimulatedFilesystem* filesystem) {
  std::vector<device::Device*> devices;
  for (std::size_t i = 0; i < filesystem->device_count(); ++i)
    if (filesystem->has_device(i)) devices.push_back(&filesystem->device(i));
  const Result<pool::Assembled> assembled = co_await pool::assemble(devices, {.degraded = true, .read_only = true});
  if (!assembled) co_return assembled.error();
  co_return co_await admin::check_assembled(*assembled, admin::CheckOptions{});
}

}  // namespace

std::vector<std::string> findings_in(SimulatedFilesystem& filesystem) {
  const Result<admin::CheckReport> report = filesystem.run(0, [&filesystem] { return check_all(&filesystem); });
  if (!report) return {"check: " + to_text(report.error())};
  std::vector<std::string> lines;
  for (const admin::Finding& one : report->findings) {
    lines.push_back("check: " + one.name + ", slice " + one.slice + ", " + one.tree + ", " + one.where + " " + one.path +
                    ": " + one.what);
  }
  return lines;
}

std::vector<std::string> findings_in(const Images& images) {
  SimulatedFilesystem filesystem(images, {.cores = 1});
  return findings_in(filesystem);
}

std::vector<std::string> findings_in(const Image& image) { return findings_in(Images{image}); }

}  // namespace cowfs::sim
