#include "harness/changes_during_round.h"

#include <gmock/gmock.h>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

TEST(ChangesDuringRound, AreReadAsTyped) {
  const auto scrub = parse_change_during_round("0.5 scrub");
  ASSERT_TRUE(scrub.ok()) << to_text(scrub.failure());
  EXPECT_EQ(scrub->kind, ChangeDuringRound::Kind::scrub);
  EXPECT_EQ(scrub->at_seconds, 0.5);

  const auto label = parse_change_during_round(" 3  set-label 7 rack2");
  ASSERT_TRUE(label.ok()) << to_text(label.failure());
  EXPECT_EQ(label->change.kind, cowfs::DeviceChange::Kind::label);
  EXPECT_EQ(label->change.member, 7);
  EXPECT_EQ(label->change.label, "rack2");
  EXPECT_EQ(to_text(*label), "3 s: set-label 7 rack2");

  const auto online = parse_change_during_round("2 online 1");
  ASSERT_TRUE(online.ok()) << to_text(online.failure());
  EXPECT_EQ(online->path, "");
  const auto replace = parse_change_during_round("2 replace 1 /dev/vdc");
  ASSERT_TRUE(replace.ok()) << to_text(replace.failure());
  EXPECT_EQ(replace->kind, ChangeDuringRound::Kind::replace);
  EXPECT_EQ(replace->path, "/dev/vdc");
  const auto add = parse_change_during_round("2 add-spare /dev/vdd");
  ASSERT_TRUE(add.ok()) << to_text(add.failure());
  EXPECT_EQ(add->change.kind, cowfs::DeviceChange::Kind::spare);
  EXPECT_EQ(add->path, "/dev/vdd");
  const auto resize = parse_change_during_round("2 resize 1");
  ASSERT_TRUE(resize.ok()) << to_text(resize.failure());
  EXPECT_EQ(resize->path, "");
  EXPECT_EQ(remark_of({*scrub, *online}), ", during it 0.5 s: scrub, 2 s: online 1");
}

TEST(ChangesDuringRound, WhatIsWrongIsNamed) {
  struct Case {
    const char* text;
    const char* reason;
  };
  for (const Case& c : {Case{"", "a time"}, Case{"2", "a time"}, Case{"soon offline 1", "'soon' is no time"},
                        Case{"-1 offline 1", "'-1' is no time"}, Case{"inf offline 1", "'inf' is no time"},
                        Case{"2 format 1", "'format' is nothing"}, Case{"2 offline", "it is offline N"},
                        Case{"2 offline 1 2", "it is offline N"}, Case{"2 offline x", "'x' is no number"},
                        Case{"2 offline 70000", "'70000' is no number"}, Case{"2 replace 1", "it is replace N PATH"},
                        Case{"2 online 1 /dev/vdc 3", "it is online N [PATH]"}, Case{"2 scrub 1", "it is scrub"}}) {
    SCOPED_TRACE(c.text);
    const auto parsed = parse_change_during_round(c.text);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.failure().kind, FailureKind::request);
    EXPECT_THAT(parsed.failure().what, HasSubstr(c.reason));
    EXPECT_THAT(parsed.failure().remedy, HasSubstr("offline N, online N [PATH]"));
  }
}

}  // namespace
}  // namespace cowbench::harness
