#include "workloads/content_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace cowbench::workloads {
namespace {

constexpr u64 step_bytes = 64 * cowfs::kib;

std::string normalised(std::string_view path) {
  std::string result;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const std::string_view part = path.substr(0, slash);
    if (!part.empty() && part != ".") result.append("/").append(part);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return result;
}

std::string hexadecimal(std::byte value) { return fmt::format("{:#04x}", static_cast<unsigned>(value)); }

}  // namespace

std::string Mismatch::to_text() const {
  return fmt::format("{}: at byte {}: expected {}, got {}", path, offset, expected, got);
}

void FileContent::truncate() {
  ranges_.clear();
  size_ = 0;
}

// Afterwards no range spans `offset`.
void FileContent::cut_at(u64 offset) {
  auto after = ranges_.upper_bound(offset);
  if (after == ranges_.begin()) return;
  Range& before = std::prev(after)->second;
  if (std::prev(after)->first == offset || before.end <= offset) return;
  const Range rest = before;
  before.end = offset;
  ranges_.emplace(offset, rest);
}

void FileContent::write(u64 offset, u64 length, u64 stream) {
  if (length == 0) return;
  cut_at(offset);
  cut_at(offset + length);
  ranges_.erase(ranges_.lower_bound(offset), ranges_.lower_bound(offset + length));
  ranges_.emplace(offset, Range{offset + length, stream});
  size_ = std::max(size_, offset + length);
}

void FileContent::expected(PayloadKind kind, u64 offset, cowfs::MutableByteSpan out) const {
  std::fill(out.begin(), out.end(), std::byte{0});
  const u64 end = offset + out.size();
  auto range = ranges_.upper_bound(offset);
  if (range != ranges_.begin()) --range;
  for (; range != ranges_.end() && range->first < end; ++range) {
    const u64 from = std::max(offset, range->first);
    const u64 to = std::min(end, range->second.end);
    if (from < to) fill_payload(kind, range->second.stream, from, out.subspan(from - offset, to - from));
  }
}

FileRef ContentModel::opened(std::string_view path, bool create, bool truncate) {
  const std::string key = normalised(path);
  const auto found = files_.find(key);
  if (found == files_.end() && !create) return nullptr;
  FileRef& file = files_[key];
  const bool lost_track = found != files_.end() && file == nullptr;
  if (lost_track && !truncate) return nullptr;
  if (file == nullptr) file = std::make_shared<FileContent>();
  if (truncate) file->truncate();
  return file;
}

bool ContentModel::knows(std::string_view path) const { return files_.contains(normalised(path)); }

void ContentModel::unlinked(std::string_view path) { files_.erase(normalised(path)); }

void ContentModel::tree_deleted(std::string_view path) {
  const std::string prefix = normalised(path) + "/";
  auto file = files_.lower_bound(prefix);
  while (file != files_.end() && file->first.starts_with(prefix)) file = files_.erase(file);
}

void ContentModel::renamed(std::string_view from, std::string_view to) {
  const std::string old_name = normalised(from);
  const std::string new_name = normalised(to);
  if (old_name == new_name) return;
  const std::string prefix = old_name + "/";
  std::map<std::string, FileRef, std::less<>> moved;
  auto below = files_.lower_bound(prefix);
  while (below != files_.end() && below->first.starts_with(prefix)) {
    moved[new_name + below->first.substr(old_name.size())] = std::move(below->second);
    below = files_.erase(below);
  }
  const bool was_directory = !moved.empty();
  files_.merge(moved);
  if (const auto file = files_.find(old_name); file != files_.end()) {
    FileRef content = std::move(file->second);
    files_.erase(file);
    files_[new_name] = std::move(content);
  } else if (!was_directory && files_.contains(new_name)) {
    files_[new_name] = nullptr;
  }
}

std::optional<Mismatch> ContentModel::check_read(const FileContent& file, std::string_view path, u64 offset, u64 requested,
                                                 cowfs::ByteSpan got) {
  const u64 available = offset < file.size() ? std::min(requested, file.size() - offset) : 0;
  if (got.size() != available) {
    return Mismatch{std::string(path), offset, fmt::format("{} bytes", available), fmt::format("{} bytes", got.size())};
  }
  scratch_.resize(std::min<u64>(step_bytes, std::max<u64>(scratch_.size(), available)));
  for (u64 done = 0; done < available;) {
    const u64 length = std::min<u64>(scratch_.size(), available - done);
    const cowfs::MutableByteSpan wanted(scratch_.data(), length);
    file.expected(kind_, offset + done, wanted);
    if (std::memcmp(wanted.data(), got.data() + done, length) != 0) {
      u64 at = 0;
      while (wanted[at] == got[done + at]) at++;
      return Mismatch{std::string(path), offset + done + at, hexadecimal(wanted[at]), hexadecimal(got[done + at])};
    }
    done += length;
  }
  return std::nullopt;
}

std::optional<Mismatch> ContentModel::check_size(const FileContent& file, std::string_view path, u64 size) const {
  if (size == file.size()) return std::nullopt;
  return Mismatch{std::string(path), std::min(size, file.size()), fmt::format("a size of {} bytes", file.size()),
                  fmt::format("{} bytes", size)};
}

}  // namespace cowbench::workloads
