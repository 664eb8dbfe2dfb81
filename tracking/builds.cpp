// A clone with borrowed objects and not one of git's worktrees: those are written down in the repository, and a kill -9
// would leave that to its owner. The tree stays as it was built, so that the next commit builds what changed.
#include "tracking/builds.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>

#include "harness/command.h"

namespace cowbench::tracking {
namespace {

namespace fs = std::filesystem;
using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::NamedCommand;
using harness::Outcome;

Failure file_failure(const std::string& what, const std::error_code& error) {
  return Failure{FailureKind::failed, fmt::format("{}: {}", what, error.message()), ""};
}

std::string hash_of(std::string_view text) {
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

// Of names, kinds, whether executable, and contents.
class TreeHash {
 public:
  TreeHash() : state_(XXH3_createState(), XXH3_freeState) { XXH3_128bits_reset(state_.get()); }
  void add(std::string_view text) {
    const u64 size = text.size();
    XXH3_128bits_update(state_.get(), &size, sizeof size);
    XXH3_128bits_update(state_.get(), text.data(), text.size());
  }
  Action add_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string part(1 << 16, '\0');
    while (in) {
      in.read(part.data(), static_cast<std::streamsize>(part.size()));
      XXH3_128bits_update(state_.get(), part.data(), static_cast<std::size_t>(in.gcount()));
    }
    if (!in.eof()) return Failure{FailureKind::failed, path + ": cannot be read", ""};
    add("end");
    return Done{};
  }
  std::string text() const {
    const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
    return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
  }

 private:
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state_;
};

Outcome<std::string> hash_tree(const std::string& root) {
  std::vector<fs::path> paths;
  std::error_code error;
  for (fs::recursive_directory_iterator at(root, error), end; !error && at != end; at.increment(error))
    paths.push_back(at->path());
  if (error) return file_failure(root, error);
  std::ranges::sort(paths);
  TreeHash hash;
  for (const fs::path& path : paths) {
    const fs::file_status status = fs::symlink_status(path, error);
    if (error) return file_failure(path, error);
    hash.add(fs::path(path).lexically_relative(root).native());
    if (fs::is_symlink(status)) {
      hash.add("link");
      hash.add(fs::read_symlink(path, error).native());
    } else if (fs::is_regular_file(status)) {
      hash.add((status.permissions() & fs::perms::owner_exec) == fs::perms::none ? "file" : "program");
      if (const Action added = hash.add_file(path); !added) return added.failure();
    }
  }
  return hash.text();
}

Action write_file(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  {
    std::ofstream out(fresh, std::ios::binary);
    out << text << std::flush;
    if (!out) return Failure{FailureKind::failed, fresh + ": cannot be written", ""};
  }
  std::error_code error;
  fs::rename(fresh, path, error);
  if (error) return file_failure(path, error);
  return Done{};
}

std::string first_word(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  in >> word;
  return word;
}

// Of whatever decides what a build is.
std::string folder_name(const Repository& repository, const Suite& suite) {
  std::string text = repository.path();
  for (const Words& words : suite.build) {
    text += '\n';
    for (const std::string& word : words) text += word + '\n';
  }
  for (const std::string& path : suite.keep) text += '\n' + path;
  return hash_of(text).substr(0, 16);
}

}  // namespace

std::string default_work_directory() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::string(cache) + "/cowbench/track";
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : std::string(home) + "/.cache/cowbench/track";
}

Builds::Builds(Builds&& other) noexcept
    : suite_(other.suite_),
      directory_(std::move(other.directory_)),
      lock_(std::exchange(other.lock_, -1)),
      failed_(std::move(other.failed_)) {}

Builds::~Builds() {
  if (lock_ >= 0) close(lock_);
}

Outcome<Builds> Builds::open(const Repository& repository, const Suite& suite, const std::string& work) {
  std::error_code error;
  const std::string directory = fs::absolute(work, error).native() + "/" + folder_name(repository, suite);
  for (const char* name : {"/builds", "/commits"}) {
    fs::create_directories(directory + name, error);
    if (error) return file_failure(directory, error);
  }
  const int lock = ::open((directory + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock < 0) return harness::system_failure("open " + directory + "/lock", errno);
  Builds builds(suite, directory, lock);
  if (flock(lock, LOCK_EX | LOCK_NB) != 0)
    return Failure{FailureKind::refused, directory + ": another cowbench builds there", "wait for it, or give --work"};
  // What a killed git left; nobody else works here while the lock is held.
  for (const char* file : {"tree.new", "tree/.git/index.lock", "tree/.git/HEAD.lock"}) fs::remove_all(builds.in(file), error);
  if (!fs::exists(builds.in("tree/.git/HEAD"))) {
    fs::remove_all(builds.in("tree"), error);
    const auto cloned = harness::run_checked(NamedCommand{
        {"git", "clone", "--quiet", "--shared", "--no-checkout", repository.path(), builds.in("tree.new")}, "/", 600});
    if (!cloned) return cloned.failure();
    fs::rename(builds.in("tree.new"), builds.in("tree"), error);
    if (error) return file_failure(builds.in("tree"), error);
  }
  return builds;
}

Outcome<Build> Builds::get(const std::string& sha) {
  const std::string hash = first_word(in("commits/" + sha));
  if (!hash.empty() && fs::exists(in("builds/" + hash))) return Build{hash, in("builds/" + hash)};
  if (const auto known = failed_.find(sha); known != failed_.end()) return known->second;
  auto built = make(sha);
  if (!built && built.failure().kind != FailureKind::interrupted) failed_.emplace(sha, built.failure());
  return built;
}

Outcome<Build> Builds::make(const std::string& sha) {
  if (const Action ran = run_build(sha); !ran) return ran.failure();
  const auto hash = keep(sha);
  if (!hash) return hash.failure();
  if (const Action noted = write_file(in("commits/" + sha), *hash + "\n"); !noted) return noted.failure();
  return Build{*hash, in("builds/" + *hash)};
}

Action Builds::run_build(const std::string& sha) const {
  const std::string tree = in("tree");
  const std::vector<Words> prepare = {{"git", "checkout", "--quiet", "--force", "--detach", sha},
                                      {"git", "clean", "-qfd"}};
  for (const Words& words : prepare) {
    if (const auto done = harness::run_checked(NamedCommand{words, tree, 600}); !done) return done.failure();
  }
  std::error_code error;  // what an earlier commit left must not pass for this one's
  for (const std::string& path : suite_->keep) {
    const bool tracked =
        harness::run_checked(NamedCommand{{"git", "ls-files", "--error-unmatch", "--", path}, tree, 60}).ok();
    if (!tracked) fs::remove_all(tree + "/" + path, error);
    if (error) return file_failure(tree + "/" + path, error);
  }
  for (const Words& words : suite_->build) {
    if (const auto done = harness::run_checked(NamedCommand{words, tree, suite_->build_timeout_seconds}); !done)
      return done.failure();
  }
  return Done{};
}

Outcome<std::string> Builds::keep(const std::string& sha) const {
  const std::string fresh = in("builds/new");
  std::error_code error;
  fs::remove_all(fresh, error);
  for (const std::string& path : suite_->keep) {
    const fs::path from = fs::path(in("tree")) / path, to = fs::path(fresh) / path;
    if (!fs::exists(from)) return Failure{FailureKind::failed, fmt::format("{}: the build left no {}", sha, path), ""};
    fs::create_directories(to.parent_path(), error);
    if (!error) fs::copy(from, to, fs::copy_options::recursive | fs::copy_options::copy_symlinks, error);
    if (error) return file_failure("keep " + from.native(), error);
  }
  const auto hash = hash_tree(fresh);
  if (!hash) return hash.failure();
  if (fs::exists(in("builds/" + *hash))) return *hash;
  fs::rename(fresh, in("builds/" + *hash), error);
  if (error) return file_failure("keep " + fresh, error);
  return *hash;
}

}  // namespace cowbench::tracking
