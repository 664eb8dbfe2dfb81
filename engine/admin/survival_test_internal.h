// For tests: what may be left of one client's files when its process is killed at any moment.
//
// Told what the client did, in order, and which of its syncs were answered, it knows every moment of the history since the
// last answered one. What is found must be one of them in its names, and in each file every byte must be one that was synced
// or written since. That is all that cowfs promises (docs/reliability.md).
#pragma once
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

class SurvivalModel {
 public:
  void make_directory(const std::string& path) { add(path, true); }
  void create(const std::string& path) { add(path, false); }
  void remove(const std::string& path) {
    names_.erase(path);
    moments_.push_back(names_);
  }
  void rename(const std::string& from, const std::string& to) {
    names_[to] = std::move(names_.at(from));
    remove(from);
    names_[to]->changed = now();
  }
  void write(const std::string& path, u64 offset, std::string_view data) {
    File& file = *names_.at(path);
    file.size_max = std::max<u64>(file.size_max, offset + data.size());
    file.writes.push_back({offset, std::string(data)});
    file.changed = now();
  }

  // An answered fsync of the directory that all names are in: every one, as it is now.
  void names_synced() { forget_before(now()); }
  // Of a file: its content, and all names as they were at its last change or later.
  void synced(const std::string& path) {
    File& file = *names_.at(path);
    file.become_durable();
    forget_before(file.changed);
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
  struct Write {
    u64 offset = 0;
    std::string data;
  };
  struct File {
    bool directory = false;
    std::string durable;
    std::vector<Write> writes;  // since
    u64 size_max = 0;
    u64 changed = 0;  // the moment

    void become_durable() {
      durable.resize(size_max, '\0');
      for (const Write& write : writes) durable.replace(write.offset, write.data.size(), write.data);
      writes.clear();
    }
    bool explains(u64 at, char byte) const {
      if (at < durable.size() ? durable[at] == byte : byte == '\0') return true;
      return std::any_of(writes.begin(), writes.end(), [&](const Write& write) {
        return at >= write.offset && at < write.offset + write.data.size() && write.data[at - write.offset] == byte;
      });
    }
  };
  using Names = std::map<std::string, std::shared_ptr<File>>;
  static constexpr const char* names_differ = "names differ";

  u64 now() const { return forgotten_ + moments_.size() - 1; }
  void forget_before(u64 moment) {
    while (forgotten_ < moment) {
      moments_.pop_front();
      ++forgotten_;
    }
  }
  void add(const std::string& path, bool directory) {
    names_[path] = std::make_shared<File>(File{directory, {}, {}, 0, now() + 1});
    moments_.push_back(names_);
  }

  static std::string objection(const Names& names, const FoundTree& found) {
    for (const auto& [path, file] : names) {
      const auto there = found.find(path);
      if (there == found.end()) return std::string(names_differ) + ": " + path + " is missing";
      if (there->second.directory != file->directory)
        return std::string(names_differ) + ": " + path + " is of another type";
    }
    for (const auto& [path, file] : found) {
      if (!names.contains(path)) return std::string(names_differ) + ": " + path + " should not be there";
    }
    for (const auto& [path, file] : names) {
      const std::string& content = found.at(path).content;
      if (content.size() < file->durable.size() || content.size() > file->size_max) {
        return path + " has " + std::to_string(content.size()) + " bytes, possible are " +
               std::to_string(file->durable.size()) + " to " + std::to_string(file->size_max);
      }
      for (u64 at = 0; at < content.size(); ++at) {
        if (!file->explains(at, content[at])) return path + ": byte " + std::to_string(at) + " was never written there";
      }
    }
    return {};
  }

  Names names_;
  std::deque<Names> moments_{Names{}};  // since the last answered sync; the last is now
  u64 forgotten_ = 0;                   // moments before them
};

}  // namespace cowfs::admin
