// One pass over the text, one line at a time, in a buffer of the size of the longest line: substitute, cut into tokens,
// then fill an Op from the table of operations below. Paths and handle numbers are interned, so that an Op is 40 bytes
// and client.txt (26 MB, 458,344 operations, 150 paths) becomes an 18 MB array that all clients share and only read.
#include "workloads/loadfile.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <unordered_map>

#include "engine/base/assert.h"

namespace cowbench::workloads {
namespace {

constexpr u64 size_max = std::numeric_limits<i64>::max();
constexpr double timestamp_seconds_max = 1e9;

enum class Field : u8 { none, path, new_path, handle, offset, size, returned, options, disposition, ignored };

struct Row {
  OpKind kind;
  std::string_view loadfile_name;
  std::string_view report_name;
  std::array<Field, 4> fields = {};
};

// In the order of OpKind.
constexpr auto rows = std::to_array<Row>({
    {OpKind::nt_create, "NTCreateX", "NTCreateX", {Field::path, Field::options, Field::disposition, Field::handle}},
    {OpKind::close, "Close", "Close", {Field::handle}},
    {OpKind::rename, "Rename", "Rename", {Field::path, Field::new_path}},
    {OpKind::unlink, "Unlink", "Unlink", {Field::path, Field::ignored}},
    {OpKind::deltree, "Deltree", "Deltree", {Field::path}},
    {OpKind::rmdir, "Rmdir", "Rmdir", {Field::path}},
    {OpKind::mkdir, "Mkdir", "Mkdir", {Field::path}},
    {OpKind::query_path, "QUERY_PATH_INFORMATION", "Qpathinfo", {Field::path, Field::ignored}},
    {OpKind::query_file, "QUERY_FILE_INFORMATION", "Qfileinfo", {Field::handle, Field::ignored}},
    {OpKind::query_filesystem, "QUERY_FS_INFORMATION", "Qfsinfo", {Field::ignored}},
    {OpKind::set_file, "SET_FILE_INFORMATION", "Sfileinfo", {Field::handle, Field::ignored}},
    {OpKind::find_first, "FIND_FIRST", "Find", {Field::path, Field::ignored, Field::size, Field::ignored}},
    {OpKind::write, "WriteX", "WriteX", {Field::handle, Field::offset, Field::size, Field::returned}},
    {OpKind::read, "ReadX", "ReadX", {Field::handle, Field::offset, Field::size, Field::returned}},
    {OpKind::lock, "LockX", "LockX", {Field::handle, Field::offset, Field::size}},
    {OpKind::unlock, "UnlockX", "UnlockX", {Field::handle, Field::offset, Field::size}},
    {OpKind::flush, "Flush", "Flush", {Field::handle}},
    {OpKind::sleep, "Sleep", "Sleep", {Field::size}},
});
static_assert(rows.size() == op_kind_count);

constexpr std::string_view field_name(Field field) {
  constexpr std::array<std::string_view, 10> names = {"none", "path",     "new path", "handle",      "offset",
                                                      "size", "returned", "options",  "disposition", "number"};
  return names[static_cast<std::size_t>(field)];
}

const Row* find_row(std::string_view operation) {
  for (const Row& row : rows) {
    if (row.loadfile_name == operation) return &row;
  }
  return nullptr;
}

// A token for an error message: short, and without bytes that would upset a terminal.
std::string shown(std::string_view token) {
  constexpr std::size_t shown_max = 60;
  std::string text(token.substr(0, shown_max));
  for (char& c : text) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return token.size() > shown_max ? fmt::format("\"{}...\"", text) : fmt::format("\"{}\"", text);
}

// As strtol with base 0, but the whole token must be a number that fits.
std::optional<i64> to_number(std::string_view token) {
  const bool negative = token.starts_with('-');
  if (negative || token.starts_with('+')) token.remove_prefix(1);
  int base = 10;
  if (token.starts_with("0x") || token.starts_with("0X")) {
    base = 16;
    token.remove_prefix(2);
  } else if (token.size() > 1 && token.front() == '0') {
    base = 8;
  }
  u64 value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value, base);
  if (error != std::errc{} || end != token.data() + token.size() || value > size_max) return std::nullopt;
  return negative ? -static_cast<i64>(value) : static_cast<i64>(value);
}

// Whether the status asks for success; nothing when it is badly formed.
std::optional<bool> to_must_succeed(std::string_view token) {
  if (token.starts_with("NT_STATUS_")) {
    const std::string_view rest = token.substr(10);
    const bool formed = !rest.empty() && std::all_of(rest.begin(), rest.end(), [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    return formed ? std::optional(rest == "OK") : std::nullopt;
  }
  if (!token.starts_with("0x")) return std::nullopt;
  const std::optional<i64> value = to_number(token);
  return value ? std::optional(*value == 0) : std::nullopt;
}

u64 add_saturating(u64 a, u64 b) { return a + b < a ? ~0ull : a + b; }

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

class Parser {
 public:
  // The reason why `line` is refused; empty when it is fine.
  std::string add_line(std::string_view line);
  Program take() { return std::move(program_); }
  const Program& program() const { return program_; }

 private:
  struct HandleState {
    u32 opens = 0;           // not yet closed; dbench lets a number be open more than once
    u32 last_close_line = 0;
  };

  std::string tokenise(std::string_view line);
  std::string take_timestamp(std::span<std::string_view>& tokens, u64& due_ns);
  std::string fill(Op& op, Field field, std::string_view token);
  std::string fill_number(Op& op, Field field, i64 value);
  std::string use_handle(Op& op, i64 number);
  u32 intern_path(std::string_view path);
  void append(const Op& op, u64 due_ns);

  Program program_;
  std::unordered_map<std::string, u32, StringHash, std::equal_to<>> path_index_;
  std::unordered_map<i64, u32> handle_index_;
  std::vector<HandleState> handle_states_;
  u32 open_files_ = 0;
  std::array<char, line_bytes_max> buffer_;
  std::array<std::string_view, tokens_max> tokens_;
  std::size_t token_count_ = 0;
};

// Fills tokens_ with views into buffer_, where a token loses its quotes in place.
std::string Parser::tokenise(std::string_view line) {
  token_count_ = 0;
  std::size_t length = 0;
  char previous = 0;
  for (const char raw : line) {
    const char c = raw == '\\' ? '/' : raw;
    if (c != '/' || previous != ' ') buffer_[length++] = c;
    previous = c;
  }
  std::size_t at = 0;
  while (true) {
    while (at < length && buffer_[at] == ' ') at++;
    if (at == length) return {};
    if (token_count_ == tokens_max) return fmt::format("more than {} words", tokens_max);
    const std::size_t begin = at;
    std::size_t end = at;
    bool quoted = false;
    for (; at < length && (quoted || buffer_[at] != ' '); at++) {
      if (buffer_[at] == '"') {
        quoted = !quoted;
      } else {
        buffer_[end++] = buffer_[at];
      }
    }
    if (quoted) return "unterminated quote";
    tokens_[token_count_++] = {buffer_.data() + begin, end - begin};
  }
}

std::string Parser::take_timestamp(std::span<std::string_view>& tokens, u64& due_ns) {
  due_ns = 0;
  const std::string_view token = tokens.front();
  if (token.empty() || token.front() < '0' || token.front() > '9') return {};
  double seconds = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), seconds);
  if (error != std::errc{} || end != token.data() + token.size() || !(seconds <= timestamp_seconds_max)) {
    return fmt::format("badly formed timestamp {}", shown(token));
  }
  due_ns = static_cast<u64>(std::llround(seconds * 1e9));
  tokens = tokens.subspan(1);
  return {};
}

std::string Parser::add_line(std::string_view line) {
  program_.lines++;
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() > line_bytes_max) return fmt::format("line longer than {} bytes", line_bytes_max);
  if (line.find_first_not_of(' ') == std::string_view::npos) return {};
  if (line[line.find_first_not_of(' ')] == '#') return {};
  if (line.find('\0') != std::string_view::npos) return "NUL byte";
  if (std::string reason = tokenise(line); !reason.empty()) return reason;

  std::span<std::string_view> tokens(tokens_.data(), token_count_);
  u64 due_ns = 0;
  if (std::string reason = take_timestamp(tokens, due_ns); !reason.empty()) return reason;
  if (tokens.empty()) return "no operation after the timestamp";
  if (tokens[0].starts_with("SMB")) return "a loadfile of dbench 1";
  const Row* row = find_row(tokens[0]);
  if (row == nullptr) return fmt::format("unknown operation {}", shown(tokens[0]));
  if (tokens.size() < 2) return "missing arguments and status";
  const std::optional<bool> must_succeed = to_must_succeed(tokens.back());
  if (!must_succeed) return fmt::format("badly formed status {}", shown(tokens.back()));

  Op op = {};
  op.kind = row->kind;
  op.must_succeed = *must_succeed;
  op.line = static_cast<u32>(program_.lines);
  const std::span<std::string_view> arguments = tokens.subspan(1, tokens.size() - 2);
  std::size_t next = 0;
  for (const Field field : row->fields) {
    if (field == Field::none) break;
    if (next == arguments.size()) return fmt::format("missing argument {} ({})", next + 1, field_name(field));
    if (std::string reason = fill(op, field, arguments[next++]); !reason.empty()) {
      return fmt::format("argument {} ({}): {}", next, field_name(field), reason);
    }
  }
  append(op, due_ns);
  return {};
}

std::string Parser::fill(Op& op, Field field, std::string_view token) {
  if (field == Field::path || field == Field::new_path) {
    if (!token.starts_with('/')) return fmt::format("not a quoted path that begins with \\ or /: {}", shown(token));
    (field == Field::path ? op.path : op.handle) = intern_path(token);
    return {};
  }
  const std::optional<i64> value = to_number(token);
  if (!value) return fmt::format("not a number of 63 bits: {}", shown(token));
  return fill_number(op, field, *value);
}

std::string Parser::fill_number(Op& op, Field field, i64 value) {
  switch (field) {
    case Field::handle:
      return use_handle(op, value);
    case Field::options:
      op.directory = (value & 1) != 0;
      return {};
    case Field::disposition:
      op.disposition = value == 2                 ? Disposition::create
                       : value == 4 || value == 5 ? Disposition::overwrite
                                                  : Disposition::open;
      return {};
    case Field::ignored:
      return {};
    default:
      break;
  }
  if (value < 0) return fmt::format("negative: {}", value);
  const u64 number = static_cast<u64>(value);
  if (field == Field::offset) op.offset = number;
  if (field == Field::returned) op.returned = number;
  if (field == Field::size) {
    if (number > size_max - op.offset) return fmt::format("offset {} + size {} is past 2^63", op.offset, number);
    op.size = number;
  }
  return {};
}

// Follows what dbench's table of handles would hold at this line of the first pass.
std::string Parser::use_handle(Op& op, i64 number) {
  if (op.kind == OpKind::nt_create) {
    if (!op.must_succeed) return {};
    if (number == 0) return "handle 0 cannot be opened: it means a free slot";
    if (open_files_ == open_files_max) return fmt::format("more than {} files open", open_files_max);
    const auto [at, added] = handle_index_.try_emplace(number, static_cast<u32>(program_.handles.size()));
    if (added) {
      program_.handles.push_back(number);
      handle_states_.emplace_back();
    }
    op.handle = at->second;
    handle_states_[op.handle].opens++;
    open_files_++;
    return {};
  }
  const auto found = handle_index_.find(number);
  if (found == handle_index_.end()) return fmt::format("missing handle {}: no earlier line opens it", number);
  op.handle = found->second;
  HandleState& state = handle_states_[op.handle];
  if (state.opens == 0) return fmt::format("missing handle {}: closed on line {}", number, state.last_close_line);
  if (op.kind == OpKind::close) {
    state.opens--;
    state.last_close_line = op.line;
    open_files_--;
  }
  return {};
}

u32 Parser::intern_path(std::string_view path) {
  if (const auto found = path_index_.find(path); found != path_index_.end()) return found->second;
  const u32 index = static_cast<u32>(program_.paths.size());
  path_index_.emplace(path, index);
  constexpr std::string_view client = "client1";
  PathTemplate parts;
  for (std::size_t at = path.find(client); at != std::string_view::npos; at = path.find(client)) {
    parts.pieces.emplace_back(path.substr(0, at));
    path.remove_prefix(at + client.size());
  }
  parts.pieces.emplace_back(path);
  program_.paths.push_back(std::move(parts));
  return index;
}

void Parser::append(const Op& op, u64 due_ns) {
  if (due_ns != 0 && program_.due_ns.empty()) program_.due_ns.resize(program_.ops.size());
  program_.ops.push_back(op);
  if (due_ns != 0 || !program_.due_ns.empty()) program_.due_ns.push_back(due_ns);
  if (op.kind == OpKind::read || op.kind == OpKind::write) {
    program_.accounted_bytes = add_saturating(program_.accounted_bytes, op.size);
    program_.transfer_bytes_max = std::max(program_.transfer_bytes_max, op.size);
  }
}

}  // namespace

std::string_view loadfile_name(OpKind kind) { return rows[static_cast<std::size_t>(kind)].loadfile_name; }
std::string_view report_name(OpKind kind) { return rows[static_cast<std::size_t>(kind)].report_name; }

std::string LoadfileError::to_text() const {
  return line == 0 ? fmt::format("{}: {}", file, reason) : fmt::format("{}:{}: {}", file, line, reason);
}

std::vector<ClientPath> Program::paths_for(u32 client, std::string_view directory) const {
  const std::string client_name = fmt::format("client{}", client);
  std::vector<ClientPath> result;
  result.reserve(paths.size());
  for (const PathTemplate& parts : paths) {
    ClientPath path;
    path.path = directory;
    path.path += parts.pieces[0];
    for (std::size_t i = 1; i < parts.pieces.size(); i++) path.path.append(client_name).append(parts.pieces[i]);
    const std::size_t slash = path.path.rfind('/');
    path.parent = slash == 0 ? "/" : path.path.substr(0, slash);
    path.name = path.path.substr(slash + 1);
    path.is_pattern = path.path.find_first_of("<>*?\"") != std::string::npos;
    path.is_private = parts.is_private();
    result.push_back(std::move(path));
  }
  return result;
}

std::array<u64, op_kind_count> Program::count_by_kind() const {
  std::array<u64, op_kind_count> counts = {};
  for (const Op& op : ops) counts[static_cast<std::size_t>(op.kind)]++;
  return counts;
}

LoadfileResult parse_loadfile(std::string_view text, std::string_view file) {
  Parser parser;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t newline = std::min(rest.find('\n'), rest.size());
    std::string reason = parser.add_line(rest.substr(0, newline));
    if (!reason.empty()) return LoadfileError{std::string(file), parser.program().lines, std::move(reason)};
    rest.remove_prefix(std::min(newline + 1, rest.size()));
  }
  if (parser.program().ops.empty()) return LoadfileError{std::string(file), 0, "no operation in it"};
  return parser.take();
}

LoadfileResult read_loadfile(const std::string& file) {
  const auto refuse = [&file](std::string reason) { return LoadfileError{file, 0, std::move(reason)}; };
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const int descriptor = open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return refuse(fmt::format("cannot be opened: {}", std::strerror(errno)));
  struct stat info = {};
  std::string text;
  std::string reason;
  if (fstat(descriptor, &info) != 0) {
    reason = fmt::format("cannot be read: {}", std::strerror(errno));
  } else if (!S_ISREG(info.st_mode)) {
    reason = "not a regular file";
  } else if (static_cast<u64>(info.st_size) > file_bytes_max) {
    reason = fmt::format("larger than {} bytes", file_bytes_max);
  } else {
    // The size is what it was at fstat: a file that grows meanwhile is cut, one that shrinks ends early.
    text.resize(static_cast<std::size_t>(info.st_size));
    std::size_t filled = 0;
    while (filled < text.size()) {
      const ssize_t got = read(descriptor, text.data() + filled, text.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) reason = fmt::format("cannot be read: {}", std::strerror(errno));
      if (got <= 0) break;
      filled += static_cast<std::size_t>(got);
    }
    text.resize(filled);
  }
  close(descriptor);
  if (!reason.empty()) return refuse(std::move(reason));
  return parse_loadfile(text, file);
}

}  // namespace cowbench::workloads
