// The operations of the interface on a mounted filesystem's state, awaitable on any of its cores. Each finds the core that owns
// what it changes; operations on names run on the core of the directory.
//
// A change of names locks the inodes it names in order of their numbers, checks, prepares every core involved, and applies
// in one epoch. Reads take no locks.
#pragma once
#include "engine/fs/filesystem_state.h"
#include "engine/fs/locks.h"

namespace cowfs::fs {

class Operations {
 public:
  explicit Operations(FilesystemState& state) : state_(state) {}

  Task<Result<FileHandle>> open(std::string_view path, int flags, u32 mode);
  Task<Status> close(FileHandle handle);
  Task<Result<u64>> read(FileHandle handle, u64 offset, MutableByteSpan into);
  Task<Result<u64>> write(FileHandle handle, u64 offset, ByteSpan from);
  Task<Status> fsync(FileHandle handle);
  Task<Status> sync();
  Task<Status> truncate(FileHandle handle, u64 bytes);
  Task<Status> allocate(FileHandle handle, int mode, u64 offset, u64 bytes);
  Task<Result<u64>> seek(FileHandle handle, u64 offset, int whence);
  Task<Result<Attributes>> stat(FileHandle handle);
  Task<Status> lock(FileHandle handle, u64 offset, u64 bytes);
  Task<Status> unlock(FileHandle handle, u64 offset, u64 bytes);

  Task<Result<Attributes>> stat(std::string_view path, bool follow);
  Task<Status> mkdir(std::string_view path, u32 mode);
  Task<Status> rmdir(std::string_view path);
  Task<Status> unlink(std::string_view path);
  Task<Status> rename(std::string_view from, std::string_view to, unsigned flags);
  Task<Status> link(std::string_view existing, std::string_view path);
  Task<Status> symlink(std::string_view target, std::string_view path);
  Task<Status> make_node(std::string_view path, u32 mode, u64 device);
  Task<Result<std::string>> read_link(std::string_view path);
  Task<Status> set_times(std::string_view path, u64 access_ns, u64 modify_ns);
  Task<Status> set_mode(std::string_view path, u32 mode);
  Task<Status> set_owner(std::string_view path, u32 user, u32 group);
  Task<Result<u64>> get_xattr(std::string_view path, std::string_view name, MutableByteSpan into);
  Task<Status> set_xattr(std::string_view path, std::string_view name, ByteSpan value);
  Task<Result<DirectoryRead>> read_directory(FileHandle handle, u64 cookie, MutableByteSpan into);

 private:
  // Finding (names.cpp).
  struct PathEnd {            // where a path ends
    InodeNumber parent = 0;
    std::string_view name;  // in the path, or in `storage` when a symlink led there; empty: a root or dot-dot
    InodeNumber inode = 0;  // 0: there is no such name
    format::FileType type = format::FileType::unknown;
    std::shared_ptr<const std::string> storage;
  };
  struct Walk;
  Task<Result<PathEnd>> resolve(std::string_view path, bool follow);
  Task<Status> step(InodeNumber directory, std::string_view name, format::Dirent& entry);
  Task<Status> step_remote(InodeNumber directory, std::string_view name, format::Dirent& entry);
  Task<Status> enter_symlink(Walk& walk, InodeNumber link);
  Task<Result<InodeNumber>> parent_of(InodeNumber directory);
  Task<Result<InodeNumber>> resolve_existing(std::string_view path, bool follow);
  Task<Result<PathEnd>> resolve_new(std::string_view path);

  // Changing names (namespace.cpp, rename.cpp); each on the core of the directory.
  struct NewNode {
    u32 mode = 0;
    u64 device = 0;
    u16 slice = 0;  // of the new inode
    bool exclusive = true;
  };
  Task<Result<InodeNumber>> create(InodeNumber parent, std::string_view name, NewNode node);
  Task<Result<InodeNumber>> create_locked(InodeNumber parent, std::string_view name, NewNode node);
  Task<Status> make_symlink(InodeNumber parent, std::string_view name, std::string_view target);
  Task<Status> make_symlink_locked(InodeNumber parent, std::string_view name, std::string_view target);
  Task<Status> remove(InodeNumber parent, std::string_view name, bool directory);
  Task<Status> remove_locked(InodeNumber parent, std::string_view name, InodeNumber child, bool directory);
  Task<Status> add_link(InodeNumber inode, InodeNumber parent, std::string_view name);
  Task<Status> add_link_locked(InodeNumber inode, InodeNumber parent, std::string_view name);
  struct RenameEnds {
    InodeNumber from_parent = 0;
    std::string_view from;
    InodeNumber to_parent = 0;
    std::string_view to;
    unsigned flags = 0;
  };
  struct RenameView {  // what is there, under locks
    format::Dirent source;
    format::Dirent target;  // inode 0: none
  };
  Task<Status> rename_entry(RenameEnds ends);
  Task<Status> rename_locked(RenameEnds ends, RenameView view);
  ChangeSet rename_changes(const RenameEnds& ends, const RenameView& view) const;
  static Task<Status> rename_lock(FilesystemState& state);
  Task<Result<format::Dirent>> look_up_anywhere(InodeNumber directory, std::string_view name);
  Task<Status> write_back_anywhere(InodeNumber inode);
  Task<Status> check_not_below(InodeNumber moved, InodeNumber directory);
  Task<Result<bool>> is_empty(InodeNumber directory);
  Task<Result<InodeNumber>> new_inode_number(u16 slice);
  Task<Status> wait_for_tokens();
  Task<Result<Attributes>> attributes_of(InodeNumber inode);

  // Applying (commit.cpp).
  Task<Status> run(ChangeSet& changes);
  Task<Status> run_here(ChangeSet& changes);
  Task<Status> run_across(ChangeSet& changes, std::vector<CoreIndex> cores);
  // Of one core, where it begins and ends.
  struct Prepared {
    btree::NodesHeld nodes;
    u64 journal_bytes = 0;
  };
  Task<Status> make_ready(CoreIndex core, const ChangeSet& changes, Prepared* prepared);
  Task<Status> prepare_across(const ChangeSet& changes, const std::vector<CoreIndex>& cores,
                              std::vector<Prepared>& prepared);
  Task<void> undo_across(const std::vector<CoreIndex>& cores, std::vector<Prepared>& prepared, std::size_t count);
  Task<Status> undo_ready(CoreIndex core, Prepared* prepared);
  Task<Epoch> hold_at(CoreIndex core, Epoch epoch, journal::EpochHold* hold);
  Task<void> close_meanwhile(Epoch epoch);
  Task<void> drop_holds(const std::vector<CoreIndex>& cores, std::vector<journal::EpochHold>& holds);
  Task<Status> take_back_names(const ChangeSet& changes);
  Task<Status> take_back_directory(InodeNumber directory);

  // Files (file_io.cpp).
  OpenFile& file(FileHandle handle) { return *static_cast<OpenFile*>(handle.file); }
  bool is_here(FileHandle handle) { return handle.core == runtime::this_reactor().core(); }
  Task<Result<FileHandle>> open_inode(InodeNumber inode, int flags);
  Task<Status> close_here(FileHandle handle);
  Task<Result<u64>> read_here(FileHandle handle, u64 offset, MutableByteSpan into);
  Task<Result<u64>> write_here(FileHandle handle, u64 offset, ByteSpan from);
  Task<Status> fsync_here(FileHandle handle);
  Task<Status> truncate_here(FileHandle handle, u64 bytes);
  Task<Status> allocate_here(FileHandle handle, int mode, u64 offset, u64 bytes);
  Task<Result<u64>> seek_here(FileHandle handle, u64 offset, int whence);
  Task<Result<DirectoryRead>> read_directory_here(FileHandle handle, u64 cookie, MutableByteSpan into);
  Task<Status> read_regions(Inode& inode, u64 offset, MutableByteSpan into, bool direct);
  Task<Result<u64>> write_direct(Inode& inode, u64 offset, ByteSpan from);
  Task<Result<u64>> write_direct_behind_dirty(Inode& inode, u64 offset, ByteSpan from);
  Task<Result<u64>> write_regions(Inode& inode, u64 offset, ByteSpan from, bool direct);
  Task<Result<u64>> write_each_region(Inode& inode, u64 offset, ByteSpan from, bool direct);
  Task<Result<u64>> write_region(Inode& inode, u64 offset, ByteSpan from, bool direct);
  Task<void> take_back_append(Inode& inode, u64 bytes, u64 end);
  Task<Status> punch_hole(Inode& inode, u64 offset, u64 end);
  Task<Status> zero_range(Inode& inode, u64 offset, u64 end);

  Task<Status> lock_here(FileHandle handle, u64 offset, u64 bytes);
  Task<Status> unlock_here(FileHandle handle, u64 offset, u64 bytes);
  template <typename Function>
  auto call_there(CoreIndex core, Function function) {
    return state_.call(core, std::move(function));
  }

  // Attributes (attributes.cpp).
  struct AttributeChange {
    std::optional<u64> access_ns;
    std::optional<u64> modify_ns;
    std::optional<u32> mode;
    std::optional<u32> user;
    std::optional<u32> group;
  };
  Task<Status> change_attributes(std::string_view path, AttributeChange change);
  Task<Status> change_attributes_here(InodeNumber inode, AttributeChange change);
  Task<Result<Attributes>> stat_here(FileHandle handle);
  Task<Status> set_xattr_here(InodeNumber inode, std::string_view name, ByteSpan value);
  Task<Status> set_xattr_locked(InodeNumber inode, std::string_view name, ByteSpan value);
  Task<Result<u64>> get_xattr_here(InodeNumber inode, std::string_view name, MutableByteSpan into);
  u64 xattr_hash(std::string_view name) const;
  Task<Result<std::string>> read_link_here(InodeNumber inode);

  FilesystemState& state_;
};

}  // namespace cowfs::fs
