#include "results/store/run.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>

namespace cowbench::store {
namespace {
constexpr std::array<std::string_view, 2> status_names{"complete", "partial"};
}

std::string_view name(RunStatus status) { return status_names[static_cast<std::size_t>(status)]; }

std::optional<RunStatus> status_named(std::string_view text) {
  for (std::size_t at = 0; at < status_names.size(); ++at) {
    if (status_names[at] == text) return static_cast<RunStatus>(at);
  }
  return std::nullopt;
}

std::string id_of(const StoredRun& run) {
  const std::string text = fmt::format("{}\n{}\n{}", name(run.status), run.reason, to_json_line(run.record));
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string fingerprint_of(const results::Environment& environment) {
  const std::string text = fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", environment.kernel,
                                       environment.kernel_command_line, environment.cpu, environment.governor,
                                       environment.mitigations, environment.virtualization, environment.cores,
                                       environment.memory_bytes >> 27);  // what is free varies a little: to 128 MiB
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

}  // namespace cowbench::store
