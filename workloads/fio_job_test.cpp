#include "workloads/fio_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cowbench::workloads {
namespace {

using testing::HasSubstr;

FioResult<std::vector<FioJob>> read(std::string_view text) {
  auto sections = parse_fio_text(text, "test.fio");
  if (auto* error = std::get_if<FioError>(&sections)) return *error;
  return fio_jobs(std::get<FioSections>(sections));
}

std::vector<FioJob> jobs(std::string_view text) {
  auto result = read(text);
  if (const auto* error = std::get_if<FioError>(&result)) {
    ADD_FAILURE() << error->to_text();
    return {};
  }
  return std::get<std::vector<FioJob>>(std::move(result));
}

TEST(FioValues, NumbersAsTheHowtoHasThem) {
  struct Case {
    const char* text;
    u64 kilo;
    std::optional<u64> expected;
  };
  for (const Case& c : {Case{"4096", 1024, 4096}, Case{"4k", 1024, 4096}, Case{"4KB", 1024, 4096}, Case{"4ki", 1024, 4000},
                        Case{"4kiB", 1000, 4096}, Case{"1m", 1000, 1'000'000}, Case{"1024gi", 1000, cowfs::gib * 1024},
                        Case{"0x1000", 1024, 4096}, Case{"(2*3)k", 1024, 6144}, Case{"(1+2^3)", 1024, 9},
                        Case{"1.5g", 1024, cowfs::gib * 3 / 2}, Case{"18446744073709551615", 1024, ~0ull},
                        Case{"18446744073709551616", 1024, {}}, Case{"-1", 1024, {}}, Case{"4q", 1024, {}},
                        Case{"", 1024, {}}, Case{"1/0", 1024, {}}, Case{"(1", 1024, {}}, Case{"4k4", 1024, {}}}) {
    EXPECT_EQ(parse_fio_number(c.text, c.kilo), c.expected) << c.text;
  }
  EXPECT_FALSE(parse_fio_number(std::string(100'000, '('), 1024));
}

TEST(FioValues, TimesRangesAndAmounts) {
  EXPECT_EQ(parse_fio_time("30", 1'000'000'000), 30'000'000'000u);
  EXPECT_EQ(parse_fio_time("2m", 1'000'000'000), 120'000'000'000u);
  EXPECT_EQ(parse_fio_time("5", 1000), 5000u);
  EXPECT_EQ(parse_fio_time("10ms", 1000), 10'000'000u);
  EXPECT_FALSE(parse_fio_time("10kg", 1000));
  const auto range = parse_fio_range("16k-4k", 1024);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->low, 4096u);
  EXPECT_EQ(range->high, 16384u);
  EXPECT_EQ(parse_fio_amount("25%", 1024)->of(cowfs::gib), cowfs::gib / 4);
  EXPECT_FALSE(parse_fio_amount("101%", 1024));
}

TEST(FioJob, GlobalsApplyToTheSectionsBelowThem) {
  const auto read = jobs(R"(
; a comment
[global]
size=1g          # another
bs=8k
[first]
rw=randwrite
[global]
bs=64k
direct=1
[second]
rw=rw
rwmixread=70
stonewall
)");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].name, "first");
  EXPECT_TRUE(read[0].random);
  EXPECT_TRUE(read[0].does[1]);
  EXPECT_FALSE(read[0].does[0]);
  EXPECT_FALSE(read[0].direct);
  EXPECT_EQ(read[0].block_sizes[1].largest(), 8192u);
  EXPECT_EQ(read[1].block_sizes[0].largest(), 65536u);
  EXPECT_TRUE(read[1].direct);
  EXPECT_TRUE(read[1].stonewall);
  EXPECT_EQ(read[1].read_percent, 70u);
  EXPECT_EQ(fio_command_line(read[0]), "fio --name=first --size=1g --bs=8k --rw=randwrite");
}

TEST(FioJob, ListsSplitsAndDistributions) {
  const auto read = jobs("[a]\nsize=1g\nrw=randrw\nbs=4k,8k\nioengine=io_uring\niodepth=64\n"
                         "[b]\nsize=1g\nrw=randread\nbssplit=4k/50:1k/:32k/\nrandom_distribution=zoned:60/10:30/20:10/70\n"
                         "[c]\nsize=1g\nrw=randwrite:4\nbs=,16k\nrandom_distribution=zipf:1.2:0.25\niodepth=64\n");
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].block_sizes[0].largest(), 4096u);
  EXPECT_EQ(read[0].block_sizes[1].largest(), 8192u);
  EXPECT_EQ(read[0].block_sizes[2].largest(), 8192u);
  EXPECT_EQ(read[0].depth, 64u);
  ASSERT_EQ(read[1].block_sizes[0].split.size(), 3u);
  EXPECT_EQ(read[1].block_sizes[0].split[1].percent, 25u);
  EXPECT_EQ(read[1].distribution.zones.size(), 3u);
  EXPECT_FALSE(read[1].random_map);
  EXPECT_EQ(read[2].sequence_length, 4u);
  EXPECT_EQ(read[2].block_sizes[0].largest(), 4096u);
  EXPECT_EQ(read[2].block_sizes[1].largest(), 16384u);
  EXPECT_EQ(read[2].distribution.center, 0.25);
  EXPECT_EQ(read[2].depth, 1u);  // fio's default engine is synchronous
  EXPECT_THAT(read[2].moot, testing::Contains(HasSubstr("iodepth")));
}

TEST(FioJob, EnvironmentAndKeywords) {
  setenv("COWBENCH_TEST_SIZE", "64m", 1);
  unsetenv("COWBENCH_TEST_NOTHING");
  const auto read = jobs("[a]\nsize=${COWBENCH_TEST_SIZE}\nbs=8*$pagesize\nfilename=x${COWBENCH_TEST_NOTHING}y\n");
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].size.bytes, 64 * cowfs::mib);
  EXPECT_EQ(read[0].block_sizes[0].largest(), 8u * 4096);
  EXPECT_EQ(read[0].file_names.front(), "xy");
}

TEST(FioJob, CommandLines) {
  auto sections = parse_fio_arguments({"--bs=16k", "--name=one", "--size", "1g", "--direct", "--name=two", "--size=2g"});
  ASSERT_TRUE(std::holds_alternative<FioSections>(sections));
  auto result = fio_jobs(std::get<FioSections>(sections));
  ASSERT_TRUE(std::holds_alternative<std::vector<FioJob>>(result));
  const auto& read = std::get<std::vector<FioJob>>(result);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_TRUE(read[0].direct);
  EXPECT_EQ(read[0].size.bytes, cowfs::gib);
  EXPECT_EQ(read[1].block_sizes[0].largest(), 16384u);
}

TEST(FioJob, EachErrorNamesItsLineAndReason) {
  struct Case {
    const char* text;
    const char* place;
    const char* reason;
  };
  for (const Case& c : {
           Case{"size=1g\n", "test.fio:1", "outside"},
           Case{"[a\nsize=1g\n", "test.fio:1", "]"},
           Case{"[]\n", "test.fio:1", "name"},
           Case{"[a]\nsize=1g\niodeth=3\n", "test.fio:3", "did you mean iodepth?"},
           Case{"[a]\nsize=1g\n\nbs=0\n", "test.fio:4", "bs: 0"},
           Case{"[a]\nsize=1g\nrw=sideways\n", "test.fio:3", "sideways"},
           Case{"[a]\nsize=1g\nzonemode=zbd\n", "test.fio:3", "zonemode is refused"},
           Case{"[a]\nsize=1g\nrw=write\nverify=md5\n", "test.fio:4", "none of crc32c, xxhash, meta, pattern"},
           Case{"[a]\nsize=1g\nrw=write\nverify=pattern\n", "test.fio:1", "needs verify_pattern"},
           Case{"[a]\nsize=1g\nrw=write\nverify=pattern\nverify_pattern=%o\n", "test.fio:5", "%o is not supported"},
           Case{"[a]\nsize=1g\nrw=randread\nverify=crc32c\n", "test.fio:1", "needs writes"},
           Case{"[a]\nsize=1g\nrw=write\nbs=32\nverify=meta\n", "test.fio:1", "64 bytes"},
           Case{"[a]\nsize=1g\nrw=write\nbs=4k\nverify=meta\nverify_interval=3k\n", "test.fio:1", "does not divide"},
           Case{"[a]\nsize=1g\nrw=write\nverify=meta\nverify_interval=32\n", "test.fio:5", "not within 64"},
           Case{"[a]\nsize=1g\nsteadystate=lat:5%\n", "test.fio:3", "none of iops, iops_slope, bw, bw_slope"},
           Case{"[a]\nsize=1g\nsteadystate=iops:5%\n", "test.fio:1", "needs steadystate_duration"},
           Case{"[a]\nsize=1g\nss_dur=10\n", "test.fio:1", "without steadystate"},
           Case{"[a]\nsize=1g\nss=iops:5%\nss_dur=1500ms\n", "test.fio:4", "whole seconds"},
           Case{"[a]\nsize=1g\nfilename=/dev/sda\n", "test.fio:3", "outside of the target"},
           Case{"[a]\nsize=1g\nfilename=../x\n", "test.fio:3", "outside of the target"},
           Case{"[a]\nsize=1g\nexec_prerun=rm\n", "test.fio:3", "programs"},
           Case{"[a]\nsize=1g\nbssplit=4k/60:8k/60\n", "test.fio:3", "add up to 120"},
           Case{"[a]\nsize=1g\nrandom_distribution=zipf\n", "test.fio:3", "zipf"},
           Case{"[a]\nsize=1g\nioengine=rbd\n", "test.fio:3", "rbd"},
           Case{"[a]\nsize=1g\nnumjobs=5000\n", "test.fio:3", "numjobs"},
           Case{"[a]\nrw=write\n", "test.fio:1", "no size"},
           Case{"[a]\nsize=4k\nbs=8k\n", "test.fio:1", "larger than a file"},
           Case{"[global]\nsize=1g\n", "test.fio:1", "no job"},
           Case{"[a]\ninclude not-there.fio\n", "test.fio:2", "not-there.fio"},
           Case{"", "job", "no job"},
       }) {
    SCOPED_TRACE(c.text);
    auto result = read(c.text);
    ASSERT_TRUE(std::holds_alternative<FioError>(result));
    EXPECT_THAT(std::get<FioError>(result).to_text(), HasSubstr(c.place));
    EXPECT_THAT(std::get<FioError>(result).to_text(), HasSubstr(c.reason));
  }
}

TEST(FioJob, IncludesLieBesideTheirFileAndEnd) {
  const auto directory = std::filesystem::temp_directory_path() / "cowbench-fio-include";
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "common.inc") << "size=32m\nbs=1m\n";
  std::ofstream(directory / "job.fio") << "[a]\ninclude common.inc\nrw=write\n";
  std::ofstream(directory / "loop.fio") << "[a]\ninclude loop.fio\n";
  auto sections = read_fio_file((directory / "job.fio").string());
  ASSERT_TRUE(std::holds_alternative<FioSections>(sections));
  EXPECT_EQ(std::get<FioSections>(sections).front().settings.size(), 3u);
  EXPECT_EQ(std::get<FioSections>(sections).front().settings[1].place.line, 2u);
  auto loop = read_fio_file((directory / "loop.fio").string());
  ASSERT_TRUE(std::holds_alternative<FioError>(loop));
  EXPECT_THAT(std::get<FioError>(loop).reason, HasSubstr("include each other"));
  std::filesystem::remove_all(directory);
}

// Debian's examples are the closest thing to what people write: each is taken, or refused at a line for a reason.
TEST(FioJob, EveryExampleRunsOrIsRefusedWithTheReason) {
  const std::filesystem::path examples = "/usr/share/doc/fio/examples";
  if (!std::filesystem::exists(examples)) GTEST_SKIP() << "package fio-examples is not installed";
  u32 taken = 0, seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(examples)) {
    if (entry.path().extension() != ".fio") continue;
    ++seen;
    auto sections = read_fio_file(entry.path().string());
    if (const auto* error = std::get_if<FioError>(&sections)) {
      ADD_FAILURE() << error->to_text();
      continue;
    }
    auto result = fio_jobs(std::get<FioSections>(sections));
    if (std::holds_alternative<std::vector<FioJob>>(result)) {
      ++taken;
      continue;
    }
    const FioError& error = std::get<FioError>(result);
    EXPECT_GT(error.place.line, 0u) << error.to_text();
    EXPECT_THAT(error.reason, testing::Not(HasSubstr("unknown option"))) << error.to_text();
  }
  EXPECT_GT(seen, 50u);
  EXPECT_GE(taken, 14u);
}

}  // namespace
}  // namespace cowbench::workloads
