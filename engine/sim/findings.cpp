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

Result<admin::CheckReport> report_on(SimulatedFilesystem& filesystem) {
  return filesystem.run(0, [&filesystem] { return check_all(&filesystem); });
}

std::vector<std::string> lines_of(const Result<admin::CheckReport>& report) {
  if (!report) return {"check: " + to_text(report.error())};
  std::vector<std::string> lines;
  for (const admin::Finding& one : report->findings) {
    lines.push_back("check: " + one.name + ", slice " + one.slice + ", " + one.tree + ", " + one.where + " " + one.path +
                    ": " + one.what);
  }
  return lines;
}

}  // namespace

std::vector<std::string> findings_in(SimulatedFilesystem& filesystem) { return lines_of(report_on(filesystem)); }

std::vector<std::string> findings_in(const Images& images) {
  SimulatedFilesystem filesystem(images, {.cores = 1});
  return findings_in(filesystem);
}

std::vector<std::string> findings_in(const Image& image) { return findings_in(Images{image}); }

std::vector<std::string> findings_after_unmount(const Images& images) {
  SimulatedFilesystem filesystem(images, {.cores = 1});
  const Result<admin::CheckReport> report = report_on(filesystem);
  std::vector<std::string> lines = lines_of(report);
  const u64 orphans = report ? report->counted.at("orphans") : 0;
  if (orphans > 0) lines.push_back("after an unmount " + std::to_string(orphans) + " orphans are left");
  return lines;
}

}  // namespace cowfs::sim
