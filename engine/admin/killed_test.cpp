// The real thing, killed: a process that has an image mounted and works on it gets SIGKILL at any moment, its successor, too,
// sometimes while it recovers; then every promise is held to what is found. Many rounds: scripts/torture.
#include <atomic>

#include "engine/admin/image_test_internal.h"
#include "engine/admin/killed_process.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::admin {
namespace {

constexpr u64 clients = 3;
constexpr u64 steps_max = 3000;  // of a client in one life
constexpr std::size_t files_max = 12;
constexpr u64 offset_max = 48 * kib;
constexpr u64 bytes_max = 24 * kib;

// What a client does. It is drawn from a seed alone, so that the worker and who judges what it left draw the same.
enum class Kind : u8 { create, write, write_direct, rename, remove, make_directory, fsync, fsync_names, sync };

struct Step {
  Kind kind = Kind::create;
  std::string path = {};
  std::string to = {};
  u64 offset = 0;
  std::string data = {};
};

class Steps {
 public:
  Steps(u64 seed, std::string home) : random_(seed), home_(std::move(home)) {}

  Step next() {
    const u64 number = number_++;
    if (number == 0) return {.kind = Kind::make_directory, .path = home_};
    const std::string fresh = home_ + "/" + std::to_string(number);
    const u64 choice = files_.size() < 2 ? 0 : random_.below(20);
    if (choice < 3) {
      files_.push_back(fresh);
      return {.kind = Kind::create, .path = fresh};
    }
    std::string& file = files_[random_.below(files_.size())];
    if (choice < 5 || files_.size() > files_max) return removal(file);
    if (choice < 7) return renaming(file, fresh);
    if (choice < 8) return {.kind = Kind::make_directory, .path = fresh};
    if (choice < 12) return {.kind = Kind::fsync, .path = file};
    if (choice < 13) return {.kind = Kind::fsync_names, .path = home_};
    if (choice < 14) return {.kind = Kind::sync, .path = home_};
    return writing(file, choice < 16);
  }

 private:
  Step removal(std::string& file) {
    Step step{.kind = Kind::remove, .path = file};
    std::swap(file, files_.back());
    files_.pop_back();
    return step;
  }
  // To a name that is new, or another file's.
  Step renaming(std::string& file, const std::string& fresh) {
    const std::string from = file;
    std::string& other = files_[random_.below(files_.size())];
    if (other == from || random_.one_in(2)) {
      file = fresh;
      return {.kind = Kind::rename, .path = from, .to = fresh};
    }
    const std::string to = other;
    std::erase(files_, from);
    return {.kind = Kind::rename, .path = from, .to = to};
  }
  Step writing(const std::string& file, bool direct) {
    Step step{.kind = direct ? Kind::write_direct : Kind::write, .path = file};
    step.offset = random_.below(offset_max);
    u64 bytes = 1 + random_.below(random_.one_in(3) ? 500 : bytes_max);
    if (direct) {
      step.offset = round_down(step.offset, block_bytes);
      bytes = round_up(bytes, block_bytes);
    }
    step.data.resize(bytes);
    const u64 salt = random_.next();
    for (u64 i = 0; i < bytes; ++i) step.data[i] = static_cast<char>(salt >> (i % 8 * 8) ^ i / 8);
    return step;
  }

  Random random_;
  std::string home_;
  u64 number_ = 0;
  std::vector<std::string> files_;
};

// In memory that outlives the worker: a client counts a step before it begins, and again when it was answered.
struct Progress {
  Worker worker;
  std::atomic<u64> begun[clients];
  std::atomic<u64> answered[clients];
};

std::string home_of(u64 life, u64 client) { return "/life" + std::to_string(life) + "_" + std::to_string(client); }
u64 seed_of(u64 seed, u64 life, u64 client) { return (seed * killed_lives + life) * clients + client; }

// The worker

Task<Status> perform_on_file(Filesystem* filesystem, const Step* step) {
  int flags = step->kind == Kind::fsync_names ? O_RDONLY | O_DIRECTORY : O_RDWR;
  if (step->kind == Kind::create) flags |= O_CREAT | O_EXCL;
  if (step->kind == Kind::write_direct) flags |= O_DIRECT;
  const Result<FileHandle> handle = co_await filesystem->open(step->path, flags, 0644);
  if (!handle) co_return handle.error();
  Status done;
  if (step->kind == Kind::fsync || step->kind == Kind::fsync_names) done = co_await filesystem->fsync(*handle);
  if (!step->data.empty()) {
    device::AlignedBuffer buffer(step->data.size());
    std::memcpy(buffer.data(), step->data.data(), step->data.size());
    const ByteSpan from = ByteSpan(buffer.span()).first(step->data.size());
    const Result<u64> written = co_await filesystem->write(*handle, step->offset, from);
    if (!written) done = written.error();
  }
  const Status closed = co_await filesystem->close(*handle);
  co_return done ? closed : done;
}

Task<Status> perform(Filesystem* filesystem, const Step* step) {
  switch (step->kind) {
    case Kind::make_directory:
      return filesystem->mkdir(step->path, 0755);
    case Kind::rename:
      return filesystem->rename(step->path, step->to, 0);
    case Kind::remove:
      return filesystem->unlink(step->path);
    case Kind::sync:
      return filesystem->sync();
    default:
      return perform_on_file(filesystem, step);
  }
}

Task<void> live(Filesystem* filesystem, Progress* progress, u64 client, u64 seed, std::string home) {
  Steps steps(seed, home);
  for (u64 number = 1; number <= steps_max; ++number) {
    const Step step = steps.next();
    progress->begun[client].store(number);
    const Status done = co_await perform(filesystem, &step);
    if (!done) progress->worker.give_up(step.path + ": " + to_text(done.error()));
    progress->answered[client].store(number);
  }
}

// The judge

// What history says until the kill: the step that was under way may have been done, and was not answered.
SurvivalModel history(u64 seed, const std::string& home, u64 begun, u64 answered) {
  SurvivalModel model;
  Steps steps(seed, home);
  for (u64 number = 1; number <= begun; ++number) {
    const Step step = steps.next();
    switch (step.kind) {
      case Kind::create:
        model.create(step.path);
        break;
      case Kind::write:
      case Kind::write_direct:
        model.write(model.find(step.path), step.offset, step.data);
        break;
      case Kind::rename:
        model.rename(step.path, step.to);
        break;
      case Kind::remove:
        model.remove(step.path);
        break;
      case Kind::make_directory:
        model.make_directory(step.path);
        break;
      case Kind::fsync:
        if (number <= answered) model.synced(model.find(step.path));
        break;
      case Kind::fsync_names:
        if (number <= answered) model.names_synced();
        break;
      case Kind::sync:
        if (number <= answered) model.all_synced();
        break;
    }
  }
  return model;
}

struct RandomLoad {
  using Memory = Progress;
  static constexpr u64 image_bytes = 512 * mib;
  static constexpr u64 us_max = 150'000;

  [[noreturn]] static void work(const TestImage& image, Progress* progress, u64 seed, u64 life) {
    auto mounted = mount_image(image, false);
    if (!mounted) progress->worker.give_up("mount: " + to_text(mounted.error()));
    Filesystem* filesystem = mounted->get();
    progress->worker.mounted.store(true);
    for (u64 client = 0; client < clients; ++client) {
      const u64 drawn = seed_of(seed, life, client);
      filesystem->start(static_cast<unsigned>(client % filesystem->cores()), [filesystem, progress, client, drawn, life] {
        return live(filesystem, progress, client, drawn, home_of(life, client));
      });
    }
    while (true) ::pause();
  }

  static FoundTree judge(const Progress& progress, u64 seed, u64 life, const FoundTree& found) {
    FoundTree judged;
    for (u64 client = 0; client < clients; ++client) {
      const u64 begun = progress.begun[client];
      const u64 answered = progress.answered[client];
      const std::string home = home_of(life, client);
      const FoundTree part = part_of(found, home);
      EXPECT_EQ(history(seed_of(seed, life, client), home, begun, answered).objection(part), "")
          << home << ", " << begun << " steps begun, " << answered << " answered";
      judged.insert(part.begin(), part.end());
    }
    return judged;
  }

  static u64 answered(const Progress& progress) {
    u64 sum = 0;
    for (const auto& of_client : progress.answered) sum += of_client;
    return sum;
  }
};

TEST(Killed, every_promise_is_kept) { torture<RandomLoad>(2); }

}  // namespace
}  // namespace cowfs::admin
