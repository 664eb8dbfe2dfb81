#include "engine/sim/client.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/random.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::sim {

namespace {

constexpr std::size_t problems_max = 5;

std::string content_of(const Operation& operation) {
  Random random(operation.salt);
  std::string data(operation.bytes, '\0');
  u64 word = random.next();
  for (u64 i = 0; i < data.size(); ++i) {
    if (i % 64 == 0) word = random.next();
    data[i] = static_cast<char>(word >> (i % 8 * 8) ^ (i / 8 % 8));
  }
  return data;
}

// Others are never refused, however full the device is.
bool wants_space(const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::create:
    case OperationKind::mkdir:
    case OperationKind::symlink:
    case OperationKind::write:
    case OperationKind::punch:  // parts of blocks become zeros
    case OperationKind::allocate:
      return true;
    default:
      return false;
  }
}

Status status_of(const auto& result) { return result ? Status{} : Status{result.error()}; }

}  // namespace

Client::Client(Model& model, const ClientSettings& settings)
    : model_(model), settings_(settings), expectation_(model, settings) {}

void Client::problem(const Operation& operation, const std::string& text) {
  if (problems_.size() < problems_max) {
    problems_.push_back(settings_.home + " operation " + std::to_string(performed_.size()) + ", " +
                        to_text(operation) + ": " + text);
  }
  stopped_ = true;
}

bool Client::is_expected_failure(const Operation& operation, const Error& error) const {
  switch (error_class(error.code)) {
    case ErrorClass::io:
    case ErrorClass::retry:
      return settings_.errors_expected;
    case ErrorClass::space:
      return settings_.refusals == Refusals::of_any || (settings_.refusals == Refusals::of_more && wants_space(operation));
    case ErrorClass::corrupt:
      return settings_.corruption_expected;
    default:
      return false;
  }
}

void Client::compare(const Operation& operation, int expected, const Status& got) {
  if (!got && is_expected_failure(operation, got.error())) {
    stopped_ = true;
    const bool whole = operation.kind == OperationKind::write;  // a part of it would have been answered with
    refused_ = refused_ || (error_class(got.error().code) == ErrorClass::space && !whole);
    return;
  }
  const int told = got ? 0 : to_errno(got.error().code);
  if (told == expected) return;
  problem(operation, std::string("expected ") + strerrorname_np(expected) + ", got " +
                         (got ? "done" : to_text(got.error())));
}

OperationView Client::view() const {
  OperationView view{model_, expectation_.own_names(), expectation_.home(), expectation_.shared_prefix(), {}};
  for (const auto& [path, file] : held_) view.held.push_back(path);
  return view;
}

Task<void> Client::run(fs::Operations* operations, OperationSource* source) {
  operations_ = operations;
  performed_.clear();
  while (!stopped_) {
    std::optional<Operation> next = source->next(view());
    if (!next) break;
    performed_.push_back(*next);
    if (watch_) watch_(*next);
    co_await perform(std::move(*next));
  }
  while (!held_.empty()) {
    std::unique_ptr<Handle> file = std::move(held_.begin()->second);
    held_.erase(held_.begin());
    co_await close(std::move(file));
  }
}

Task<void> Client::perform(Operation operation) {
  switch (operation.kind) {
    case OperationKind::create:
      return create(std::move(operation));
    case OperationKind::mkdir:
    case OperationKind::rmdir:
    case OperationKind::unlink:
    case OperationKind::link:
    case OperationKind::symlink:
    case OperationKind::rename:
    case OperationKind::rename_new:
    case OperationKind::exchange:
      return change_names(std::move(operation));
    case OperationKind::hold:
      return hold(std::move(operation));
    case OperationKind::sync:
      return sync();
    default:
      return on_file(std::move(operation));
  }
}

Task<void> Client::learn_inode(std::string path) {
  const NodePointer node = model_.find(path);
  const Result<Attributes> attributes = co_await operations_->stat(path, false);
  if (!attributes) {
    const Operation looked{.kind = OperationKind::stat, .path = path};
    compare(looked, 0, attributes.error());
    co_return;
  }
  node->inode = attributes->inode;
  expectation_.learned(node);
}

namespace {

unsigned rename_flags(OperationKind kind) {
  if (kind == OperationKind::rename_new) return RENAME_NOREPLACE;
  return kind == OperationKind::exchange ? RENAME_EXCHANGE : 0;
}

int change_model_names(Model& model, const Operation& operation) {
  switch (operation.kind) {
    case OperationKind::mkdir:
      return model.mkdir(operation.path);
    case OperationKind::rmdir:
      return model.rmdir(operation.path);
    case OperationKind::unlink:
      return model.unlink(operation.path);
    case OperationKind::link:
      return model.link(operation.other, operation.path);
    case OperationKind::symlink:
      return model.symlink(operation.other, operation.path);
    default:
      return model.rename(operation.other, operation.path, rename_flags(operation.kind));
  }
}

}  // namespace

Task<Status> Client::change_engine_names(Operation operation) {
  const std::string& path = operation.path;
  const std::string& other = operation.other;
  switch (operation.kind) {
    case OperationKind::mkdir:
      co_return co_await operations_->mkdir(path, 0755);
    case OperationKind::rmdir:
      co_return co_await operations_->rmdir(path);
    case OperationKind::unlink:
      co_return co_await operations_->unlink(path);
    case OperationKind::link:
      co_return co_await operations_->link(other, path);
    case OperationKind::symlink:
      co_return co_await operations_->symlink(other, path);
    default:
      co_return co_await operations_->rename(other, path, rename_flags(operation.kind));
  }
}

Task<void> Client::change_names(Operation operation) {
  model_.set_operation(expectation_.next_operation());
  const int expected = change_model_names(model_, operation);
  if (expected == 0) expectation_.names_changed();
  const Status got = co_await change_engine_names(operation);
  compare(operation, expected, got);
  const bool makes = operation.kind == OperationKind::mkdir || operation.kind == OperationKind::symlink;
  if (makes && expected == 0 && !stopped_) co_await learn_inode(operation.path);
}

Task<void> Client::create(Operation operation) {
  model_.set_operation(expectation_.next_operation());
  const int expected = model_.create(operation.path);
  if (expected == 0) expectation_.names_changed();
  const Result<FileHandle> opened = co_await operations_->open(operation.path, O_RDWR | O_CREAT | O_EXCL, 0644);
  compare(operation, expected, status_of(opened));
  if (!opened) co_return;
  const Status closed = co_await operations_->close(*opened);
  compare(operation, 0, closed);
  if (!stopped_) co_await learn_inode(operation.path);
}

Task<std::unique_ptr<Client::Handle>> Client::open(Operation operation) {
  const Model::End end = model_.resolve(operation.path, true);
  auto file = std::make_unique<Handle>();
  file->direct = operation.direct;
  file->node = end.node;
  const bool directory = end.node != nullptr && end.node->type == NodeType::directory;
  const bool synced = operation.kind == OperationKind::fsync;
  int expected = end.error;
  if (expected == 0 && end.node == nullptr) expected = ENOENT;
  if (expected == 0 && directory && !synced) expected = EISDIR;
  const int flags = directory && synced ? O_RDONLY | O_DIRECTORY : O_RDWR | (file->direct ? O_DIRECT : 0);
  const Result<FileHandle> opened = co_await operations_->open(operation.path, flags, 0);
  compare(operation, expected, status_of(opened));
  if (!opened || expected != 0) co_return nullptr;
  file->handle = *opened;
  co_return file;
}

Task<void> Client::close(std::unique_ptr<Handle> file) {
  const Status closed = co_await operations_->close(file->handle);
  const Operation released{.kind = OperationKind::release};
  compare(released, 0, closed);
}

Task<void> Client::hold(Operation operation) {
  if (held_.contains(operation.path)) co_return;
  std::unique_ptr<Handle> file = co_await open(operation);
  if (file == nullptr) co_return;
  file->held = true;
  held_[operation.path] = std::move(file);
}

Task<void> Client::on_file(Operation operation) {
  const auto found = held_.find(operation.path);
  if (operation.kind == OperationKind::release) {
    if (found == held_.end()) co_return;
    std::unique_ptr<Handle> file = std::move(found->second);
    held_.erase(found);
    co_await close(std::move(file));
    co_return;
  }
  if (found != held_.end()) {
    co_await use(operation, found->second.get());
    co_return;
  }
  std::unique_ptr<Handle> file = co_await open(operation);
  if (file == nullptr) co_return;
  co_await use(operation, file.get());
  co_await close(std::move(file));
}

Task<void> Client::use(Operation operation, Handle* file) {
  switch (operation.kind) {
    case OperationKind::write:
      return write(std::move(operation), file);
    case OperationKind::read:
      return read(std::move(operation), file);
    case OperationKind::fsync:
      return fsync(std::move(operation), file);
    case OperationKind::stat:
      return stat(std::move(operation), file);
    default:
      return resize(std::move(operation), file);
  }
}

Task<void> Client::write(Operation operation, Handle* file) {
  Node& node = *file->node;
  const std::string data = content_of(operation);
  device::AlignedBuffer buffer(data.size());
  std::memcpy(buffer.data(), data.data(), data.size());
  node.versions.push_back(Model::written(node.data, operation.offset, data));
  const ByteSpan from = buffer.span().first(data.size());
  const Result<u64> written = co_await operations_->write(file->handle, operation.offset, from);
  compare(operation, 0, status_of(written));
  if (!written) co_return;
  if (*written < data.size()) {
    if (!settings_.errors_expected && settings_.refusals == Refusals::none) problem(operation, "a short write");
    node.versions.push_back(Model::written(node.data, operation.offset, data.substr(0, *written)));
  }
  node.data = node.versions.back();
}

Task<void> Client::read(Operation operation, Handle* file) {
  const Node& node = *file->node;
  device::AlignedBuffer buffer(operation.bytes);
  const MutableByteSpan into = buffer.span().first(operation.bytes);
  const Result<u64> read = co_await operations_->read(file->handle, operation.offset, into);
  compare(operation, 0, status_of(read));
  if (!read) co_return;
  const std::string expected =
      operation.offset >= node.data.size() ? "" : node.data.substr(operation.offset, operation.bytes);
  if (*read != expected.size()) {
    problem(operation, std::to_string(*read) + " bytes, expected " + std::to_string(expected.size()));
    co_return;
  }
  const char* got = reinterpret_cast<const char*>(buffer.data());
  const auto differs = std::mismatch(expected.begin(), expected.end(), got).first;
  if (differs == expected.end()) co_return;
  const u64 at = operation.offset + static_cast<u64>(differs - expected.begin());
  problem(operation, "wrong byte at " + std::to_string(at) + " of " + std::to_string(node.data.size()) + ", inode " +
                         std::to_string(node.inode) + (file->direct ? ", direct" : ""));
}

Task<void> Client::resize(Operation operation, Handle* file) {
  Node& node = *file->node;
  Status done;
  if (operation.kind == OperationKind::truncate) {
    node.versions.push_back(Model::resized(node.data, operation.offset));
    done = co_await operations_->truncate(file->handle, operation.offset);
  } else if (operation.kind == OperationKind::punch) {
    node.versions.push_back(Model::punched(node.data, operation.offset, operation.bytes));
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    done = co_await operations_->allocate(file->handle, mode, operation.offset, operation.bytes);
  } else {
    const u64 end = operation.offset + operation.bytes;
    node.versions.push_back(Model::resized(node.data, std::max<u64>(node.data.size(), end)));
    done = co_await operations_->allocate(file->handle, 0, operation.offset, operation.bytes);
  }
  compare(operation, 0, done);
  if (done) node.data = node.versions.back();
}

Task<void> Client::fsync(Operation operation, Handle* file) {
  const Status done = co_await operations_->fsync(file->handle);
  compare(operation, 0, done);
  if (!done) co_return;
  expectation_.synced(*file->node);
  if (observer_) observer_();
}

Task<void> Client::sync() {
  const Status done = co_await operations_->sync();
  compare({}, 0, done);
  if (!done) co_return;
  expectation_.synced_all();
  if (observer_) observer_();
}

Task<void> Client::stat(Operation operation, Handle* file) {
  const Result<Attributes> attributes = co_await operations_->stat(file->handle);
  compare(operation, 0, status_of(attributes));
  if (!attributes) co_return;
  const Node& node = *file->node;
  if (attributes->size != node.data.size() || attributes->links != node.links || attributes->inode != node.inode) {
    problem(operation, "size " + std::to_string(attributes->size) + " links " + std::to_string(attributes->links) +
                           ", expected " + std::to_string(node.data.size()) + " and " + std::to_string(node.links));
  }
}

}  // namespace cowfs::sim
