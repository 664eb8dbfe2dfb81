// What must be there of one client's names and files: exactly the model's newest state, or after a crash one of the
// states since what is known to be durable (docs/decisions/005).
#pragma once
#include <deque>

#include "engine/sim/model.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

// What may be told that there is no space.
enum class Refusals : u8 {
  none,
  of_more,  // what wants more than there is: the device is full
  of_any,   // requests for space are refused although there is some
};

struct ClientSettings {
  std::string home = {};           // exists already, and so does the directory of shared names; empty: everything
  std::string shared_prefix = {};  // only with a home
  bool errors_expected = false;    // of the device: the client stops at the first
  Refusals refusals = Refusals::none;  // of space: the same
  bool corruption_expected = false;  // besides: nothing is promised but that bytes read were once written
  bool history_may_be_lost = false;  // what was synced too, but what is there is of one moment
};

class Expectation {
 public:
  // The names below `home` and those that begin with `shared_prefix` are this client's.
  Expectation(Model& model, const ClientSettings& settings);

  const std::string& home() const { return settings_.home; }
  const std::string& shared_prefix() const { return settings_.shared_prefix; }
  Model::Listing own_names() const;

  // Names of the model will change, or just did: as one operation that is whole or not there.
  u64 next_operation() const { return operation_ + 1; }
  void names_changed();
  // A file that was made has its inode now.
  void learned(const NodePointer& node);
  // An fsync of a node, or of everything, was acknowledged.
  void synced(Node& node);
  void synced_all();

  void check_exact(const TreeFound& found, std::vector<std::string>& problems) const;
  void check_after_crash(const TreeFound& found, std::vector<std::string>& problems) const;
  // That bytes of files are those of some moment since the last fsync, whatever the names are.
  void check_contents(const TreeFound& found, std::vector<std::string>& problems) const;

 private:
  bool keeps_all() const { return settings_.corruption_expected || settings_.history_may_be_lost; }
  bool is_own(const std::string& path) const;
  void now_durable(u64 operation);
  bool matches(const Model::Listing& state, const TreeFound& found) const;
  void check_content(const Node& node, const std::string& path, const std::string& content,
                     std::vector<std::string>& problems) const;

  Model& model_;
  const ClientSettings settings_;
  u64 operation_ = 0;
  std::deque<Model::Listing> states_;  // newest last
  u64 first_state_ = 0;                // operation number of the oldest
  std::map<u64, NodePointer> nodes_;   // by inode, also of removed files
};

}  // namespace cowfs::sim
