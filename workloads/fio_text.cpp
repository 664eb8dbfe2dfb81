#include "workloads/fio_text.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

namespace cowbench::workloads {
namespace {

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

u64 number_of(std::string_view keyword) {
  if (keyword == "$pagesize") return static_cast<u64>(sysconf(_SC_PAGESIZE));
  if (keyword == "$ncpus") return static_cast<u64>(sysconf(_SC_NPROCESSORS_ONLN));
  struct sysinfo info = {};
  sysinfo(&info);
  return info.totalram * info.mem_unit / cowfs::mib;  // $mb_memory
}

// ${VAR}, then the keywords; a keyword next to an operator becomes a bracketed expression with it, as fio lets bc do.
std::string expanded(std::string_view value) {
  std::string out;
  while (!value.empty()) {
    const auto at = value.find("${");
    const auto end = at == std::string_view::npos ? at : value.find('}', at);
    if (end == std::string_view::npos) break;
    out += value.substr(0, at);
    const char* variable = std::getenv(std::string(value.substr(at + 2, end - at - 2)).c_str());
    if (variable != nullptr) out += variable;
    value.remove_prefix(end + 1);
  }
  out += value;
  bool replaced = false;
  for (const std::string_view keyword : {"$pagesize", "$mb_memory", "$ncpus"}) {
    for (auto at = out.find(keyword); at != std::string::npos; at = out.find(keyword)) {
      out.replace(at, keyword.size(), std::to_string(number_of(keyword)));
      replaced = true;
    }
  }
  const bool arithmetic = replaced && out.find_first_of("+-*/%^") != std::string::npos;
  return arithmetic && out.front() != '(' ? "(" + out + ")" : out;
}

std::optional<FioError> read_text(const FioPlace& from, const std::string& file, std::string& text) {
  struct stat status = {};
  const auto error = [&](const char* reason) { return FioError{from, fmt::format("{}: {}", file, reason)}; };
  if (stat(file.c_str(), &status) != 0) return error("cannot be opened");
  if (!S_ISREG(status.st_mode)) return error("is no regular file");
  if (static_cast<u64>(status.st_size) > fio_file_bytes_max) return error("is larger than 1 MiB, so it is no job file");
  std::ifstream in(file, std::ios::binary);
  text.assign(std::istreambuf_iterator<char>(in), {});
  if (!in) return error("cannot be read");
  return {};
}

class TextParser {
 public:
  FioResult<FioSections> parse(std::string_view text, const std::string& file) {
    if (auto error = parse_lines(text, file, 0)) return *error;
    return std::move(sections_);
  }

 private:
  std::optional<FioError> parse_lines(std::string_view text, const std::string& file, u32 depth) {
    FioPlace place{file, 0};
    while (!text.empty()) {
      ++place.line;
      const auto end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      if (line.find('\0') != std::string_view::npos) return FioError{place, "a NUL byte"};
      line = trimmed(line.substr(0, line.find_first_of(";#")));
      if (line.empty()) continue;
      if (auto error = parse_line(line, place, depth)) return error;
    }
    return {};
  }

  std::optional<FioError> parse_line(std::string_view line, const FioPlace& place, u32 depth) {
    if (line.front() == '[') {
      const auto end = line.find(']');
      if (end == std::string_view::npos) return FioError{place, "a section's name without its ]"};
      const std::string_view name = trimmed(line.substr(1, end - 1));
      if (name.empty()) return FioError{place, "a section without a name"};
      sections_.push_back({std::string(name), place, {}});
      return {};
    }
    if (sections_.empty()) return FioError{place, fmt::format("\"{}\" stands outside of a [section]", line)};
    if (line.starts_with("include ")) return include(std::string(trimmed(line.substr(8))), place, depth);
    if (++settings_ > fio_settings_max) return FioError{place, "too many settings"};
    const auto equals = line.find('=');
    const std::string_view key = trimmed(line.substr(0, equals));
    if (key.empty()) return FioError{place, fmt::format("\"{}\": a value without an option", line)};
    const std::string value = equals == std::string_view::npos ? "" : expanded(trimmed(line.substr(equals + 1)));
    sections_.back().settings.push_back({std::string(key), value, place});
    return {};
  }

  std::optional<FioError> include(const std::string& name, const FioPlace& place, u32 depth) {
    if (depth == fio_include_depth_max) return FioError{place, fmt::format("include {}: files include each other", name)};
    const auto beside = std::filesystem::path(place.file).parent_path() / name;
    std::string text;
    if (auto error = read_text(place, beside.string(), text)) return error;
    return parse_lines(text, beside.string(), depth + 1);
  }

  FioSections sections_;
  u64 settings_ = 0;
};

}  // namespace

std::string FioError::to_text() const {
  if (place.line == 0) return fmt::format("{}: {}", place.file, reason);
  return fmt::format("{}:{}: {}", place.file, place.line, reason);
}

FioResult<FioSections> read_fio_file(const std::string& file) {
  std::string text;
  if (auto error = read_text({file, 0}, file, text)) return FioError{{file, 0}, error->reason.substr(file.size() + 2)};
  return parse_fio_text(text, file);
}

FioResult<FioSections> parse_fio_text(std::string_view text, const std::string& file) {
  return TextParser().parse(text, file);
}

FioResult<FioSections> parse_fio_arguments(const std::vector<std::string>& arguments) {
  FioSections sections;
  FioPlace place{"command line", 0};
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    place.line = at + 1;
    const std::string& argument = arguments[at];
    if (!argument.starts_with("--") || argument.size() == 2) return FioError{place, fmt::format("\"{}\" is no option", argument)};
    const auto equals = argument.find('=');
    const std::string key = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const bool detached = equals == std::string::npos && at + 1 < arguments.size() && !arguments[at + 1].starts_with("--");
    if (detached) value = arguments[++at];
    if (key == "name") {
      sections.push_back({value, place, {}});
      continue;
    }
    if (sections.empty()) sections.push_back({"global", place, {}});
    sections.back().settings.push_back({key, expanded(value), place});
  }
  return sections;
}

}  // namespace cowbench::workloads
