#include "engine/sim/scenario.h"

#include "engine/admin/device_change.h"
#include "engine/admin/scrub.h"
#include "engine/sim/findings.h"

namespace cowfs::sim {

TreeFound walk(SimulatedFilesystem& filesystem) {
  TreeFound found;
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  return found;
}

namespace {

LoadSettings random_load(Random& random) {
  LoadSettings load;
  load.kind = static_cast<Load>(random.below(static_cast<u64>(Load::full)));
  load.file_bytes_max = load.kind == Load::large ? 2 * mib : 900 * kib;
  return load;
}

// A device with little room beside its journal, and clients that want about as much as there is, or more.
void fill_up(Random& random, ScenarioSettings& settings) {
  settings.format.slices = static_cast<u16>(1 << random.below(2));
  const u64 data_bytes = (22 + random.below(8)) * mib;
  settings.format.device_bytes = format::device_bytes_min.value;
  settings.format.journal_bytes = settings.format.device_bytes - data_bytes;
  settings.refusals = Refusals::of_more;
  const u64 share = data_bytes / settings.clients;
  settings.loads = {
      {.kind = Load::full, .file_bytes_max = 600 * kib, .data_bytes_max = share * (40 + random.below(30)) / 100}};
}

}  // namespace

ChecksumKind random_data_checksum(Random& random) { return checksum_kinds[random.below(checksum_kinds.size())]; }

ChecksumKind random_metadata_checksum(Random& random) { return checksum_kinds[1 + random.below(checksum_kinds.size() - 1)]; }

ScenarioSettings random_scenario(Random& random) {
  ScenarioSettings settings;
  settings.seed = random.next();
  settings.format.seed = random.next();
  Random kinds(settings.format.seed);
  settings.format.data_checksum = random_data_checksum(kinds);
  settings.format.metadata_checksum = random_metadata_checksum(kinds);
  settings.format.slices = static_cast<u16>(1 << random.below(4));
  settings.format.region_bytes = (random.one_in(2) ? 64 : 256) * kib;
  settings.format.device_bytes = 128 * mib;
  settings.format.journal_bytes = (random.one_in(2) ? 8 : 16) * mib;
  settings.format.single_flush = random.one_in(2);
  settings.clients = 1 + random.below(4);
  if (random.one_in(6)) {
    fill_up(random, settings);
    return settings;
  }
  settings.loads.clear();
  for (u64 client = 0; client < settings.clients; ++client) settings.loads.push_back(random_load(random));
  if (random.one_in(2)) settings.node_fill_bytes = 512u << random.below(4);
  return settings;
}

Scenario::Scenario(const ScenarioSettings& settings)
    : settings_(settings), random_(settings.seed), images_(make_devices(settings.format)) {}

Scenario::~Scenario() = default;

void Scenario::add(const std::vector<std::string>& problems) {
  problems_.insert(problems_.end(), problems.begin(), problems.end());
}

void Scenario::add(const char* what, const Status& status) {
  if (!status) problems_.push_back(std::string(what) + ": " + to_text(status.error()));
}

bool Scenario::mount(MountSettings settings) {
  settings.node_fill_bytes = settings_.node_fill_bytes;
  filesystem_ = std::make_unique<SimulatedFilesystem>(std::move(images_), settings);
  add("mount", filesystem_->mount());
  if (sound() && clients_.empty()) filesystem_->run(0, [this] { return set_up(); });
  return sound();
}

Task<void> Scenario::make_directory(std::string path) {
  const Status made = co_await filesystem_->operations().mkdir(path, 0755);
  add("mkdir", made);
  const Result<Attributes> attributes = co_await filesystem_->operations().stat(path, false);
  add("stat", attributes ? Status{} : Status{attributes.error()});
  if (model_.mkdir(path) == 0 && attributes) model_.find(path)->inode = attributes->inode;
}

Task<void> Scenario::set_up() {
  co_await make_directory("/shared");
  for (u64 id = 0; id < settings_.clients; ++id) {
    auto make = [this, id] { return make_directory("/home" + std::to_string(id)); };
    co_await runtime::on(some_core(), std::move(make));  // whose slice it is in then
  }
  const Status synced = co_await filesystem_->operations().sync();
  add("sync", synced);
  for (u64 id = 0; id < settings_.clients; ++id) {
    ClientSettings settings;
    settings.home = "/home" + std::to_string(id);
    settings.shared_prefix = "/shared/of" + std::to_string(id) + "_";
    settings.errors_expected = settings_.errors_expected;
    settings.refusals = settings_.refusals;
    settings.corruption_expected = settings_.corruption_expected;
    settings.history_may_be_lost = settings_.history_may_be_lost;
    clients_.push_back(std::make_unique<Client>(model_, settings));
    clients_.back()->set_observer([this] { fsync_acknowledged(); });
    if (watch_) clients_.back()->set_watch([this, id](const Operation& operation) { watch_(id, operation); });
  }
}

void Scenario::close() {
  add("close", filesystem_->close());
  images_ = filesystem_->crash_images_all_lost();
  std::erase_if(images_, [](const Image& image) { return image.size() == 0; });
  filesystem_.reset();
}

namespace {

// No filesystem has less of a device.
u64 least_bytes(SimulatedFilesystem& closed, u16 member) {
  const auto found = closed.run(0, [&] { return pool::read_superblock(closed.device(member)); });
  if (!found) return 0;
  const format::Superblock& superblock = found->superblock;
  if (format::is_of_pool(superblock)) return closed.device(member).capacity().value / 4;
  const u64 buckets = superblock.first_data_bucket + superblock.slices * format::data_buckets_per_slice_min + 1;
  return buckets * superblock.bucket_blocks * block_bytes;
}

}  // namespace

void Scenario::shrink(u16 member, u64 percent_left, bool cut) {
  SimulatedFilesystem closed(images_, {.seed = random_.next(), .cores = 1});
  std::vector<device::Device*> devices;
  for (std::size_t i = 0; i < closed.device_count(); ++i) devices.push_back(&closed.device(i));
  const u64 whole = closed.device(member).capacity().value;
  const u64 least = std::min(least_bytes(closed, member), whole);
  const u64 bytes = round_down(least + (whole - least) * percent_left / 100, block_bytes);
  const DeviceChange change{.kind = DeviceChange::Kind::resize, .member = member, .capacity_bytes = bytes};
  const Status done = closed.run(0, [&] { return admin::change_devices(devices, change, nullptr, {}, {}); });
  const bool is_refused =
      !done && (error_class(done.error().code) == ErrorClass::space || done.error().code == Code::device_too_small);
  if (!is_refused) add("a smaller device", done);
  images_ = closed.crash_images_all_lost();
  if (done && cut) images_[member] = images_[member].resized(bytes);
}

void Scenario::abandon() { filesystem_->abandon(); }

void Scenario::run_clients(u64 operations) {
  std::vector<std::unique_ptr<OperationSource>> sources;
  for (u64 id = 0; id < clients_.size(); ++id) {
    const LoadSettings& load = settings_.loads[id % settings_.loads.size()];
    sources.push_back(std::make_unique<RandomOperations>(random_.next(), operations, load));
  }
  run(std::move(sources));
}

void Scenario::run_lists(const std::vector<Operations>& lists) {
  std::vector<std::unique_ptr<OperationSource>> sources;
  for (const Operations& list : lists) sources.push_back(std::make_unique<OperationList>(list));
  sources.resize(clients_.size());
  run(std::move(sources));
}

void Scenario::run(std::vector<std::unique_ptr<OperationSource>> sources) {
  filesystem_->run(0, [this, &sources] { return run_all(&sources); });
  for (const auto& client : clients_) add(client->problems());
}

runtime::CoreIndex Scenario::some_core() {
  return static_cast<runtime::CoreIndex>(random_.below(filesystem_->core_count()));
}

Task<void> Scenario::run_all(std::vector<std::unique_ptr<OperationSource>>* sources) {
  runtime::Gate gate;
  for (std::size_t id = 0; id < clients_.size(); ++id) {
    const runtime::CoreIndex core = some_core();
    if ((*sources)[id] != nullptr) gate.spawn(run_one(clients_[id].get(), core, (*sources)[id].get()));
  }
  if (damage_) gate.spawn(scrub());
  if (beside_.work) gate.spawn(work());
  co_await gate.drained();
}

Task<void> Scenario::scrub() {
  damage_();
  const Result<ScrubReport> report = co_await admin::scrub(filesystem_->state(), filesystem_->assembled(), {});
  if (settings_.errors_expected) co_return;
  add("scrub", report ? Status{} : Status{report.error()});
  if (!report) co_return;
  const bool has_copies = settings_.format.spare_devices() > 0;
  for (const ScrubFinding& finding : report->findings) {
    if (!has_copies) problems_.push_back("scrub finds damage where there is none: " + finding.what);
    if (finding.lost) problems_.push_back("scrub does not find a good copy: " + finding.what);
  }
}

Task<void> Scenario::work() { add(beside_.what, co_await beside_.work()); }

Task<void> Scenario::run_one(Client* client, runtime::CoreIndex core, OperationSource* source) {
  fs::Operations* target = &filesystem_->operations();
  auto there = [client, target, source] { return client->run(target, source); };
  ++running_;
  co_await runtime::on(core, std::move(there));
  --running_;
}

std::vector<Operations> Scenario::performed() const {
  std::vector<Operations> all;
  for (const auto& client : clients_) all.push_back(client->performed());
  return all;
}

void Scenario::expect_exact() {
  const TreeFound found = walk(*filesystem_);
  add(found.problems);
  for (const auto& client : clients_) {
    if (client->was_refused()) {
      client->expectation().check_after_crash(found, problems_);  // what it was refused may be there in part
    } else {
      client->expectation().check_exact(found, problems_);
    }
  }
}

void Scenario::expect_given_up() {
  const Status synced = filesystem_->run(0, [this] { return filesystem_->operations().sync(); });
  if (synced) problems_.push_back("a sync was acknowledged although the device was gone");
  const TreeFound found = walk(*filesystem_);
  for (const auto& client : clients_) client->expectation().check_contents(found, problems_);
}

namespace {

// Where everything still has all of its copies or shards, some of the devices that may be lost are.
void lose_spare_devices(Images& images, SimulatedFilesystem& whole, u64 spare_devices, Random& random) {
  const pool::Pool* pool = whole.assembled().pool.get();
  for (u16 member = 0; pool != nullptr && member < pool->map().members.size(); ++member)
    if (!pool->is_current(member)) return;
  for (u64 i = random.below(spare_devices + 1); i > 0; --i) images[random.below(images.size())] = Image{};
}

}  // namespace

void Scenario::expect_recovers(Images images, u64 seed) {
  ++crashes_tried_;
  Random random(seed);
  const bool is_whole = !settings_.corruption_expected && !settings_.device_damaged && !damage_;
  if (is_whole && seed % 4 == 0) add(findings_in(images));
  const auto draw_mount = [this, &random] {
    MountSettings drawn = random_settings(random);
    drawn.degraded = settings_.format.spare_devices() > 0;
    return drawn;
  };
  SimulatedFilesystem recovered(std::move(images), draw_mount());
  const Status mounted = recovered.mount();
  if (!mounted && settings_.corruption_expected) return;
  add("recovery", mounted);
  if (!sound()) return;
  const TreeFound found = walk(recovered);
  if (!settings_.corruption_expected) add(found.problems);
  for (const auto& client : clients_) client->expectation().check_after_crash(found, problems_);

  if (settings_.corruption_expected) return;

  // The recovery itself may be cut short, and devices lost after it; the next one finds the same.
  if (random.one_in(2)) {
    add("closing what was recovered", recovered.close());
    if (is_whole && sound()) add(findings_after_unmount(recovered.crash_images_all_lost()));
  }
  Images left = recovered.crash_images(random);
  if (is_whole) lose_spare_devices(left, recovered, settings_.format.spare_devices(), random);
  SimulatedFilesystem again(std::move(left), draw_mount());
  add("second recovery", again.mount());
  if (!sound()) return;
  const TreeFound found_again = walk(again);
  add(found_again.problems);
  if (found.names != found_again.names) problems_.push_back("the second recovery finds other names");
  if (found.contents != found_again.contents) problems_.push_back("the second recovery finds other contents");
}

void Scenario::try_crashes_after_syncs(u64 one_in) { crash_one_in_ = one_in; }

void Scenario::fsync_acknowledged() {
  if (crash_one_in_ == 0 || !random_.one_in(crash_one_in_) || !sound()) return;
  const u64 seed = random_.next();
  const bool all_lost = random_.one_in(2);
  expect_recovers(all_lost ? filesystem_->crash_images_all_lost() : filesystem_->crash_images(random_), seed);
}

}  // namespace cowfs::sim
