// One history: a filesystem, some clients and the model, over several mounts and crashes. What is wrong is gathered in
// problems().
#pragma once
#include "engine/sim/client.h"
#include "engine/sim/simulated_filesystem.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

// All there is to see of a mounted filesystem.
TreeFound walk(SimulatedFilesystem& filesystem);

struct ScenarioSettings {
  u64 seed = 1;
  FormatSettings format = {};
  u64 clients = 1;
  std::vector<LoadSettings> loads = {LoadSettings{}};  // clients take them in turn
  u32 node_fill_bytes = btree::Node::capacity_bytes;   // of every mount
  bool errors_expected = false;  // of the device: a client stops at the first
  Refusals refusals = Refusals::none;  // of space: the same
  // Silent faults: what is found out must be an error, and what is read must be bytes that the file once had.
  bool corruption_expected = false;
  bool history_may_be_lost = false;  // to before what was synced, but to one moment
  bool device_damaged = false;  // one of several, perhaps: the others are needed
};

// Any of the kinds there are; data may be without.
ChecksumKind random_data_checksum(Random& random);
ChecksumKind random_metadata_checksum(Random& random);

// Everything that a seed can vary.
ScenarioSettings random_scenario(Random& random);

class Scenario {
 public:
  explicit Scenario(const ScenarioSettings& settings);
  ~Scenario();

  bool mount(MountSettings settings);
  void close();
  void abandon();
  // While it is not mounted, a device is used up to a smaller size, if what is stored fits: so much of what may go stays. The rest is
  // cut off, if `cut`.
  void shrink(u16 member, u64 percent_left, bool cut);
  const Images& images() const { return images_; }
  // Every client does so many random operations, all at once; or what a list for each client says.
  void run_clients(u64 operations);
  void run_lists(const std::vector<Operations>& lists);
  void expect_exact();
  // Nothing is acknowledged any more, and what can be read are bytes that the files had.
  void expect_given_up();
  // Mounts crash images elsewhere, holds them to the model, and recovers them a second time.
  void expect_recovers(Images images, u64 seed);
  void expect_recovers(Image image, u64 seed) { expect_recovers(Images{std::move(image)}, seed); }
  // Crash images are taken and tried after one in so many acknowledged fsyncs.
  void try_crashes_after_syncs(u64 one_in);

  SimulatedFilesystem& filesystem() { return *filesystem_; }
  // Each run of clients has a scrub beside it, which begins with `damage`.
  void scrub_beside(std::function<void()> damage) { damage_ = std::move(damage); }
  // Each run of clients has this beside it, on core 0; an error is a problem.
  void work_beside(const char* what, std::function<Task<Status>()> work) { beside_ = {what, std::move(work)}; }
  bool clients_run() const { return running_ > 0; }
  // Hears of each operation before it is done.
  using Watch = std::function<void(std::size_t client, const Operation& operation)>;
  void set_watch(Watch watch) { watch_ = std::move(watch); }
  // What each client did in the last run.
  std::vector<Operations> performed() const;
  u64 crashes_tried() const { return crashes_tried_; }
  const std::vector<std::string>& problems() const { return problems_; }
  bool sound() const { return problems_.empty(); }

 private:
  Task<void> run_all(std::vector<std::unique_ptr<OperationSource>>* sources);
  Task<void> run_one(Client* client, runtime::CoreIndex core, OperationSource* source);
  void run(std::vector<std::unique_ptr<OperationSource>> sources);
  Task<void> scrub();
  Task<void> work();
  Task<void> set_up();
  Task<void> make_directory(std::string path);
  runtime::CoreIndex some_core();
  void fsync_acknowledged();
  void add(const std::vector<std::string>& problems);
  void add(const char* what, const Status& status);

  const ScenarioSettings settings_;
  Random random_;
  Images images_;
  Model model_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<SimulatedFilesystem> filesystem_;
  std::function<void()> damage_;  // before a scrub; none: no scrub
  struct Beside {
    const char* what = "";
    std::function<Task<Status>()> work;
  };
  Beside beside_;
  u64 running_ = 0;  // clients
  Watch watch_;
  u64 crash_one_in_ = 0;
  u64 crashes_tried_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace cowfs::sim
