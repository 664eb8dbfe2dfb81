#include "engine/sim/scenario.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "engine/admin/tools.h"

namespace cowfs::sim {

namespace {

FormatSettings random_format(Random& random) {
  FormatSettings settings;
  settings.seed = random.next();
  settings.slices = static_cast<u16>(1 << random.below(4));
  settings.region_bytes = (random.one_in(2) ? 64 : 256) * kib;
  settings.device_bytes = 128 * mib;
  return settings;
}

void expect_none(const std::vector<std::string>& problems) {
  for (const std::string& problem : problems) ADD_FAILURE() << problem;
}

TreeFound walk(SimulatedFilesystem& filesystem) {
  TreeFound found;
  fs::Operations* operations = &filesystem.operations();
  TreeFound* into = &found;
  filesystem.run(0, [operations, into] { return walk_tree(operations, into); });
  return found;
}

}  // namespace

std::vector<u64> seeds(u64 count) {
  if (const char* one = std::getenv("COWFS_SIM_SEED")) return {std::strtoull(one, nullptr, 0)};
  if (const char* times = std::getenv("COWFS_SIM_SEEDS")) count *= std::strtoull(times, nullptr, 0);
  std::vector<u64> all(count);
  for (u64 i = 0; i < count; ++i) all[i] = i + 1;
  return all;
}

std::vector<std::string> findings_in(const Image& image) {
  char path[] = "/var/tmp/cowfs_sim_XXXXXX";
  const int file = mkstemp(path);
  EXPECT_GE(file, 0);
  std::vector<std::byte> chunk(Image::chunk_bytes);
  const std::vector<std::byte> zeros(Image::chunk_bytes);
  EXPECT_EQ(ftruncate(file, static_cast<off_t>(image.size())), 0);
  for (u64 at = 0; at < image.size(); at += chunk.size()) {
    const u64 bytes = std::min<u64>(chunk.size(), image.size() - at);
    image.read(at, {chunk.data(), bytes});
    if (std::memcmp(chunk.data(), zeros.data(), bytes) == 0) continue;
    EXPECT_EQ(pwrite(file, chunk.data(), bytes, static_cast<off_t>(at)), static_cast<ssize_t>(bytes));
  }
  ::close(file);
  const Result<admin::CheckReport> report = admin::check(path, {});
  std::filesystem::remove(path);
  if (!report) return {to_text(report.error())};
  std::vector<std::string> findings;
  for (const admin::Finding& one : report->findings) {
    findings.push_back(one.name + ", slice " + one.slice + ", " + one.tree + ", " + one.where + ": " + one.what);
  }
  return findings;
}

void expect_sound(const Image& image) { expect_none(findings_in(image)); }

Scenario::Scenario(u64 seed, bool errors_expected) : random_(seed) {
  image_ = make_filesystem(random_format(random_));
  const u64 count = 1 + random_.below(4);
  for (unsigned id = 0; id < count; ++id) {
    clients_.push_back(std::make_unique<Client>(
        model_, ClientSettings{.id = id, .seed = random_.next(), .errors_expected = errors_expected}));
    clients_.back()->set_observer([this] { fsync_acknowledged(); });
  }
}

Scenario::~Scenario() = default;

void Scenario::mount(const MountSettings& settings) {
  filesystem_ = std::make_unique<SimulatedFilesystem>(std::move(image_), settings);
  const Status mounted = filesystem_->mount();
  ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
  if (is_set_up_) return;
  is_set_up_ = true;
  filesystem_->run(0, [this] { return set_up(); });
}

Task<void> Scenario::set_up() {
  const Status made = co_await filesystem_->operations().mkdir("/shared", 0755);
  EXPECT_TRUE(made.ok());
  EXPECT_EQ(model_.mkdir("/shared"), 0);
  for (const auto& client : clients_) co_await client->set_up(&filesystem_->operations());
}

void Scenario::close() {
  const Status closed = filesystem_->close();
  EXPECT_TRUE(closed.ok()) << to_text(closed.error());
  image_ = filesystem_->device().crash_image_all_lost();
  filesystem_.reset();
}

void Scenario::abandon() { filesystem_->abandon(); }

void Scenario::run_clients(u64 operations) {
  filesystem_->run(0, [this, operations] { return run_all(operations); });
  for (const auto& client : clients_) expect_none(client->problems());
}

Task<void> Scenario::run_all(u64 operations) {
  runtime::Gate gate;
  for (const auto& client : clients_) {
    const auto core = static_cast<runtime::CoreIndex>(random_.below(filesystem_->core_count()));
    gate.spawn(run_one(client.get(), core, operations));
  }
  co_await gate.drained();
}

Task<void> Scenario::run_one(Client* client, runtime::CoreIndex core, u64 operations) {
  fs::Operations* target = &filesystem_->operations();
  auto there = [client, target, operations] { return client->run(target, operations); };
  co_await runtime::on(core, std::move(there));
}

void Scenario::expect_exact() {
  const TreeFound found = walk(*filesystem_);
  expect_none(found.problems);
  std::vector<std::string> problems;
  for (const auto& client : clients_) client->check_exact(found, problems);
  expect_none(problems);
}

void Scenario::expect_recovers(Image image, u64 seed) {
  ++crashes_tried_;
  Random random(seed);
  SimulatedFilesystem recovered(std::move(image), random_settings(random));
  const Status mounted = recovered.mount();
  if (!mounted) {
    ADD_FAILURE() << "recovery: " << to_text(mounted.error());
    return;
  }
  const TreeFound found = walk(recovered);
  std::vector<std::string> problems = found.problems;
  for (const auto& client : clients_) client->check_after_crash(found, problems);
  expect_none(problems);

  // The recovery itself may be cut short; the next one finds the same.
  if (random.one_in(2)) {
    const Status closed = recovered.close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
  }
  SimulatedFilesystem again(recovered.device().crash_image(random), random_settings(random));
  const Status mounted_again = again.mount();
  if (!mounted_again) {
    ADD_FAILURE() << "second recovery: " << to_text(mounted_again.error());
    return;
  }
  const TreeFound found_again = walk(again);
  expect_none(found_again.problems);
  EXPECT_EQ(found.names, found_again.names);
  EXPECT_TRUE(found.contents == found_again.contents) << "the second recovery finds other contents";
}

void Scenario::try_crashes_after_syncs(u64 one_in) { crash_one_in_ = one_in; }

void Scenario::fsync_acknowledged() {
  if (crash_one_in_ == 0 || !random_.one_in(crash_one_in_) || testing::Test::HasFailure()) return;
  const u64 seed = random_.next();
  const bool all_lost = random_.one_in(2);
  expect_recovers(all_lost ? filesystem_->device().crash_image_all_lost() : filesystem_->device().crash_image(random_),
                  seed);
}

}  // namespace cowfs::sim
