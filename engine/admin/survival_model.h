// For tests: what may be left of one client's files when its process is killed at any moment.
//
// Told what the client did, in order, and which of its syncs were answered, it knows every moment of the history since the
// last answered one. What is found must be one of them in its names, and in each file every byte must be one that was synced
// or written since. That is all that cowfs promises (docs/reliability.md).
#pragma once
#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/types.h"

namespace cowfs::admin {

struct FoundFile {
  bool directory = false;
  std::string content;
  bool operator==(const FoundFile&) const = default;
};
using FoundTree = std::map<std::string, FoundFile>;  // by path

// A regular file or a directory, whatever it is called now.
class SurvivingFile {
 public:
  explicit SurvivingFile(bool directory) : directory_(directory) {}
  bool directory() const { return directory_; }
  u64 changed = 0;  // the moment of its last change; the model's

  void write(u64 offset, std::string_view data) {
    changes_.push_back({offset, std::string(data), false});
    grow(offset + data.size());
  }
  void truncate() {
    changes_.push_back({0, {}, true});
    size_ = size_min_ = 0;
  }
  void become_durable() {
    for (const Change& change : changes_) {
      if (change.truncates) durable_.clear();
      if (durable_.size() < change.end()) durable_.resize(change.end(), '\0');
      durable_.replace(change.offset, change.data.size(), change.data);
    }
    changes_.clear();
    size_min_ = size_max_ = size_;
  }

  // Why it cannot have this content; empty: it can.
  std::string objection(std::string_view content) const {
    if (content.size() < size_min_ || content.size() > size_max_)
      return fmt::format("has {} bytes, possible are {} to {}", content.size(), size_min_, size_max_);
    const u64 at = unexplained(content);
    return at == content.size() ? std::string() : fmt::format("byte {} was never written there", at);
  }

 private:
  struct Change {
    u64 offset;
    std::string data;
    bool truncates;  // to nothing; then there are no data
    u64 end() const { return offset + data.size(); }
  };

  void grow(u64 size) {
    size_ = std::max(size_, size);
    size_max_ = std::max(size_max_, size_);
  }

  // The first byte that was neither synced nor written since, nor is a zero where nothing was; the size when there is none.
  u64 unexplained(std::string_view content) const {
    std::vector<bool> explained(content.size());
    const auto explain = [&](u64 offset, std::string_view data) {
      const u64 end = std::min<u64>(content.size(), offset + data.size());
      for (u64 at = offset; at < end; ++at) {
        if (content[at] == data[at - offset]) explained[at] = true;
      }
    };
    explain(0, durable_);
    bool cut = false;
    for (const Change& change : changes_) {
      explain(change.offset, change.data);
      cut = cut || change.truncates;
    }
    for (u64 at = cut ? 0 : durable_.size(); at < content.size(); ++at) {
      if (content[at] == '\0') explained[at] = true;
    }
    return static_cast<u64>(std::find(explained.begin(), explained.end(), false) - explained.begin());
  }

  const bool directory_;
  std::string durable_;
  std::vector<Change> changes_;  // since
  u64 size_ = 0, size_min_ = 0, size_max_ = 0;  // now; of all moments since it was durable
};

class SurvivalModel {
 public:
  using File = std::shared_ptr<SurvivingFile>;

  void make_directory(const std::string& path) { add(path, true); }
  File create(const std::string& path) { return add(path, false); }
  // Null: there is none.
  File find(const std::string& path) const {
    const auto found = names_.find(path);
    return found == names_.end() ? nullptr : found->second;
  }
  void remove(const std::string& path) {
    names_.erase(path);
    moments_.push_back(names_);
  }
  // What `to` names is replaced; what is below a directory goes with it.
  void rename(const std::string& from, const std::string& to) {
    Names moved;
    for (auto name = names_.lower_bound(from); name != names_.end() && name->first.starts_with(from);) {
      const std::string below = name->first.substr(from.size());
      if (!below.empty() && below.front() != '/') {
        ++name;
        continue;
      }
      name->second->changed = now() + 1;
      moved[to + below] = std::move(name->second);
      name = names_.erase(name);
    }
    for (auto& [path, file] : moved) names_[path] = std::move(file);
    moments_.push_back(names_);
  }
  void write(const File& file, u64 offset, std::string_view data) {
    file->write(offset, data);
    file->changed = now();
  }
  void truncate(const File& file) {
    file->truncate();
    file->changed = now();
  }

  // An answered fsync of the directory that all names are in: every one, as it is now.
  void names_synced() { forget_before(now()); }
  // Of a file: its content, and all names as they were at its last change or later.
  void synced(const File& file) {
    file->become_durable();
    forget_before(file->changed);
  }
  void all_synced() {
    for (const auto& [path, file] : names_) file->become_durable();
    names_synced();
  }

  // Why no moment of history explains what was found; empty: one does.
  std::string objection(const FoundTree& found) const {
    std::string newest;
    for (auto moment = moments_.rbegin(); moment != moments_.rend(); ++moment) {
      const std::string why = objection(*moment, found);
      if (why.empty()) return why;
      if (newest.empty() || newest.starts_with(names_differ)) newest = why;
    }
    return newest + " (" + std::to_string(moments_.size()) + " moments are possible)";
  }

 private:
  using Names = std::map<std::string, File>;
  static constexpr const char* names_differ = "names differ";

  u64 now() const { return forgotten_ + moments_.size() - 1; }
  void forget_before(u64 moment) {
    while (forgotten_ < moment) {
      moments_.pop_front();
      ++forgotten_;
    }
  }
  File add(const std::string& path, bool directory) {
    const File file = std::make_shared<SurvivingFile>(directory);
    names_[path] = file;
    moments_.push_back(names_);
    file->changed = now();
    return file;
  }

  static std::string objection(const Names& names, const FoundTree& found) {
    for (const auto& [path, file] : names) {
      const auto there = found.find(path);
      if (there == found.end()) return fmt::format("{}: {} is missing", names_differ, path);
      if (there->second.directory != file->directory()) return fmt::format("{}: {} is of another type", names_differ, path);
    }
    for (const auto& [path, file] : found) {
      if (!names.contains(path)) return fmt::format("{}: {} should not be there", names_differ, path);
    }
    for (const auto& [path, file] : names) {
      const std::string why = file->objection(found.at(path).content);
      if (!why.empty()) return path + " " + why;
    }
    return {};
  }

  Names names_;
  std::deque<Names> moments_{Names{}};  // since the last answered sync; the last is now
  u64 forgotten_ = 0;                   // moments before them
};

}  // namespace cowfs::admin
