#include "harness/survival_model.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <functional>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

std::vector<std::byte> bytes(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

// What a client does, in one line a call.
class Client {
 public:
  i64 open(const std::string& path, int flags = 0) { return model.open(path, O_RDWR | flags, 0600).value; }
  void write(i64 handle, u64 offset, std::string_view text) {
    const auto data = bytes(text);
    EXPECT_EQ(model.pwrite(handle, data, offset).value, static_cast<i64>(data.size()));
  }
  void fsync(i64 handle) { EXPECT_EQ(model.fsync(handle).value, 0); }
  void mkdir(const std::string& path) { EXPECT_EQ(model.mkdir(path, 0700).value, 0); }
  void rename(const std::string& from, const std::string& to) { EXPECT_EQ(model.rename(from, to).value, 0); }
  void unlink(const std::string& path) { EXPECT_EQ(model.unlink(path).value, 0); }
  void begin(workloads::OpKind kind) {
    workloads::Op op{};
    op.kind = kind;
    model.begin(op);
  }
  SurvivalModel model;
};

struct Case {
  const char* name;
  std::function<void(Client&)> client;
  FoundTree found;
  const char* objection;  // a part of it; empty: none
};

FoundTree tree(std::initializer_list<std::pair<const char*, const char*>> files) {
  FoundTree found;
  found["/c"].is_directory = true;
  for (const auto& [path, text] : files) {
    found[path].is_directory = text == nullptr;
    if (text != nullptr) found[path].content = bytes(text);
  }
  return found;
}

// "/c" and, in it, a file "a" with "old!", both synced.
void with_synced_file(Client& client) {
  client.mkdir("/c");
  const i64 file = client.open("/c/a", O_CREAT);
  client.write(file, 0, "old!");
  client.fsync(file);
}

TEST(SurvivalModel, AllowsWhatACrashMayLeaveAndNothingElse) {
  const auto overwrite = [](Client& client) {
    with_synced_file(client);
    client.write(client.open("/c/a"), 1, "XY");
  };
  const auto extend = [](Client& client) {
    with_synced_file(client);
    client.write(client.open("/c/a"), 6, "new");
  };
  const auto truncate = [](Client& client) {
    with_synced_file(client);
    client.write(client.open("/c/a", O_TRUNC), 0, "N");
  };
  const auto move = [](Client& client) {
    with_synced_file(client);
    client.rename("/c/a", "/c/b");
    client.open("/c/c", O_CREAT);
  };
  const auto synced_move = [](Client& client) {
    with_synced_file(client);
    client.rename("/c/a", "/c/b");
    client.fsync(client.open("/c/b"));
  };
  const auto doubtful_sync = [](Client& client) {
    with_synced_file(client);
    client.model.nothing_is_answered_any_more();
    const i64 file = client.open("/c/a");
    client.write(file, 0, "new!");
    client.fsync(file);
  };
  const auto deleted_tree = [](Client& client) {
    with_synced_file(client);
    client.fsync(client.open("/c/b", O_CREAT));
    client.begin(workloads::OpKind::deltree);
    client.unlink("/c/a");
    client.unlink("/c/b");
  };
  for (const Case& c : {
           Case{"nothing promised, nothing there", [](Client& client) { client.mkdir("/c"); }, {}, ""},
           Case{"nothing promised, something there", [](Client& client) { client.mkdir("/c"); }, tree({}), ""},
           Case{"something that never was", [](Client& client) { client.mkdir("/c"); }, tree({{"/c/x", ""}}), "should not be"},
           Case{"synced and there", with_synced_file, tree({{"/c/a", "old!"}}), ""},
           Case{"synced and gone", with_synced_file, tree({}), "is missing"},
           Case{"synced and all gone", with_synced_file, {}, "is missing"},
           Case{"synced and short", with_synced_file, tree({{"/c/a", "old"}}), "has 3 bytes; 4 to 4"},
           Case{"synced and other", with_synced_file, tree({{"/c/a", "oLd!"}}), "byte 1 of 4"},
           Case{"synced, now a directory", with_synced_file, tree({{"/c/a", nullptr}}), "names differ"},
           Case{"later write not there", overwrite, tree({{"/c/a", "old!"}}), ""},
           Case{"later write there", overwrite, tree({{"/c/a", "oXY!"}}), ""},
           Case{"later write half there", overwrite, tree({{"/c/a", "oXd!"}}), ""},
           Case{"later write elsewhere", overwrite, tree({{"/c/a", "XYd!"}}), "byte 0"},
           Case{"longer", extend, {tree({{"/c/a", "old!"}})}, ""},
           Case{"longer than it ever was", extend, tree({{"/c/a", "old!______"}}), "possible"},
           Case{"gap without zeros", extend, tree({{"/c/a", "old!__new"}}), "byte 4"},
           Case{"emptied", truncate, tree({{"/c/a", ""}}), ""},
           Case{"emptied and written", truncate, tree({{"/c/a", "N"}}), ""},
           Case{"not yet emptied", truncate, tree({{"/c/a", "old!"}}), ""},
           Case{"not moved", move, tree({{"/c/a", "old!"}}), ""},
           Case{"moved", move, tree({{"/c/b", "old!"}}), ""},
           Case{"moved, and the next", move, tree({{"/c/b", "old!"}, {"/c/c", ""}}), ""},
           Case{"the next without the move", move, tree({{"/c/a", "old!"}, {"/c/c", ""}}), "names differ"},
           Case{"half moved", move, tree({{"/c/a", "old!"}, {"/c/b", "old!"}}), "names differ"},
           Case{"moved and lost its content", move, tree({{"/c/b", "old?"}}), "byte 3"},
           Case{"synced move undone", synced_move, tree({{"/c/a", "old!"}}), "names differ"},
           Case{"sync in doubt, not done", doubtful_sync, tree({{"/c/a", "old!"}}), ""},
           Case{"sync in doubt, done", doubtful_sync, tree({{"/c/a", "new!"}}), ""},
           Case{"deleted tree, nothing yet", deleted_tree, tree({{"/c/a", "old!"}, {"/c/b", ""}}), ""},
           Case{"deleted tree, in one order", deleted_tree, tree({{"/c/a", "old!"}}), ""},
           Case{"deleted tree, in the other", deleted_tree, tree({{"/c/b", ""}}), ""},
           Case{"deleted tree, all", deleted_tree, tree({}), ""},
           Case{"deleted tree, and more", deleted_tree, tree({{"/c/x", ""}}), "should not be"},
       }) {
    SCOPED_TRACE(c.name);
    Client client;
    c.client(client);
    const std::string objection = client.model.objection("/c", c.found);
    if (*c.objection == 0) EXPECT_EQ(objection, "");
    else EXPECT_THAT(objection, HasSubstr(c.objection));
  }
}

TEST(SurvivalModel, AGapReadsAsZeros) {
  Client client;
  with_synced_file(client);
  client.write(client.open("/c/a"), 6, "new");
  FoundTree found = tree({});
  found["/c/a"].content = bytes(std::string_view("old!\0\0new", 9));
  EXPECT_EQ(client.model.objection("/c", found), "");
  found["/c/a"].content = bytes(std::string_view("old!\0", 5));
  EXPECT_EQ(client.model.objection("/c", found), "");
  found["/c/a"].content = bytes(std::string_view("\0\0\0\0", 4));
  EXPECT_THAT(client.model.objection("/c", found), HasSubstr("byte 0"));
}

TEST(SurvivalModel, EachFileIsAsDurableAsItsOwnSync) {
  Client client;
  with_synced_file(client);
  const i64 other = client.open("/c/b", O_CREAT);
  client.write(client.open("/c/a"), 0, "new!");
  client.fsync(other);
  EXPECT_EQ(client.model.objection("/c", tree({{"/c/a", "old!"}, {"/c/b", ""}})), "");
  EXPECT_EQ(client.model.objection("/c", tree({{"/c/a", "new!"}, {"/c/b", ""}})), "");
  EXPECT_THAT(client.model.objection("/c", tree({{"/c/a", "old!"}})), HasSubstr("/c/b: is missing"));
}

}  // namespace
}  // namespace cowbench::harness
