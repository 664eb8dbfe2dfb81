// The moments since the last fsync are walked from the newest to the oldest, by undoing one change after the other; only
// where the names agree is content looked at, and of each file once.
#include "harness/survival_model.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

namespace cowbench::harness {
namespace {

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : path.substr(0, slash);
}

// Marks the bytes of `found` that `bytes` at `offset` explains.
void explain(const std::vector<std::byte>& found, u64 offset, ByteSpan bytes, std::vector<bool>& explained) {
  const u64 end = std::min<u64>(found.size(), offset + bytes.size());
  for (u64 at = offset; at < end; ++at)
    if (found[at] == bytes[at - offset]) explained[at] = true;
}

}  // namespace

void SurvivingFile::write(u64 offset, ByteSpan bytes) {
  if (bytes.empty()) return;
  if (offset > content_.size()) gaps_.push_back({content_.size(), std::vector<std::byte>(offset - content_.size())});
  content_.resize(std::max<u64>(content_.size(), offset + bytes.size()));
  std::copy(bytes.begin(), bytes.end(), content_.begin() + static_cast<std::ptrdiff_t>(offset));
  writes_.push_back({offset, {bytes.begin(), bytes.end()}});
  size_max_ = std::max<u64>(size_max_, content_.size());
}

void SurvivingFile::truncate() {
  content_.clear();
  size_min_ = 0;
}

void SurvivingFile::make_durable() {
  durable_ = content_;
  writes_.clear();
  gaps_.clear();
  size_min_ = size_max_ = content_.size();
}

std::string SurvivingFile::objection(const std::vector<std::byte>& found) const {
  if (found.size() < size_min_ || found.size() > size_max_)
    return fmt::format("has {} bytes; {} to {} are possible", found.size(), size_min_, size_max_);
  std::vector<bool> explained(found.size());
  explain(found, 0, durable_, explained);
  for (const auto* list : {&writes_, &gaps_})
    for (const Write& write : *list) explain(found, write.offset, write.bytes, explained);
  const auto wrong = std::find(explained.begin(), explained.end(), false);
  if (wrong == explained.end()) return "";
  const u64 at = static_cast<u64>(wrong - explained.begin());
  return fmt::format("byte {} of {} is {:#04x}, which is neither what was durable{} nor in any of {} later writes", at,
                     found.size(), static_cast<unsigned>(found[at]),
                     at < durable_.size() ? fmt::format(" ({:#04x})", static_cast<unsigned>(durable_[at])) : "", writes_.size());
}

SurvivalModel::SurvivalModel() { names_["/"] = std::make_shared<SurvivingFile>(true); }

SurvivalModel::FileRef SurvivalModel::find(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second;
}

bool SurvivalModel::is_directory(const std::string& path) const {
  const FileRef file = find(path);
  return file != nullptr && file->is_directory();
}

std::vector<std::string> SurvivalModel::below(const std::string& directory) const {
  const std::string prefix = directory == "/" ? directory : directory + "/";
  std::vector<std::string> paths;
  for (auto name = names_.upper_bound(prefix); name != names_.end() && name->first.starts_with(prefix); ++name)
    paths.push_back(name->first);
  return paths;
}

SurvivalModel::Step& SurvivalModel::step() {
  const bool goes_on = deleting_tree_ && !steps_.empty() && steps_.back().in_any_order;
  if (!goes_on) steps_.emplace_back().in_any_order = deleting_tree_;
  return steps_.back();
}

void SurvivalModel::set(Step& step, const std::string& path, FileRef file) {
  step.changes.push_back({path, find(path), file});
  if (file == nullptr) {
    names_.erase(path);
  } else {
    names_[path] = std::move(file);
  }
}

i64 SurvivalModel::enter(Handle handle) {
  handles_[next_handle_] = std::move(handle);
  return next_handle_++;
}

void SurvivalModel::names_are_durable() {
  if (answered_) steps_.clear();
}

void SurvivalModel::begin(const workloads::Op& op) {
  deleting_tree_ = op.kind == workloads::OpKind::deltree;
  // Two deleted trees one after the other are two steps.
  if (deleting_tree_ && !steps_.empty()) steps_.emplace_back();
}

Ready<i64> SurvivalModel::stat(const std::string& path, FileStat& out) {
  const FileRef file = find(path);
  if (file == nullptr) return {-ENOENT};
  out = {file->content().size(), 0, 0, file->is_directory()};
  return {0};
}

Ready<i64> SurvivalModel::open(const std::string& path, int flags, u32) {
  FileRef file = find(path);
  if (file == nullptr) {
    if ((flags & O_CREAT) == 0 || !is_directory(parent_of(path))) return {-ENOENT};
    file = std::make_shared<SurvivingFile>(false);
    set(step(), path, file);
  }
  if (file->is_directory() && (flags & O_ACCMODE) != O_RDONLY) return {-EISDIR};
  if (!file->is_directory() && (flags & O_DIRECTORY) != 0) return {-ENOTDIR};
  if ((flags & O_TRUNC) != 0) file->truncate();
  return {enter({file, (flags & O_SYNC) != 0, {}})};
}

Ready<i64> SurvivalModel::close(i64 handle) { return {handles_.erase(handle) == 1 ? 0 : -EBADF}; }

Ready<i64> SurvivalModel::pread(i64 handle, MutableByteSpan into, u64 offset) {
  const std::vector<std::byte>& content = handles_.at(handle).file->content();
  if (offset >= content.size()) return {0};
  const u64 length = std::min<u64>(into.size(), content.size() - offset);
  std::memcpy(into.data(), content.data() + offset, length);
  return {static_cast<i64>(length)};
}

Ready<i64> SurvivalModel::pwrite(i64 handle, ByteSpan from, u64 offset) {
  const Handle& open = handles_.at(handle);
  open.file->write(offset, from);
  if (open.sync) static_cast<void>(fsync(handle));
  return {static_cast<i64>(from.size())};
}

Ready<i64> SurvivalModel::fsync(i64 handle) {
  if (answered_) {
    handles_.at(handle).file->make_durable();
    ++fsyncs_;
  }
  names_are_durable();
  return {0};
}

Ready<i64> SurvivalModel::fstat(i64 handle, FileStat& out) {
  const SurvivingFile& file = *handles_.at(handle).file;
  out = {file.content().size(), 0, 0, file.is_directory()};
  return {0};
}

Ready<i64> SurvivalModel::unlink(const std::string& path) {
  const FileRef file = find(path);
  if (file == nullptr) return {-ENOENT};
  if (file->is_directory()) return {-EISDIR};
  set(step(), path, nullptr);
  return {0};
}

Ready<i64> SurvivalModel::rename(const std::string& from, const std::string& to) {
  const FileRef file = find(from);
  if (file == nullptr || !is_directory(parent_of(to))) return {-ENOENT};
  const FileRef target = find(to);
  if (target == file) return {0};
  if (target != nullptr && target->is_directory() != file->is_directory()) return {file->is_directory() ? -ENOTDIR : -EISDIR};
  if (target != nullptr && !below(to).empty()) return {-ENOTEMPTY};
  Step& moved = step();
  for (const std::string& path : below(from)) {
    set(moved, to + path.substr(from.size()), find(path));
    set(moved, path, nullptr);
  }
  set(moved, to, file);
  set(moved, from, nullptr);
  return {0};
}

Ready<i64> SurvivalModel::mkdir(const std::string& path, u32) {
  if (find(path) != nullptr) return {-EEXIST};
  if (!is_directory(parent_of(path))) return {-ENOENT};
  set(step(), path, std::make_shared<SurvivingFile>(true));
  return {0};
}

Ready<i64> SurvivalModel::rmdir(const std::string& path) {
  const FileRef file = find(path);
  if (file == nullptr) return {-ENOENT};
  if (!file->is_directory()) return {-ENOTDIR};
  if (!below(path).empty()) return {-ENOTEMPTY};
  set(step(), path, nullptr);
  return {0};
}

Ready<i64> SurvivalModel::fdatasync_directory(const std::string& path) {
  if (!is_directory(path)) return {-ENOENT};
  names_are_durable();
  return {0};
}

Ready<i64> SurvivalModel::utime(const std::string& path, i64, i64) { return {find(path) == nullptr ? -ENOENT : 0}; }

Ready<i64> SurvivalModel::open_directory(const std::string& path) {
  if (find(path) == nullptr) return {-ENOENT};
  if (!is_directory(path)) return {-ENOTDIR};
  std::vector<std::string> entries;
  for (const std::string& name : below(path))
    if (parent_of(name) == path) entries.push_back(name.substr(name.rfind('/') + 1));
  return {enter({find(path), false, std::move(entries)})};
}

Ready<i64> SurvivalModel::read_directory(i64 handle, MutableByteSpan into) {
  std::vector<std::string>& entries = handles_.at(handle).entries;
  u64 filled = 0;
  while (!entries.empty()) {
    const std::string& name = entries.back();
    const u64 bytes = (sizeof(DirectoryRecordHeader) + name.size() + 1 + 7) / 8 * 8;
    if (filled + bytes > into.size()) break;
    const DirectoryRecordHeader header{1, 0, static_cast<u16>(bytes), DT_UNKNOWN};
    std::memset(into.data() + filled, 0, bytes);
    std::memcpy(into.data() + filled, &header, sizeof header);
    std::memcpy(into.data() + filled + sizeof header, name.data(), name.size());
    filled += bytes;
    entries.pop_back();
  }
  return {static_cast<i64>(filled)};
}

std::string SurvivalModel::objection(const std::string& directory, const FoundTree& found) const {
  const auto is_inside = [&](const std::string& path) { return path == directory || path.starts_with(directory + "/"); };
  Names names;  // at the moment that is looked at
  for (const auto& [path, file] : names_)
    if (is_inside(path)) names.emplace(path, file);
  std::set<std::string> differing;
  const auto compare = [&](const std::string& path) {
    const auto expected = names.find(path);
    const auto there = found.find(path);
    const bool same = expected == names.end() || there == found.end()
                          ? expected == names.end() && there == found.end()
                          : expected->second->is_directory() == there->second.is_directory;
    if (same) {
      differing.erase(path);
    } else {
      differing.insert(path);
    }
  };
  for (const auto& [path, file] : names) compare(path);
  for (const auto& [path, entry] : found)
    if (is_inside(path)) compare(path);

  std::map<std::pair<std::string, const SurvivingFile*>, std::string> looked_at;
  std::string closest;
  size_t fewest = ~size_t{0};
  // True when this moment, with what `also` adds to it, explains everything.
  const auto explains = [&](const Names& also) {
    if (differing.size() < fewest && also.empty() && !differing.empty()) {
      fewest = differing.size();
      const std::string& path = *differing.begin();
      closest = fmt::format("{}: {}; {} names differ", path, found.contains(path) ? "is there, and should not be" : "is missing",
                            differing.size());
    }
    if (!std::ranges::all_of(differing, [&](const std::string& path) { return also.contains(path); })) return false;
    for (const auto& [path, entry] : found) {
      if (!is_inside(path) || entry.is_directory) continue;
      const auto added = also.find(path);
      const SurvivingFile* file = (differing.contains(path) && added != also.end() ? added : names.find(path))->second.get();
      const auto [seen, fresh] = looked_at.try_emplace({path, file});
      if (fresh) seen->second = file->objection(entry.content);
      if (seen->second.empty()) continue;
      closest = path + ": " + seen->second;
      fewest = 0;
      return false;
    }
    return true;
  };
  if (explains({})) return "";
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    if (step->in_any_order) {
      Names deleted;
      for (const Change& change : step->changes)
        if (found.contains(change.path)) deleted[change.path] = change.before;
      if (explains(deleted)) return "";
    }
    for (auto change = step->changes.rbegin(); change != step->changes.rend(); ++change) {
      if (!is_inside(change->path)) continue;
      if (change->before == nullptr) {
        names.erase(change->path);
      } else {
        names[change->path] = change->before;
      }
      compare(change->path);
    }
    if (explains({})) return "";
  }
  return closest;
}

}  // namespace cowbench::harness
