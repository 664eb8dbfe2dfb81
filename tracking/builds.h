// Builds of commits, made in a tree of our own and kept: each is built once, and commits with equal builds share one.
// Below the work folder:
//   tree/           a clone that borrows the repository's objects; nothing is written to the repository itself
//   builds/HASH/    what the suite keeps of a build; HASH is of its contents
//   commits/SHA     the HASH of a commit's build
#pragma once
#include <map>
#include <string>

#include "harness/outcome.h"
#include "tracking/repository.h"
#include "tracking/suite.h"

namespace cowbench::tracking {

struct Build {
  std::string hash;       // 32 hexadecimal digits; equal for equal builds
  std::string directory;  // where its files lie, as the suite's `keep` names them
};

class Builds {
 public:
  // `work`: the folder that those of all suites share. Locks its own until it is destroyed.
  // Failures: refused: another process holds it; failed: it cannot be made.
  static harness::Outcome<Builds> open(const Repository& repository, const Suite& suite, const std::string& work);
  Builds(Builds&& other) noexcept;
  Builds& operator=(Builds&&) = delete;
  ~Builds();

  // Failures: failed: it does not build, and what said so; interrupted. The same failure again without another try.
  harness::Outcome<Build> get(const std::string& sha);

 private:
  Builds(const Suite& suite, std::string directory, int lock)
      : suite_(&suite), directory_(std::move(directory)), lock_(lock) {}
  harness::Outcome<Build> make(const std::string& sha);
  harness::Action run_build(const std::string& sha) const;
  harness::Outcome<std::string> keep(const std::string& sha) const;
  std::string in(const std::string& name) const { return directory_ + "/" + name; }

  const Suite* suite_;
  std::string directory_;
  int lock_ = -1;
  std::map<std::string, harness::Failure> failed_;
};

// $XDG_CACHE_HOME/cowbench/track or ~/.cache/cowbench/track; empty when neither variable is set.
std::string default_work_directory();

}  // namespace cowbench::tracking
