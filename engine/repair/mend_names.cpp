// In this order: inodes that something still belongs to are made again; types that everything else contradicts are put right;
// names that lead nowhere go; directories and files that no name leads to come into /lost+found; then everything is counted.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "engine/repair/mend_internal.h"

namespace cowfs::repair {

using format::FileType;
using format::InodeValue;

namespace {

constexpr u64 counter_mask = (1ull << 48) - 1;
constexpr u64 counter_max = 1ull << 47;
constexpr u32 type_shift = 12;

bool is_directory_mode(u32 mode) { return (mode & S_IFMT) == S_IFDIR; }
bool has_data_mode(u32 mode) { return S_ISREG(mode) || S_ISLNK(mode); }
u32 mode_of(FileType type) { return static_cast<u32>(type) << type_shift; }
FileType type_of(u32 mode) { return static_cast<FileType>((mode & S_IFMT) >> type_shift); }
std::string text(u64 inode) { return fmt::format("inode {:#x}", inode); }

}  // namespace

void NameMender::run() {
  gather_inodes();
  gather_names();
  gather_extents();
  revive_inodes();
  mend_root();
  mend_types();
  mend_names();
  reconnect();
  count();
  drop_attributes();
  put_back();
}

InodeValue* NameMender::inode(u64 number) {
  const auto found = inodes_.find(number);
  return found == inodes_.end() ? nullptr : &found->second;
}

bool NameMender::is_directory(u64 number) {
  const InodeValue* found = inode(number);
  return found != nullptr && is_directory_mode(found->mode);
}

bool NameMender::can_exist(u64 number) const {
  const u64 counter = number & counter_mask;
  return format::slice_of(number) < superblock_.slices && counter != 0 && counter < counter_max;
}

void NameMender::gather_inodes() {
  for (SliceSalvaged& slice : salvaged_.slices) {
    for (const auto& [key, value] : slice.tree(TreeId::inodes)) {
      if (!can_exist(key.inode)) {
        tell("inode_misplaced", text(key.inode) + " cannot exist and is dropped", key.inode, true);
        continue;
      }
      std::memcpy(&inodes_[key.inode], value.data(), sizeof(InodeValue));
    }
  }
}

void NameMender::gather_names() {
  for (SliceSalvaged& slice : salvaged_.slices) {
    for (const auto& [key, value] : slice.tree(TreeId::dirents)) {
      format::DirentChain chain(value);
      format::Dirent entry;
      while (chain.next(entry)) take_name(key.inode, entry, key.offset);
    }
  }
}

// A name that stands under another name's hash could not be found; here it gets its own.
void NameMender::take_name(u64 directory, const format::Dirent& entry, u64 hash) {
  Names& names = directories_[directory];
  std::string name(entry.name);
  if (format::dirent_hash(name, superblock_.hash_seed) != hash) {
    while (names.contains(name) && name.size() < format::name_bytes_max) name += '~';
    tell("name_hash_wrong", fmt::format("\"{}\" in {} can be found again", name, text(directory)), entry.inode);
  }
  names.try_emplace(std::move(name), NameFound{entry.inode, entry.type});
}

void NameMender::gather_extents() {
  for (SliceSalvaged& slice : salvaged_.slices) {
    for (const auto& [key, value] : slice.tree(TreeId::extents)) {
      const format::Extent extent = format::decode_extent(value);
      u64& end = extent_ends_[key.inode];
      if (extent.kind != format::ExtentKind::unwritten) end = std::max(end, key.offset + extent.blocks);
    }
  }
}

// An inode that is missing, but to which names or data belong, is not lost altogether.
void NameMender::revive_inodes() {
  absl::btree_map<u64, FileType> wanted;
  for (const auto& [directory, names] : directories_) {
    wanted[directory] = FileType::directory;
    for (const auto& [name, found] : names) {
      if (extent_ends_.contains(found.inode)) wanted.try_emplace(found.inode, found.type);
    }
  }
  for (const auto& [number, end] : extent_ends_) wanted.try_emplace(number, FileType::regular);
  for (const auto& [number, type] : wanted) {
    if (number != format::root_inode && inode(number) == nullptr && can_exist(number)) revive(number, type);
  }
}

void NameMender::revive(u64 number, FileType type) {
  const bool is_data = type != FileType::directory;
  if (is_data && type != FileType::symlink) type = FileType::regular;
  InodeValue value{};
  value.mode = mode_of(type) | (is_data ? 0600u : 0700u);
  value.access_ns = value.modify_ns = value.change_ns = value.birth_ns = now_ns_;
  value.links = 1;
  if (is_data) value.size = extent_ends_[number] * block_bytes;
  inodes_[number] = value;
  tell(is_data ? "extent_without_inode" : "name_without_directory",
       fmt::format("{} is made anew as a {}: owner, mode and times{} are lost", text(number),
                   is_data ? "file" : "directory", is_data ? ", and where in its last block it ended," : ""),
       number, true);
}

void NameMender::mend_root() {
  if (is_directory(format::root_inode)) return;
  InodeValue* root = inode(format::root_inode);
  const bool was_there = root != nullptr;
  const bool never_mounted = inodes_.empty() && directories_.empty();
  if (!was_there) {
    root = &inodes_[format::root_inode];
    *root = {};
    root->access_ns = root->modify_ns = root->change_ns = root->birth_ns = now_ns_;
  }
  root->mode = S_IFDIR | (was_there ? root->mode & 07777u : 0755u);
  if (never_mounted) return;
  tell("root_missing", was_there ? "the root is a directory again" : "the root directory is made anew", format::root_inode,
       !was_there);
}

// The mode of an inode says its type, and so do its names; what it owns decides.
void NameMender::mend_types() {
  absl::flat_hash_map<u64, FileType> named;
  for (const auto& [directory, names] : directories_) {
    for (const auto& [name, found] : names) named.try_emplace(found.inode, found.type);
  }
  for (auto& [number, value] : inodes_) {
    const u32 mode = value.mode;
    FileType type = type_of(mode);
    const bool has_names = directories_.contains(number);
    const bool has_extents = extent_ends_.contains(number);
    const auto name = named.find(number);
    const FileType said = name == named.end() ? FileType::unknown : name->second;
    if (has_names && !is_directory_mode(mode) && (said == FileType::directory || !has_extents)) type = FileType::directory;
    if (has_extents && !has_names && !has_data_mode(mode))
      type = said == FileType::symlink ? FileType::symlink : FileType::regular;
    if (type == type_of(mode)) continue;
    value.mode = (mode & 07777u) | mode_of(type);
    tell(has_names ? "name_without_directory" : "extent_misplaced",
         fmt::format("{} is a {} again", text(number), has_names ? "directory" : "file"), number);
  }
}

void NameMender::mend_names() {
  for (auto& [directory, names] : directories_) {
    if (!is_directory(directory)) {
      for (const auto& [name, found] : names)
        tell("name_without_directory", fmt::format("\"{}\" goes: {} is no directory", name, text(directory)), found.inode,
             true);
      names.clear();
      continue;
    }
    for (auto at = names.begin(); at != names.end();)
      at = mend_name(directory, at->first, at->second) ? std::next(at) : names.erase(at);
  }
  find_directories();
}

// False: it has to go.
bool NameMender::mend_name(u64 directory, const std::string& name, NameFound& found) {
  const InodeValue* target = inode(found.inode);
  if (target == nullptr || found.inode == format::root_inode) {
    tell("name_without_inode", fmt::format("\"{}\" in {} goes: there is no {}", name, text(directory), text(found.inode)),
         found.inode, true, directory);
    return false;
  }
  if (found.type == type_of(target->mode)) return true;
  found.type = type_of(target->mode);
  tell("name_type_wrong", fmt::format("\"{}\" in {} says the type of its inode", name, text(directory)), found.inode);
  return true;
}

// Of several names of a directory the one that its inode knows of stays.
void NameMender::find_directories() {
  absl::flat_hash_map<u64, std::vector<std::pair<u64, std::string>>> places;
  for (const auto& [directory, names] : directories_) {
    for (const auto& [name, found] : names)
      if (found.type == FileType::directory) places[found.inode].emplace_back(directory, name);
  }
  for (auto& [number, named] : places) {
    const u64 told = inode(number)->parent;
    const auto right = std::find_if(named.begin(), named.end(), [told](const auto& place) { return place.first == told; });
    const std::size_t kept = right == named.end() ? 0 : static_cast<std::size_t>(right - named.begin());
    parents_[number] = named[kept].first;
    for (std::size_t i = 0; i < named.size(); ++i) {
      if (i == kept) continue;
      directories_[named[i].first].erase(named[i].second);
      tell("directory_named_twice",
           fmt::format("\"{}\" in {} goes: the directory has another name", named[i].second, text(named[i].first)),
           number, false, named[i].first);
    }
  }
}

// Whatever has links, or should have, and cannot be reached from the root gets a name in /lost+found.
void NameMender::reconnect() {
  cut_rings();
  for (const auto& [directory, names] : directories_) {
    for (const auto& [name, found] : names) ++links_[found.inode];
  }
  std::vector<u64> unnamed;
  for (const auto& [number, value] : inodes_) {
    const bool on_its_way_out = value.links == 0 && !directories_.contains(number);
    if (number != format::root_inode && links_[number] == 0 && !on_its_way_out) unnamed.push_back(number);
  }
  for (const u64 number : unnamed) connect(number);
}

// A ring of directories loses the name of its first one.
void NameMender::cut_rings() {
  absl::flat_hash_set<u64> leads_to_root{format::root_inode};
  const std::vector<std::pair<u64, u64>> all(parents_.begin(), parents_.end());
  for (const auto& [number, parent] : all) {
    std::vector<u64> way;
    absl::flat_hash_set<u64> passed;
    u64 at = number;
    while (!leads_to_root.contains(at) && passed.insert(at).second) {
      way.push_back(at);
      const auto up = parents_.find(at);
      if (up == parents_.end()) break;  // it has no name, and will get one
      at = up->second;
    }
    const bool ring = !leads_to_root.contains(at) && parents_.contains(at) && passed.contains(at);
    if (ring) {
      Names& names = directories_[parents_[at]];
      names.erase(std::find_if(names.begin(), names.end(), [at](const auto& name) { return name.second.inode == at; }));
      parents_.erase(at);
      tell("unreachable", text(at) + " was part of a ring of directories, which is cut", at);
    }
    leads_to_root.insert(way.begin(), way.end());
  }
}

void NameMender::connect(u64 number) {
  const u64 home = lost_and_found();
  const FileType type = type_of(inode(number)->mode);
  std::string name = fmt::format("#{}", number);
  while (directories_[home].contains(name)) name += '~';
  directories_[home][name] = {number, type};
  ++links_[number];
  if (type == FileType::directory) parents_[number] = home;
  tell(type == FileType::directory ? "unreachable" : "links_wrong",
       fmt::format("no name leads to {}: it is /lost+found/{} now", text(number), name), number, false,
       inode(number)->parent);
}

u64 NameMender::lost_and_found() {
  if (lost_and_found_ != 0) return lost_and_found_;
  Names& names = directories_[format::root_inode];
  std::string name = "lost+found";
  while (names.contains(name) && names[name].type != FileType::directory) name += '~';
  if (!names.contains(name)) names[name] = {make_directory(format::root_inode), FileType::directory};
  lost_and_found_ = names[name].inode;
  links_[lost_and_found_] = 1;
  return lost_and_found_;
}

u64 NameMender::make_directory(u64 parent) {
  u64 number = format::inode_number(0, counter_mask);
  const auto behind = inodes_.upper_bound(number);
  number = behind == inodes_.begin() ? format::root_inode : std::prev(behind)->first;
  const u64 next = salvaged_.slices[0].header ? u64{salvaged_.slices[0].header->next_inode} : 0;
  number = next > number && next < counter_max ? next : number + 1;
  InodeValue& made = inodes_[number];
  made = {};
  made.mode = S_IFDIR | 0700;
  made.access_ns = made.modify_ns = made.change_ns = made.birth_ns = now_ns_;
  made.parent = parent;
  parents_[number] = parent;
  return number;
}

// Links, entries and parents as the names have them.
void NameMender::count() {
  absl::flat_hash_map<u64, u32> subdirectories;
  for (const auto& [number, parent] : parents_) ++subdirectories[parent];
  for (auto& [number, value] : inodes_) {
    const u32 names = links_[number];
    const bool is_root = number == format::root_inode;
    if (is_directory_mode(value.mode)) {
      value.size = directories_.contains(number) ? directories_[number].size() : 0;
      value.links = names > 0 || is_root ? 2 + subdirectories[number] : 0;
      if (is_root) value.parent = number;
      if (const auto parent = parents_.find(number); parent != parents_.end()) value.parent = parent->second;
      continue;
    }
    value.links = names;
    value.parent = 0;
  }
}

void NameMender::drop_attributes() {
  for (SliceSalvaged& slice : salvaged_.slices) {
    Keys& attributes = slice.tree(TreeId::xattrs);
    for (auto at = attributes.begin(); at != attributes.end();) {
      if (inodes_.contains(at->first.inode)) {
        ++at;
        continue;
      }
      tell("xattr_without_inode", "attributes go: there is no " + text(at->first.inode), at->first.inode, true);
      at = attributes.erase(at);
    }
  }
}

void NameMender::put_back() {
  for (SliceSalvaged& slice : salvaged_.slices) {
    slice.tree(TreeId::inodes).clear();
    slice.tree(TreeId::dirents).clear();
  }
  for (const auto& [number, value] : inodes_) {
    const ByteSpan raw = bytes_of(value);
    Keys& keys = salvaged_.slices[format::slice_of(number)].tree(TreeId::inodes);
    keys[{number, 0, format::snapshot_live}].assign(raw.begin(), raw.end());
  }
  put_names();
}

void NameMender::put_names() {
  for (const auto& [directory, names] : directories_) {
    if (names.empty()) continue;
    Keys& keys = salvaged_.slices[format::slice_of(directory)].tree(TreeId::dirents);
    for (const auto& [name, found] : names) {
      std::vector<std::byte>& chain =
          keys[{directory, format::dirent_hash(name, superblock_.hash_seed), format::snapshot_live}];
      const format::DirentHeader header{found.inode, static_cast<u8>(found.type), static_cast<u8>(name.size())};
      const ByteSpan raw = bytes_of(header);
      chain.insert(chain.end(), raw.begin(), raw.end());
      const ByteSpan letters = std::as_bytes(std::span(name));
      chain.insert(chain.end(), letters.begin(), letters.end());
    }
  }
}

}  // namespace cowfs::repair
