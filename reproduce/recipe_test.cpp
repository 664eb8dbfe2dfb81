#include "reproduce/recipe.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <variant>

#include "workloads/fio_job.h"
#include "workloads/fio_text.h"

namespace cowbench::reproduce {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Recipe epyc() {
  for (const RecipeText& text : recipe_texts()) {
    if (text.name != "epyc-9454") continue;
    auto recipe = parse_recipe(text.toml, std::string(text.name), "epyc-9454.toml");
    EXPECT_TRUE(recipe.ok()) << recipe.failure().what;
    return *recipe;
  }
  ADD_FAILURE() << "there is no such recipe";
  return {};
}

harness::Topology machine(const char* synthetic) { return *harness::Topology::load(synthetic); }
constexpr const char* epyc_9454 = "pack:1 l3:8 core:6 pu:2";

std::vector<u32> clients_of(const Scaling& scaling, const std::string& run) {
  std::vector<u32> clients;
  for (const Scaled& scaled : scaling.measurements)
    if (scaled.run->name == run) clients.push_back(scaled.clients);
  return clients;
}

TEST(Recipe, AllThatAreCompiledInCanBeReadAndTheirJobsRun) {
  EXPECT_THAT(recipe_texts(), SizeIs(testing::Ge(1u)));
  for (const RecipeText& text : recipe_texts()) {
    SCOPED_TRACE(text.name);
    const auto recipe = parse_recipe(text.toml, std::string(text.name), "recipe");
    ASSERT_TRUE(recipe.ok()) << recipe.failure().what;
    EXPECT_THAT(recipe->unknown, testing::Not(IsEmpty()));
    const auto scaling = scale(*recipe, machine("pack:1 l3:1 core:2 pu:1"), {.seconds = 1, .data_bytes = 64 << 20, .only = {}});
    ASSERT_TRUE(scaling.ok()) << scaling.failure().what;
    for (const Scaled& scaled : scaling->measurements) {
      if (scaled.run->load != Load::fio) continue;
      const auto sections = workloads::parse_fio_text(scaled.job, "job");
      ASSERT_TRUE(std::holds_alternative<workloads::FioSections>(sections)) << scaled.job;
      const auto jobs = workloads::fio_jobs(std::get<workloads::FioSections>(sections));
      EXPECT_TRUE(std::holds_alternative<std::vector<workloads::FioJob>>(jobs)) << scaled.job;
    }
  }
}

TEST(Recipe, OnThePublishedMachineNothingIsScaled) {
  const Recipe recipe = epyc();
  const auto scaling = scale(recipe, machine(epyc_9454), {.data_bytes = 100ull << 30});
  ASSERT_TRUE(scaling.ok());
  EXPECT_THAT(clients_of(*scaling, "dbench"), ElementsAre(48));
  EXPECT_THAT(clients_of(*scaling, "dbench-by-cache"), ElementsAre(1, 2, 3, 6, 12, 24, 36));
  EXPECT_THAT(scaling->left_out, IsEmpty());
  for (const Scaled& scaled : scaling->measurements) {
    if (scaled.clients != 6) continue;
    // Six neighbours share a cache; six that are spread are of six caches. Every second cpu is an SMT sibling.
    const bool spread = scaled.run->placement == Placement::spread;
    EXPECT_EQ(scaled.cpus, (spread ? std::vector<u32>{0, 12, 24, 36, 48, 60} : std::vector<u32>{0, 2, 4, 6, 8, 10}));
  }
  EXPECT_THAT(scaling->measurements.front().note, "48 of 48 cores there, 48 of 48 here");
}

TEST(Recipe, OnASmallMachineTheShareOfBusyCoresIsKept) {
  const Recipe recipe = epyc();
  const auto scaling = scale(recipe, machine("pack:1 l3:1 core:2 pu:1"), {.data_bytes = 1 << 30});
  ASSERT_TRUE(scaling.ok());
  EXPECT_THAT(clients_of(*scaling, "dbench"), ElementsAre(2));
  EXPECT_THAT(clients_of(*scaling, "dbench-by-cache"), ElementsAre(1));  // two are what the first run has
  EXPECT_THAT(clients_of(*scaling, "dbench-spread"), IsEmpty());
  EXPECT_THAT(scaling->left_out, ElementsAre(HasSubstr("the same as dbench"), HasSubstr("one last-level cache")));
  EXPECT_EQ(scaling->measurements.front().note, "48 of 48 cores there, 2 of 2 here");
  const auto writes = std::ranges::find(scaling->measurements, "randwrite-4k", [](const Scaled& s) { return s.run->name; });
  ASSERT_NE(writes, scaling->measurements.end());
  EXPECT_THAT(writes->job, HasSubstr("size=512m\nnumjobs=2"));
}

TEST(Recipe, RunsCanBeChosen) {
  const Recipe recipe = epyc();
  const auto one = scale(recipe, machine(epyc_9454), {.data_bytes = 1 << 30, .only = {"randwrite-4k-alone"}});
  ASSERT_TRUE(one.ok());
  EXPECT_THAT(one->measurements, SizeIs(1));
  const auto none = scale(recipe, machine(epyc_9454), {.only = {"randread"}});
  ASSERT_FALSE(none.ok());
  EXPECT_THAT(none.failure().what, HasSubstr("has no run randread"));
  EXPECT_FALSE(scale(recipe, machine("pack:1 l3:1 core:2 pu:1"), {.only = {"dbench-spread"}}).ok());
}

TEST(Recipe, WhatIsWrongIsNamedWithItsLine) {
  constexpr const char* sound =
      "title = \"T\"\ncores = 4\ntargets = [\"cowfs\"]\n[[run]]\nname = \"r\"\nload = \"dbench\"\nclients = [4]\n"
      "[[run.published]]\ntarget = \"x\"\nmetric = \"iops\"\nvalue = 1.0\n";
  ASSERT_TRUE(parse_recipe(sound, "r", "r.toml").ok());
  struct Case {
    const char *from, *to, *reason;
  };
  for (const Case& c : {Case{"cores = 4", "cores = 0", "r.toml:2: cores must be a whole number from 1"},
                        Case{"clients = [4]", "clients = [4, -1]", "r.toml:7: run.clients must be a list of whole numbers"},
                        Case{"\"dbench\"", "\"dbrench\"", "run.load must be dbench or fio"},
                        Case{"\"dbench\"", "\"fio\"", "run.job belongs to fio"},
                        Case{"\"iops\"", "\"speed\"", "run.published.metric speed is not known"},
                        Case{"value = 1.0", "value = -1.0", "r.toml:11: run.published.value must be a number above 0"},
                        Case{"title", "titel", "titel is not known"}}) {
    SCOPED_TRACE(c.to);
    std::string text(sound);
    text.replace(text.find(c.from), std::string_view(c.from).size(), c.to);
    const auto recipe = parse_recipe(text, "r", "r.toml");
    ASSERT_FALSE(recipe.ok());
    EXPECT_THAT(recipe.failure().what, HasSubstr(c.reason));
  }
}

}  // namespace
}  // namespace cowbench::reproduce
