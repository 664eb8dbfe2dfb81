// Words: magic, a hash of the jobs, the round's seed; then for each clone what it has begun, and a word for each of its files.
#include "harness/fio_progress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

namespace cowbench::harness {
namespace {

constexpr u64 magic = 0x31676f7250776f43;
constexpr u64 words_before_clones = 3;
constexpr u64 begun_max = 1ull << 36;

// What may differ between the run that writes and the one that verifies: it changes neither offsets nor contents.
constexpr std::array<std::string_view, 11> without_effect = {
    "verify_only", "do_verify", "verify_fatal", "verify_backlog", "verify_backlog_batch", "runtime",
    "timeout", "ramp_time", "iodepth", "rate_iops", "rate"};

u64 hash_of(const std::vector<workloads::FioJob>& jobs) {
  u64 hash = 0xcbf29ce484222325;
  const auto add = [&](std::string_view text) {
    for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    hash *= 0x100000001b3;
  };
  for (const workloads::FioJob& job : jobs) {
    add(job.name);
    for (const workloads::FioSetting& setting : job.settings) {
      if (std::ranges::find(without_effect, setting.key) != without_effect.end()) continue;
      add(setting.key);
      add(setting.value);
    }
  }
  return hash;
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  const int number_;
};

}  // namespace

std::unique_ptr<FioProgress> FioProgress::shape(const std::vector<workloads::FioJob>& jobs) {
  auto progress = std::unique_ptr<FioProgress>(new FioProgress);
  progress->jobs_hash_ = hash_of(jobs);
  u64 next = words_before_clones;
  for (const workloads::FioJob& job : jobs) {
    for (u32 clone = 0; clone < job.clones; ++clone) {
      progress->first_word_.push_back(next);
      next += 1 + job.files;
    }
  }
  progress->first_word_.push_back(next);
  return progress;
}

// -1: nobody else's file.
Action FioProgress::map(int descriptor) {
  const u64 bytes = first_word_.back() * sizeof(u64);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (descriptor < 0 ? MAP_ANONYMOUS : 0), descriptor, 0);
  if (memory == MAP_FAILED) return system_failure("map memory for the jobs' progress", errno);
  words_ = static_cast<u64*>(memory);
  return Done{};
}

Outcome<std::unique_ptr<FioProgress>> FioProgress::create(const std::vector<workloads::FioJob>& jobs, u64 round_seed) {
  auto progress = shape(jobs);
  if (const Action mapped = progress->map(-1); !mapped) return mapped.failure();
  progress->words_[2] = round_seed;
  return progress;
}

Outcome<std::unique_ptr<FioProgress>> FioProgress::keep(const std::string& file, const std::vector<workloads::FioJob>& jobs,
                                                        u64 round_seed) {
  auto progress = shape(jobs);
  const Descriptor made(::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (made.number() < 0) return system_failure("make " + file, errno);
  const auto bytes = static_cast<off_t>(progress->first_word_.back() * sizeof(u64));
  if (const int error = posix_fallocate(made.number(), 0, bytes); error != 0) return system_failure("allocate " + file, error);
  if (const Action mapped = progress->map(made.number()); !mapped) return mapped.failure();
  progress->words_[1] = progress->jobs_hash_;
  progress->words_[2] = round_seed;
  progress->words_[0] = magic;
  return progress;
}

Outcome<std::unique_ptr<FioProgress>> FioProgress::open(const std::string& file, const std::vector<workloads::FioJob>& jobs) {
  auto progress = shape(jobs);
  const Descriptor opened(::open(file.c_str(), O_RDWR | O_CLOEXEC));
  struct stat status = {};
  if (opened.number() < 0 || fstat(opened.number(), &status) != 0) return system_failure("open " + file, errno);
  const Failure other{FailureKind::request, file + ": it is of other jobs, or damaged",
                      "verify_only=1 needs the job as it was; only when it stops, its rate, its depth and how it verifies may differ"};
  if (static_cast<u64>(status.st_size) != progress->first_word_.back() * sizeof(u64)) return other;
  if (const Action mapped = progress->map(opened.number()); !mapped) return mapped.failure();
  if (progress->words_[0] != magic || progress->words_[1] != progress->jobs_hash_ || !progress->is_plausible()) return other;
  return progress;
}

FioProgress::~FioProgress() {
  if (words_ != nullptr) munmap(words_, first_word_.back() * sizeof(u64));
}

// A damaged number must not have operations drawn for ever.
bool FioProgress::is_plausible() const {
  for (u32 client = 0; client + 1 < first_word_.size(); ++client) {
    const CloneProgress progress = clone(client);
    if (*progress.begun > begun_max || std::ranges::max(progress.durable) > *progress.begun) return false;
  }
  return true;
}

u64 FioProgress::round_seed() const { return words_[2]; }

CloneProgress FioProgress::clone(u32 client) const {
  const u64 first = first_word_[client], end = first_word_[client + 1];
  return {words_ + first, {words_ + first + 1, end - first - 1}};
}

void FioProgress::settle() {
  for (u32 client = 0; client + 1 < first_word_.size(); ++client) {
    const CloneProgress progress = clone(client);
    std::ranges::fill(progress.durable, *progress.begun);
  }
}

}  // namespace cowbench::harness
