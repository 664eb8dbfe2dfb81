#include "harness/cowfs_options.h"

#include <fmt/format.h>

#include "harness/byte_size.h"

namespace cowbench::harness {
namespace {

using cowfs::ChecksumKind;

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

struct ChecksumRow {
  std::string_view name;
  std::optional<ChecksumKind> CowfsOptions::*value;
  bool none_allowed;
};

constexpr ChecksumRow checksum_rows[] = {
    {"data_checksum", &CowfsOptions::data_checksum, true},
    {"metadata_checksum", &CowfsOptions::metadata_checksum, false},
};

Failure bad(std::string_view word, const std::string& why) {
  return {FailureKind::request, fmt::format("cowfs option {}: {}", word, why), ""};
}

Outcome<u64> read_value(const OptionRow& row, std::string_view word, std::string_view text) {
  const auto value = parse_size(text);
  if (!value) return bad(word, value.failure().what);
  if (*value < row.least || *value > row.most) return bad(word, fmt::format("{} to {}", row.least, row.most));
  return *value;
}

Outcome<ChecksumKind> read_value(const ChecksumRow& row, std::string_view word, std::string_view text) {
  const std::optional<ChecksumKind> kind = cowfs::parse_checksum_kind(text);
  if (!kind || (*kind == ChecksumKind::none && !row.none_allowed))
    return bad(word, row.none_allowed ? "none, crc32c, crc64 or xxh3" : "crc32c, crc64 or xxh3");
  return *kind;
}

// Puts the value of `word` where its row says.
template <typename Row>
Action set_option(CowfsOptions& options, const Row& row, std::string_view word) {
  if (row.name.size() == word.size())
    return Failure{FailureKind::request, fmt::format("cowfs option '{}' has no value", row.name), "write name=value"};
  const auto value = read_value(row, word, word.substr(row.name.size() + 1));
  if (!value) return value.failure();
  if (options.*row.value)
    return Failure{FailureKind::request, fmt::format("cowfs option '{}' is given twice", row.name), ""};
  options.*row.value = *value;
  return Done{};
}

constexpr std::string_view erasure_name = "ec";

Action set_erasure(CowfsOptions& options, std::string_view word) {
  if (options.erasure) return Failure{FailureKind::request, "cowfs option 'ec' is given twice", ""};
  const std::size_t equals = word.find('=');
  if (equals != word.npos) options.erasure = cowfs::parse_erasure_code(word.substr(equals + 1));
  if (options.erasure) return Done{};
  return Failure{FailureKind::request, fmt::format("cowfs option {}: it is no erasure code", word),
                 "write ec=K+M, K from 2 to 16 and M from 1 to 4, such as ec=4+2"};
}

Action set_option(CowfsOptions& options, std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  if (name == erasure_name) return set_erasure(options, word);
  for (const OptionRow& row : option_rows)
    if (row.name == name) return set_option(options, row, word);
  for (const ChecksumRow& row : checksum_rows)
    if (row.name == name) return set_option(options, row, word);
  return Failure{FailureKind::request, fmt::format("cowfs has no option '{}'", name),
                 "it has " + known_cowfs_options()};
}

}  // namespace

std::string known_cowfs_options() {
  std::string names;
  for (const OptionRow& row : option_rows) names += fmt::format("{}, ", row.name);
  for (const ChecksumRow& row : checksum_rows) names += fmt::format("{}, ", row.name);
  return names.append(erasure_name);
}

Outcome<CowfsOptions> parse_cowfs_options(std::string_view text) {
  CowfsOptions options;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    if (const Action set = set_option(options, word); !set) return set.failure();
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  if (options.erasure && options.replicas)
    return Failure{FailureKind::request, "cowfs options ec and replicas exclude each other", "leave out one of them"};
  return options;
}

}  // namespace cowbench::harness
