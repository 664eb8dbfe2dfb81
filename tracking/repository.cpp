#include "tracking/repository.h"

#include <fmt/format.h>

#include <filesystem>

#include "harness/command.h"

namespace cowbench::tracking {
namespace {

using harness::Failure;
using harness::FailureKind;
using harness::Outcome;

constexpr std::size_t commits_max = 10'000;
constexpr const char* commit_format = "--format=%H%x09%cI%x09%s";

Outcome<std::string> git(const std::string& path, std::vector<std::string> words) {
  words.insert(words.begin(), {"git", "-C", path});
  const auto done = harness::run_checked(harness::NamedCommand{std::move(words), "/", 120});
  if (!done) return done.failure();
  return done->output;
}

std::vector<Commit> parse_commits(std::string_view text) {
  std::vector<Commit> commits;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    const std::size_t sha = line.find('\t');
    const std::size_t date = sha == line.npos ? sha : line.find('\t', sha + 1);
    if (date != line.npos)
      commits.push_back({std::string(line.substr(0, sha)), std::string(line.substr(date + 1)),
                         std::string(line.substr(sha + 1, date - sha - 1))});
    at = end + 1;
  }
  return commits;
}

}  // namespace

Outcome<Repository> Repository::open(const std::string& path) {
  std::error_code ignored;  // git says it better
  const std::string absolute = std::filesystem::absolute(path, ignored);
  const auto top = git(absolute, {"rev-parse", "--absolute-git-dir"});
  if (!top)
    return Failure{FailureKind::missing, fmt::format("{}: not a git repository that can be read", path),
                   top.failure().what};
  return Repository(std::filesystem::canonical(absolute, ignored));
}

Outcome<Commit> Repository::commit(const std::string& revision) const {
  const auto listed = git(path_, {"log", "-1", commit_format, "--end-of-options", revision + "^{commit}"});
  if (!listed) return Failure{FailureKind::request, fmt::format("{}: no commit {}", path_, revision), ""};
  return parse_commits(*listed).front();
}

Outcome<std::vector<Commit>> Repository::range(const std::string& range) const {
  const std::size_t dots = range.find("..");
  if (dots == range.npos || dots == 0 || range.substr(dots + 2).empty() || range[dots + 2] == '.')
    return Failure{FailureKind::request, fmt::format("{}: not a range of commits", range), "write it as A..B"};
  const auto first = commit(range.substr(0, dots)), last = commit(range.substr(dots + 2));
  if (!first) return first.failure();
  if (!last) return last.failure();
  if (!git(path_, {"merge-base", "--is-ancestor", first->sha, last->sha}))
    return Failure{FailureKind::request, fmt::format("{}: the first is no ancestor of the second", range), ""};
  const auto listed = git(path_, {"log", "--first-parent", "--reverse", commit_format, first->sha + ".." + last->sha});
  if (!listed) return listed.failure();
  std::vector<Commit> commits{*first};
  for (Commit& commit : parse_commits(*listed)) commits.push_back(std::move(commit));
  if (commits.size() < 2) return Failure{FailureKind::request, fmt::format("{}: one commit only", range), ""};
  if (commits.size() > commits_max)
    return Failure{FailureKind::request, fmt::format("{}: {} commits; at most {}", range, commits.size(), commits_max),
                   ""};
  return commits;
}

Outcome<bool> Repository::dirty() const {
  const auto status = git(path_, {"status", "--porcelain", "--untracked-files=no"});
  if (!status) return status.failure();
  return !status->empty();
}

}  // namespace cowbench::tracking
