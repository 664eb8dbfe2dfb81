#include "site/router.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "site/pages.h"
#include "site/store_fixture.h"

namespace cowbench::site {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class RouterTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/cowbench-site-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    std::string reason;
    auto store = store::Store::open(db(), store::Store::Access::write, reason);
    ASSERT_TRUE(store.ok()) << reason;
    const auto runs = fixture::make_history();
    const auto added = store->add(runs, reason);
    ASSERT_TRUE(added.ok()) << reason;
    for (const store::Added& run : *added) ids_.push_back(run.id);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string db() const { return directory_ / "results.db"; }
  Answer get(const std::string& path, std::map<std::string, std::string> query = {}) const {
    return answer(db(), {"GET", path, std::move(query)});
  }
  json document(const std::string& path, std::map<std::string, std::string> query = {}) const {
    const Answer got = get(path, std::move(query));
    EXPECT_EQ(got.status, 200) << path << got.body;
    EXPECT_EQ(got.type, "application/json");
    return json::parse(got.body);
  }
  std::string series_id(const std::string& target, const std::string& metric) const {
    const json overview = document("/api/overview");
    for (const json& series : overview["series"])
      if (series["target"] == target && series["metric"] == metric) return series["id"];
    return "none";
  }

  std::filesystem::path directory_;
  std::vector<std::string> ids_;
};

TEST_F(RouterTest, TheWorstSeriesComesFirst) {
  const json overview = document("/api/overview");
  const json& first = overview["series"][0];
  EXPECT_EQ(first["target"], "cowfs");
  EXPECT_EQ(first["standing"], "worse");
  EXPECT_EQ(first["control"], "xfs");
  EXPECT_EQ(first["change"]["run"], ids_[16]);
  EXPECT_NEAR(first["change"]["effect"].get<double>(), -0.08, 0.03);
  EXPECT_EQ(overview["series"].back()["standing"], "steady");
  const std::string page = get("/").body;
  EXPECT_LT(page.find("Got worse"), page.find("No change seen"));
  EXPECT_THAT(page, HasSubstr("/series/" + first["id"].get<std::string>()));
}

TEST_F(RouterTest, ASeriesHasItsErasChangesAndEveryValue) {
  const std::string id = series_id("cowfs", "throughput_mb_s");
  const json series = document("/api/series/" + id);
  ASSERT_EQ(series["points"].size(), 24u);  // the partial run is not among them
  EXPECT_THAT(series["eras"], ElementsAre(8));
  ASSERT_EQ(series["changes"].size(), 1u);
  EXPECT_EQ(series["changes"][0]["at"], 16);
  EXPECT_GT(series["points"][0]["ratio"], 4.9);
  const json raw = document("/api/series/" + id, {{"control", ""}});
  EXPECT_TRUE(raw["points"][0]["ratio"].is_null());
  EXPECT_EQ(get("/api/series/" + id, {{"control", "zfs"}}).status, 422);
  const std::string page = get("/series/" + id).body;
  for (const json& point : series["points"]) EXPECT_THAT(page, HasSubstr("/run/" + point["run"].get<std::string>()));
}

TEST_F(RouterTest, RunsAreComparedAndLookedAt) {
  EXPECT_EQ(document("/api/runs")["runs"].size(), 25u);
  EXPECT_EQ(document("/api/runs/" + ids_[3])["schema"], "cowbench.run/1");
  EXPECT_EQ(document("/api/runs/latest")["started"], "2026-10-25T09:30:00Z");
  const json compared = document("/api/compare", {{"a", ids_[15]}, {"b", ids_[16]}, {"a-target", "cowfs"}, {"b-target", "cowfs"}});
  EXPECT_EQ(compared["findings"][0]["verdict"], "worse");
  // Two targets of one run are pairs.
  const json pairs = document("/api/compare", {{"a", ids_[15]}, {"b", ids_[15]}, {"a-target", "xfs"}, {"b-target", "cowfs"},
                                               {"different-promises", "1"}});
  EXPECT_EQ(pairs["findings"][0]["paired"], true);
  EXPECT_EQ(get("/compare").status, 200);
  EXPECT_THAT(get("/compare", {{"a", ids_[15]}, {"b", ids_[16]}}).body, HasSubstr("B against A"));
  EXPECT_THAT(get("/run/" + ids_[24]).body, HasSubstr("xfs: mount &lt;failed&gt;"));
}

// Both sides of the form once named the newest run.
TEST_F(RouterTest, TheNewestRunIsProposedAgainstTheOneBeforeItOfTheSameSeries) {
  std::string reason;
  auto store = store::Store::open(db(), store::Store::Access::write, reason);
  ASSERT_TRUE(store.ok()) << reason;
  std::vector<store::StoredRun> later;
  for (const u64 number : {26, 27}) later.push_back(fixture::make_run(number, {}));
  later[0].record.comparisons[0].workload = "another load";
  const auto added = store->add(later, reason);
  ASSERT_TRUE(added.ok()) << reason;
  const std::string &other = (*added)[0].id, &newest = (*added)[1].id;
  const std::string form = get("/compare").body;
  const auto chosen = [](const std::string& id) { return "<option value=\"" + id + "\" selected>"; };
  EXPECT_LT(form.find(chosen(ids_[24])), form.find(chosen(newest)));
  EXPECT_NE(form.find(chosen(newest)), std::string::npos);
  EXPECT_THAT(form, Not(HasSubstr(chosen(other))));
  const std::string runs = get("/runs").body;
  for (const auto& [side, id] : {std::pair("a", ids_[24]), std::pair("b", newest)})
    EXPECT_THAT(runs, testing::ContainsRegex(fmt::format("name=\"{}\" value=\"{}\"[^>]* checked", side, id)));
}

TEST_F(RouterTest, HostsAreKernelsAndMachines) {
  const json hosts = document("/api/hosts")["hosts"];
  ASSERT_EQ(hosts.size(), 2u);
  EXPECT_EQ(hosts[0]["runs"], 8);
  const std::string fingerprint = hosts[1]["fingerprint"];
  EXPECT_EQ(document("/api/hosts/" + fingerprint)["hosts"][0]["kernel"], "Linux 6.12.0");
  EXPECT_THAT(get("/hosts/" + fingerprint).body, HasSubstr("other guests &lt;may&gt; interfere"));
}

TEST_F(RouterTest, WhatIsNotThereIsSaidToBeMissing) {
  for (const char* path : {"/nowhere", "/run/", "/run/f00d", "/run/../../../etc/passwd", "/series/../results.db", "/hosts/x",
                           "/api", "/api/", "/api/runs/ffff", "//", "", "/run/%", "/compare/x"}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(get(path).status, 404);
  }
  EXPECT_EQ(get("/api/compare", {{"a", "f00d"}, {"b", "latest"}}).status, 404);
  EXPECT_THAT(get("/api/nowhere").body, HasSubstr("cowbench.error/1"));
  EXPECT_THAT(get("/<script>alert(1)</script>").body, Not(HasSubstr("<script>alert")));
}

TEST_F(RouterTest, NothingCanBeWritten) {
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"}) {
    SCOPED_TRACE(method);
    EXPECT_EQ(answer(db(), {method, "/api/runs", {}}).status, 405);
  }
  EXPECT_EQ(answer(db(), {"HEAD", "/api/runs", {}}).status, 200);
}

TEST_F(RouterTest, AStoreThatCannotBeReadIsSaidToBe) {
  std::ofstream(db(), std::ios::trunc) << "not a store at all, but long enough to be looked at";
  EXPECT_EQ(get("/api/overview").status, 500);
  EXPECT_THAT(get("/").body, HasSubstr("results.db"));
}

TEST_F(RouterTest, AnEmptyStoreIsASiteToo) {
  const std::string empty = directory_ / "empty.db";
  std::string reason;
  ASSERT_TRUE(store::Store::open(empty, store::Store::Access::write, reason).ok());
  for (const char* path : {"/", "/runs", "/compare", "/hosts"}) EXPECT_EQ(answer(empty, {"GET", path, {}}).status, 200) << path;
}

// The page that is mailed when something got worse: 40 series of 500 commits.
TEST(Pages, AnOverviewOfFortySeriesOverFiveHundredCommitsStaysBelow400Kilobytes) {
  cowfs::Random random(5);
  std::vector<SeriesView> all;
  for (int number = 0; number < 40; ++number) {
    SeriesView& view = all.emplace_back();
    view.history.key = {fmt::format("target{}", number), "", "disk", "dbench client.txt", 48, "throughput_mb_s"};
    view.id = id_of(view.history.key);
    view.metric = results::find_metric("throughput_mb_s");
    view.standing = Standing::steady;
    for (int commit = 0; commit < 500; ++commit) {
      const double value = 1000 + static_cast<double>(random.below(100));
      view.history.points.push_back({fmt::format("{:032x}", commit), "2026-10-01T09:30:00Z", fmt::format("{:040x}", commit),
                                     false, "host", {value}});
      view.medians.push_back(value);
    }
  }
  const std::string page = overview_page(all);
  RecordProperty("bytes", static_cast<int>(page.size()));
  EXPECT_LE(page.size(), 400'000u);
}

}  // namespace
}  // namespace cowbench::site
