// Fio jobs in tests: from text to a round on a directory or on an image with cowfs, verification included.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "harness/fio_workload.h"

namespace cowbench::harness {

inline std::vector<workloads::FioJob> jobs(std::string_view text) {
  auto sections = workloads::parse_fio_text(text, "test.fio");
  auto read = workloads::fio_jobs(std::get<workloads::FioSections>(sections));
  if (const auto* error = std::get_if<workloads::FioError>(&read)) ADD_FAILURE() << error->to_text();
  return std::get<std::vector<workloads::FioJob>>(std::move(read));
}

inline FioWorkload workload(std::string_view text) { return FioWorkload({"test.fio", jobs(text)}); }

inline RoundRequest round_of(const FioWorkload& load) {
  RoundRequest round;
  round.clients = load.clients();
  round.seconds = load.seconds();
  round.warmup_seconds = load.warmup_seconds();
  return round;
}

class FioTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/var/tmp/cowbench-fio-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    auto ledger = Ledger::open(directory_ + "/state");
    ASSERT_TRUE(ledger.ok()) << to_text(ledger.failure());
    ledger_ = std::move(*ledger);
  }
  void TearDown() override {
    ledger_.reset();
    std::filesystem::remove_all(directory_);
  }

  // One round, and what is read back after it. `between` is called when the target is synced, mounted anew.
  template <typename Target, typename Between>
  static Outcome<RoundResult> and_verify(const FioWorkload& load, Target& target, Outcome<RoundResult> measured, Between between) {
    const Verification* verification = load.verification();
    if (!measured || verification == nullptr) return measured;
    const auto remounted = target.remount();
    if (!remounted) return remounted.failure();
    verification->settle();
    between(target);
    const auto verified = verification->verify(target, round_of(load));
    if (!verified) return verified.failure();
    measured->add_verification(*verified);
    return measured;
  }
  Outcome<RoundResult> run_on_kernel(const FioWorkload& load, const std::string& name, Media* media,
                                     const std::function<void(KernelTarget&)>& between = [](KernelTarget&) {}) {
    auto target = KernelTarget::create(*parse_target(name), *ledger_, media, directory_ + "/mounts");
    if (!target) return target.failure();
    if (const Action prepared = target->prepare(); !prepared) return prepared.failure();
    auto result = and_verify(load, *target, load.run(*target, round_of(load), 1), between);
    EXPECT_TRUE(target->finish().ok());
    return result;
  }
  Outcome<RoundResult> run_on_directory(const FioWorkload& load,
                                        const std::function<void(KernelTarget&)>& between = [](KernelTarget&) {}) {
    return run_on_kernel(load, "path:" + directory_, nullptr, between);
  }
  Outcome<RoundResult> run_on_cowfs(const FioWorkload& load,
                                    const std::function<void(CowfsTargetMount&)>& between = [](CowfsTargetMount&) {}) {
    MediaRequest request;
    request.size_bytes = image_bytes_;
    request.directory = directory_ + "/images";
    request.plain_image = true;
    auto media = Media::attach(*ledger_, request);
    if (!media) return media.failure();
    const auto topology = Topology::load();
    CowfsTargetMount mount(*parse_cowfs_options("node_cache=32M"), *plan_pins(*topology, {}, 2), 64 * cowfs::mib, &*media);
    if (const Action prepared = mount.prepare(); !prepared) return prepared.failure();
    auto result = and_verify(load, mount, load.run(mount, round_of(load), 1, false), between);
    EXPECT_TRUE(mount.finish().ok());
    EXPECT_TRUE(media->detach().ok());
    return result;
  }

  u64 image_bytes_ = 768 * cowfs::mib;  // of cowfs
  std::string directory_;
  std::unique_ptr<Ledger> ledger_;
};

}  // namespace cowbench::harness
