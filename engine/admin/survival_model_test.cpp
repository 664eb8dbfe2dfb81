// The judge of what a killed process left must allow what it may leave, and object to everything else.
#include "engine/admin/survival_model.h"

#include <gtest/gtest.h>

namespace cowfs::admin {
namespace {

struct Case {
  const char* name;
  void (*client)(SurvivalModel&);
  FoundTree found;
  const char* objection;  // a part of it; empty: none
};

constexpr std::string_view directory = "(directory)";

FoundTree tree(std::initializer_list<std::pair<const char*, std::string_view>> files) {
  FoundTree found;
  found["/c"].directory = true;
  for (const auto& [path, text] : files) {
    found[path].directory = text == directory;
    if (text != directory) found[path].content = text;
  }
  return found;
}

void with_synced_file(SurvivalModel& model) {
  model.make_directory("/c");
  model.create("/c/a");
  model.write(model.find("/c/a"), 0, "old!");
  model.synced(model.find("/c/a"));
}
void overwritten(SurvivalModel& model) {
  with_synced_file(model);
  model.write(model.find("/c/a"), 1, "XY");
}
void extended(SurvivalModel& model) {
  with_synced_file(model);
  model.write(model.find("/c/a"), 6, "new");
}
void moved(SurvivalModel& model) {
  with_synced_file(model);
  model.rename("/c/a", "/c/b");
  model.create("/c/d");
}
void moved_and_synced(SurvivalModel& model) {
  moved(model);
  model.names_synced();
}
// Nothing of an unchanged file is left to be made durable.
void synced_again(SurvivalModel& model) {
  with_synced_file(model);
  model.create("/c/d");
  model.synced(model.find("/c/a"));
}
void cut(SurvivalModel& model) {
  with_synced_file(model);
  model.truncate(model.find("/c/a"));
  model.write(model.find("/c/a"), 0, "n");
}
void cut_and_synced(SurvivalModel& model) {
  cut(model);
  model.synced(model.find("/c/a"));
}
void directory_moved(SurvivalModel& model) {
  with_synced_file(model);
  model.make_directory("/c/in");
  model.create("/c/in/x");
  model.create("/c/inside");
  model.rename("/c/in", "/c/out");
  model.names_synced();
}
void replaced(SurvivalModel& model) {
  with_synced_file(model);
  model.create("/c/b");
  model.write(model.find("/c/b"), 0, "new!");
  model.synced(model.find("/c/b"));
  model.rename("/c/b", "/c/a");
}

TEST(SurvivalModel, allows_what_a_kill_may_leave_and_nothing_else) {
  const auto begun = [](SurvivalModel& model) { model.make_directory("/c"); };
  for (const Case& c : {
           Case{"nothing was begun", [](SurvivalModel&) {}, {}, ""},
           Case{"nothing was begun, something is there", [](SurvivalModel&) {}, tree({}), "should not be"},
           Case{"the first step was under way, not done", begun, {}, ""},
           Case{"the first step was under way, done", begun, tree({}), ""},
           Case{"more than that", begun, tree({{"/c/x", ""}}), "should not be"},
           Case{"synced and there", with_synced_file, tree({{"/c/a", "old!"}}), ""},
           Case{"synced and gone", with_synced_file, tree({}), "is missing"},
           Case{"synced and all gone", with_synced_file, {}, "is missing"},
           Case{"synced and short", with_synced_file, tree({{"/c/a", "old"}}), "has 3 bytes"},
           Case{"synced and other", with_synced_file, tree({{"/c/a", "oLd!"}}), "byte 1"},
           Case{"later write not there", overwritten, tree({{"/c/a", "old!"}}), ""},
           Case{"later write there", overwritten, tree({{"/c/a", "oXY!"}}), ""},
           Case{"later write half there", overwritten, tree({{"/c/a", "oXd!"}}), ""},
           Case{"later write elsewhere", overwritten, tree({{"/c/a", "XYd!"}}), "byte 0"},
           Case{"not yet longer", extended, tree({{"/c/a", "old!"}}), ""},
           Case{"longer than ever", extended, tree({{"/c/a", "old!______"}}), "has 10 bytes"},
           Case{"a gap that is no zeros", extended, tree({{"/c/a", "old!__new"}}), "byte 4"},
           Case{"not moved", moved, tree({{"/c/a", "old!"}}), ""},
           Case{"moved", moved, tree({{"/c/b", "old!"}}), ""},
           Case{"moved, and the next", moved, tree({{"/c/b", "old!"}, {"/c/d", ""}}), ""},
           Case{"the next without the move", moved, tree({{"/c/a", "old!"}, {"/c/d", ""}}), "names differ"},
           Case{"half moved", moved, tree({{"/c/a", "old!"}, {"/c/b", "old!"}}), "names differ"},
           Case{"synced and not moved", moved_and_synced, tree({{"/c/a", "old!"}}), "names differ"},
           Case{"synced unchanged, and not what came after its change", synced_again, tree({{"/c/a", "old!"}}), ""},
           Case{"synced unchanged, and what came after", synced_again, tree({{"/c/a", "old!"}, {"/c/d", ""}}), ""},
           Case{"not cut", cut, tree({{"/c/a", "old!"}}), ""},
           Case{"cut", cut, tree({{"/c/a", ""}}), ""},
           Case{"cut and written", cut, tree({{"/c/a", "n"}}), ""},
           Case{"cut, its space not written", cut, tree({{"/c/a", std::string_view("\0l", 2)}}), ""},
           Case{"cut and other", cut, tree({{"/c/a", "x"}}), "byte 0"},
           Case{"cut, synced and there", cut_and_synced, tree({{"/c/a", "n"}}), ""},
           Case{"cut, synced and old", cut_and_synced, tree({{"/c/a", "old!"}}), "has 4 bytes"},
           Case{"a directory moved", directory_moved,
                tree({{"/c/a", "old!"}, {"/c/inside", ""}, {"/c/out", directory}, {"/c/out/x", ""}}), ""},
           Case{"a directory moved without its file", directory_moved,
                tree({{"/c/a", "old!"}, {"/c/inside", ""}, {"/c/out", directory}}), "/c/out/x is missing"},
           Case{"not replaced", replaced, tree({{"/c/a", "old!"}, {"/c/b", "new!"}}), ""},
           Case{"replaced", replaced, tree({{"/c/a", "new!"}}), ""},
           Case{"replaced by nothing", replaced, tree({{"/c/a", ""}}), "has 0 bytes"},
       }) {
    SCOPED_TRACE(c.name);
    SurvivalModel model;
    c.client(model);
    const std::string objection = model.objection(c.found);
    const bool expected = *c.objection == 0 ? objection.empty() : objection.find(c.objection) != std::string::npos;
    EXPECT_TRUE(expected) << objection;
  }
}

}  // namespace
}  // namespace cowfs::admin
