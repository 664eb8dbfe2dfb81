// The bodies of DbenchClient; included by dbench_client.h only.
#pragma once
#include <cstring>

#include "harness/dbench_client.h"

namespace cowbench::harness {

#define COWBENCH_CLIENT template <TargetCalls Target, DbenchHost Host>

// A random payload that need not be checked is a window into one prepared buffer, which moves by one step a write.
constexpr u64 payload_windows = 128;
constexpr u64 payload_window_step_bytes = 512;

inline u64 piece_bytes(const workloads::Program& program) { return std::min(program.transfer_bytes_max, piece_bytes_max); }

COWBENCH_CLIENT
DbenchClient<Target, Host>::DbenchClient(const workloads::Program& program, ClientOptions options, Target& target, Host& host)
    : program_(program),
      options_(std::move(options)),
      target_(target),
      host_(host),
      root_(options_.directory.empty() ? "/" : options_.directory),
      paths_(program.paths_for(options_.client, options_.directory)),
      model_(options_.payload),
      random_(options_.seed + options_.client),
      write_buffer_(piece_bytes(program) + payload_windows * payload_window_step_bytes),
      read_buffer_(piece_bytes(program)),
      directory_buffer_(directory_buffer_bytes),
      attribute_buffer_(attribute_value(random_).size()) {
  fill_payload(options_.payload, workloads::payload_stream(options_.seed, options_.client, 0, 0), 0,
               write_buffer_.span());
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::run() -> Task<ClientOutcome> {
  const bool paced = options_.rate_mb_s > 0 || !program_.due_ns.empty();
  u64 start_ns = host_.now_ns();
  bool stopped = false;
  while (!stopped && !outcome_.failed) {
    const u64 pass_start_ns = start_ns;
    rate_.reset();
    for (std::size_t index = 0; index < program_.ops.size(); index++) {
      if constexpr (requires { host_.turn(); }) co_await host_.turn();
      stopped = host_.stop_requested();
      if (stopped) break;
      if (paced) start_ns = co_await pace(index, pass_start_ns, start_ns);
      const Op& op = program_.ops[index];
      if constexpr (requires { target_.begin(op); }) target_.begin(op);
      op_bytes_ = 0;
      const bool fine = co_await execute(op);
      const u64 end_ns = host_.now_ns();
      host_.record(op.kind, start_ns, end_ns, op_bytes_);
      start_ns = end_ns;
      outcome_.operations++;
      outcome_.bytes += op_bytes_;
      if (!fine) break;
    }
    if (stopped || outcome_.failed) break;
    host_.pass_done(start_ns);
    stopped = ++outcome_.passes == options_.passes_max;
  }
  co_return outcome_;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::cleanup() -> Task<void> {
  for (OpenFile& file : files_.slots()) {
    if (file.target_handle >= 0) co_await target_.close(file.target_handle);
    file = {};
  }
  if (options_.skip_cleanup) co_return;
  const std::string clients = options_.directory + "/clients";
  std::string own = clients + "/client" + std::to_string(options_.client);
  co_await deltree(std::move(own), 0);
  co_await target_.rmdir(clients);
}

// Waits until the operation at `index` is due; returns the time then.
COWBENCH_CLIENT
auto DbenchClient<Target, Host>::pace(std::size_t index, u64 pass_start_ns, u64 now_ns) -> Task<u64> {
  constexpr u64 millisecond_ns = 1'000'000;  // dbench sleeps whole ones
  const u64 due_ns = program_.due_ns.empty() ? 0 : program_.due_ns[index];
  const u64 elapsed_ns = now_ns - pass_start_ns;
  u64 pause_ns = 0;
  if (options_.rate_mb_s > 0) {
    pause_ns = rate_.pause_ns(options_.rate_mb_s, outcome_.bytes, now_ns);
  } else if (due_ns > elapsed_ns) {
    pause_ns = (due_ns - elapsed_ns) / millisecond_ns * millisecond_ns;
  } else if (due_ns > 0) {
    host_.late(elapsed_ns - due_ns);
  }
  if (pause_ns > 0) {
    co_await host_.sleep(pause_ns);
    now_ns = host_.now_ns();
  }
  rate_.slept(outcome_.bytes, now_ns);
  co_return now_ns;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::execute(const Op& op) -> Task<bool> {
  switch (op.kind) {
    case OpKind::nt_create:
      return nt_create(op);
    case OpKind::close:
      return close(op);
    case OpKind::rename:
      return rename(op);
    case OpKind::unlink:
      return unlink(op);
    case OpKind::rmdir:
      return rmdir(op);
    case OpKind::query_file:
      return query_file(op);
    case OpKind::set_file:
      return set_file(op);
    case OpKind::find_first:
      return find_first(op);
    case OpKind::write:
      return write(op);
    case OpKind::read:
      return read(op);
    default:
      return execute_simple(op);
  }
}

// The operations whose results dbench ignores.
COWBENCH_CLIENT
auto DbenchClient<Target, Host>::execute_simple(const Op& op) -> Task<bool> {
  if (op.kind == OpKind::query_filesystem) {
    co_await target_.statvfs(root_);
    co_return true;
  }
  if (op.kind == OpKind::sleep) {
    co_await host_.sleep(op.size > ~0ull / 1000 ? ~0ull : op.size * 1000);
    co_return true;
  }
  if (op.kind == OpKind::query_path || op.kind == OpKind::mkdir || op.kind == OpKind::deltree) {
    const ClientPath& path = paths_[op.path];
    if (op.kind == OpKind::deltree) {
      std::string tree = path.path;
      co_await deltree(std::move(tree), 0);
      if (options_.verify) model_.tree_deleted(path.path);
      co_return true;
    }
    co_await resolve(path);
    if (op.kind == OpKind::mkdir) co_await target_.mkdir(path.path, 0777);
    co_return true;
  }
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  if (op.kind == OpKind::flush) co_await target_.fsync(file->target_handle);
  if (op.kind == OpKind::lock) co_await target_.lock(file->target_handle, op.offset, op.size);
  if (op.kind == OpKind::unlock) co_await target_.unlock(file->target_handle, op.offset, op.size);
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::nt_create(const Op& op) -> Task<bool> {
  const ClientPath& path = paths_[op.path];
  co_await resolve(path);
  int flags = O_RDWR;
  if (options_.sync_open) flags |= O_SYNC;
  if (op.disposition != workloads::Disposition::open) flags |= O_CREAT;
  if (op.disposition == workloads::Disposition::overwrite) flags |= O_TRUNC;
  if (op.directory) {
    co_await target_.mkdir(path.path, 0700);
    flags = O_RDONLY | O_DIRECTORY;
  }
  i64 result = co_await target_.open(path.path, flags, 0600);
  if (result == -EISDIR) {
    flags = O_RDONLY | O_DIRECTORY;
    result = co_await target_.open(path.path, flags, 0600);
  }
  if (result < 0) {
    if (op.must_succeed && complain()) note(wrong_result_text(options_.client, op, "open", path.path, result));
    co_return true;
  }
  if (op.must_succeed) {
    const bool kept = co_await keep_open(op, result, flags);
    co_return kept;
  }
  if (complain()) note(wrong_result_text(options_.client, op, "open", path.path, result));
  if (options_.verify && (flags & O_CREAT) != 0) model_.opened(path.path, true, (flags & O_TRUNC) != 0);
  co_await target_.close(result);
  co_return true;
}

// Enters a file that was just opened into the table.
COWBENCH_CLIENT
auto DbenchClient<Target, Host>::keep_open(const Op& op, i64 target_handle, int flags) -> Task<bool> {
  const ClientPath& path = paths_[op.path];
  OpenFile* file = files_.take();
  if (file == nullptr) {
    co_await target_.close(target_handle);
    co_return fail(line_text(options_.client, op.line, "file table full for " + path.path));
  }
  *file = OpenFile{target_handle, op.handle, op.path, nullptr};
  FileStat stat;
  const i64 result = co_await target_.fstat(target_handle, stat);
  if (result < 0 || stat.is_directory) co_return true;
  if (options_.extended_attributes) {
    const bool written = co_await write_attribute(target_handle);
    if (!written) co_return fail(line_text(options_.client, op.line, "fsetxattr failed for " + path.path));
  }
  co_return follow_open(*file, path, flags, stat.size);
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::close(const Op& op) -> Task<bool> {
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  co_await target_.close(file->target_handle);
  file->target_handle = -1;
  file->content.reset();
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::unlink(const Op& op) -> Task<bool> {
  const ClientPath& path = paths_[op.path];
  co_await resolve(path);
  const i64 result = co_await target_.unlink(path.path);
  if (!check(op, "unlink", path, result)) co_return false;
  if (options_.verify && result >= 0) model_.unlinked(path.path);
  if (options_.sync_directories) co_await sync_parent(path);
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::rename(const Op& op) -> Task<bool> {
  const ClientPath& from = paths_[op.path];
  const ClientPath& to = paths_[op.handle];
  co_await resolve(from);
  co_await resolve(to);
  const i64 result = co_await target_.rename(from.path, to.path);
  if (!check(op, "rename", from, result)) co_return false;
  if (options_.verify && result >= 0) model_.renamed(from.path, to.path);
  if (options_.sync_directories) co_await sync_parent(to);
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::rmdir(const Op& op) -> Task<bool> {
  const ClientPath& path = paths_[op.path];
  co_await resolve(path);
  const i64 result = co_await target_.rmdir(path.path);
  if (!check(op, "rmdir", path, result)) co_return false;
  if (options_.sync_directories) co_await sync_parent(path);
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::write(const Op& op) -> Task<bool> {
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  u64 done = 0;
  i64 result = 0;
  do {  // at least once: a write of no bytes is a call, too
    const u64 offset = op.offset + done;
    const u64 length = std::min(op.size - done, piece_bytes_max);
    const u64 stream = workloads::payload_stream(options_.seed, options_.client, file->path, ++write_version_);
    const ByteSpan data = next_payload(offset, length, stream);
    result = co_await target_.pwrite(file->target_handle, data, offset);
    if (result < 0) co_return fail(wrong_count_text(options_.client, op, "write", result));
    const u64 moved = static_cast<u64>(result);
    if (file->content != nullptr) file->content->write(offset, moved, stream);
    done += moved;
    if (moved != length) break;
  } while (done < op.size);
  if (done != op.returned) {
    std::string text = wrong_count_text(options_.client, op, "write", static_cast<i64>(done));
    if (done < op.size) {  // the rest, asked for again, says why
      const ByteSpan rest = next_payload(op.offset + done, std::min(op.size - done, piece_bytes_max), 0);
      result = co_await target_.pwrite(file->target_handle, rest, op.offset + done);
      if (result < 0) text += std::string(": ") + std::strerror(static_cast<int>(-result));
    }
    co_return fail(std::move(text));
  }
  if (options_.sync_writes) co_await target_.fsync(file->target_handle);
  op_bytes_ = op.size;
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::read(const Op& op) -> Task<bool> {
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  op_bytes_ = op.size;
  u64 done = 0;
  i64 result = 0;
  do {
    const u64 offset = op.offset + done;
    const u64 length = std::min(op.size - done, piece_bytes_max);
    const MutableByteSpan into = read_buffer_.span().first(length);
    result = co_await target_.pread(file->target_handle, into, offset);
    if (result < 0) break;
    const u64 moved = static_cast<u64>(result);
    if (file->content != nullptr) {
      const std::string& path = paths_[file->path].path;
      if (differs(model_.check_read(*file->content, path, offset, length, into.first(moved)))) co_return false;
    }
    done += moved;
    if (moved != length) break;
  } while (done < op.size);
  if ((result < 0 || done != op.returned) && complain()) {
    note(wrong_count_text(options_.client, op, "read", result < 0 ? result : static_cast<i64>(done)));
  }
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::query_file(const Op& op) -> Task<bool> {
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  FileStat stat;
  const i64 result = co_await target_.fstat(file->target_handle, stat);
  if (options_.extended_attributes) {
    const MutableByteSpan into = attribute_buffer_;
    co_await target_.fgetxattr(file->target_handle, attribute_name, into);
  }
  if (file->content == nullptr || result < 0) co_return true;
  co_return !differs(model_.check_size(*file->content, paths_[file->path].path, stat.size));
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::set_file(const Op& op) -> Task<bool> {
  OpenFile* file = file_of(op);
  if (file == nullptr) co_return false;
  if (options_.extended_attributes) {
    const MutableByteSpan into = attribute_buffer_;
    co_await target_.fgetxattr(file->target_handle, attribute_name, into);
  }
  FileStat stat;
  co_await target_.fstat(file->target_handle, stat);
  co_await target_.utime(paths_[file->path].path, stat.access_seconds - 10, stat.modify_seconds - 12);
  if (!options_.extended_attributes || stat.is_directory) co_return true;
  const bool written = co_await write_attribute(file->target_handle);
  if (!written) co_return fail(line_text(options_.client, op.line, "fsetxattr failed"));
  co_return true;
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::find_first(const Op& op) -> Task<bool> {
  const ClientPath& path = paths_[op.path];
  co_await resolve(path);
  if (path.is_pattern) co_await scan(path.parent, op.size, nullptr);
  co_return true;
}

// How a server that ignores case looks a name up.
COWBENCH_CLIENT
auto DbenchClient<Target, Host>::resolve(const ClientPath& path) -> Task<void> {
  FileStat stat;
  const i64 result = co_await target_.stat(path.path, stat);
  if (result >= 0) {
    if (options_.extended_attributes) {
      const MutableByteSpan into = attribute_buffer_;
      co_await target_.getxattr(path.path, attribute_name, into);
    }
  } else if (options_.resolve_by_scan) {
    co_await scan(path.parent, ~0ull, path.name.c_str());
  }
}

// Reads entries until `entries_max` are seen, the directory ends, or one equals `stop_at_name` but for case.
COWBENCH_CLIENT
auto DbenchClient<Target, Host>::scan(const std::string& directory, u64 entries_max, const char* stop_at_name) -> Task<void> {
  const i64 handle = co_await target_.open_directory(directory);
  if (handle < 0) co_return;
  u64 entries_left = entries_max;
  while (entries_left > 0) {
    const MutableByteSpan into = directory_buffer_;
    const i64 bytes = co_await target_.read_directory(handle, into);
    if (bytes <= 0) break;
    DirectoryRecords records(ByteSpan(directory_buffer_).first(static_cast<std::size_t>(bytes)));
    while (entries_left > 0) {
      const char* name = records.next();
      if (name == nullptr) break;
      const bool found = stop_at_name != nullptr && strcasecmp(stop_at_name, name) == 0;
      entries_left = found ? 0 : entries_left - 1;
    }
  }
  co_await target_.close_directory(handle);
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::deltree(std::string directory, u32 depth) -> Task<void> {
  if (depth == deltree_depth_max) {
    if (complain()) note("deltree: too deep: " + directory);
    co_return;
  }
  const i64 handle = co_await target_.open_directory(directory);
  if (handle < 0) co_return;
  std::vector<std::byte> buffer(directory_buffer_bytes);  // its own: the tree below is read meanwhile
  while (true) {
    const MutableByteSpan into = buffer;
    const i64 bytes = co_await target_.read_directory(handle, into);
    if (bytes <= 0) break;
    DirectoryRecords records(ByteSpan(buffer).first(static_cast<std::size_t>(bytes)));
    while (const char* name = records.next()) {
      if (std::string_view(name) == "." || std::string_view(name) == "..") continue;
      std::string path = directory + "/" + name;
      FileStat stat;
      const i64 found = co_await target_.stat(path, stat);
      if (found < 0) continue;
      if (stat.is_directory) {
        co_await deltree(std::move(path), depth + 1);
        continue;
      }
      const i64 result = co_await target_.unlink(path);
      if (result < 0 && complain()) note("deltree: cannot unlink " + path);
    }
  }
  co_await target_.close_directory(handle);
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::sync_parent(const ClientPath& path) -> Task<void> {
  const i64 result = co_await target_.fdatasync_directory(path.parent);
  if (result < 0 && complain()) note("cannot sync directory " + path.parent);
}

COWBENCH_CLIENT
auto DbenchClient<Target, Host>::write_attribute(i64 handle) -> Task<bool> {
  const MutableByteSpan into = attribute_buffer_;
  co_await target_.fgetxattr(handle, attribute_name, into);
  const auto value = attribute_value(random_);
  const ByteSpan from = cowfs::bytes_of(value);
  const i64 result = co_await target_.fsetxattr(handle, attribute_name, from);
  co_return result >= 0;
}

COWBENCH_CLIENT
OpenFile* DbenchClient<Target, Host>::file_of(const Op& op) {
  OpenFile* file = files_.find(op.handle);
  if (file == nullptr) {
    const std::string number = std::to_string(program_.handles[op.handle]);
    fail(line_text(options_.client, op.line, "handle " + number + " was not found"));
  }
  return file;
}

COWBENCH_CLIENT
ByteSpan DbenchClient<Target, Host>::next_payload(u64 offset, u64 length, u64 stream) {
  if (options_.verify) {
    const MutableByteSpan data = write_buffer_.span().first(length);
    fill_payload(options_.payload, stream, offset, data);
    return data;
  }
  const u64 window = write_version_ % payload_windows * payload_window_step_bytes;
  return ByteSpan(write_buffer_.span()).subspan(options_.payload == workloads::PayloadKind::zero ? 0 : window, length);
}

COWBENCH_CLIENT
bool DbenchClient<Target, Host>::follow_open(OpenFile& file, const ClientPath& path, int flags, u64 size) {
  if (!options_.verify || !path.is_private) return true;
  const bool known = model_.knows(path.path);
  file.content = model_.opened(path.path, (flags & O_CREAT) != 0, (flags & O_TRUNC) != 0);
  if (file.content != nullptr) return !differs(model_.check_size(*file.content, path.path, size));
  if (known) return true;
  return !differs(workloads::Mismatch{path.path, 0, "no such file", "a file of " + std::to_string(size) + " bytes"});
}

COWBENCH_CLIENT
bool DbenchClient<Target, Host>::fail(std::string message) {
  outcome_.failed = true;
  outcome_.message = std::move(message);
  return false;
}

COWBENCH_CLIENT
bool DbenchClient<Target, Host>::check(const Op& op, std::string_view call, const ClientPath& path, i64 result) {
  if ((result >= 0) == op.must_succeed) return true;
  return fail(wrong_result_text(options_.client, op, call, path.path, result));
}

// Counts a complaint; true when its text is still wanted.
COWBENCH_CLIENT
bool DbenchClient<Target, Host>::complain() {
  return ++outcome_.complaints <= complaint_texts_max;
}

COWBENCH_CLIENT
void DbenchClient<Target, Host>::note(std::string text) {
  outcome_.complaint_texts.push_back(std::move(text));
}

// Records a mismatch, if there is one, and ends the client.
COWBENCH_CLIENT
bool DbenchClient<Target, Host>::differs(std::optional<workloads::Mismatch> mismatch) {
  if (!mismatch) return false;
  outcome_.mismatches++;
  fail("client " + std::to_string(options_.client) + ": " + mismatch->to_text());
  outcome_.mismatch = std::move(mismatch);
  return true;
}

#undef COWBENCH_CLIENT

}  // namespace cowbench::harness
