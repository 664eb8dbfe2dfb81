#include "workloads/fio_job.h"

#include <fmt/format.h>

#include <algorithm>

#include "workloads/fio_options_internal.h"

namespace cowbench::workloads {
namespace {

constexpr u64 size_max = 1ull << 60;
constexpr u64 default_seed = 0x89;  // of randrepeat; any number, as long as it stays the same

std::optional<FioError> apply(const FioSetting& setting, FioDraft& draft) {
  const FioOption* option = find_fio_option(setting.key);
  if (option == nullptr) {
    const std::string_view close = closest_fio_option(setting.key);
    const std::string hint = close.empty() ? "" : fmt::format("; did you mean {}?", close);
    return FioError{setting.place, fmt::format("unknown option {}{}", setting.key, hint)};
  }
  if (option->apply != nullptr) {
    const std::string wrong = option->apply(draft, setting.value);
    if (!wrong.empty()) return FioError{setting.place, fmt::format("{}: {}", setting.key, wrong)};
    return {};
  }
  if (option->moot.empty())
    return FioError{setting.place, fmt::format("option {} is refused: {}", setting.key, option->refused)};
  draft.job.moot.push_back(fmt::format("{}: {}", setting.key, option->moot));
  return {};
}

// What options that belong to verify= ask for together.
std::string settle_verify(FioJob& job) {
  FioVerify& verify = job.verify;
  if (!verify.on()) return verify.only ? "verify_only=1 without verify=" : "";
  if (!job.does[1]) return "verify= needs writes: what an earlier run wrote is read back with its job and verify_only=1";
  if (verify.form.method == VerifyMethod::pattern && verify.form.pattern.empty()) return "verify=pattern needs verify_pattern=";
  if (verify.form.method != VerifyMethod::pattern && job.block_sizes[1].smallest() < verify_bytes_min)
    return fmt::format("verify= needs blocks of {} bytes at least, or verify=pattern", verify_bytes_min);
  const u64 interval = verify.form.interval;
  const FioBlockSizes& sizes = job.block_sizes[1];
  bool divides = interval == 0 || (!job.unaligned_sizes && sizes.range.low % interval == 0 && sizes.range.high % interval == 0);
  for (const FioBlockSizes::Share& share : sizes.split) divides = divides && (interval == 0 || share.bytes % interval == 0);
  if (!divides) return fmt::format("verify_interval: {} does not divide every block size", interval);
  if (job.zero_buffers) job.moot.push_back("zero_buffers: verify= writes blocks that can be told apart");
  if (verify.only && verify.backlog > 0) job.moot.push_back("verify_backlog: verify_only=1 writes nothing");
  return {};
}

std::string settle_steady(const FioJob& job) {
  if (job.steady.limit > 0 && !job.steady.on()) return "steadystate= needs steadystate_duration=";
  if (job.steady.limit == 0 && (job.steady.on() || job.steady.ramp_seconds > 0)) return "steadystate_duration= without steadystate=";
  if (job.steady.seconds == 1) return "steadystate_duration: one second has no neighbours";
  return {};
}

// What no single option can know.
std::string settle(FioDraft& draft) {
  FioJob& job = draft.job;
  if (draft.requested_depth > 1 && !draft.depth_counts)
    job.moot.push_back("iodepth: fio's synchronous engines have a depth of 1; ioengine=io_uring has more");
  job.depth = draft.depth_counts ? draft.requested_depth : 1;
  if (draft.repeat || draft.seed_given) job.seed = draft.seed_given ? draft.seed : default_seed;
  if (job.distribution.shape != FioDistribution::Shape::uniform) job.random_map = false;
  const u64 files = job.files;
  if (job.size.bytes == 0 && job.file_bytes > 0) job.size.bytes = job.file_bytes * files;
  if (job.size.bytes == 0) return "the job has no size";
  if (job.size.bytes > size_max || job.size.bytes / files == 0) return "size: it does not fit";
  if (job.file_bytes == 0) job.file_bytes = job.size.bytes / files;
  if (job.file_bytes > size_max || job.offset.bytes > size_max || job.offset_increment.bytes > size_max)
    return "a size or an offset does not fit";
  u64 smallest = ~0ull;
  for (std::size_t kind = 0; kind < fio_kind_count; ++kind) {
    if (!job.does[kind]) continue;
    const FioBlockSizes& sizes = job.block_sizes[kind];
    if (sizes.largest() > job.file_bytes)
      return fmt::format("blocks of {} bytes are larger than a file of {}", sizes.largest(), job.file_bytes);
    smallest = std::min(smallest, sizes.smallest());
    if (!sizes.fixed()) job.random_map = false;
  }
  if (std::string wrong = settle_verify(job); !wrong.empty()) return wrong;
  if (std::string wrong = settle_steady(job); !wrong.empty()) return wrong;
  if (job.block_align == 0) job.block_align = smallest;
  if (job.does[0] && job.does[1] && job.block_sizes[0].smallest() != job.block_sizes[1].smallest()) job.random_map = false;
  return {};
}

}  // namespace

u64 FioBlockSizes::smallest() const {
  if (split.empty()) return range.low;
  return std::ranges::min_element(split, {}, &Share::bytes)->bytes;
}

u64 FioBlockSizes::largest() const {
  if (split.empty()) return range.high;
  return std::ranges::max_element(split, {}, &Share::bytes)->bytes;
}

FioResult<std::vector<FioJob>> fio_jobs(const FioSections& sections) {
  std::vector<FioJob> jobs;
  std::vector<FioSetting> defaults;
  for (const FioSection& section : sections) {
    if (section.is_global()) {
      defaults.insert(defaults.end(), section.settings.begin(), section.settings.end());
      continue;
    }
    FioDraft draft;
    draft.job.name = section.name;
    draft.job.place = section.place;
    draft.job.settings = defaults;
    draft.job.settings.insert(draft.job.settings.end(), section.settings.begin(), section.settings.end());
    for (const FioSetting& setting : draft.job.settings) {
      if (setting.key == "name") draft.job.name = setting.value;
      else if (auto error = apply(setting, draft)) return *error;
    }
    if (const std::string wrong = settle(draft); !wrong.empty())
      return FioError{section.place, fmt::format("job {}: {}", draft.job.name, wrong)};
    jobs.push_back(std::move(draft.job));
  }
  if (jobs.empty()) return FioError{sections.empty() ? FioPlace{"job", 0} : sections.front().place, "there is no job"};
  return jobs;
}

std::string fio_command_line(const FioJob& job) {
  std::string line = "fio --name=" + job.name;
  for (const FioSetting& setting : job.settings) {
    if (setting.key == "name") continue;
    line += " --" + setting.key;
    if (!setting.value.empty()) line += "=" + setting.value;
  }
  return line;
}

}  // namespace cowbench::workloads
