#include "harness/cowfs_options.h"

#include <fmt/format.h>

#include "harness/byte_size.h"

namespace cowbench::harness {
namespace {

struct OptionRow {
  std::string_view name;
  std::optional<u64> CowfsOptions::*value;
  u64 least, most;
};

constexpr OptionRow option_rows[] = {
    {"cache", &CowfsOptions::cache_bytes, cowfs::mib, 1024 * cowfs::gib},
    {"node_cache", &CowfsOptions::node_cache_bytes, cowfs::mib, 1024 * cowfs::gib},
    {"cores", &CowfsOptions::cores, 1, 1024},
    {"spin_us", &CowfsOptions::spin_us, 0, 1'000'000},
    {"commit_ms", &CowfsOptions::commit_ms, 1, 1'000'000},
    {"discard", &CowfsOptions::discard, 0, 1},
    {"populate", &CowfsOptions::populate, 0, 1},
    {"slices", &CowfsOptions::slices, 1, 32768},
    {"bucket", &CowfsOptions::bucket_bytes, 4 * cowfs::kib, cowfs::gib},
    {"single_flush", &CowfsOptions::single_flush, 0, 1},
    {"replicas", &CowfsOptions::replicas, 1, 4},
    {"journal", &CowfsOptions::journal_bytes, cowfs::mib, 1024 * cowfs::gib},
};

Action set_option(CowfsOptions& options, std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  for (const OptionRow& row : option_rows) {
    if (row.name != name) continue;
    if (name.size() == word.size())
      return Failure{FailureKind::request, fmt::format("cowfs option '{}' has no value", name), "write name=value"};
    auto value = parse_size(word.substr(name.size() + 1));
    if (!value) return Failure{FailureKind::request, fmt::format("cowfs option {}: {}", word, value.failure().what), ""};
    if (*value < row.least || *value > row.most)
      return Failure{FailureKind::request, fmt::format("cowfs option {}: {} to {}", word, row.least, row.most), ""};
    if (options.*row.value)
      return Failure{FailureKind::request, fmt::format("cowfs option '{}' is given twice", name), ""};
    options.*row.value = *value;
    return Done{};
  }
  return Failure{FailureKind::request, fmt::format("cowfs has no option '{}'", name),
                 "it has " + known_cowfs_options()};
}

}  // namespace

std::string known_cowfs_options() {
  std::string names;
  for (const OptionRow& row : option_rows) names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name);
  return names;
}

Outcome<CowfsOptions> parse_cowfs_options(std::string_view text) {
  CowfsOptions options;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    if (const Action set = set_option(options, word); !set) return set.failure();
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return options;
}

}  // namespace cowbench::harness
