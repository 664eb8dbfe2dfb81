// Against a real server, which the tests start on loopback as an ordinary user, with its data in a folder of its own.
#include "sharing/team_store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "results/exchange/export.h"
#include "results/store/store_fixture.h"
#include "sharing/postgres_internal.h"

namespace cowbench::sharing {
namespace {

using cowfs::u32;
using store::Store;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uid_t nobody = 65534;

// The newest server of Debian's that is installed; empty: none.
std::filesystem::path server_programs() {
  std::filesystem::path newest;
  std::error_code ignored;
  for (const auto& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored))
    if (std::filesystem::exists(version.path() / "bin/initdb")) newest = std::max(newest, version.path() / "bin");
  return newest;
}

// Gives up root, which the server refuses, and ends with the tests. What it prints goes to `output`.
pid_t start(const std::vector<std::string>& words, int output) {
  const pid_t child = fork();
  if (child != 0) return child;
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(nobody) != 0 || setuid(nobody) != 0)) _exit(126);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  std::vector<char*> raw;
  for (const std::string& word : words) raw.push_back(const_cast<char*>(word.c_str()));
  raw.push_back(nullptr);
  execv(raw[0], raw.data());
  _exit(127);
}

int end_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// What `output` says until `text` is in it or it ends.
std::string read_until(int output, std::string_view text) {
  std::string said;
  char byte;
  while (said.find(text) == said.npos && read(output, &byte, 1) == 1) said += byte;
  return said;
}

struct Listener {
  int socket;
  u32 port;
};

// Takes connections and never answers.
Listener listen_on_loopback() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(bind(listener, raw, length), 0);
  EXPECT_EQ(listen(listener, 1), 0);
  EXPECT_EQ(getsockname(listener, raw, &length), 0);
  return {listener, ntohs(address.sin_port)};
}

u32 free_port() {
  const Listener listener = listen_on_loopback();
  close(listener.socket);
  return listener.port;
}

class TeamStoreTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    programs_ = server_programs();
    if (programs_.empty()) return;
    char pattern[] = "/tmp/cowbench-postgres-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    ASSERT_TRUE(geteuid() != 0 || chown(pattern, nobody, nobody) == 0);
    const std::string data = directory_ / "data";
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(end_of(start({programs_ / "initdb", "-D", data, "-U", "team", "--auth=trust", "--no-sync", "--locale=C", "-E",
                            "UTF8"}, null)), 0);
    close(null);
    port_ = free_port();
    int channel[2];
    ASSERT_EQ(pipe2(channel, O_CLOEXEC), 0);
    server_ = start({programs_ / "postgres", "-D", data, "-k", directory_, "-p", std::to_string(port_), "-c",
                     "listen_addresses=127.0.0.1", "-c", "fsync=off"}, channel[1]);
    close(channel[1]);
    output_ = channel[0];
    const std::string said = read_until(output_, "ready to accept connections");
    ASSERT_THAT(said, HasSubstr("ready to accept connections"));
  }
  static void TearDownTestSuite() {
    if (server_ > 0) {
      kill(server_, SIGQUIT);
      end_of(server_);
    }
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }
  void SetUp() override {
    if (programs_.empty()) GTEST_SKIP() << "no PostgreSQL server is installed";
    static int number = 0;
    database_ = fmt::format("team{}", number++);
    auto admin = Connection::open(url("postgres"));
    ASSERT_TRUE(admin.ok()) << admin.failure().what;
    ASSERT_TRUE(admin->run(("CREATE DATABASE " + database_).c_str()).ok());
  }

  static std::string url(const std::string& database) {
    return fmt::format("postgresql://team@127.0.0.1:{}/{}", port_, database);
  }
  TeamStore team() const {
    auto opened = TeamStore::open(url(database_));
    EXPECT_TRUE(opened.ok()) << opened.failure().what;
    return std::move(*opened);
  }
  Store local(const std::string& name) const {
    std::string reason;
    auto opened = Store::open(directory_ / (database_ + name + ".db"), Store::Access::write, reason);
    EXPECT_TRUE(opened.ok()) << reason;
    return std::move(*opened);
  }
  static std::vector<std::string> add_runs(Store& store, u64 first, u64 count) {
    std::vector<store::StoredRun> runs;
    for (u64 number = first; number < first + count; ++number) runs.push_back(store::fixture::make_run(number));
    runs.front().status = store::RunStatus::partial;
    runs.front().reason = "it's \\ \"cut\"\n short";
    std::string reason;
    const auto added = store.add(runs, reason);
    EXPECT_TRUE(added.ok()) << reason;
    std::vector<std::string> ids;
    for (const store::Added& one : *added) ids.push_back(one.id);
    return ids;
  }
  static std::string lines(const Store& store) {
    std::string reason;
    std::vector<store::StoredRun> runs;
    const auto listed = store.list(reason);
    for (const store::RunSummary& run : *listed) runs.push_back(*store.load(run.id, reason));
    return exchange::export_runs(runs, exchange::OutputFormat::lines);
  }
  Connection connect() const {
    auto opened = Connection::open(url(database_));
    EXPECT_TRUE(opened.ok());
    return std::move(*opened);
  }
  // Asks again until the answer is `wanted`.
  static void wait_until(Connection& connection, const char* question, std::string_view wanted) {
    for (auto rows = connection.run(question); rows.ok() && rows->text(0, 0) != wanted;) rows = connection.run(question);
  }
  u64 count(const char* table) const {
    return std::stoull(connect().run(fmt::format("SELECT count(*)::text FROM {}", table).c_str())->text(0, 0));
  }

  static inline std::filesystem::path programs_, directory_;
  static inline u32 port_ = 0;
  static inline pid_t server_ = 0;
  static inline int output_ = -1;
  std::string database_;
};

TEST_F(TeamStoreTest, WhatWasPushedIsPulledAsItWas) {
  Store first = local("a"), second = local("b");
  add_runs(first, 0, 5);
  TeamStore shared = team();
  const auto pushed = shared.push(first);
  ASSERT_TRUE(pushed.ok()) << pushed.failure().what;
  EXPECT_EQ(pushed->added, 5u);
  const auto again = shared.push(first);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->added, 0u);
  EXPECT_EQ(again->there_already, 5u);
  const auto pulled = shared.pull(second);
  ASSERT_TRUE(pulled.ok()) << pulled.failure().what;
  EXPECT_EQ(pulled->added, 5u);
  EXPECT_EQ(lines(second), lines(first));
  EXPECT_EQ(count("series"), 6u);  // two targets of three metrics
  EXPECT_EQ(count("point"), 30u);
}

// libpq takes text up to its first NUL byte: such a run was pushed cut off, and could not be pulled.
TEST_F(TeamStoreTest, TextThatPostgresDoesNotStoreIsRefusedAndTheOthersArePushed) {
  Store first = local("a"), second = local("b");
  std::vector<store::StoredRun> runs;
  for (u64 number = 0; number < 4; ++number) runs.push_back(store::fixture::make_run(number));
  runs[1].record.command_line = std::string("cowbench\0dbench", 15);
  runs[2].reason = "\xff is no UTF-8";
  std::string reason;
  const auto added = first.add(runs, reason);
  ASSERT_TRUE(added.ok()) << reason;
  const auto pushed = team().push(first);
  ASSERT_TRUE(pushed.ok()) << pushed.failure().what;
  EXPECT_EQ(pushed->added, 2u);
  EXPECT_THAT(pushed->left_out,
              ElementsAre(HasSubstr((*added)[1].id + ": PostgreSQL has no text with NUL bytes: 'cowbench'"),
                          HasSubstr((*added)[2].id + ": PostgreSQL: a statement failed: invalid byte sequence")));
  EXPECT_EQ(count("run"), 2u);
  const auto pulled = team().pull(second);
  ASSERT_TRUE(pulled.ok()) << pulled.failure().what;
  EXPECT_EQ(pulled->added, 2u);
}

TEST_F(TeamStoreTest, TwoPushAtOnceAndNothingIsLostOrTwice) {
  Store first = local("a"), second = local("b"), all = local("c");
  add_runs(first, 0, 12);
  add_runs(second, 6, 12);
  const auto push = [&](const Store& from) {
    TeamStore shared = team();
    const auto pushed = shared.push(from);
    EXPECT_TRUE(pushed.ok()) << pushed.failure().what;
  };
  std::thread other([&] { push(second); });
  push(first);
  other.join();
  // Six are of both stores, but the partial run of the second is another one.
  EXPECT_EQ(count("run"), 19u);
  const auto pulled = team().pull(all);
  ASSERT_TRUE(pulled.ok()) << pulled.failure().what;
  std::string reason;
  EXPECT_EQ(all.list(reason)->size(), 19u);
  EXPECT_TRUE(all.verify(reason)->empty());
}

// The pusher is killed while it waits in the middle of its fourth run, whose row is written and whose values are not.
TEST_F(TeamStoreTest, KilledInMidPushBothSidesAreWhole) {
  Store first = local("a"), second = local("b");
  add_runs(first, 0, 3);
  ASSERT_TRUE(team().push(first).ok());
  add_runs(first, 3, 3);
  const std::string before = lines(first);

  Connection blocker = connect();
  ASSERT_TRUE(blocker.run("BEGIN").ok());
  ASSERT_TRUE(blocker.run("LOCK TABLE point IN SHARE MODE").ok());
  const pid_t child = fork();
  if (child == 0) {
    (void)team().push(first);
    _exit(0);
  }
  wait_until(blocker, "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'point'::regclass", "1");
  kill(child, SIGKILL);
  EXPECT_EQ(end_of(child), 128 + SIGKILL);
  ASSERT_TRUE(blocker.run("COMMIT").ok());
  wait_until(blocker, "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database()", "1");

  EXPECT_EQ(count("run"), 3u);
  EXPECT_EQ(count("document"), 3u);
  EXPECT_EQ(count("point"), 18u);
  std::string reason;
  EXPECT_THAT(*first.verify(reason), testing::IsEmpty());
  EXPECT_EQ(lines(first), before);
  const auto rest = team().push(first);
  ASSERT_TRUE(rest.ok()) << rest.failure().what;
  EXPECT_EQ(rest->added, 3u);
  ASSERT_TRUE(team().pull(second).ok());
  EXPECT_EQ(lines(second), before);
}

TEST_F(TeamStoreTest, SomebodyWhoMayOnlyReadCanPull) {
  Store first = local("a"), second = local("b");
  add_runs(first, 0, 2);
  ASSERT_TRUE(team().push(first).ok());
  Connection connection = connect();
  ASSERT_TRUE(connection.run(("CREATE ROLE reader_" + database_ + " LOGIN").c_str()).ok());
  ASSERT_TRUE(connection.run(("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_" + database_).c_str()).ok());
  auto reader = TeamStore::open(fmt::format("postgresql://reader_{0}@127.0.0.1:{1}/{0}", database_, port_));
  ASSERT_TRUE(reader.ok()) << reader.failure().what;
  ASSERT_TRUE(reader->pull(second).ok());
  EXPECT_EQ(lines(second), lines(first));
  add_runs(second, 9, 1);
  EXPECT_FALSE(reader->push(second).ok());
}

TEST_F(TeamStoreTest, AnotherProgramsTablesAreLeftAlone) {
  Connection connection = connect();
  ASSERT_TRUE(connection.run("CREATE TABLE run(x INTEGER)").ok());
  const auto opened = TeamStore::open(url(database_));
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.failure().what, HasSubstr("\"run\" already exists"));
  EXPECT_EQ(connection.run("SELECT to_regclass('cowbench') IS NULL")->text(0, 0), std::string(1, 1));
  for (const char* table : {"CREATE TABLE cowbench(x INTEGER)", "INSERT INTO cowbench VALUES(1)"}) {
    ASSERT_TRUE(connection.run(table).ok());
    const auto foreign = TeamStore::open(url(database_));
    ASSERT_FALSE(foreign.ok());
    EXPECT_EQ(foreign.failure().kind, harness::FailureKind::refused);
    EXPECT_THAT(foreign.failure().what, HasSubstr("is not that of a team's store"));
  }
}

// A pull once ended at the first damaged run, and with it whatever others had pushed since.
TEST_F(TeamStoreTest, DamagedRunsAreNamedAndTheOthersArePulled) {
  Store first = local("a"), second = local("b");
  const std::vector<std::string> ids = add_runs(first, 0, 5);
  TeamStore shared = team();
  ASSERT_TRUE(shared.push(first).ok());
  Connection connection = connect();
  const auto damage = [&](const char* change, const std::string& id) {
    const std::string statement = fmt::format("{} (SELECT id FROM run WHERE hash='{}')", change, id);
    ASSERT_TRUE(connection.run(statement.c_str()).ok()) << statement;
  };
  damage("UPDATE point SET vals = set_byte(vals, 3, 1 # get_byte(vals, 3)) WHERE result = 0 AND run_id =", ids[0]);
  damage("UPDATE document SET json = '\\x00' WHERE run_id =", ids[2]);
  damage("DELETE FROM document WHERE run_id =", ids[3]);
  const auto pulled = shared.pull(second);
  ASSERT_TRUE(pulled.ok()) << pulled.failure().what;
  EXPECT_EQ(pulled->added, 2u);
  EXPECT_THAT(pulled->left_out, ElementsAre(AllOf(HasSubstr(ids[0]), HasSubstr("it is not what was stored")),
                                            AllOf(HasSubstr(ids[2]), HasSubstr("damaged in the team's store")),
                                            AllOf(HasSubstr(ids[3]), HasSubstr("its document is gone"))));
  std::string reason;
  EXPECT_EQ(second.list(reason)->size(), 2u);
  EXPECT_THAT(*second.verify(reason), testing::IsEmpty());
  EXPECT_EQ(shared.pull(second)->left_out.size(), 3u);
}

TEST_F(TeamStoreTest, ANewerSchemaIsRefused) {
  (void)team();
  Connection connection = connect();
  ASSERT_TRUE(connection.run("UPDATE cowbench SET version = 7").ok());
  const auto opened = TeamStore::open(url(database_));
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.failure().kind, harness::FailureKind::refused);
  EXPECT_THAT(opened.failure().what, HasSubstr("version 7"));
}

// The session ends as it does when the server goes away. What was pushed stays; a statement's reason is one line.
TEST_F(TeamStoreTest, AServerThatGoesAwaySaysHowFarItCame) {
  Store first = local("a");
  add_runs(first, 0, 3);
  TeamStore shared = team();
  ASSERT_TRUE(shared.push(first).ok());
  add_runs(first, 3, 3);
  Connection connection = connect();
  ASSERT_TRUE(connection.run("CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                             " IF (SELECT count(*) FROM document) = 4 THEN"
                             " PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$").ok());
  ASSERT_TRUE(connection.run("CREATE TRIGGER leaves BEFORE INSERT ON document FOR EACH ROW EXECUTE FUNCTION leave()").ok());
  const auto pushed = shared.push(first);
  ASSERT_FALSE(pushed.ok());
  EXPECT_EQ(pushed.failure().kind, harness::FailureKind::failed);
  EXPECT_THAT(pushed.failure().what, AllOf(HasSubstr("terminating connection"), testing::Not(HasSubstr("\n"))));
  EXPECT_EQ(pushed.failure().remedy, "4 of 6 were there by then; the same command goes on");
  EXPECT_EQ(count("run"), 4u);
  ASSERT_TRUE(connection.run("DROP TRIGGER leaves ON document").ok());
  EXPECT_EQ(team().push(first)->added, 2u);
}

// Without a limit the connection to a machine that takes it and never answers waits for ever.
TEST(TeamStoreAddress, AServerThatNeverAnswersIsGivenUp) {
  const Listener listener = listen_on_loopback();
  const auto opened = TeamStore::open(fmt::format("postgresql://team@127.0.0.1:{}/team", listener.port));
  close(listener.socket);
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.failure().what, HasSubstr("timeout expired"));
}

TEST(TeamStoreAddress, AServerThatIsNotThereIsSaidToBe) {
  const auto opened = TeamStore::open("host=/nowhere user=a password=secret dbname=b");
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.failure().what, HasSubstr("/nowhere"));
  EXPECT_THAT(opened.failure().what, testing::Not(HasSubstr("secret")));
}

TEST(TeamStoreAddress, OneThatIsNoneIsNotRepeatedWithItsPassword) {
  const auto opened = TeamStore::open("postgresql://a:secret@[host/b");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.failure().kind, harness::FailureKind::request);
  EXPECT_THAT(opened.failure().what, testing::Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace cowbench::sharing
