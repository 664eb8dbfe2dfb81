// One history: a filesystem, some clients and the model, over several mounts and crashes. For tests: what is wrong
// becomes a test failure.
#pragma once
#include "engine/sim/client.h"
#include "engine/sim/simulated_filesystem.h"

namespace cowfs::sim {

// `count` seeds, times COWFS_SIM_SEEDS; COWFS_SIM_SEED alone runs one.
std::vector<u64> seeds(u64 count);

// What check finds in `image`, or why it cannot look.
std::vector<std::string> findings_in(const Image& image);
void expect_sound(const Image& image);

class Scenario {
 public:
  // A new filesystem with everything that the seed can vary.
  explicit Scenario(u64 seed, bool errors_expected = false);
  ~Scenario();

  void mount(const MountSettings& settings);
  void close();
  void abandon();
  // Every client does so many operations, all at once.
  void run_clients(u64 operations);
  void expect_exact();
  // Mounts a crash image elsewhere, holds it to the model, and recovers it a second time.
  void expect_recovers(Image image, u64 seed);
  // Crash images are taken and tried after one in so many acknowledged fsyncs.
  void try_crashes_after_syncs(u64 one_in);

  SimulatedFilesystem& filesystem() { return *filesystem_; }
  u64 crashes_tried() const { return crashes_tried_; }

 private:
  Task<void> run_all(u64 operations);
  Task<void> run_one(Client* client, runtime::CoreIndex core, u64 operations);
  Task<void> set_up();
  void fsync_acknowledged();

  Random random_;
  Image image_;
  Model model_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<SimulatedFilesystem> filesystem_;
  bool is_set_up_ = false;
  u64 crash_one_in_ = 0;
  u64 crashes_tried_ = 0;
};

}  // namespace cowfs::sim
