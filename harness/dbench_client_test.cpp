#include "harness/dbench_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "harness/null_target.h"
#include "harness/test_targets.h"
#include "harness/ready_task.h"

namespace cowbench::harness {
namespace {

using testing::HasSubstr;
using workloads::PayloadKind;
using workloads::Program;

// Time passes by one microsecond at each look, and by the length of each sleep.
struct FakeHost {
  u64 clock_ns = 1'000'000'000;
  u64 stop_after_operations = ~0ull;
  std::vector<u64> sleeps_ns;
  std::vector<u64> lateness_ns;
  std::vector<u64> pass_ends_ns;
  std::map<std::string, u64> records;
  u64 operations = 0;
  u64 bytes = 0;
  u64 previous_end_ns = 0;
  bool gaps = false;  // some operation did not start where the one before ended

  u64 now_ns() { return clock_ns += 1000; }
  bool stop_requested() const { return operations >= stop_after_operations; }
  void record(OpKind kind, u64 start_ns, u64 end_ns, u64 op_bytes) {
    EXPECT_LT(start_ns, end_ns);
    gaps = gaps || (operations > 0 && start_ns != previous_end_ns);
    previous_end_ns = end_ns;
    records[std::string(workloads::report_name(kind))]++;
    operations++;
    bytes += op_bytes;
  }
  void late(u64 ns) { lateness_ns.push_back(ns); }
  void pass_done(u64 end_ns) { pass_ends_ns.push_back(end_ns); }
  Ready<void> sleep(u64 ns) {
    sleeps_ns.push_back(ns);
    clock_ns += ns;
    return {};
  }
};

Program parsed(std::string_view text) {
  workloads::LoadfileResult result = workloads::parse_loadfile(text, "test.load");
  if (const auto* error = std::get_if<workloads::LoadfileError>(&result)) {
    ADD_FAILURE() << error->to_text();
    return {};
  }
  return std::get<Program>(std::move(result));
}

std::string text_of(const std::string& file, u64 lines_max = ~0ull) {
  std::ifstream in(file);
  std::string text, line;
  for (u64 i = 0; i < lines_max && std::getline(in, line); i++) text += line + "\n";
  return text;
}

struct MemoryRun {
  MemoryTarget target;
  FakeHost host;
  ClientOutcome outcome;
};
MemoryRun run_in_memory(std::string_view text, ClientOptions options = {}) {
  if (options.passes_max == 0) options.passes_max = 1;
  const Program program = parsed(text);
  MemoryRun run_of;
  DbenchClient client(program, options, run_of.target, run_of.host);
  run_of.outcome = run_ready(client.run());
  return run_of;
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = std::filesystem::temp_directory_path() / "dbench_client.XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr std::string_view found = "stat ";
constexpr std::string_view scan = "open_directory read_directory read_directory close_directory ";
constexpr std::string_view prepare =
    "Mkdir \"\\d\" 0x0\n"
    "NTCreateX \"\\d\\File.doc\" 0x40 2 7 NT_STATUS_OK\n"
    "WriteX 7 0 100 100 NT_STATUS_OK\n";

// The calls that each operation makes, which is what the load consists of. Checked against strace of dbench 4.0.
TEST(DbenchClient, CallsOfEachOperation) {
  struct Case {
    std::string name;
    std::string line;
    std::string calls;
  };
  const std::string f(found);
  const std::string s(scan);
  const std::string miss = f + s;
  const std::vector<Case> cases = {
      {"open existing", "NTCreateX \"\\d\\File.doc\" 0x40 1 8 NT_STATUS_OK", f + "open fstat "},
      {"open missing", "NTCreateX \"\\d\\x\" 0x40 1 8 NT_STATUS_NO", miss + "open "},
      {"open-if missing", "NTCreateX \"\\d\\x\" 0x40 3 8 NT_STATUS_NO", miss + "open "},
      {"create", "NTCreateX \"\\d\\x\" 0x40 2 8 NT_STATUS_OK", miss + "open fstat "},
      {"open in a missing directory", "NTCreateX \"\\e\\x\" 0x40 1 8 NT_STATUS_NO", "stat open_directory open "},
      {"make a directory", "NTCreateX \"\\e\" 0x1 2 8 NT_STATUS_OK", miss + "mkdir open fstat "},
      {"open a directory as a file", "NTCreateX \"\\d\" 0x40 1 8 NT_STATUS_OK", f + "open open fstat "},
      {"opens although it should not", "NTCreateX \"\\d\\File.doc\" 0x40 1 8 NT_STATUS_NO", f + "open close "},
      {"write", "WriteX 7 4096 65536 65536 NT_STATUS_OK", "pwrite "},
      {"write nothing", "WriteX 7 0 0 0 NT_STATUS_OK", "pwrite "},
      {"read", "ReadX 7 0 100 100 NT_STATUS_OK", "pread "},
      {"close", "Close 7 NT_STATUS_OK", "close "},
      {"flush", "Flush 7 NT_STATUS_OK", "fsync "},
      {"unlink", "Unlink \"\\d\\File.doc\" 0 NT_STATUS_OK", f + "unlink "},
      {"unlink missing", "Unlink \"\\d\\x\" 0 NT_STATUS_NO", miss + "unlink "},
      {"rename", "Rename \"\\d\\File.doc\" \"\\d\\x\" NT_STATUS_OK", f + miss + "rename "},
      {"mkdir", "Mkdir \"\\e\" NT_STATUS_OK", miss + "mkdir "},
      {"mkdir existing", "Mkdir \"\\d\" NT_STATUS_OK", f + "mkdir "},
      {"rmdir missing", "Rmdir \"\\e\" NT_STATUS_NO", miss + "rmdir "},
      {"deltree", "Deltree \"\\d\" NT_STATUS_OK", "open_directory read_directory stat unlink read_directory close_directory "},
      {"deltree missing", "Deltree \"\\e\" NT_STATUS_NO", "open_directory "},
      {"query path", "QUERY_PATH_INFORMATION \"\\d\" 1 NT_STATUS_OK", f},
      {"query missing path", "QUERY_PATH_INFORMATION \"\\d\\x\" 1 NT_STATUS_NO", miss},
      {"found but for case", "QUERY_PATH_INFORMATION \"\\d\\FILE.DOC\" 1 NT_STATUS_OK",
       f + "open_directory read_directory close_directory "},
      {"query file", "QUERY_FILE_INFORMATION 7 1 NT_STATUS_OK", "fstat "},
      {"query filesystem", "QUERY_FS_INFORMATION 1 NT_STATUS_OK", "statvfs "},
      {"set file", "SET_FILE_INFORMATION 7 1 NT_STATUS_OK", "fstat utime "},
      {"find by name", "FIND_FIRST \"\\d\\File.doc\" 1 10 0 NT_STATUS_OK", f},
      {"find by pattern", "FIND_FIRST \"\\d\\*\" 1 1366 0 NT_STATUS_OK", miss + s},
      {"find the first two", "FIND_FIRST \"\\d\\?\" 1 2 0 NT_STATUS_OK",
       miss + "open_directory read_directory close_directory "},
      {"find none of them", "FIND_FIRST \"\\d\\<\" 1 0 0 NT_STATUS_OK", miss + "open_directory close_directory "},
      {"lock", "LockX 7 4294967296 5 NT_STATUS_OK", "lock:4294967296+5 "},
      {"unlock", "UnlockX 7 1 5 NT_STATUS_OK", "unlock:1+5 "},
      {"sleep", "Sleep 10 NT_STATUS_OK", ""},
  };
  const std::string before = run_in_memory(prepare).target.log;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const MemoryRun result = run_in_memory(std::string(prepare) + c.line + "\n");
    EXPECT_FALSE(result.outcome.failed) << result.outcome.message;
    EXPECT_EQ(result.target.log.substr(before.size()), c.calls);
    EXPECT_EQ(result.outcome.operations, 4u);
    EXPECT_EQ(result.outcome.complaints, c.name == "opens although it should not" ? 1u : 0u);
  }
}

TEST(DbenchClient, CallsOfEachMode) {
  struct Case {
    std::string name;
    void (*set)(ClientOptions&);
    std::string line;
    std::string calls;
  };
  const std::string f(found);
  const std::string miss = f + std::string(scan);
  const auto s = [](ClientOptions& o) { o.sync_open = true; };
  const auto sync_directories = [](ClientOptions& o) { o.sync_directories = true; };
  const auto sync_writes = [](ClientOptions& o) { o.sync_writes = true; };
  const auto attributes = [](ClientOptions& o) { o.extended_attributes = true; };
  const auto no_resolve = [](ClientOptions& o) { o.resolve_by_scan = false; };
  const std::vector<Case> cases = {
      {"-s", s, "NTCreateX \"\\d\\File.doc\" 0x40 1 8 NT_STATUS_OK", f + "open_sync fstat "},
      {"-s, directory", s, "NTCreateX \"\\d\" 0x1 1 8 NT_STATUS_OK", f + "mkdir open fstat "},
      {"-S create", sync_directories, "NTCreateX \"\\d\\x\" 0x40 2 8 NT_STATUS_OK", miss + "open fstat "},
      {"-S mkdir", sync_directories, "Mkdir \"\\e\" NT_STATUS_OK", miss + "mkdir "},
      {"-S unlink", sync_directories, "Unlink \"\\d\\File.doc\" 0 0x0", f + "unlink fdatasync_directory:/d "},
      {"-S failing unlink", sync_directories, "Unlink \"\\d\\x\" 0 0x1", miss + "unlink fdatasync_directory:/d "},
      {"-S rename", sync_directories, "Rename \"\\d\\File.doc\" \"\\x\" 0x0", f + miss + "rename fdatasync_directory:/ "},
      {"-S rmdir", sync_directories, "Rmdir \"\\e\" 0x1", miss + "rmdir fdatasync_directory:/ "},
      {"-F", sync_writes, "WriteX 7 0 10 10 NT_STATUS_OK", "pwrite fsync "},
      {"-x open", attributes, "NTCreateX \"\\d\\File.doc\" 0x40 1 8 0x0", f + "getxattr open fstat fgetxattr fsetxattr "},
      {"-x open directory", attributes, "NTCreateX \"\\d\" 0x1 1 8 0x0", f + "getxattr mkdir open fstat "},
      {"-x query path", attributes, "QUERY_PATH_INFORMATION \"\\d\" 1 0x0", f + "getxattr "},
      {"-x query file", attributes, "QUERY_FILE_INFORMATION 7 1 0x0", "fstat fgetxattr "},
      {"-x set file", attributes, "SET_FILE_INFORMATION 7 1 0x0", "fgetxattr fstat utime fgetxattr fsetxattr "},
      {"--no-resolve", no_resolve, "FIND_FIRST \"\\d\\*\" 1 1366 0 NT_STATUS_OK", f + std::string(scan)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ClientOptions options;
    c.set(options);
    const std::string before = run_in_memory(prepare, options).target.log;
    const MemoryRun result = run_in_memory(std::string(prepare) + c.line + "\n", options);
    EXPECT_FALSE(result.outcome.failed) << result.outcome.message;
    EXPECT_EQ(result.target.log.substr(before.size()), c.calls);
  }
}

TEST(DbenchClient, EndsOrComplainsAsDbenchDoes) {
  struct Case {
    std::string name;
    std::string line;
    bool fails;
    u64 complaints;
    std::string text;
  };
  const std::vector<Case> cases = {
      {"unlink fails", "Unlink \"\\d\\x\" 0 NT_STATUS_OK", true, 0,
       "client 0, line 4: unlink /d/x: No such file or directory, but the loadfile expects success"},
      {"unlink succeeds", "Unlink \"\\d\\File.doc\" 0 0xC0000034", true, 0, "succeeded, but the loadfile expects failure"},
      {"rename fails", "Rename \"\\d\\x\" \"\\d\\y\" NT_STATUS_OK", true, 0, "rename /d/x: No such file"},
      {"rmdir fails", "Rmdir \"\\d\" NT_STATUS_OK", true, 0, "rmdir /d: Directory not empty"},
      {"mkdir fails", "Mkdir \"\\d\" NT_STATUS_OK", false, 0, ""},
      {"open fails", "NTCreateX \"\\d\\x\" 0 1 8 NT_STATUS_OK", false, 1, "open /d/x: No such file"},
      {"open fails, then its handle is used", "NTCreateX \"\\d\\x\" 0 1 8 NT_STATUS_OK\nFlush 8 NT_STATUS_OK", true, 1,
       "client 0, line 5: handle 8 was not found"},
      {"short read", "ReadX 7 90 20 20 NT_STATUS_OK", false, 1, "read: 10 bytes instead of 20"},
      {"expected short read", "ReadX 7 90 20 10 NT_STATUS_OK", false, 0, ""},
      {"write of another size", "WriteX 7 0 20 19 NT_STATUS_OK", true, 0, "write: 20 bytes instead of 19"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const MemoryRun result = run_in_memory(std::string(prepare) + c.line + "\n");
    EXPECT_EQ(result.outcome.failed, c.fails);
    EXPECT_EQ(result.outcome.complaints, c.complaints);
    const std::string text = c.fails || c.complaints == 0 ? result.outcome.message : result.outcome.complaint_texts.at(0);
    EXPECT_THAT(text, HasSubstr(c.text));
    EXPECT_EQ(result.outcome.passes, c.fails ? 0u : 1u);
  }
}

TEST(DbenchClient, CountsBytesAsDbench) {
  const MemoryRun result = run_in_memory(std::string(prepare) + "ReadX 7 90 20 10 NT_STATUS_OK\nSleep 5 NT_STATUS_OK\n");
  EXPECT_EQ(result.outcome.bytes, 120u);
  EXPECT_EQ(result.host.bytes, 120u);
  EXPECT_FALSE(result.host.gaps);
  EXPECT_EQ(result.host.records, (std::map<std::string, u64>{
                                     {"Mkdir", 1}, {"NTCreateX", 1}, {"WriteX", 1}, {"ReadX", 1}, {"Sleep", 1}}));
  EXPECT_EQ(result.host.sleeps_ns, std::vector<u64>{5000});
}

TEST(DbenchClient, SetsTimesByTheNameItOpened) {
  const std::string set = "SET_FILE_INFORMATION 7 1 NT_STATUS_OK\n";
  const MemoryRun plain = run_in_memory(std::string(prepare) + set);
  EXPECT_EQ(plain.target.find("/d/File.doc")->access_seconds, 990);
  EXPECT_EQ(plain.target.find("/d/File.doc")->modify_seconds, 1988);
  const MemoryRun renamed = run_in_memory(std::string(prepare) + "Rename \"\\d\\File.doc\" \"\\d\\x\" 0x0\n" + set);
  EXPECT_EQ(renamed.target.find("/d/x")->modify_seconds, 2000) << "the old name is gone: nothing happens, as with dbench";
}

TEST(DbenchClient, StoresAnAttributeOf44Bytes) {
  ClientOptions options;
  options.extended_attributes = true;
  const MemoryRun result = run_in_memory(prepare, options);
  EXPECT_EQ(result.target.find("/d/File.doc")->attributes.at("user.DosAttrib").size(), 44u);
}

TEST(DbenchClient, SplitsTransfersThatAreTooLargeForABuffer) {
  const u64 size = 2 * piece_bytes_max + 5;
  const std::string number = std::to_string(size);
  ClientOptions options;
  options.verify = true;
  options.payload = PayloadKind::random;
  const MemoryRun result = run_in_memory(
      "NTCreateX \"\\client1\" 0 2 7 0x0\nWriteX 7 3 " + number + " " + number + " 0x0\nReadX 7 3 " + number + " " + number +
          " 0x0\nQUERY_FILE_INFORMATION 7 1 0x0\n",
      options);
  EXPECT_FALSE(result.outcome.failed) << result.outcome.message;
  EXPECT_EQ(result.outcome.complaints, 0u);
  EXPECT_EQ(result.target.counts.at("pwrite"), 3u);
  EXPECT_EQ(result.target.counts.at("pread"), 3u);
  EXPECT_EQ(result.outcome.bytes, 2 * size);
}

TEST(DbenchClient, HandleTableIsDbenchs) {
  // The same number twice: the lower slot wins until it is closed.
  const MemoryRun twice = run_in_memory(
      "NTCreateX \"\\a\" 0 2 7 0x0\nNTCreateX \"\\b\" 0 2 7 0x0\n"
      "WriteX 7 0 1 1 0x0\nClose 7 0x0\nWriteX 7 0 2 2 0x0\nClose 7 0x0\n");
  EXPECT_FALSE(twice.outcome.failed) << twice.outcome.message;
  EXPECT_EQ(twice.target.find("/a")->content.size(), 1u);
  EXPECT_EQ(twice.target.find("/b")->content.size(), 2u);
  // A pass that leaves a file open fills the table in the end.
  ClientOptions options;
  options.passes_max = 1000;
  const MemoryRun leak = run_in_memory("NTCreateX \"\\a\" 0 2 7 0x0\n", options);
  EXPECT_TRUE(leak.outcome.failed);
  EXPECT_THAT(leak.outcome.message, HasSubstr("file table full for /a"));
  EXPECT_EQ(leak.outcome.passes, 200u);
  EXPECT_EQ(leak.target.open_handles(), 200u);
}

TEST(DbenchClient, StopsBeforeTheNextOperationAndCleansUp) {
  const Program program = parsed(
      "Mkdir \"\\clients\" 0x0\nMkdir \"\\clients\\client1\" 0x0\nMkdir \"\\clients\\client1\\sub\" 0x0\n"
      "NTCreateX \"\\clients\\client1\\sub\\f\" 0 2 7 0x0\nNTCreateX \"\\clients\\client1\\g\" 0 2 8 0x0\nClose 7 0x0\n");
  MemoryTarget target;
  FakeHost host;
  host.stop_after_operations = 5;
  ClientOptions options;
  options.client = 12;
  DbenchClient client(program, options, target, host);
  const ClientOutcome outcome = run_ready(client.run());
  EXPECT_EQ(outcome.operations, 5u);
  EXPECT_EQ(outcome.passes, 0u);
  EXPECT_EQ(target.open_handles(), 2u);
  run_ready(client.cleanup());
  EXPECT_EQ(target.open_handles(), 0u);
  EXPECT_EQ(target.below(""), (std::vector<std::string>{"/", "/clients", "/clients/client12", "/clients/client12/sub"}));
}

TEST(DbenchClient, WaitsForTimestamps) {
  const std::string text = "0.5 Sleep 0 0x0\nSleep 0 0x0\n0.25 Sleep 0 0x0\n";
  const MemoryRun timed = run_in_memory(text);
  ASSERT_EQ(timed.host.sleeps_ns.size(), 4u);
  EXPECT_EQ(timed.host.sleeps_ns[0], 500'000'000u);
  ASSERT_EQ(timed.host.lateness_ns.size(), 1u);
  EXPECT_NEAR(static_cast<double>(timed.host.lateness_ns[0]), 250e6, 1e6);
  ClientOptions options;
  options.rate_mb_s = 1;
  const MemoryRun rated = run_in_memory(text, options);
  EXPECT_EQ(rated.host.sleeps_ns.size(), 3u) << "a rate overrides timestamps";
}

TEST(DbenchClient, HoldsARate) {
  std::string text = "NTCreateX \"\\a\" 0 2 7 0x0\n";
  for (int i = 0; i < 20; i++) text += "WriteX 7 0 50000 50000 0x0\n";
  ClientOptions options;
  options.rate_mb_s = 10;  // 50000 bytes take 5 ms, of which an operation here takes a few microseconds
  const MemoryRun result = run_in_memory(text, options);
  EXPECT_EQ(result.host.sleeps_ns.size(), 18u) << "none before the first bytes are known";
  for (const u64 ns : result.host.sleeps_ns) EXPECT_EQ(ns, 4'000'000u) << "cut to whole milliseconds";
}

TEST(DbenchClient, VerifyFindsWhatIsWrong) {
  const std::string text =
      "NTCreateX \"\\client1\" 0x40 2 7 NT_STATUS_OK\n"
      "WriteX 7 0 5000 5000 NT_STATUS_OK\nWriteX 7 1000 10 10 NT_STATUS_OK\n"
      "ReadX 7 500 4000 4000 NT_STATUS_OK\nReadX 7 4096 904 904 NT_STATUS_OK\nQUERY_FILE_INFORMATION 7 1 NT_STATUS_OK\n";
  struct Case {
    std::string name;
    void (*set)(MemoryTarget&);
    u64 mismatches;
    u64 offset;
    std::string message;
  };
  const std::vector<Case> cases = {
      {"nothing wrong", [](MemoryTarget&) {}, 0, 0, ""},
      {"a flipped bit", [](MemoryTarget& t) { t.corrupt_read = 2; }, 1, 4096, "client 3: /client3: at byte 4096: expected 0x"},
      {"a lost overwrite", [](MemoryTarget& t) { t.lose_write = 2; }, 1, 1000, "at byte 1000"},
      {"a lost first write", [](MemoryTarget& t) { t.lose_write = 1; }, 1, 500, "expected 4000 bytes, got 510 bytes"},
      {"a short write", [](MemoryTarget& t) { t.short_write = 1; }, 0, 0, "write: 2500 bytes instead of 5000"},
  };
  const Program program = parsed(text);
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    MemoryTarget target;
    c.set(target);
    FakeHost host;
    ClientOptions options;
    options.client = 3;
    options.passes_max = 1;
    options.payload = PayloadKind::random;
    options.verify = true;
    DbenchClient client(program, options, target, host);
    const ClientOutcome outcome = run_ready(client.run());
    EXPECT_EQ(outcome.mismatches, c.mismatches);
    EXPECT_EQ(outcome.failed, !c.message.empty());
    EXPECT_THAT(outcome.message, HasSubstr(c.message));
    if (c.mismatches > 0) {
      ASSERT_TRUE(outcome.mismatch);
      EXPECT_EQ(outcome.mismatch->offset, c.offset);
    }
  }
}

TEST(DbenchClient, PayloadIsWhatWasAskedFor) {
  const std::string text = "NTCreateX \"\\a\" 0 2 7 0x0\nWriteX 7 0 100000 100000 0x0\nWriteX 7 100000 100000 100000 0x0\n";
  for (const PayloadKind kind : {PayloadKind::zero, PayloadKind::random, PayloadKind::compressible}) {
    ClientOptions options;
    options.payload = kind;
    const MemoryRun result = run_in_memory(text, options);
    const std::vector<std::byte>& content = result.target.find("/a")->content;
    const double zeros = static_cast<double>(std::ranges::count(content, std::byte{0})) / static_cast<double>(content.size());
    EXPECT_NEAR(zeros, kind == PayloadKind::zero ? 1 : kind == PayloadKind::random ? 1.0 / 256 : 0.502, 0.005);
  }
}

struct WholeRun {
  ClientOutcome outcome;
  CallCounts counts;
};
template <typename Target>
WholeRun verified(const Program& program, const std::string& directory, u32 client_number) {
  Target target;
  FakeHost host;
  ClientOptions options;
  options.client = client_number;
  options.directory = directory;
  options.passes_max = 3;
  options.payload = PayloadKind::random;
  options.verify = true;
  DbenchClient client(program, options, target, host);
  WholeRun whole{run_ready(client.run()), {}};
  EXPECT_EQ(host.pass_ends_ns.size(), whole.outcome.passes);
  whole.counts = target.counts;
  run_ready(client.cleanup());
  return whole;
}

// The bytes that cross in one getdents64 differ between directories in memory and on disk only for large ones.
void expect_clean(const Program& program) {
  const TemporaryDirectory directory;
  const WholeRun system_calls = verified<SystemCallTarget>(program, directory.path(), 3);
  const WholeRun memory = verified<MemoryTarget>(program, "", 3);
  for (const WholeRun* whole : {&system_calls, &memory}) {
    EXPECT_FALSE(whole->outcome.failed) << whole->outcome.message;
    EXPECT_EQ(whole->outcome.passes, 3u);
    EXPECT_EQ(whole->outcome.operations, 3 * program.ops.size());
    EXPECT_EQ(whole->outcome.bytes, 3 * program.accounted_bytes);
    EXPECT_THAT(whole->outcome.complaint_texts, testing::IsEmpty());
  }
  EXPECT_EQ(system_calls.counts, memory.counts);
}

TEST(DbenchClient, RunsTheSyntheticLoadfile) { expect_clean(parsed(text_of(COWBENCH_SYNTHETIC_LOAD))); }

// The first 4850 lines: the preamble and a first cycle, after which no file is open, so that it can be repeated.
TEST(DbenchClient, RunsTheStartOfClientTxt) {
  if (!std::filesystem::exists(COWBENCH_CLIENT_LOAD)) GTEST_SKIP() << "package dbench is not installed";
  expect_clean(parsed(text_of(COWBENCH_CLIENT_LOAD, 4850)));
}

TEST(DbenchClient, RunsOnTheNullTarget) {
  const Program program = parsed(text_of(COWBENCH_SYNTHETIC_LOAD));
  NullTarget target;
  FakeHost host;
  ClientOptions options;
  options.passes_max = 2;
  DbenchClient client(program, options, target, host);
  const ClientOutcome outcome = run_ready(client.run());
  EXPECT_FALSE(outcome.failed) << outcome.message;
  EXPECT_EQ(outcome.complaints, 0u);
  EXPECT_EQ(outcome.bytes, 2 * program.accounted_bytes);
}

TEST(DbenchClient, KeepsOnlyTheFirstComplaints) {
  std::string text = "NTCreateX \"\\x\" 0 2 9 NT_STATUS_OK\n";
  for (int i = 0; i < 100; i++) text += "ReadX 9 0 5 5 NT_STATUS_OK\n";
  const MemoryRun result = run_in_memory(text);
  EXPECT_EQ(result.outcome.complaints, 100u);
  EXPECT_EQ(result.outcome.complaint_texts.size(), complaint_texts_max);
}

// Without returns to the bottom of the stack, sanitizer builds overflow here.
TEST(DbenchClient, StackStaysFlatOverManyOperations) {
  ClientOptions options;
  options.passes_max = 100'000;
  const MemoryRun result = run_in_memory("FIND_FIRST \"\\x*\" 1 1 0 0x0\nQUERY_FS_INFORMATION 1 0x0\n", options);
  EXPECT_EQ(result.outcome.operations, 200'000u);
}

TEST(DirectoryRecords, RefusesDamage) {
  std::vector<std::byte> buffer(64);
  std::size_t used = 0;
  ASSERT_TRUE(append_directory_record(buffer, used, 1, 1, DT_REG, "name"));
  EXPECT_EQ(used, 24u);
  ASSERT_TRUE(append_directory_record(buffer, used, 1, 1, DT_REG, "nam2"));
  EXPECT_FALSE(append_directory_record(buffer, used, 1, 1, DT_REG, "name"));
  EXPECT_EQ(used, 48u);
  DirectoryRecords whole(ByteSpan(buffer).first(used));
  EXPECT_STREQ(whole.next(), "name");
  EXPECT_STREQ(whole.next(), "nam2");
  EXPECT_EQ(whole.next(), nullptr);
  EXPECT_EQ(DirectoryRecords(ByteSpan(buffer).first(23)).next(), nullptr);
  for (const u16 bad : {0, 19, 65, 65535}) {
    std::memcpy(buffer.data() + offsetof(DirectoryRecordHeader, record_bytes), &bad, sizeof bad);
    EXPECT_EQ(DirectoryRecords(ByteSpan(buffer).first(used)).next(), nullptr) << bad;
  }
}

}  // namespace
}  // namespace cowbench::harness
