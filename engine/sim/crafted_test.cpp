// Images made by an attacker, with valid checksums: mounting, reading, changing and checking them gives errors, or goes
// well, but never aborts, hangs or reads behind what is there.
//
//   COWFS_SIM_SEED=7 sim_test --gtest_filter='Crafted.*'       one image
//   COWFS_SIM_SEEDS=100 sim_test --gtest_filter='Crafted.*'    a hundred times as many
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <fstream>

#include "engine/admin/tools.h"
#include "engine/sim/crafted_image.h"
#include "engine/sim/image_use.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

constexpr unsigned seconds_max = 60 * share_of_seeds;  // of one image

// What is tried just now, told when it aborts or hangs.
char trying[512];

void tell(int signal) {
  (void)!::write(STDERR_FILENO, trying, std::strlen(trying));
  if (signal == SIGALRM) ::signal(SIGABRT, SIG_DFL), ::abort();
}

class ToldWhenItEnds {
 public:
  ToldWhenItEnds() : aborted_(::signal(SIGABRT, tell)), hung_(::signal(SIGALRM, tell)) {}
  ~ToldWhenItEnds() {
    ::alarm(0);
    ::signal(SIGABRT, aborted_);
    ::signal(SIGALRM, hung_);
  }
  void next(u64 seed, const std::string& what) {
    std::snprintf(trying, sizeof trying, "\nCOWFS_SIM_SEED=%llu: %s\n", static_cast<unsigned long long>(seed),
                  what.c_str());
    ::alarm(seconds_max);
  }

 private:
  sighandler_t aborted_;
  sighandler_t hung_;
};

// Most images have one change, so that nothing refuses them before it is met.
std::string change(const Crafter& crafter, Image& image, u64 seed) {
  Draws draws(seed);
  std::string what = crafter.change(image, draws);
  while (draws.one_in(4)) what += "; " + crafter.change(image, draws);
  return what;
}

const ScenarioSettings sound_settings{.seed = 7, .clients = 2};
const ScenarioSettings wide_checksums{
    .seed = 7, .format = {.data_checksum = ChecksumKind::crc64, .metadata_checksum = ChecksumKind::xxh3}, .clients = 2};

bool use(const Image& image, u64 seed) {
  Random random(seed);
  return use_image(image, random_settings(random));
}

TEST(Crafted, no_valid_checksum_makes_the_engine_abort_or_hang) {
  const Crafter crafters[] = {Crafter(image_to_change(sound_settings)), Crafter(image_to_change(wide_checksums))};
  for (const Crafter& crafter : crafters) ASSERT_TRUE(use(crafter.sound(), 1));
  ToldWhenItEnds told;
  u64 mounted = 0;
  const std::vector<u64> all = seeds(300);
  for (const u64 seed : all) {
    const Crafter& crafter = crafters[seed % 3 == 0 ? 1 : 0];
    Image image = crafter.sound();
    told.next(seed, change(crafter, image, seed));
    if (use(image, seed)) ++mounted;
  }
  std::printf("%llu of %zu images could be mounted\n", static_cast<unsigned long long>(mounted), all.size());
}

class ImageFile {
 public:
  ImageFile() {
    const int file = ::mkstemp(path_);
    EXPECT_GE(file, 0);
    ::close(file);
  }
  ~ImageFile() { std::remove(path_); }
  std::string path() const { return path_; }

  void hold(const Image& image) {
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    std::vector<char> chunk(Image::chunk_bytes);
    const std::vector<char> zeros(chunk.size());
    for (u64 at = 0; at < image.size(); at += chunk.size()) {
      image.read(at, std::as_writable_bytes(std::span(chunk)));
      if (chunk == zeros) continue;
      file.seekp(static_cast<std::streamoff>(at));
      file.write(chunk.data(), static_cast<std::streamsize>(chunk.size()));
    }
    file.close();
    EXPECT_EQ(::truncate(path_, static_cast<off_t>(image.size())), 0);
  }

 private:
  char path_[32] = "/var/tmp/cowfs_crafted_XXXXXX";
};

TEST(Crafted, no_valid_checksum_makes_a_command_of_the_program_abort_or_hang) {
  const Crafter crafter(image_to_change(sound_settings));
  ToldWhenItEnds told;
  ImageFile file;
  u64 lines = 0;
  for (const u64 seed : seeds(60)) {
    Image image = crafter.sound();
    told.next(seed, change(crafter, image, seed));
    file.hold(image);
    (void)admin::show_superblock(file.path());
    (void)admin::usage(file.path());
    (void)admin::counters(file.path());
    (void)admin::list_journal(file.path());
    for (const bool nodes : {false, true}) {
      (void)admin::list(file.path(), {.slice = {}, .tree = {}, .nodes = nodes},
                        [&lines](const admin::Listed&) { ++lines; });
    }
  }
  EXPECT_GT(lines, 0u);
}

}  // namespace
}  // namespace cowfs::sim
