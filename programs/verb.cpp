#include "programs/verb.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

namespace cowbench::programs {
namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

bool say_cannot_write(const std::string& file) {
  fmt::print(stderr, "cowbench: {}: {}\n", file, std::strerror(errno));
  return false;
}

}  // namespace

int report_failure(const harness::Failure& failure) {
  using harness::FailureKind;
  // The thread that got the signal is cleaning up and lets the signal end this process.
  if (failure.kind == FailureKind::interrupted)
    while (true) pause();
  fmt::print(stderr, "cowbench: {}\n", to_text(failure));
  switch (failure.kind) {
    case FailureKind::request:
    case FailureKind::missing: return exit_bad_input;
    case FailureKind::refused: return exit_refused;
    default: return exit_run_failed;
  }
}

bool write_output(const std::string& file, std::string_view text) {
  const File out(file == "-" ? stdout : std::fopen(file.c_str(), "w"),
                 [](std::FILE* opened) { return opened == stdout ? std::fflush(opened) : std::fclose(opened); });
  if (out == nullptr || std::fwrite(text.data(), 1, text.size(), out.get()) != text.size() ||
      std::fflush(out.get()) != 0)
    return say_cannot_write(file);
  return true;
}

bool can_write(const std::string& file) {
  if (file.empty() || file == "-") return true;
  const File out(std::fopen(file.c_str(), "a"), std::fclose);
  return out != nullptr || say_cannot_write(file);
}

std::optional<std::string> read_input(const std::string& file) {
  constexpr std::size_t input_bytes_max = 1 << 30;
  std::ifstream in(file, std::ios::binary);
  std::string text;
  char part[1 << 16];
  while (in && text.size() <= input_bytes_max) {
    in.read(part, sizeof part);
    text.append(part, static_cast<std::size_t>(in.gcount()));
  }
  if (in.eof() && text.size() <= input_bytes_max) return text;
  fmt::print(stderr, "cowbench: {}: {}\n", file, text.size() > input_bytes_max ? "larger than 1 GiB" : "cannot be read");
  return std::nullopt;
}

std::optional<store::Store> open_store(const std::string& file, store::Store::Access access) {
  if (file.find("://") != file.npos) {
    fmt::print(stderr, "cowbench: {}: a store is a file; results push and pull copy runs to and from a team's\n", file);
    return std::nullopt;
  }
  std::string reason;
  auto opened = store::Store::open(file, access, reason);
  if (opened) return std::move(*opened);
  report_store_failure(opened.error(), reason);
  return std::nullopt;
}

int report_store_failure(const cowfs::Error& error, const std::string& reason) {
  fmt::print(stderr, "cowbench: {}\n", reason);
  const bool request = error_class(error.code) == cowfs::ErrorClass::request;
  return request ? exit_bad_input : exit_run_failed;
}

}  // namespace cowbench::programs
