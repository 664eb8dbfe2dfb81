#include "harness/topology.h"

#include <gmock/gmock.h>
#include <sched.h>

#include <nlohmann/json.hpp>
#include <set>
#include <thread>

namespace cowbench::harness {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

Topology synthetic(const char* description) {
  auto topology = Topology::load(description);
  EXPECT_TRUE(topology.ok()) << description;
  return *topology;
}

// An EPYC 9454 in NPS4: 48 cores in 8 cache domains of 6, two hardware threads each.
constexpr const char* epyc_48 = "pack:1 numa:4 l3:2 core:6 pu:2";
// Two sockets of 96.
constexpr const char* two_sockets_192 = "pack:2 numa:4 l3:3 core:8 pu:2";

TEST(Topology, CountsOfDescribedMachines) {
  struct Case {
    const char* description;
    u32 packages, nodes, ccx, cores, cpus;
  };
  for (const Case& c : {Case{epyc_48, 1, 4, 8, 48, 96}, Case{two_sockets_192, 2, 8, 24, 192, 384},
                        Case{"pack:1 core:2 pu:1", 1, 1, 1, 2, 2}}) {
    SCOPED_TRACE(c.description);
    const Topology topology = synthetic(c.description);
    EXPECT_EQ(topology.packages(), c.packages);
    EXPECT_EQ(topology.numa_nodes().size(), c.nodes);
    EXPECT_EQ(topology.ccx_count(), c.ccx);
    EXPECT_EQ(topology.cores().size(), c.cores);
    EXPECT_EQ(topology.cpu_count(), c.cpus);
  }
}

TEST(Topology, BadDescriptionIsARequestFailure) {
  const auto topology = Topology::load("forty-eight cores please");
  ASSERT_FALSE(topology.ok());
  EXPECT_EQ(topology.failure().kind, FailureKind::request);
  EXPECT_THAT(topology.failure().what, HasSubstr("forty-eight"));
}

TEST(PinPlan, OneGeneratorForEachCoreWithoutSiblings) {
  const Topology topology = synthetic(epyc_48);
  const auto plan = plan_pins(topology, {});
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->pins.size(), 48u);
  std::set<u32> cpus;
  for (const Pin& pin : plan->pins) {
    ASSERT_EQ(pin.cpus.size(), 1u);
    cpus.insert(pin.cpus[0]);
    EXPECT_EQ(pin.cpus[0], topology.cores()[pin.core].cpus.front());
    EXPECT_EQ(pin.numa, pin.core / 12);
    EXPECT_EQ(pin.ccx, pin.core / 6);
  }
  EXPECT_EQ(cpus.size(), 48u);
  EXPECT_EQ(plan->for_client(47, 48).cpus, plan->pins[47].cpus);
  EXPECT_EQ(plan->cpus().size(), 48u);
}

// With more clients than cores, clients of XFS that were tied to one core each reached 0.98 of the real dbench and a flush p99
// of 21 ms; left to the scheduler, 1.09 and 9 ms.
TEST(PinPlan, MoreClientsThanGeneratorsShareTheirNode) {
  const auto plan = plan_pins(synthetic(epyc_48), {});
  ASSERT_TRUE(plan.ok());
  const Pin pin = plan->for_client(50, 96);
  EXPECT_EQ(pin.generator, 2u);
  EXPECT_EQ(pin.cpus.size(), 12u);
  EXPECT_THAT(pin.cpus, Contains(plan->pins[2].cpus[0]));
  EXPECT_EQ(plan->for_client(13, 96).numa, 1u);
  PinRequest loose;
  loose.mode = PinMode::none;
  EXPECT_TRUE(plan_pins(synthetic(epyc_48), loose)->for_client(50, 96).cpus.empty());
}

TEST(PinPlan, SiblingsComeAfterAllCores) {
  PinRequest request;
  request.smt_siblings = true;
  const auto plan = plan_pins(synthetic(two_sockets_192), request);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan->pins.size(), 384u);
  std::set<u32> first_cores;
  for (u32 i = 0; i < 192; ++i) first_cores.insert(plan->pins[i].core);
  EXPECT_EQ(first_cores.size(), 192u);
  EXPECT_EQ(plan->pins[192].core, 0u);
}

TEST(PinPlan, WiderModesNameTheWholeDomain) {
  const Topology topology = synthetic(epyc_48);
  PinRequest request;
  request.mode = PinMode::ccx;
  EXPECT_EQ(plan_pins(topology, request)->pins[7].cpus.size(), 6u);
  request.mode = PinMode::numa;
  EXPECT_EQ(plan_pins(topology, request)->pins[7].cpus.size(), 12u);
  request.mode = PinMode::none;
  const auto loose = plan_pins(topology, request);
  EXPECT_TRUE(loose->pins[7].cpus.empty());
  EXPECT_FALSE(loose->pins[7].bind_memory);
  EXPECT_EQ(plan_pins(topology, {}, 5)->pins.size(), 5u);
}

TEST(PinPlan, ListIsTakenInItsOrderAndChecked) {
  const Topology topology = synthetic("pack:1 core:8 pu:1");
  const auto request = parse_pin("list=5,0,2-3");
  ASSERT_TRUE(request.ok());
  EXPECT_THAT(request->cpus, ElementsAre(5, 0, 2, 3));
  EXPECT_THAT(plan_pins(topology, *request)->pins[0].cpus, ElementsAre(5));
  EXPECT_EQ(plan_pins(topology, *parse_pin("list=8")).failure().kind, FailureKind::request);
  EXPECT_EQ(plan_pins(topology, *parse_pin("list=1,1")).failure().kind, FailureKind::request);
}

TEST(PinPlan, BadPinTexts) {
  for (const char* text : {"", "cores", "list=", "list=a", "list=3-1", "list=1,", "list=0-4294967295", "list=-1"}) {
    SCOPED_TRACE(text);
    EXPECT_FALSE(parse_pin(text).ok());
  }
}

TEST(PinPlan, RenderedAsTextAndJson) {
  const Topology topology = synthetic(epyc_48);
  const auto plan = plan_pins(topology, {});
  const std::string text = to_text(topology, *plan);
  EXPECT_THAT(text, HasSubstr("48 cores, 96 cpus"));
  EXPECT_THAT(text, HasSubstr("48 generators"));
  const auto document = nlohmann::json::parse(to_json(topology, *plan));
  EXPECT_EQ(document["schema"], "cowbench.topo/1");
  EXPECT_EQ(document["pin"]["generators"].size(), 48u);
  EXPECT_EQ(document["numa_nodes"][3]["cores"].size(), 12u);
  EXPECT_EQ(to_cpu_list({3, 1, 2, 9}), "1-3,9");
}

TEST(PinPlan, AppliedOnTheRealMachine) {
  const auto topology = Topology::load();
  ASSERT_TRUE(topology.ok());
  const auto plan = plan_pins(*topology, {});
  ASSERT_TRUE(plan.ok());
  const Pin& pin = plan->pins.back();
  std::thread([&] {
    EXPECT_TRUE(apply_pin(pin).ok());
    EXPECT_EQ(static_cast<u32>(sched_getcpu()), pin.cpus[0]);
  }).join();
}

}  // namespace
}  // namespace cowbench::harness
