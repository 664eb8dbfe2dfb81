// Each row is one spelling of an option and what it does. Options of I/O engines and of fio's own reporting that change
// neither what is done nor what is measured are moot; those that would change it and are not honoured are refused.
#include "workloads/fio_options_internal.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

namespace cowbench::workloads {
namespace {

constexpr u32 clones_max = 4096;
constexpr u32 depth_max = 4096;
constexpr u32 files_max = 65536;
constexpr std::size_t splits_max = 64;
constexpr std::size_t zones_max = 256;
constexpr u64 second_ns = 1'000'000'000;
constexpr u64 block_size_max = 64 * cowfs::mib;

std::string no_number(std::string_view value) { return fmt::format("\"{}\" is no number", value); }

// The value as a number from `low` to `high`, given to `into`.
template <typename T>
std::string take_number(const FioDraft& draft, std::string_view value, u64 low, u64 high, T& into) {
  const auto number = parse_fio_number(value, draft.kilo);
  if (!number) return no_number(value);
  if (*number < low || *number > high) return fmt::format("{} is not within {} to {}", *number, low, high);
  into = static_cast<T>(*number);
  return {};
}

// A lone key means yes.
std::string take_flag(std::string_view value, bool& into) {
  if (value.empty() || value == "1" || value == "true") into = true;
  else if (value == "0" || value == "false") into = false;
  else return fmt::format("\"{}\" is neither 0 nor 1", value);
  return {};
}

std::string take_time(std::string_view value, u64 unit_ns, u64& into) {
  const auto time = parse_fio_time(value, unit_ns);
  if (!time) return fmt::format("\"{}\" is no time", value);
  into = *time;
  return {};
}

std::string take_amount(const FioDraft& draft, std::string_view value, FioAmount& into) {
  const auto amount = parse_fio_amount(value, draft.kilo);
  if (!amount) return fmt::format("\"{}\" is neither a size nor a percentage", value);
  into = *amount;
  return {};
}

// "r,w,t": what is left out is as the one before it; fio's rule for a lone value is the same.
template <typename Take>
std::string for_each_kind(std::string_view value, Take take) {
  const auto parts = split(value, ',');
  if (parts.size() > fio_kind_count) return fmt::format("\"{}\": at most three, for reads, writes and trims", value);
  std::string_view last = parts.front();
  for (std::size_t kind = 0; kind < fio_kind_count; ++kind) {
    if (kind < parts.size()) {
      if (parts[kind].empty() && parts.size() > 1) continue;  // ",8k": reads keep what they have
      last = parts[kind];
    }
    if (std::string wrong = take(kind, last); !wrong.empty()) return wrong;
  }
  return {};
}

std::string set_direction(FioDraft& draft, std::string_view value) {
  struct Row {
    std::string_view name;
    std::array<bool, fio_kind_count> does;
    bool random;
  };
  static constexpr Row rows[] = {
      {"read", {true, false, false}, false},      {"write", {false, true, false}, false},
      {"trim", {false, false, true}, false},      {"randread", {true, false, false}, true},
      {"randwrite", {false, true, false}, true},  {"randtrim", {false, false, true}, true},
      {"rw", {true, true, false}, false},         {"readwrite", {true, true, false}, false},
      {"randrw", {true, true, false}, true},
  };
  const auto cut = value.find(':');
  const auto row = std::ranges::find(rows, value.substr(0, cut), &Row::name);
  if (row == std::end(rows)) {
    if (value.starts_with("trimwrite") || value.starts_with("randtrimwrite")) return "trimwrite is not supported";
    return fmt::format("\"{}\" is none of read, write, trim, randread, randwrite, randtrim, rw, randrw", value);
  }
  draft.job.does = row->does;
  draft.job.random = row->random;
  if (cut == std::string_view::npos) return {};
  std::string_view step = value.substr(cut + 1);
  if (row->random) return take_number(draft, step, 1, 1u << 30, draft.job.sequence_length);
  const bool backwards = step.starts_with('-');
  u64 bytes = 0;
  std::string wrong = take_number(draft, step.substr(backwards ? 1 : 0), 0, cowfs::gib, bytes);
  draft.job.sequence_step = backwards ? -static_cast<std::int64_t>(bytes) : static_cast<std::int64_t>(bytes);
  return wrong;
}

std::string set_block_size(FioDraft& draft, std::string_view value) {
  return for_each_kind(value, [&](std::size_t kind, std::string_view part) {
    u64 bytes = 0;
    std::string wrong = take_number(draft, part, 1, block_size_max, bytes);
    draft.job.block_sizes[kind] = {{bytes, bytes}, {}};
    return wrong;
  });
}

std::string set_block_range(FioDraft& draft, std::string_view value) {
  return for_each_kind(value, [&](std::size_t kind, std::string_view part) {
    const auto range = parse_fio_range(part, draft.kilo);
    if (!range || range->low == 0 || range->high > block_size_max)
      return fmt::format("\"{}\" is no range of block sizes", part);
    draft.job.block_sizes[kind] = {*range, {}};
    return std::string();
  });
}

// Percentages that are left out share what is left of 100.
template <typename Share>
std::string share_out(std::vector<Share>& shares, u32 Share::*percent, const std::vector<bool>& given) {
  u32 sum = 0;
  for (const Share& share : shares) sum += share.*percent;
  if (sum > 100) return fmt::format("the percentages add up to {}", sum);
  const u32 open = static_cast<u32>(std::ranges::count(given, false));
  if (open == 0 && sum != 100) return fmt::format("the percentages add up to {}, not 100", sum);
  u32 left = 100 - sum, waiting = open;
  for (std::size_t at = 0; at < shares.size(); ++at) {
    if (given[at]) continue;
    shares[at].*percent = left / waiting;
    left -= left / waiting--;
  }
  return {};
}

std::string set_block_split(FioDraft& draft, std::string_view value) {
  return for_each_kind(value, [&](std::size_t kind, std::string_view part) {
    FioBlockSizes sizes;
    std::vector<bool> given;
    for (const std::string_view entry : split(part, ':')) {
      const auto slash = entry.find('/');
      FioBlockSizes::Share share{0, 0};
      if (std::string wrong = take_number(draft, entry.substr(0, slash), 1, block_size_max, share.bytes); !wrong.empty())
        return wrong;
      const std::string_view percent = slash == std::string_view::npos ? "" : entry.substr(slash + 1);
      given.push_back(!percent.empty());
      if (!percent.empty())
        if (std::string wrong = take_number(draft, percent, 0, 100, share.percent); !wrong.empty()) return wrong;
      sizes.split.push_back(share);
    }
    if (sizes.split.size() > splits_max) return fmt::format("more than {} block sizes", splits_max);
    if (std::string wrong = share_out(sizes.split, &FioBlockSizes::Share::percent, given); !wrong.empty()) return wrong;
    draft.job.block_sizes[kind] = std::move(sizes);
    return std::string();
  });
}

std::optional<double> real(std::string_view text) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return {};
  return number;
}

std::string set_zones(FioDistribution& distribution, std::string_view text) {
  std::vector<bool> given;
  for (const std::string_view entry : split(text, ':')) {
    const auto slash = entry.find('/');
    const auto access = parse_fio_number(entry.substr(0, slash), 1024);
    const auto size = slash == std::string_view::npos ? std::nullopt : parse_fio_number(entry.substr(slash + 1), 1024);
    if (!access || !size || *access > 100 || *size > 100) return fmt::format("\"{}\" is no zone, like 60/10", entry);
    distribution.zones.push_back({static_cast<u32>(*access), static_cast<u32>(*size)});
    given.push_back(true);
  }
  if (distribution.zones.size() > zones_max) return fmt::format("more than {} zones", zones_max);
  std::string wrong = share_out(distribution.zones, &FioDistribution::Zone::access_percent, given);
  return wrong.empty() ? share_out(distribution.zones, &FioDistribution::Zone::size_percent, given) : wrong;
}

std::string set_distribution(FioDraft& draft, std::string_view value) {
  using Shape = FioDistribution::Shape;
  FioDistribution distribution;
  const auto cut = value.find(':');
  const std::string_view name = value.substr(0, cut);
  const std::string_view rest = cut == std::string_view::npos ? "" : value.substr(cut + 1);
  if (rest.find(',') != std::string_view::npos) return "one distribution for all directions is what is supported";
  if (name == "random") {
    draft.job.distribution = {};
    return {};
  }
  if (name == "zoned") {
    distribution.shape = Shape::zoned;
    std::string wrong = set_zones(distribution, rest);
    draft.job.distribution = std::move(distribution);
    return wrong;
  }
  if (name == "zipf") distribution.shape = Shape::zipf;
  else if (name == "pareto") distribution.shape = Shape::pareto;
  else if (name == "normal") distribution.shape = Shape::normal;
  else if (name.starts_with("zoned_abs")) return "zoned_abs is not supported; zoned has percentages";
  else return fmt::format("\"{}\" is none of random, zipf, pareto, normal, zoned", name);
  const auto parts = split(rest, ':');
  const auto parameter = real(parts.front());
  const double limit = distribution.shape == Shape::zipf ? 100 : distribution.shape == Shape::pareto ? 1 : 100;
  if (!parameter || !(*parameter > 0) || *parameter > limit || (distribution.shape == Shape::pareto && *parameter == 1))
    return fmt::format("\"{}\": {} needs a number above 0 and up to {}", value, name, limit);
  distribution.parameter = *parameter;
  if (parts.size() > 2) return fmt::format("\"{}\" has too many parts", value);
  if (parts.size() == 2) {
    distribution.center = real(parts[1]);
    if (!distribution.center || !(*distribution.center >= 0) || *distribution.center > 1)
      return fmt::format("\"{}\": the place of the peak is a number from 0 to 1", value);
  }
  draft.job.distribution = distribution;
  return {};
}

std::string set_engine(FioDraft& draft, std::string_view value) {
  static constexpr std::string_view asynchronous[] = {"io_uring", "libaio", "posixaio"};
  static constexpr std::string_view synchronous[] = {"sync", "psync", "vsync", "pvsync", "pvsync2", "mmap"};
  draft.depth_counts = std::ranges::find(asynchronous, value) != std::end(asynchronous);
  if (draft.depth_counts || std::ranges::find(synchronous, value) != std::end(synchronous)) return {};
  return fmt::format("engine {} has no counterpart here: reads, writes and trims of files are what is measured", value);
}

std::string set_file_names(FioDraft& draft, std::string_view value) {
  draft.job.file_names.clear();
  for (const std::string_view name : split(value, ':')) {
    if (name.empty() || name.starts_with('/') || name.find("..") != std::string_view::npos)
      return fmt::format("\"{}\" lies outside of the target; name devices with --device and --target", name);
    draft.job.file_names.emplace_back(name);
  }
  draft.job.files = static_cast<u32>(draft.job.file_names.size());
  return {};
}

std::string set_file_choice(FioDraft& draft, std::string_view value) {
  const std::string_view name = value.substr(0, value.find(':'));
  if (name == "roundrobin") draft.job.file_choice = FioFileChoice::roundrobin;
  else if (name == "random") draft.job.file_choice = FioFileChoice::random;
  else if (name == "sequential") draft.job.file_choice = FioFileChoice::sequential;
  else return fmt::format("\"{}\" is none of roundrobin, random, sequential", value);
  return {};
}

std::string set_sync(FioDraft& draft, std::string_view value) {
  draft.job.sync_each = value == "sync" || value == "1";
  draft.job.data_sync_each = value == "dsync";
  if (draft.job.sync_each || draft.job.data_sync_each || value == "none" || value == "0") return {};
  return fmt::format("\"{}\" is none of none, sync, dsync", value);
}

std::string set_rate(FioDraft& draft, std::string_view value, std::array<u64, fio_kind_count>& rates) {
  return for_each_kind(value, [&](std::size_t kind, std::string_view part) {
    return take_number(draft, part, 0, ~0ull >> 1, rates[kind]);
  });
}

std::string set_size(FioDraft& draft, std::string_view value) {
  std::string wrong = take_amount(draft, value, draft.job.size);
  if (wrong.empty() && draft.job.size.percent) return "a share of a file that is there already; here files are made";
  return wrong;
}

std::string set_mix(FioDraft& draft, std::string_view value, bool of_writes) {
  u32 percent = 0;
  std::string wrong = take_number(draft, value, 0, 100, percent);
  draft.job.read_percent = of_writes ? 100 - percent : percent;
  return wrong;
}

std::string set_file_size(FioDraft& draft, std::string_view value) {
  const auto range = parse_fio_range(value, draft.kilo);
  if (!range || range->low == 0) return no_number(value);
  if (range->low != range->high) return "files of random sizes are not supported";
  draft.job.file_bytes = range->low;
  return {};
}

std::string set_start_delay(FioDraft& draft, std::string_view value) {
  if (value.find('-') != std::string_view::npos) return "a random delay is not supported";
  return take_time(value, second_ns, draft.job.start_delay_ns);
}

std::string set_steady(FioDraft& draft, std::string_view value) {
  const auto rule = parse_steady_rule(value, draft.kilo);
  if (!rule) return fmt::format("\"{}\" is none of iops, iops_slope, bw, bw_slope with a limit, as in iops:5%", value);
  SteadyRule& steady = draft.job.steady;
  steady = {rule->of, rule->slope, rule->limit, rule->percent, steady.seconds, steady.ramp_seconds};
  return {};
}

std::string take_seconds(std::string_view value, u32& into) {
  u64 time_ns = 0;
  if (std::string wrong = take_time(value, second_ns, time_ns); !wrong.empty()) return wrong;
  if (time_ns % second_ns != 0 || time_ns / second_ns > 1'000'000) return fmt::format("\"{}\" is no number of whole seconds", value);
  into = static_cast<u32>(time_ns / second_ns);
  return {};
}
std::string set_steady_duration(FioDraft& draft, std::string_view value) { return take_seconds(value, draft.job.steady.seconds); }
std::string set_steady_ramp(FioDraft& draft, std::string_view value) { return take_seconds(value, draft.job.steady.ramp_seconds); }

std::string set_kilo(FioDraft& draft, std::string_view value) {
  if (value != "1000" && value != "1024") return fmt::format("\"{}\" is neither 1000 nor 1024", value);
  draft.kilo = value == "1000" ? 1000 : 1024;
  return {};
}

std::string set_rate_process(FioDraft& draft, std::string_view value) {
  if (value != "linear" && value != "poisson") return fmt::format("\"{}\" is neither linear nor poisson", value);
  draft.job.rate_process = value == "poisson" ? FioRateProcess::poisson : FioRateProcess::linear;
  return {};
}

std::string set_sequencer(FioDraft& draft, std::string_view value) {
  if (value != "sequential" && value != "identical") return fmt::format("\"{}\" is neither sequential nor identical", value);
  draft.job.repeat_offset = value == "identical";
  return {};
}

std::string set_verify(FioDraft& draft, std::string_view value) {
  struct Row {
    std::string_view name;
    VerifyMethod method;
  };
  static constexpr Row rows[] = {{"0", VerifyMethod::none},          {"none", VerifyMethod::none},
                                 {"crc32c", VerifyMethod::crc32c},   {"crc32c-intel", VerifyMethod::crc32c},
                                 {"xxhash", VerifyMethod::xxhash},   {"meta", VerifyMethod::meta},
                                 {"pattern", VerifyMethod::pattern}};
  const auto row = std::ranges::find(rows, value, &Row::name);
  if (row == std::end(rows)) return fmt::format("\"{}\" is none of crc32c, xxhash, meta, pattern", value);
  draft.job.verify.form.method = row->method;
  return {};
}

std::string set_verify_pattern(FioDraft& draft, std::string_view value) {
  auto pattern = parse_verify_pattern(value);
  if (!pattern)
    return fmt::format("\"{}\" is none of 0xff.., a number up to 32 bits, \"text\", up to {} bytes; %o is not supported", value,
                       verify_pattern_bytes_max);
  draft.job.verify.form.pattern = std::move(*pattern);
  return {};
}

#define FLAG(member) [](FioDraft& draft, std::string_view value) { return take_flag(value, draft.member); }
#define NUMBER(member, low, high) \
  [](FioDraft& draft, std::string_view value) { return take_number(draft, value, low, high, draft.member); }
#define TIME(member, unit) [](FioDraft& draft, std::string_view value) { return take_time(value, unit, draft.member); }
#define AMOUNT(member) [](FioDraft& draft, std::string_view value) { return take_amount(draft, value, draft.member); }

constexpr std::string_view where = "files lie on the target";
constexpr std::string_view reporting = "fio's own reporting; the record has every latency";
constexpr std::string_view interface = "each target is driven by its best interface";
constexpr std::string_view laid_out = "files are laid out in full before each round";
constexpr std::string_view pinned = "--pin and --cores place the jobs of all targets alike";
constexpr std::string_view other_engine = "it belongs to an I/O engine that has no counterpart here";
constexpr std::string_view no_programs = "a job file may not start programs";
constexpr std::string_view no_logs = "fio's logs are not written; --json has what was measured";
constexpr std::string_view not_yet = "not supported";

const std::vector<FioOption>& table() {
  static const std::vector<FioOption> options = {
      {"readwrite", set_direction}, {"rw", set_direction}, {"rw_sequencer", set_sequencer},
      {"blocksize", set_block_size}, {"bs", set_block_size},
      {"blocksize_range", set_block_range}, {"bsrange", set_block_range}, {"bssplit", set_block_split},
      {"blocksize_unaligned", FLAG(job.unaligned_sizes)}, {"bs_unaligned", FLAG(job.unaligned_sizes)},
      {"blockalign", NUMBER(job.block_align, 1, block_size_max)}, {"ba", NUMBER(job.block_align, 1, block_size_max)},
      {"rwmixread", [](FioDraft& draft, std::string_view value) { return set_mix(draft, value, false); }},
      {"rwmixwrite", [](FioDraft& draft, std::string_view value) { return set_mix(draft, value, true); }},
      {"percentage_random", NUMBER(job.random_percent, 0, 100)},
      {"random_distribution", set_distribution},
      {"norandommap", [](FioDraft& draft, std::string_view value) {
         bool none = false;
         std::string wrong = take_flag(value, none);
         draft.job.random_map = !none;
         return wrong;
       }},
      {"softrandommap", nullptr, "our map takes no memory, so it never fails"},
      {"random_generator", nullptr, "the generator is ours"},
      {"randrepeat", FLAG(repeat)}, {"allrandrepeat", FLAG(repeat)},
      {"randseed", [](FioDraft& draft, std::string_view value) {
         draft.seed_given = true;
         return take_number(draft, value, 0, ~0ull, draft.seed);
       }},
      {"size", set_size}, {"io_size", AMOUNT(job.io_size)}, {"io_limit", AMOUNT(job.io_size)},
      {"filesize", set_file_size}, {"nrfiles", NUMBER(job.files, 1, files_max)}, {"nr_files", NUMBER(job.files, 1, files_max)},
      {"filename", set_file_names}, {"file_service_type", set_file_choice},
      {"offset", AMOUNT(job.offset)}, {"offset_increment", AMOUNT(job.offset_increment)},
      {"number_ios", NUMBER(job.operations_max, 1, ~0ull)}, {"loops", NUMBER(job.loops, 1, 1u << 30)},
      {"numjobs", NUMBER(job.clones, 1, clones_max)}, {"ioengine", set_engine},
      {"iodepth", NUMBER(requested_depth, 1, depth_max)},
      {"direct", FLAG(job.direct)},
      {"buffered", [](FioDraft& draft, std::string_view value) {
         bool buffered = false;
         std::string wrong = take_flag(value, buffered);
         draft.job.direct = !buffered;
         return wrong;
       }},
      {"sync", set_sync}, {"fsync", NUMBER(job.fsync_every, 0, ~0ull)}, {"fdatasync", NUMBER(job.fdatasync_every, 0, ~0ull)},
      {"end_fsync", FLAG(job.fsync_at_end)}, {"fsync_on_close", FLAG(job.fsync_at_end)},
      {"zero_buffers", FLAG(job.zero_buffers)}, {"refill_buffers", FLAG(job.refill_buffers)},
      {"runtime", TIME(job.runtime_ns, second_ns)}, {"timeout", TIME(job.runtime_ns, second_ns)},
      {"time_based", FLAG(job.time_based)}, {"ramp_time", TIME(job.ramp_ns, second_ns)}, {"startdelay", set_start_delay},
      {"steadystate", set_steady}, {"ss", set_steady}, {"steadystate_duration", set_steady_duration},
      {"ss_dur", set_steady_duration}, {"steadystate_ramp_time", set_steady_ramp}, {"ss_ramp", set_steady_ramp},
      {"stonewall", FLAG(job.stonewall)}, {"wait_for_previous", FLAG(job.stonewall)},
      {"rate_iops", [](FioDraft& draft, std::string_view value) { return set_rate(draft, value, draft.job.rate_iops); }},
      {"rate", [](FioDraft& draft, std::string_view value) { return set_rate(draft, value, draft.job.rate_bytes); }},
      {"rate_process", set_rate_process},
      {"kb_base", set_kilo},

      {"description", nullptr, "a remark"}, {"directory", nullptr, where}, {"filename_format", {}, {}, not_yet},
      {"unique_filename", nullptr, where}, {"opendir", {}, {}, where}, {"allow_file_create", nullptr, laid_out},
      {"allow_mounted_write", nullptr, "devices have a guard of their own: --erase"},
      {"create_serialize", nullptr, laid_out}, {"create_fsync", nullptr, laid_out}, {"overwrite", nullptr, laid_out},
      {"fallocate", nullptr, laid_out}, {"create_on_open", nullptr, laid_out}, {"create_only", {}, {}, not_yet},
      {"pre_read", {}, {}, not_yet}, {"unlink", nullptr, "each round has a fresh filesystem"},
      {"unlink_each_loop", {}, {}, not_yet}, {"file_append", {}, {}, not_yet},
      {"fill_device", {}, {}, not_yet}, {"fill_fs", {}, {}, not_yet}, {"openfiles", nullptr, "all files stay open"},
      {"lockfile", {}, {}, not_yet}, {"invalidate", nullptr, "caches are dropped before each round"},
      {"fadvise_hint", nullptr, interface}, {"write_hint", nullptr, interface}, {"mem", nullptr, interface},
      {"iomem", nullptr, interface}, {"iomem_align", nullptr, interface}, {"mem_align", nullptr, interface},
      {"hugepage-size", nullptr, interface}, {"lockmem", {}, {}, not_yet},
      {"scramble_buffers", nullptr, "buffers are random"}, {"thread", nullptr, interface}, {"threads", nullptr, interface},
      {"fixedbufs", nullptr, interface}, {"registerfiles", nullptr, interface}, {"nonvectored", nullptr, interface},
      {"force_async", nullptr, interface}, {"sqthread_poll", nullptr, interface}, {"sqthread_poll_cpu", nullptr, interface},
      {"hipri", nullptr, interface}, {"userspace_reap", nullptr, interface}, {"nowait", nullptr, interface},
      {"iodepth_batch", nullptr, interface}, {"iodepth_batch_submit", nullptr, interface},
      {"iodepth_batch_complete", nullptr, interface}, {"iodepth_batch_complete_min", nullptr, interface},
      {"iodepth_batch_complete_max", nullptr, interface}, {"iodepth_low", nullptr, interface},
      {"io_submit_mode", nullptr, "with a rate, latency counts from the intended start in any case"},
      {"serialize_overlap", {}, {}, not_yet},
      {"cpus_allowed", nullptr, pinned}, {"cpus_allowed_policy", nullptr, pinned}, {"cpumask", nullptr, pinned},
      {"numa_cpu_nodes", nullptr, pinned}, {"numa_mem_policy", nullptr, pinned}, {"nice", {}, {}, not_yet},
      {"prio", {}, {}, not_yet}, {"prioclass", {}, {}, not_yet}, {"cgroup", {}, {}, not_yet},
      {"group_reporting", nullptr, reporting}, {"new_group", nullptr, reporting}, {"stats", nullptr, reporting},
      {"per_job_logs", nullptr, reporting}, {"clat_percentiles", nullptr, reporting}, {"lat_percentiles", nullptr, reporting},
      {"slat_percentiles", nullptr, reporting}, {"percentile_list", nullptr, reporting},
      {"significant_figures", nullptr, reporting}, {"disable_lat", nullptr, reporting}, {"disable_clat", nullptr, reporting},
      {"disable_slat", nullptr, reporting}, {"disable_bw", nullptr, reporting},
      {"disable_bw_measurement", nullptr, reporting}, {"gtod_reduce", nullptr, reporting}, {"gtod_cpu", nullptr, reporting},
      {"clocksource", nullptr, reporting}, {"bwavgtime", nullptr, reporting}, {"iopsavgtime", nullptr, reporting},
      {"disk_util", nullptr, reporting}, {"unified_rw_reporting", nullptr, reporting}, {"unit_base", nullptr, reporting},
      {"log_avg_msec", nullptr, reporting}, {"log_offset", nullptr, reporting}, {"log_prio", nullptr, reporting},
      {"block_error_percentiles", {}, {}, not_yet}, {"write_bw_log", {}, {}, no_logs}, {"write_lat_log", {}, {}, no_logs},
      {"write_iops_log", {}, {}, no_logs}, {"write_hist_log", {}, {}, no_logs}, {"log_hist_msec", {}, {}, no_logs},
      {"write_iolog", {}, {}, not_yet}, {"read_iolog", {}, {}, not_yet}, {"replay_no_stall", {}, {}, not_yet},
      {"thinktime", {}, {}, not_yet}, {"thinktime_spin", {}, {}, not_yet}, {"thinktime_blocks", {}, {}, not_yet},
      {"rate_min", {}, {}, not_yet}, {"ratemin", {}, {}, not_yet}, {"rate_iops_min", {}, {}, not_yet},
      {"rate_ignore_thinktime", {}, {}, not_yet}, {"rate_cycle", {}, {}, not_yet}, {"max_latency", {}, {}, not_yet},
      {"latency_target", {}, {}, not_yet}, {"latency_window", {}, {}, not_yet}, {"latency_percentile", {}, {}, not_yet},
      {"latency_run", {}, {}, not_yet}, {"wait_for", {}, {}, "stonewall is what is supported"},
      {"exitall", nullptr, "a failure ends the round"}, {"exitall_on_error", nullptr, "a failure ends the round"},
      {"exit_what", {}, {}, not_yet}, {"continue_on_error", {}, {}, "a failure ends the round"},
      {"ignore_error", {}, {}, "a failure ends the round"}, {"error_dump", nullptr, reporting},
      {"exec_prerun", {}, {}, no_programs}, {"exec_postrun", {}, {}, no_programs}, {"flow", {}, {}, not_yet},
      {"flow_id", {}, {}, not_yet}, {"flow_sleep", {}, {}, not_yet}, {"uid", {}, {}, not_yet}, {"gid", {}, {}, not_yet},
      {"bs_is_seq_rand", {}, {}, not_yet}, {"offset_align", {}, {}, not_yet}, {"sync_file_range", {}, {}, not_yet},
      {"write_barrier", {}, {}, not_yet}, {"atomic", {}, {}, not_yet}, {"buffer_pattern", {}, {}, not_yet},
      {"buffer_compress_percentage", {}, {}, not_yet}, {"buffer_compress_chunk", {}, {}, not_yet},
      {"dedupe_percentage", {}, {}, not_yet}, {"dedupe_mode", {}, {}, not_yet}, {"dedupe_global", {}, {}, not_yet},
      {"dedupe_working_set_percentage", {}, {}, not_yet}, {"verify", set_verify}, {"do_verify", FLAG(job.verify.at_end)},
      {"verify_fatal", FLAG(job.verify.fatal)}, {"verify_only", FLAG(job.verify.only)},
      {"verify_interval", NUMBER(job.verify.form.interval, verify_bytes_min, block_size_max)},
      {"verify_pattern", set_verify_pattern}, {"verify_backlog", NUMBER(job.verify.backlog, 0, ~0ull)},
      {"verify_backlog_batch", NUMBER(job.verify.backlog_batch, 0, ~0ull)},
      {"verify_state_save", nullptr, "--keep notes how far the writes came, always"},
      {"verify_state_load", nullptr, "verify_only=1 goes by what --keep noted"},
      {"verify_offset", {}, {}, not_yet}, {"verify_dump", {}, {}, "the error says offset, expected and found bytes"},
      {"verify_async", nullptr, interface}, {"verify_async_cpus", nullptr, interface},
      {"experimental_verify", {}, {}, not_yet}, {"trim_percentage", {}, {}, not_yet},
      {"trim_verify_zero", {}, {}, not_yet}, {"trim_backlog", {}, {}, not_yet}, {"trim_backlog_batch", {}, {}, not_yet},
      {"zonemode", {}, {}, not_yet}, {"zonerange", {}, {}, not_yet}, {"zonesize", {}, {}, not_yet},
      {"zonecapacity", {}, {}, not_yet}, {"zoneskip", {}, {}, not_yet}, {"read_beyond_wp", {}, {}, not_yet},
      {"max_open_zones", {}, {}, not_yet}, {"ioscheduler", {}, {}, "it would change the host"},
      {"cmdprio", {}, {}, not_yet}, {"cmdprio_percentage", {}, {}, not_yet}, {"cmdprio_class", {}, {}, not_yet},
      {"cmdprio_bssplit", {}, {}, not_yet}, {"cmd_type", {}, {}, other_engine}, {"cpuload", {}, {}, other_engine},
      {"cpumode", {}, {}, other_engine}, {"cpuchunks", {}, {}, other_engine}, {"hostname", {}, {}, other_engine},
      {"port", {}, {}, other_engine}, {"donorname", {}, {}, other_engine}, {"rbdname", {}, {}, other_engine},
      {"pool", {}, {}, other_engine}, {"volume", {}, {}, other_engine}, {"brick", {}, {}, other_engine},
      {"serverip", {}, {}, other_engine}, {"http_host", {}, {}, other_engine}, {"https", {}, {}, other_engine},
      {"http_mode", {}, {}, other_engine}, {"program", {}, {}, no_programs}, {"gpu_dev_ids", {}, {}, other_engine},
      {"uri", {}, {}, other_engine}, {"nfs_url", {}, {}, other_engine}, {"sg_write_mode", {}, {}, other_engine},
      {"clustername", {}, {}, other_engine}, {"clientname", {}, {}, other_engine}, {"verb", {}, {}, other_engine},
  };
  return options;
}

#undef FLAG
#undef NUMBER
#undef TIME
#undef AMOUNT

// How many letters to change, add or drop.
std::size_t edits(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= from.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= to.size(); ++j) {
      const std::size_t changed = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::span<const FioOption> fio_options() { return table(); }

const FioOption* find_fio_option(std::string_view name) {
  const auto found = std::ranges::find(table(), name, &FioOption::name);
  return found == table().end() ? nullptr : &*found;
}

std::string_view closest_fio_option(std::string_view name) {
  constexpr std::size_t name_bytes_max = 64;  // a longer one is near to none
  if (name.size() > name_bytes_max) return {};
  std::string_view closest;
  std::size_t fewest = 1 + std::max<std::size_t>(2, name.size() / 3);
  for (const FioOption& option : table()) {
    const std::size_t distance = edits(name, option.name);
    if (distance >= fewest) continue;
    fewest = distance;
    closest = option.name;
  }
  return closest;
}

}  // namespace cowbench::workloads
