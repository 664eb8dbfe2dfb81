#include "engine/sim/expectation.h"

#include <algorithm>

namespace cowfs::sim {

Expectation::Expectation(Model& model, const ClientSettings& settings)
    : model_(model), settings_(settings), states_{own_names()} {}

bool Expectation::is_own(const std::string& path) const {
  return path.starts_with(home() + "/") || path == home() || path.starts_with(shared_prefix());
}

Model::Listing Expectation::own_names() const {
  Model::Listing listing = model_.list(home());
  if (!home().empty()) listing.merge(model_.list(shared_prefix()));
  return listing;
}

void Expectation::names_changed() {
  ++operation_;
  states_.push_back(own_names());
}

void Expectation::learned(const NodePointer& node) {
  nodes_[node->inode] = node;
  states_.back() = own_names();
}

void Expectation::synced(Node& node) {
  if (keeps_all()) return;
  if (node.type == NodeType::file) node.versions = {node.data};
  if (node.links > 0) now_durable(node.last_change);
}

void Expectation::synced_all() {
  if (keeps_all()) return;
  now_durable(operation_);
  for (auto& [inode, node] : nodes_) {
    if (node->type == NodeType::file) node->versions = {node->data};
  }
}

void Expectation::now_durable(u64 operation) {
  while (first_state_ < operation) {
    assert(states_.size() > 1);
    states_.pop_front();
    ++first_state_;
  }
}

void Expectation::check_exact(const TreeFound& found, std::vector<std::string>& problems) const {
  const Model::Listing expected = own_names();
  for (const auto& [path, text] : expected) {
    const auto at = found.names.find(path);
    if (at == found.names.end()) {
      problems.push_back(path + ": lost");
    } else if (at->second != text) {
      problems.push_back(path + ": " + at->second + ", expected " + text);
    }
  }
  for (const auto& [path, inode] : found.inodes) {
    if (!is_own(path)) continue;
    if (!expected.contains(path)) problems.push_back(path + ": should not be there");
    const auto content = found.contents.find(inode);
    const auto node = nodes_.find(inode);
    if (content == found.contents.end() || node == nodes_.end()) continue;
    const std::string& data = node->second->data;
    if (content->second == data) continue;
    const auto differs = std::mismatch(data.begin(), data.end(), content->second.begin(), content->second.end()).first;
    problems.push_back(path + ": content differs at byte " + std::to_string(differs - data.begin()) + "; " +
                       std::to_string(content->second.size()) + " bytes, expected " + std::to_string(data.size()));
  }
}

bool Expectation::matches(const Model::Listing& state, const TreeFound& found) const {
  u64 own = 0;
  for (const auto& [path, text] : found.names) {
    if (!is_own(path)) continue;
    ++own;
    const auto at = state.find(path);
    if (at == state.end()) return false;
    if (at->second == text) continue;
    // An operation under way has not told its inode yet.
    const std::size_t unknown = at->second.find("inode ?");
    if (unknown == std::string::npos || !text.starts_with(at->second.substr(0, unknown))) return false;
  }
  return own == state.size();
}

void Expectation::check_after_crash(const TreeFound& found, std::vector<std::string>& problems) const {
  const bool known = settings_.corruption_expected ||
      std::any_of(states_.begin(), states_.end(), [&](const auto& state) { return matches(state, found); });
  if (!known) {
    problems.push_back("names in " + home() + "/ are of no moment since the last fsync (" +
                       std::to_string(states_.size()) + " candidates)");
    for (const auto& [path, text] : found.names) {
      if (is_own(path)) problems.push_back("  found   " + path + ": " + text);
    }
    for (const auto& [path, text] : states_.front()) problems.push_back("  oldest  " + path + ": " + text);
    for (const auto& [path, text] : states_.back()) problems.push_back("  newest  " + path + ": " + text);
  }
  check_contents(found, problems);
}

void Expectation::check_contents(const TreeFound& found, std::vector<std::string>& problems) const {
  for (const auto& [path, inode] : found.inodes) {
    if (!is_own(path)) continue;
    const auto content = found.contents.find(inode);
    const auto node = nodes_.find(inode);
    if (content == found.contents.end()) continue;
    if (node != nodes_.end()) {
      check_content(*node->second, path, content->second, problems);
    } else if (!content->second.empty()) {
      problems.push_back(path + ": a file that was just being made has content");
    }
  }
}

// Between its last durable content and now, each byte is of one of the contents that the file had.
void Expectation::check_content(const Node& node, const std::string& path, const std::string& content,
                           std::vector<std::string>& problems) const {
  const auto shorter = [](const std::string& a, const std::string& b) { return a.size() < b.size(); };
  const auto [least, most] = std::minmax_element(node.versions.begin(), node.versions.end(), shorter);
  if (content.size() < least->size() || content.size() > most->size()) {
    problems.push_back(path + ": " + std::to_string(content.size()) + " bytes, expected " +
                       std::to_string(least->size()) + " to " + std::to_string(most->size()));
    return;
  }
  for (u64 at = 0; at < content.size(); ++at) {
    bool known = false;
    for (const std::string& version : node.versions) {
      known = known || (at < version.size() ? version[at] == content[at] : content[at] == 0 && version.size() <= at);
    }
    if (known) continue;
    problems.push_back(path + " inode " + std::to_string(node.inode) + ": byte " + std::to_string(at) + " of " +
                       std::to_string(content.size()) + " is of none of " + std::to_string(node.versions.size()) +
                       " contents");
    return;
  }
}

}  // namespace cowfs::sim
