#include "harness/stock_fio.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "harness/topology.h"
#include "workloads/fio_stream.h"

namespace cowbench::harness {
namespace {

constexpr u32 spare_seconds = 120;

// What the comparison decides for every target.
constexpr std::array<std::string_view, 15> decided = {
    "name", "numjobs", "filename", "directory", "ioengine", "iodepth", "stonewall", "wait_for_previous", "offset",
    "offset_increment", "nrfiles", "nr_files", "cpus_allowed", "do_verify", "verify_state_save"};

bool is_decided(std::string_view key) { return std::ranges::find(decided, key) != decided.end() || key == "filesize"; }

std::string joined(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : ":") + file;
  return text;
}

}  // namespace

Command stock_fio_command(const std::vector<StockFioClone>& clones, const std::vector<u32>& cpus, double seconds) {
  Command command;
  command.program = "setpriv";  // fio must not go on alone after a kill -9 of this process
  command.arguments = {"--pdeathsig", "KILL", "--", "fio", "--output-format=json", "--eta=never"};
  for (const StockFioClone& clone : clones) {
    const workloads::FioJob& job = *clone.job;
    std::vector<std::string>& out = command.arguments;
    out.push_back(fmt::format("--name={}.{}", job.name, clone.number));
    for (const workloads::FioSetting& setting : job.settings)
      if (!is_decided(setting.key)) out.push_back("--" + setting.key + (setting.value.empty() ? "" : "=" + setting.value));
    for (const char* best : {"--ioengine=io_uring", "--registerfiles=1", "--fixedbufs=1", "--invalidate=1", "--fallocate=none"})
      out.push_back(best);
    // What it reads back it would add to its rates.
    if (job.verify.on()) out.insert(out.end(), {"--do_verify=0", "--verify_state_save=0"});
    out.push_back(fmt::format("--iodepth={}", job.depth));
    out.push_back("--filename=" + joined(clone.files));
    out.push_back(fmt::format("--offset={}", clone.base + workloads::fio_region_begin(job, clone.number)));
    if (!cpus.empty()) {
      const u32 place = static_cast<u32>(&clone - clones.data()) % static_cast<u32>(cpus.size());
      out.push_back("--cpus_allowed=" + (clones.size() <= cpus.size() ? std::to_string(cpus[place]) : to_cpu_list(cpus)));
    }
  }
  command.timeout_seconds = static_cast<u32>(seconds) + spare_seconds;
  return command;
}

Outcome<double> parse_stock_fio_output(std::string_view output) {
  const auto begin = output.find('{');  // notes may precede it
  const auto parsed = begin == std::string_view::npos ? nlohmann::json() : nlohmann::json::parse(output.substr(begin), nullptr, false);
  const Failure unreadable{FailureKind::failed, "fio printed no result", ""};
  if (!parsed.is_object() || !parsed.contains("jobs") || !parsed["jobs"].is_array()) return unreadable;
  double bytes_a_second = 0;
  for (const auto& job : parsed["jobs"]) {
    if (!job.is_object() || job.value("error", 0) != 0) return Failure{FailureKind::failed, "a job of fio failed", ""};
    for (const char* direction : {"read", "write", "trim"})
      if (job.contains(direction) && job[direction].is_object()) bytes_a_second += job[direction].value("bw_bytes", 0.0);
  }
  if (!(bytes_a_second > 0)) return unreadable;
  return bytes_a_second / 1e6;
}

Outcome<double> run_stock_fio(const Command& command) {
  if (auto found = find_program("fio"); !found) return found.failure();
  const auto result = run_checked(command);
  if (!result) return result.failure();
  return parse_stock_fio_output(result->output);
}

}  // namespace cowbench::harness
