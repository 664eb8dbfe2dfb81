// What is read of a git repository. Nothing is ever written to it.
#pragma once
#include <string>
#include <vector>

#include "harness/outcome.h"

namespace cowbench::tracking {

struct Commit {
  std::string sha, subject;
  std::string committed;  // ISO 8601, with its zone
};

class Repository {
 public:
  // Failure missing: there is no repository at `path`, or no git.
  static harness::Outcome<Repository> open(const std::string& path);

  // "A..B": A, and then what leads from it to B along first parents, oldest first. At least two.
  // Failure request: not a range, a revision that is not there, or A is no ancestor of B.
  harness::Outcome<std::vector<Commit>> range(const std::string& range) const;
  harness::Outcome<Commit> commit(const std::string& revision) const;
  // Whether files are changed that no commit holds; they are not measured.
  harness::Outcome<bool> dirty() const;

  const std::string& path() const { return path_; }  // absolute

 private:
  explicit Repository(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace cowbench::tracking
