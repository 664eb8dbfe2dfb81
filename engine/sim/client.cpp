#include "engine/sim/client.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <cerrno>

#include "engine/device/aligned_buffer.h"

namespace cowfs::sim {

namespace {

constexpr std::size_t handles_max = 6;
constexpr std::size_t problems_max = 5;

std::string random_bytes(Random& random, u64 bytes) {
  std::string data(bytes, '\0');
  u64 word = random.next();
  for (u64 i = 0; i < bytes; ++i) {
    if (i % 64 == 0) word = random.next();
    data[i] = static_cast<char>(word >> (i % 8 * 8) ^ (i / 8 % 8));
  }
  return data;
}

}  // namespace

Client::Client(Model& model, const ClientSettings& settings)
    : model_(model),
      settings_(settings),
      random_(settings.seed),
      home_("/home" + std::to_string(settings.id)),
      shared_prefix_("/shared/of" + std::to_string(settings.id) + "_") {}

void Client::problem(const std::string& text) {
  if (problems_.size() < problems_max) {
    problems_.push_back("client " + std::to_string(settings_.id) + " operation " + std::to_string(operation_) + ": " +
                        text);
  }
  stopped_ = true;
}

bool Client::is_device_error(const Error& error) const {
  return settings_.errors_expected && error_class(error.code) == ErrorClass::io;
}

void Client::compare(std::string_view what, const std::string& path, int expected, const Status& got) {
  if (!got && is_device_error(got.error())) {
    stopped_ = true;
    return;
  }
  if (settings_.errors_expected && !got && (error_class(got.error().code) == ErrorClass::retry)) {
    stopped_ = true;
    return;
  }
  const int told = got ? 0 : to_errno(got.error().code);
  if (told == expected) return;
  problem(std::string(what) + " " + path + ": expected " + strerrorname_np(expected) + ", got " +
          (got ? "done" : to_text(got.error())));
}

bool Client::is_own(const std::string& path) const {
  return path.starts_with(home_ + "/") || path == home_ || path.starts_with(shared_prefix_);
}

Model::Listing Client::own_names() const {
  Model::Listing listing = model_.list(home_);
  listing.merge(model_.list(shared_prefix_));
  return listing;
}

void Client::names_changed() { states_.push_back(own_names()); }

void Client::now_durable(u64 operation) {
  while (first_state_ < operation) {
    assert(states_.size() > 1);
    states_.pop_front();
    ++first_state_;
  }
}

Task<void> Client::set_up(fs::Operations* operations) {
  operations_ = operations;
  const Status made = co_await operations->mkdir(home_, 0755);
  compare("mkdir", home_, model_.mkdir(home_), made);
  co_await learn_inode(home_);
  const Status synced = co_await operations->sync();
  compare("sync", "", 0, synced);
  states_.push_back(own_names());
}

Task<void> Client::run(fs::Operations* operations, u64 count) {
  operations_ = operations;
  for (u64 i = 0; i < count && !stopped_; ++i) co_await one_operation();
  while (!handles_.empty()) co_await close_file(handles_.size() - 1);
}

Task<void> Client::one_operation() {
  const u64 dice = random_.below(100);
  if (dice < 30 || handles_.empty()) {
    if (random_.one_in(2)) {
      co_await open_file();
    } else {
      co_await change_names();
    }
    co_return;
  }
  const std::size_t index = random_.below(handles_.size());
  Handle* file = handles_[index].get();
  if (dice < 58) {
    co_await write_file(file);
  } else if (dice < 70) {
    co_await read_file(file);
  } else if (dice < 76) {
    co_await resize_file(file);
  } else if (dice < 80) {
    co_await punch_file(file);
  } else if (dice < 88) {
    co_await sync_file(file);
  } else if (dice < 90) {
    co_await sync_directory();
  } else if (dice < 91) {
    co_await sync_all();
  } else if (dice < 94) {
    co_await stat_file(file);
  } else {
    co_await close_file(index);
  }
}

std::string Client::new_name() { return "n" + std::to_string(random_.below(8)); }

std::string Client::some_directory() {
  std::vector<std::string> directories{home_, home_};
  for (const auto& [path, text] : own_names()) {
    if (text.starts_with("directory")) directories.push_back(path);
  }
  return directories[random_.below(directories.size())];
}

std::string Client::some_path() {
  const Model::Listing listing = own_names();
  if (random_.one_in(2) && listing.size() > 1) {
    auto at = listing.begin();
    std::advance(at, static_cast<long>(random_.below(listing.size())));
    if (at->first != home_) return at->first;
  }
  if (random_.one_in(4)) return shared_prefix_ + new_name();
  return some_directory() + "/" + new_name();
}

Task<void> Client::learn_inode(std::string path) {
  const NodePointer node = model_.find(path);
  const Result<Attributes> attributes = co_await operations_->stat(path, false);
  if (!attributes) {
    compare("stat", path, 0, attributes.error());
    co_return;
  }
  node->inode = attributes->inode;
  nodes_[node->inode] = node;
  if (!states_.empty()) states_.back() = own_names();
}

Task<void> Client::change_names() {
  const u64 kind = random_.below(12);
  const std::string path = some_path();
  const std::string other = some_path();
  model_.set_operation(operation_ + 1);
  int expected = 0;
  bool makes = false;
  std::string what;
  unsigned flags = 0;
  if (kind < 2) {
    what = "mkdir";
    makes = true;
    expected = model_.mkdir(path);
  } else if (kind < 4) {
    what = "unlink";
    expected = model_.unlink(path);
  } else if (kind < 6) {
    what = "rmdir";
    expected = model_.rmdir(path);
  } else if (kind < 7) {
    what = "link";
    expected = model_.link(other, path);
  } else if (kind < 8) {
    what = "symlink";
    makes = true;
    expected = model_.symlink(home_ + "/n1", path);
  } else {
    what = "rename";
    if (random_.one_in(4)) flags = random_.one_in(2) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    expected = model_.rename(other, path, flags);
  }
  if (expected == 0) {
    ++operation_;
    names_changed();
  }
  Status got;
  if (what == "mkdir") got = co_await operations_->mkdir(path, 0755);
  if (what == "unlink") got = co_await operations_->unlink(path);
  if (what == "rmdir") got = co_await operations_->rmdir(path);
  if (what == "link") got = co_await operations_->link(other, path);
  if (what == "symlink") {
    const std::string target = home_ + "/n1";
    got = co_await operations_->symlink(target, path);
  }
  if (what == "rename") got = co_await operations_->rename(other, path, flags);
  compare(what, path + " (" + other + ")", expected, got);
  if (makes && expected == 0 && !stopped_) co_await learn_inode(path);
}

Task<void> Client::make_file(std::string path) {
  model_.set_operation(operation_ + 1);
  const int expected = model_.create(path);
  if (expected == 0) {
    ++operation_;
    names_changed();
  }
  const Result<FileHandle> opened = co_await operations_->open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
  compare("create", path, expected, opened ? Status{} : Status{opened.error()});
  if (!opened) co_return;
  const Status closed = co_await operations_->close(*opened);
  compare("close", path, 0, closed);
  if (!stopped_) co_await learn_inode(path);
}

Task<void> Client::open_file() {
  if (handles_.size() == handles_max) co_return;
  const std::string path = some_path();
  const Model::End end = model_.resolve(path, true);
  if (end.error == 0 && end.node == nullptr && model_.find(path) == nullptr) {
    co_await make_file(path);
    co_return;
  }
  auto file = std::make_unique<Handle>();
  file->direct = random_.one_in(3);
  file->node = end.node;
  file->path = path;
  const int flags = O_RDWR | (file->direct ? O_DIRECT : 0);
  int expected = end.error;
  if (expected == 0) expected = end.node == nullptr ? ENOENT : end.node->type == NodeType::directory ? EISDIR : 0;
  const Result<FileHandle> opened = co_await operations_->open(path, flags, 0);
  compare("open", path, expected, opened ? Status{} : Status{opened.error()});
  if (!opened || expected != 0) co_return;
  file->handle = *opened;
  handles_.push_back(std::move(file));
}

Task<void> Client::write_file(Handle* file) {
  Node& node = *file->node;
  u64 offset = random_.below(settings_.file_bytes_max);
  if (random_.one_in(2)) offset = std::min<u64>(offset, node.data.size());
  if (random_.one_in(3)) offset = 0;
  u64 bytes = 1 + random_.below(random_.one_in(4) ? 300 * kib : random_.one_in(2) ? 20000 : 3000);
  if (random_.one_in(2)) {
    offset = round_down(offset, block_bytes);
    bytes = round_up(bytes, block_bytes);
  }
  const std::string data = random_bytes(random_, bytes);
  device::AlignedBuffer buffer(bytes);
  std::memcpy(buffer.data(), data.data(), bytes);
  node.versions.push_back(Model::written(node.data, offset, data));
  const ByteSpan from = buffer.span().first(bytes);
  const Result<u64> written = co_await operations_->write(file->handle, offset, from);
  compare("write", file->path, 0, written ? Status{} : Status{written.error()});
  if (!written) co_return;
  if (*written != bytes) problem("a short write");
  node.data = node.versions.back();
}

Task<void> Client::read_file(Handle* file) {
  Node& node = *file->node;
  const u64 offset =
      random_.one_in(3) ? 0 : round_down(random_.below(node.data.size() + 5000), random_.one_in(2) ? 4096 : 1);
  const u64 bytes = random_.one_in(2) ? 4096 * (1 + random_.below(40)) : 1 + random_.below(100000);
  device::AlignedBuffer buffer(bytes);
  const MutableByteSpan into = buffer.span().first(bytes);
  const Result<u64> read = co_await operations_->read(file->handle, offset, into);
  compare("read", file->path, 0, read ? Status{} : Status{read.error()});
  if (!read) co_return;
  const std::string expected = offset >= node.data.size() ? "" : node.data.substr(offset, bytes);
  if (*read != expected.size()) {
    problem("read " + file->path + ": " + std::to_string(*read) + " bytes, expected " +
            std::to_string(expected.size()));
    co_return;
  }
  const char* got = reinterpret_cast<const char*>(buffer.data());
  const auto differs = std::mismatch(expected.begin(), expected.end(), got).first;
  if (differs == expected.end()) co_return;
  const u64 at = offset + static_cast<u64>(differs - expected.begin());
  problem("read " + file->path + ": wrong byte at " + std::to_string(at) + " of " + std::to_string(node.data.size()) +
          ", inode " + std::to_string(node.inode) + (file->direct ? ", direct" : ""));
}

Task<void> Client::resize_file(Handle* file) {
  Node& node = *file->node;
  u64 bytes = random_.below(random_.one_in(3) ? settings_.file_bytes_max : node.data.size() + 1);
  if (random_.one_in(4)) bytes = 0;
  node.versions.push_back(Model::resized(node.data, bytes));
  const Status done = co_await operations_->truncate(file->handle, bytes);
  compare("truncate", file->path, 0, done);
  if (done) node.data = node.versions.back();
}

Task<void> Client::punch_file(Handle* file) {
  Node& node = *file->node;
  const u64 offset = random_.below(node.data.size() + 1);
  const u64 bytes = 1 + random_.below(100000);
  node.versions.push_back(Model::punched(node.data, offset, bytes));
  const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  const Status done = co_await operations_->allocate(file->handle, mode, offset, bytes);
  compare("punch", file->path, 0, done);
  if (done) node.data = node.versions.back();
}

Task<void> Client::sync_file(Handle* file) {
  Node& node = *file->node;
  const Status done = co_await operations_->fsync(file->handle);
  compare("fsync", file->path, 0, done);
  if (!done) co_return;
  node.versions = {node.data};
  if (node.links > 0) now_durable(node.last_change);
  if (observer_) observer_();
}

Task<void> Client::sync_directory() {
  const std::string path = some_directory();
  const NodePointer node = model_.find(path);
  const Result<FileHandle> handle = co_await operations_->open(path, O_RDONLY | O_DIRECTORY, 0);
  compare("open directory", path, 0, handle ? Status{} : Status{handle.error()});
  if (!handle) co_return;
  const Status done = co_await operations_->fsync(*handle);
  compare("fsync directory", path, 0, done);
  if (done) {
    now_durable(node->last_change);
    if (observer_) observer_();
  }
  const Status closed = co_await operations_->close(*handle);
  compare("close", path, 0, closed);
}

Task<void> Client::sync_all() {
  const Status done = co_await operations_->sync();
  compare("sync", "", 0, done);
  if (!done) co_return;
  now_durable(operation_);
  for (auto& [inode, node] : nodes_) {
    if (node->type == NodeType::file) node->versions = {node->data};
  }
  if (observer_) observer_();
}

Task<void> Client::stat_file(Handle* file) {
  const Result<Attributes> attributes = co_await operations_->stat(file->handle);
  compare("stat", file->path, 0, attributes ? Status{} : Status{attributes.error()});
  if (!attributes) co_return;
  const Node& node = *file->node;
  if (attributes->size != node.data.size() || attributes->links != node.links || attributes->inode != node.inode) {
    problem("stat " + file->path + ": size " + std::to_string(attributes->size) + " links " +
            std::to_string(attributes->links) + ", expected " + std::to_string(node.data.size()) + " and " +
            std::to_string(node.links));
  }
}

Task<void> Client::close_file(std::size_t index) {
  const std::unique_ptr<Handle> file = std::move(handles_[index]);
  handles_.erase(handles_.begin() + static_cast<long>(index));
  const Status closed = co_await operations_->close(file->handle);
  compare("close", file->path, 0, closed);
}

void Client::check_exact(const TreeFound& found, std::vector<std::string>& problems) const {
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

bool Client::matches(const Model::Listing& state, const TreeFound& found) const {
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

void Client::check_after_crash(const TreeFound& found, std::vector<std::string>& problems) const {
  const bool known =
      std::any_of(states_.begin(), states_.end(), [&](const auto& state) { return matches(state, found); });
  if (!known) {
    problems.push_back("client " + std::to_string(settings_.id) + ": names are of no moment since the last fsync (" +
                       std::to_string(states_.size()) + " candidates)");
    for (const auto& [path, text] : found.names) {
      if (is_own(path)) problems.push_back("  found   " + path + ": " + text);
    }
    for (const auto& [path, text] : states_.front()) problems.push_back("  oldest  " + path + ": " + text);
    for (const auto& [path, text] : states_.back()) problems.push_back("  newest  " + path + ": " + text);
  }
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
void Client::check_content(const Node& node, const std::string& path, const std::string& content,
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
