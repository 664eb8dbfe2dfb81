// For tests: a process of ours that is killed while it works on an image, memory that outlives it, and the files that it left.
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/admin/survival_model.h"
#include "engine/admin/test_image.h"
#include "engine/base/random.h"

namespace cowfs::admin {

inline u64 from_environment(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

// A T of zeros, shared with the processes that are forked while it lives. What nobody touches takes no memory.
template <typename T>
class SharedMemory {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  SharedMemory() : memory_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (memory_ == MAP_FAILED) std::abort();
  }
  ~SharedMemory() { ::munmap(memory_, sizeof(T)); }
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  T* operator->() const { return get(); }
  T& operator*() const { return *get(); }
  T* get() const { return static_cast<T*>(memory_); }

 private:
  void* memory_;
};

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

inline Task<void> read_whole(Filesystem* filesystem, std::string path, FoundTree* found) {
  const Result<FileHandle> handle = co_await filesystem->open(path, O_RDONLY, 0);
  EXPECT_OK(handle);
  if (!handle) co_return;
  const Result<Attributes> attributes = co_await filesystem->stat(*handle);
  EXPECT_OK(attributes);
  std::string& content = (*found)[path].content;
  content.resize(attributes ? attributes->size : 0);
  const MutableByteSpan into = std::as_writable_bytes(std::span<char>(content));
  const Result<u64> read = co_await filesystem->read(*handle, 0, into);
  EXPECT_OK(read);
  EXPECT_EQ(read ? *read : 0, content.size()) << path;
  const Status closed = co_await filesystem->close(*handle);
  EXPECT_OK(closed);
}

// Everything below `directory` (the root: empty), as it reads now.
inline Task<void> read_tree(Filesystem* filesystem, std::string directory, FoundTree* found) {
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

inline FoundTree read_everything(Filesystem& filesystem) {
  FoundTree found;
  filesystem.run(0, [&filesystem, &found] { return read_tree(&filesystem, "", &found); });
  return found;
}

// What is at `home` and below it.
inline FoundTree part_of(const FoundTree& found, const std::string& home) {
  FoundTree part;
  for (const auto& [path, file] : found) {
    if (path == home || path.starts_with(home + "/")) part[path] = file;
  }
  return part;
}

// What a process says of itself in memory that outlives it.
struct Worker {
  std::atomic<bool> mounted;
  char failure[400];  // empty, unless it gave up

  [[noreturn]] void give_up(const std::string& why) {
    std::snprintf(failure, sizeof failure, "%s", why.c_str());
    ::_exit(1);
  }
};

// One filesystem whose processes are killed at random moments, the next of which begins where the last was cut off, sometimes with
// another that is killed while it recovers. After each: check, mount, read everything, unmount, check, judge.
//
// A Load names:
//   Memory              shared with the process that is killed; has a Worker `worker`
//   image_bytes, us_max
//   work(image, memory, seed, life)             mounts and works until it is killed
//   judge(memory, seed, life, found) -> FoundTree   holds its part of what was found to the promises, and returns that part
//   answered(memory) -> u64                     operations
constexpr u64 killed_lives = 3;  // of one filesystem
template <typename Load>
class KilledLives {
 public:
  explicit KilledLives(u64 seed) : seed_(seed), random_(~seed), image_(Load::image_bytes) {
    EXPECT_OK(format_image(image_, static_cast<u16>(1u << random_.below(3))));
  }

  void run() {
    for (u64 life = 0; life < killed_lives && !testing::Test::HasFailure(); ++life) {
      SharedMemory<typename Load::Memory> memory;
      kill_worker(memory, life);
      if (random_.one_in(3)) kill_recovery();
      if (!testing::Test::HasFailure()) judge(*memory, life);
    }
  }
  u64 answered() const { return answered_; }

 private:
  void kill_worker(const SharedMemory<typename Load::Memory>& memory, u64 life) {
    const bool early = random_.one_in(8);  // into the mount
    const u64 after_us = random_.below(early ? 20'000 : Load::us_max);
    const bool died = killed([&] { Load::work(image_, memory.get(), seed_, life); },
                             [&] { return early || memory->worker.mounted.load(); }, after_us);
    EXPECT_TRUE(died) << memory->worker.failure;
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

  void judge(const typename Load::Memory& memory, u64 life) {
    expect_clean(image_);
    auto mounted = mount_image(image_, false, 1 + static_cast<unsigned>(life % 2));
    ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
    FoundTree found = read_everything(**mounted);
    const Status closed = (*mounted)->unmount();
    EXPECT_OK(closed);
    mounted->reset();  // lets go of the image
    expect_clean(image_);

    FoundTree known = Load::judge(memory, seed_, life, found);
    known.insert(kept_.begin(), kept_.end());
    EXPECT_TRUE(known == found) << "what earlier lives left has changed";
    kept_ = std::move(found);
    answered_ += Load::answered(memory);
  }

  const u64 seed_;
  Random random_;
  TestImage image_;
  FoundTree kept_;  // by the lives before
  u64 answered_ = 0;
};

// COWFS_TORTURE_ROUNDS filesystems instead of `rounds`, the first with seed COWFS_TORTURE_SEED.
template <typename Load>
void torture(u64 rounds) {
  rounds = from_environment("COWFS_TORTURE_ROUNDS", rounds);
  const u64 first = from_environment("COWFS_TORTURE_SEED", 1);
  u64 answered = 0;
  for (u64 seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE("scripts/torture 1 " + std::to_string(seed));
    KilledLives<Load> filesystem(seed);
    filesystem.run();
    ASSERT_FALSE(testing::Test::HasFailure());
    answered += filesystem.answered();
  }
  std::printf("%llu kills, %llu answered operations\n", static_cast<unsigned long long>(rounds * killed_lives),
              static_cast<unsigned long long>(answered));
  EXPECT_GT(answered, 0u);
}

}  // namespace cowfs::admin
