#include "tune/tuning.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "engine/codec/cpu_features.h"
#include "results/summary.h"

namespace cowbench::tune {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Measured measured(std::string setting, std::string kernel, double gb_s, bool chosen) {
  Measured made;
  made.candidate = {.setting = std::move(setting),
                    .task = "copy with checksum",
                    .kernel = std::move(kernel),
                    .needs = "none",
                    .bytes = 4096,
                    .cache = Cache::hot,
                    .chosen = chosen,
                    .data_bytes = 4096,
                    .run = {}};
  for (int round = 0; round < 8; ++round) made.gb_s_rounds.push_back(gb_s * (1 + 0.001 * round));
  made.gb_s = gb_s;
  return made;
}

Tuning tuning() {
  return {.subject = Subject::checksum,
          .micro = {measured("none", "copy", 100, true), measured("crc32c", "quick", 50, true),
                    measured("crc32c", "slow", 5, false), measured("xxh3", "library", 20, true)},
          .settings = settings(Subject::layout, cowfs::gib, 1)};
}

results::Record record() {
  results::Record made;
  results::Comparison& comparison = made.comparisons.emplace_back();
  comparison.workload = "dbench";
  comparison.media = "ram";
  for (const auto& [target, mb_s] :
       {std::pair{"cowfs", 1000.0}, {"cowfs:bucket=1M", 970.0}, {"cowfs:slices=1", 700.0}}) {
    results::TargetResult result;
    result.target = target;
    for (results::u64 round = 0; round < 8; ++round) {
      results::Round one;
      one.round = round;
      one.metrics["throughput_mb_s"] = mb_s + static_cast<double>(round);
      result.rounds.push_back(one);
    }
    comparison.results.push_back(std::move(result));
  }
  results::summarise(comparison);
  return made;
}

TEST(Costs, AreWhatASettingTakesBeyondNone) {
  const Tuning found = tuning();
  const std::vector<Cost> all = costs(found.micro);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].measured->candidate.setting, "crc32c");
  EXPECT_NEAR(all[0].ns_for_4_kib.value, 4096 / 50.0 - 4096 / 100.0, 0.5);
  ASSERT_TRUE(all[0].ns_for_4_kib.interval.has_value());
  EXPECT_NEAR(all[0].speed->estimate, 10, 0.1);
  EXPECT_FALSE(all[1].speed.has_value());
}

TEST(Trials, AreOrderedByTheirRatioToTheFirstSetting) {
  const std::vector<Trials> found = trials(record(), tuning().settings);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].against, "as cowfs chooses");
  ASSERT_EQ(found[0].others.size(), 2u);
  EXPECT_EQ(found[0].others[0].setting, "bucket=1M");
  EXPECT_NEAR(*found[0].others[0].ratio.estimate, 0.97, 0.001);
}

TEST(Settings, OfALayoutFitTheMedium) {
  for (const Setting& setting : settings(Subject::layout, 256 * cowfs::mib, 1)) EXPECT_NE(setting.name, "bucket=8M");
  const std::vector<Setting> six = settings(Subject::ec, cowfs::gib, 6);
  EXPECT_EQ(six.front().target, "cowfs");
  for (const char* target : {"cowfs:replicas=3", "cowfs:ec=4+2", "cowfs:ec=2+1"})
    EXPECT_NE(std::ranges::find(six, target, &Setting::target), six.end()) << target;
  EXPECT_EQ(settings(Subject::ec, cowfs::gib, 2).size(), 2u);
  EXPECT_EQ(settings(Subject::ec, cowfs::gib, 32).back().target, "cowfs:ec=13+3");
}

TEST(Settings, OfChecksumsAreAllKindsAgainstNone) {
  std::vector<std::string> targets;
  for (const Setting& setting : settings(Subject::checksum, cowfs::gib, 1)) targets.push_back(setting.target);
  EXPECT_THAT(targets, ElementsAre("cowfs:data_checksum=none", "cowfs:data_checksum=crc32c", "cowfs:data_checksum=crc64",
                                   "cowfs:data_checksum=xxh3"));
}

TEST(Tuning, AllFormsSayTheSame) {
  const Tuning found = tuning();
  const std::string best = "Of the checksums crc32c costs least here";
  EXPECT_THAT(to_text(found, record(), {}), HasSubstr(best));
  EXPECT_THAT(to_text(found, record(), {}), HasSubstr("dbench on ram: bucket=1M is best, 0.97"));
  const auto json = nlohmann::json::parse(to_json(found, record()));
  EXPECT_EQ(json["schema"], "cowbench.tune/1");
  EXPECT_EQ(json["micro"].size(), 4u);
  EXPECT_EQ(json["end_to_end"][0]["settings"][1]["setting"], "slices=1");
  const std::string html = to_html(found, record());
  EXPECT_THAT(html, HasSubstr(best));
  EXPECT_THAT(html, HasSubstr("<svg class=\"rates\""));
}

// All kernels, for so short a time that the figures mean nothing.
TEST(Micro, MeasuresEveryKernelAndMarksTheOneThatIsTaken) {
  const MicroRequest request{.rounds = 6, .milliseconds = 0.001, .cold_bytes = 4 << 20, .seed = 3};
  for (const auto& all : {measure_checksums(request), measure_erasure_codes(request)}) {
    const std::vector<Cost> found = costs(all);
    EXPECT_GE(found.size(), 3u);
    for (const Measured& one : all) {
      EXPECT_EQ(one.gb_s_rounds.size(), 6u);
      EXPECT_GT(one.gb_s, 0);
      const auto alike = [&](const Measured& other) {
        return other.candidate.chosen && other.candidate.setting == one.candidate.setting &&
               other.candidate.task == one.candidate.task && other.candidate.bytes == one.candidate.bytes &&
               other.candidate.cache == one.candidate.cache;
      };
      EXPECT_EQ(std::ranges::count_if(all, alike), 1) << one.candidate.setting << " " << one.candidate.task;
    }
  }
}

TEST(Micro, FeaturesThatWereTakenAwayAreNotTaken) {
  cowfs::codec::limit_cpu_features({});
  for (const Measured& one : measure_checksums({.rounds = 1, .milliseconds = 0.001, .cold_bytes = 4 << 20, .seed = 3}))
    if (one.candidate.chosen) {
      EXPECT_EQ(one.candidate.needs, "none");
    }
  cowfs::codec::limit_cpu_features(cowfs::codec::native_cpu_features());
}

}  // namespace
}  // namespace cowbench::tune
