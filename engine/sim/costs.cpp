#include "engine/sim/costs.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cstdlib>

#include "engine/device/aligned_buffer.h"
#include "engine/runtime/sync.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {
namespace {

constexpr u64 device_bytes = 256 * mib;
constexpr u64 clients = 8, files_a_client = 40, file_bytes_max = 64 * kib, flushed_one_in = 4;
constexpr u64 lanes = 64, overwrites = 8192, overwritten_blocks = 4096;

// No fault is planted, so an error is a defect of the engine.
void expect(const Status& status) {
  if (status) return;
  fmt::print(stderr, "costs: {}\n", to_text(status.error()));
  std::abort();
}
template <typename T>
const T& expect(const Result<T>& result) {
  if (!result) expect(Status{result.error()});
  return *result;
}

class Load {
 public:
  Load(std::string name, u16 cores)
      : name_(std::move(name)),
        filesystem_(make_filesystem({.device_bytes = device_bytes, .slices = 4}), {.cores = cores}) {
    newest_pauses_.resize(cores, ~0ull);
    filesystem_.device().set_start_observer([this](device::SimDevice&) { request_starts(); });
    expect(filesystem_.mount());
  }
  virtual ~Load() = default;

  std::vector<Cost> costs() {
    prepare();
    expect(filesystem_.run(0, [this] { return operations().sync(); }));
    const device::DeviceCounts before = filesystem_.device().counts();
    written_bytes_ = submissions_ = 0;
    run();
    expect(filesystem_.run(0, [this] { return operations().sync(); }));
    const device::DeviceCounts after = filesystem_.device().counts();
    const double submissions = static_cast<double>(submissions_);
    expect(filesystem_.close());
    const double bytes = static_cast<double>(after.written_bytes - before.written_bytes);
    return {{name_ + "_device_writes", static_cast<double>(after.writes - before.writes)},
            {name_ + "_device_flushes", static_cast<double>(after.flushes - before.flushes)},
            {name_ + "_submissions", submissions},
            {name_ + "_device_write_bytes", bytes},
            {name_ + "_write_amplification", bytes / static_cast<double>(written_bytes_)}};
  }

 protected:
  virtual void prepare() {}
  virtual void run() = 0;

  fs::Operations& operations() { return filesystem_.operations(); }
  SimulatedFilesystem& filesystem() { return filesystem_; }
  Task<void> write(FileHandle file, u64 offset, ByteSpan data) {
    expect(co_await operations().write(file, offset, data));
    written_bytes_ += data.size();
  }

 private:
  // Requests between two pauses of a core leave together.
  void request_starts() {
    const runtime::CoreIndex core = runtime::this_reactor().core();
    const u64 pauses = filesystem_.cores().pauses(core);
    if (newest_pauses_[core] != pauses) ++submissions_;
    newest_pauses_[core] = pauses;
  }

  const std::string name_;
  SimulatedFilesystem filesystem_;
  std::vector<u64> newest_pauses_;  // of each core at its newest request
  u64 written_bytes_ = 0, submissions_ = 0;
};

class Files final : public Load {
 public:
  Files() : Load("files", 2) {}

 private:
  void run() override {
    filesystem().run(0, [this] { return run_clients(); });
  }
  Task<void> run_clients() {
    runtime::Gate gate;
    for (u64 client = 0; client < clients; ++client) gate.spawn(run_client(client));
    co_await gate.drained();
  }
  Task<void> run_client(u64 client) {
    Random random(client);
    const std::string home = fmt::format("/client{}", client);
    expect(co_await operations().mkdir(home, 0755));
    for (u64 number = 0; number < files_a_client; ++number) {
      const std::string path = fmt::format("{}/{}", home, number);
      co_await make_file(path, 1 + random.below(file_bytes_max), random.one_in(flushed_one_in));
      if (number % 2 == 1) expect(co_await operations().unlink(path));
    }
  }
  Task<void> make_file(std::string path, u64 bytes, bool flushed) {
    std::vector<std::byte> data(bytes, std::byte{0x5a});
    const FileHandle file = expect(co_await operations().open(path, O_CREAT | O_RDWR, 0644));
    co_await write(file, 0, data);
    if (flushed) expect(co_await operations().fsync(file));
    expect(co_await operations().read(file, 0, data));
    expect(co_await operations().close(file));
  }
};

class Overwrites final : public Load {
 public:
  Overwrites() : Load("overwrites", 1) {}

 private:
  void prepare() override {
    filesystem().run(0, [this] { return make_file(); });
  }
  void run() override {
    filesystem().run(0, [this] { return run_lanes(); });
  }
  Task<void> make_file() {
    const std::string path = "/file";
    file_ = expect(co_await operations().open(path, O_CREAT | O_RDWR | O_DIRECT, 0644));
    const device::AlignedBuffer data(mib);
    for (u64 offset = 0; offset < overwritten_blocks * block_bytes; offset += mib) co_await write(file_, offset, data.span());
  }
  Task<void> run_lanes() {
    runtime::Gate gate;
    for (u64 lane = 0; lane < lanes; ++lane) gate.spawn(run_lane(lane));
    co_await gate.drained();
    expect(co_await operations().close(file_));
  }
  Task<void> run_lane(u64 lane) {
    Random random(lane);
    const device::AlignedBuffer data(block_bytes);
    for (u64 number = 0; number < overwrites / lanes; ++number)
      co_await write(file_, random.below(overwritten_blocks) * block_bytes, data.span());
  }

  FileHandle file_;
};

}  // namespace

std::vector<Cost> costs() {
  std::vector<Cost> all = Files().costs();
  for (Cost& cost : Overwrites().costs()) all.push_back(std::move(cost));
  return all;
}

}  // namespace cowfs::sim
