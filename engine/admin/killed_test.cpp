// The real thing, killed: a process that has an image mounted and works on it gets SIGKILL at any moment, its successor, too,
// sometimes while it recovers; then every promise is held to what is found. Many rounds: scripts/torture.
#include <dirent.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>

#include "engine/admin/image_test_internal.h"
#include "engine/admin/survival_test_internal.h"
#include "engine/device/aligned_buffer.h"

namespace cowfs::admin {
namespace {

constexpr u64 clients = 3;
constexpr u64 lives = 3;         // of one filesystem
constexpr u64 steps_max = 3000;  // of a client in one life
constexpr std::size_t files_max = 12;
constexpr u64 offset_max = 48 * kib;
constexpr u64 bytes_max = 24 * kib;

u64 from_environment(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

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
  std::atomic<bool> mounted;
  std::atomic<u64> begun[clients];
  std::atomic<u64> answered[clients];
  char failure[400];
};

class SharedProgress {
 public:
  SharedProgress()
      : memory_(::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) std::abort();
  }
  ~SharedProgress() { ::munmap(memory_, sizeof(Progress)); }
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  Progress* operator->() const { return static_cast<Progress*>(memory_); }
  Progress* get() const { return static_cast<Progress*>(memory_); }

 private:
  void* memory_;
};

std::string home_of(u64 life, u64 client) { return "/life" + std::to_string(life) + "_" + std::to_string(client); }
u64 seed_of(u64 seed, u64 life, u64 client) { return (seed * lives + life) * clients + client; }

// The worker

[[noreturn]] void give_up(Progress* progress, const std::string& what) {
  std::snprintf(progress->failure, sizeof progress->failure, "%s", what.c_str());
  ::_exit(1);
}

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
    if (!done) give_up(progress, step.path + ": " + to_text(done.error()));
    progress->answered[client].store(number);
  }
}

// Works until it is killed.
[[noreturn]] void work(const TestImage& image, Progress* progress, u64 seed, u64 life) {
  auto mounted = mount_image(image, false);
  if (!mounted) give_up(progress, "mount: " + to_text(mounted.error()));
  Filesystem* filesystem = mounted->get();
  progress->mounted.store(true);
  for (u64 client = 0; client < clients; ++client) {
    const u64 drawn = seed_of(seed, life, client);
    filesystem->start(static_cast<unsigned>(client % filesystem->cores()), [filesystem, progress, client, drawn, life] {
      return live(filesystem, progress, client, drawn, home_of(life, client));
    });
  }
  while (true) ::pause();
}

// Runs `body` in a process of its own and kills it so long after `ready` says so. False: it had ended before.
template <typename Body, typename Ready>
bool killed(Body body, Ready ready, u64 after_us) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) body();
    ::_exit(1);
  }
  int status = 0;
  pid_t ended = 0;
  while (!ready() && (ended = ::waitpid(child, &status, WNOHANG)) == 0) ::usleep(200);
  if (ended != 0) return false;
  ::usleep(static_cast<useconds_t>(after_us));  // the moment of the kill: nothing is waited for
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
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
        model.write(step.path, step.offset, step.data);
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
        if (number <= answered) model.synced(step.path);
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

Task<void> read_whole(Filesystem* filesystem, std::string path, FoundTree* found) {
  const Result<FileHandle> handle = co_await filesystem->open(path, O_RDONLY, 0);
  EXPECT_OK(handle);
  if (!handle) co_return;
  std::string content(offset_max + 2 * bytes_max, '\0');
  const MutableByteSpan into = std::as_writable_bytes(std::span<char>(content));
  const Result<u64> read = co_await filesystem->read(*handle, 0, into);
  EXPECT_OK(read);
  content.resize(read ? *read : 0);
  (*found)[path].content = std::move(content);
  const Status closed = co_await filesystem->close(*handle);
  EXPECT_OK(closed);
}

Task<void> read_tree(Filesystem* filesystem, std::string directory, FoundTree* found) {
  const std::string shown = directory.empty() ? "/" : directory;
  const Result<FileHandle> handle = co_await filesystem->open(shown, O_RDONLY | O_DIRECTORY, 0);
  EXPECT_OK(handle);
  if (!handle) co_return;
  std::vector<std::byte> buffer(64 * kib);
  for (u64 cookie = 0;;) {
    const Result<DirectoryRead> read = co_await filesystem->read_directory(*handle, cookie, buffer);
    EXPECT_OK(read);
    if (!read || read->bytes == 0) break;
    cookie = read->next_cookie;
    for (u64 at = 0; at < read->bytes;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer.data() + at);
      const std::string name = entry->d_name;
      const bool is_directory = entry->d_type == DT_DIR;
      at += entry->d_reclen;
      if (name == "." || name == "..") continue;
      const std::string path = directory + "/" + name;
      (*found)[path].directory = is_directory;
      if (is_directory) co_await read_tree(filesystem, path, found);
      if (!is_directory) co_await read_whole(filesystem, path, found);
    }
  }
  const Status closed = co_await filesystem->close(*handle);
  EXPECT_OK(closed);
}

void expect_clean(const TestImage& image) {
  const Result<CheckReport> report = check(image.path(), {});
  ASSERT_TRUE(report.ok()) << to_text(report.error());
  EXPECT_TRUE(report->clean()) << findings_text(*report);
}

FoundTree part_of(const FoundTree& found, const std::string& home) {
  FoundTree part;
  for (const auto& [path, file] : found) {
    if (path == home || path.starts_with(home + "/")) part[path] = file;
  }
  return part;
}

class Round {
 public:
  explicit Round(u64 seed) : seed_(seed), random_(~seed), image_(512 * mib) {
    EXPECT_OK(format_image(image_, static_cast<u16>(1u << random_.below(3))));
  }

  void run() {
    for (u64 life = 0; life < lives && !testing::Test::HasFailure(); ++life) {
      SharedProgress progress;
      kill_worker(progress, life);
      if (random_.one_in(3)) kill_recovery();
      if (!testing::Test::HasFailure()) judge(progress, life);
    }
  }
  u64 steps() const { return steps_; }

 private:
  void kill_worker(const SharedProgress& progress, u64 life) {
    const bool early = random_.one_in(8);  // into the mount
    const u64 after_us = random_.below(early ? 20'000 : 150'000);
    const bool died = killed([&] { work(image_, progress.get(), seed_, life); },
                             [&] { return early || progress->mounted.load(); }, after_us);
    EXPECT_TRUE(died) << progress->failure;
  }

  void kill_recovery() {
    const auto recover = [this] {
      const auto mounted = mount_image(image_, false);
      while (mounted.ok()) ::pause();
    };
    EXPECT_TRUE(killed(
        recover, [] { return true; }, random_.below(40'000)))
        << "a mount failed";
  }

  void judge(const SharedProgress& progress, u64 life) {
    expect_clean(image_);
    auto mounted = mount_image(image_, false, 1 + static_cast<unsigned>(life % 2));
    ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
    Filesystem* filesystem = mounted->get();
    FoundTree found;
    filesystem->run(0, [filesystem, &found] { return read_tree(filesystem, "", &found); });
    const Status closed = filesystem->unmount();
    EXPECT_OK(closed);
    mounted->reset();  // lets go of the image
    expect_clean(image_);

    FoundTree known = kept_;
    for (u64 client = 0; client < clients; ++client) {
      const u64 begun = progress->begun[client];
      const u64 answered = progress->answered[client];
      const std::string home = home_of(life, client);
      const FoundTree part = part_of(found, home);
      EXPECT_EQ(history(seed_of(seed_, life, client), home, begun, answered).objection(part), "")
          << home << ", " << begun << " steps begun, " << answered << " answered";
      known.insert(part.begin(), part.end());
      steps_ += answered;
    }
    EXPECT_TRUE(known == found) << "what earlier lives left has changed";
    kept_ = std::move(found);
  }

  const u64 seed_;
  Random random_;
  TestImage image_;
  FoundTree kept_;  // by the lives before
  u64 steps_ = 0;
};

TEST(Killed, every_promise_is_kept) {
  const u64 rounds = from_environment("COWFS_TORTURE_ROUNDS", 2);
  const u64 first = from_environment("COWFS_TORTURE_SEED", 1);
  u64 steps = 0;
  for (u64 seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE("scripts/torture 1 " + std::to_string(seed));
    Round round(seed);
    round.run();
    ASSERT_FALSE(HasFailure());
    steps += round.steps();
  }
  std::printf("%llu kills, %llu answered operations\n", static_cast<unsigned long long>(rounds * lives),
              static_cast<unsigned long long>(steps));
  EXPECT_GT(steps, 0u);
}

// The judge must be able to object.

struct Case {
  const char* name;
  void (*client)(SurvivalModel&);
  FoundTree found;
  const char* objection;  // a part of it; empty: none
};

FoundTree tree(std::initializer_list<std::pair<const char*, const char*>> files) {
  FoundTree found;
  found["/c"].directory = true;
  for (const auto& [path, text] : files) found[path].content = text;
  return found;
}

void with_synced_file(SurvivalModel& model) {
  model.make_directory("/c");
  model.create("/c/a");
  model.write("/c/a", 0, "old!");
  model.synced("/c/a");
}
void overwritten(SurvivalModel& model) {
  with_synced_file(model);
  model.write("/c/a", 1, "XY");
}
void extended(SurvivalModel& model) {
  with_synced_file(model);
  model.write("/c/a", 6, "new");
}
void moved(SurvivalModel& model) {
  with_synced_file(model);
  model.rename("/c/a", "/c/b");
  model.create("/c/d");
}
void moved_and_synced(SurvivalModel& model) {
  moved(model);
  model.names_synced();
}
// Nothing of an unchanged file is left to be made durable.
void synced_again(SurvivalModel& model) {
  with_synced_file(model);
  model.create("/c/d");
  model.synced("/c/a");
}
void replaced(SurvivalModel& model) {
  with_synced_file(model);
  model.create("/c/b");
  model.write("/c/b", 0, "new!");
  model.synced("/c/b");
  model.rename("/c/b", "/c/a");
}

TEST(Survival, allows_what_a_kill_may_leave_and_nothing_else) {
  const auto begun = [](SurvivalModel& model) { model.make_directory("/c"); };
  for (const Case& c : {
           Case{"nothing was begun", [](SurvivalModel&) {}, {}, ""},
           Case{"nothing was begun, something is there", [](SurvivalModel&) {}, tree({}), "should not be"},
           Case{"the first step was under way, not done", begun, {}, ""},
           Case{"the first step was under way, done", begun, tree({}), ""},
           Case{"more than that", begun, tree({{"/c/x", ""}}), "should not be"},
           Case{"synced and there", with_synced_file, tree({{"/c/a", "old!"}}), ""},
           Case{"synced and gone", with_synced_file, tree({}), "is missing"},
           Case{"synced and all gone", with_synced_file, {}, "is missing"},
           Case{"synced and short", with_synced_file, tree({{"/c/a", "old"}}), "has 3 bytes"},
           Case{"synced and other", with_synced_file, tree({{"/c/a", "oLd!"}}), "byte 1"},
           Case{"later write not there", overwritten, tree({{"/c/a", "old!"}}), ""},
           Case{"later write there", overwritten, tree({{"/c/a", "oXY!"}}), ""},
           Case{"later write half there", overwritten, tree({{"/c/a", "oXd!"}}), ""},
           Case{"later write elsewhere", overwritten, tree({{"/c/a", "XYd!"}}), "byte 0"},
           Case{"not yet longer", extended, tree({{"/c/a", "old!"}}), ""},
           Case{"longer than ever", extended, tree({{"/c/a", "old!______"}}), "has 10 bytes"},
           Case{"a gap that is no zeros", extended, tree({{"/c/a", "old!__new"}}), "byte 4"},
           Case{"not moved", moved, tree({{"/c/a", "old!"}}), ""},
           Case{"moved", moved, tree({{"/c/b", "old!"}}), ""},
           Case{"moved, and the next", moved, tree({{"/c/b", "old!"}, {"/c/d", ""}}), ""},
           Case{"the next without the move", moved, tree({{"/c/a", "old!"}, {"/c/d", ""}}), "names differ"},
           Case{"half moved", moved, tree({{"/c/a", "old!"}, {"/c/b", "old!"}}), "names differ"},
           Case{"synced and not moved", moved_and_synced, tree({{"/c/a", "old!"}}), "names differ"},
           Case{"synced unchanged, and not what came after its change", synced_again, tree({{"/c/a", "old!"}}), ""},
           Case{"synced unchanged, and what came after", synced_again, tree({{"/c/a", "old!"}, {"/c/d", ""}}), ""},
           Case{"not replaced", replaced, tree({{"/c/a", "old!"}, {"/c/b", "new!"}}), ""},
           Case{"replaced", replaced, tree({{"/c/a", "new!"}}), ""},
           Case{"replaced by nothing", replaced, tree({{"/c/a", ""}}), "has 0 bytes"},
       }) {
    SCOPED_TRACE(c.name);
    SurvivalModel model;
    c.client(model);
    const std::string objection = model.objection(c.found);
    const bool expected = *c.objection == 0 ? objection.empty() : objection.find(c.objection) != std::string::npos;
    EXPECT_TRUE(expected) << objection;
  }
}

}  // namespace
}  // namespace cowfs::admin
