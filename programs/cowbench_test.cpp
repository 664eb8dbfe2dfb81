// The program as its users meet it: exit codes, messages, and records.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "results/record.h"
#include "results/record_fixture.h"

namespace cowbench {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

struct Ended {
  int exit_code;  // 128 + number when a signal ended it
  std::string output, errors;
};

std::string contents(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Sees what is made in a directory.
class Arrivals {
 public:
  explicit Arrivals(const std::string& directory) : events_(inotify_init1(IN_CLOEXEC)) {
    EXPECT_GE(inotify_add_watch(events_, directory.c_str(), IN_CREATE), 0);
  }
  ~Arrivals() { close(events_); }
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  // Until the first, or the end of `process`.
  void wait(pid_t process) const {
    const int end = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
    ASSERT_GE(end, 0);
    pollfd watched[] = {{events_, POLLIN, 0}, {end, POLLIN, 0}};
    EXPECT_GT(poll(watched, std::size(watched), -1), 0);
    close(end);
  }

 private:
  int events_;
};

class CowbenchTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/cowbench-program-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string in_directory(const std::string& name) const { return directory_ / name; }
  std::string file_with(const std::string& name, const std::string& text) const {
    std::ofstream(in_directory(name), std::ios::binary) << text;
    return in_directory(name);
  }

  pid_t start(std::vector<std::string> arguments, bool give_up_root = false) const {
    // A copy, since another user may not get into the build folder.
    const std::string program = in_directory("cowbench");
    std::filesystem::copy_file(COWBENCH_PROGRAM, program, std::filesystem::copy_options::skip_existing);
    arguments.insert(arguments.begin(), program);
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(in_directory("output").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
      dup2(open(in_directory("errors").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
      constexpr uid_t nobody = 65534;
      if (give_up_root && geteuid() == 0 && setuid(nobody) != 0) _exit(126);
      execv(raw[0], raw.data());
      _exit(127);
    }
    return child;
  }
  Ended wait_for(pid_t child) const {
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), contents(directory_ / "output"),
            contents(directory_ / "errors")};
  }
  Ended run(std::vector<std::string> arguments) const { return wait_for(start(std::move(arguments))); }

  std::filesystem::path directory_;
};

TEST_F(CowbenchTest, EachVerbExplainsItself) {
  for (const char* verb : {"dbench", "fio", "rate", "bench", "topo", "env", "cleanup", "report", "reproduce", "results", "serve", "compare", "track", "bisect"}) {
    SCOPED_TRACE(verb);
    const Ended ended = run({verb, "--help"});
    EXPECT_EQ(ended.exit_code, 0);
    EXPECT_THAT(ended.output, HasSubstr("Exit status"));
  }
}

// It asked the source folder when it ran, so an old program said that it was the newest commit.
TEST_F(CowbenchTest, TheCommitIsTheOneThatTheProgramWasBuiltFrom) {
  const Ended unknown = run({"env", "--json"});
  EXPECT_EQ(unknown.exit_code, 0) << unknown.errors;
  EXPECT_THAT(unknown.output, HasSubstr("\"build.commit\": \"unknown\""));
  file_with("built_from", "0123456789abcdef0123456789abcdef01234567 changed\n");
  const Ended known = run({"env", "--json"});
  EXPECT_THAT(known.output, HasSubstr("\"build.commit\": \"0123456789abcdef0123456789abcdef01234567\""));
  EXPECT_THAT(known.output, HasSubstr("\"build.dirty\": \"yes\""));
  EXPECT_TRUE(std::filesystem::exists(std::filesystem::path(COWBENCH_PROGRAM).parent_path() / "built_from"));
}

TEST_F(CowbenchTest, MalformedFioJobsExitWithTwoAndNameTheLine) {
  const std::string job = file_with("job.fio", "[a]\nrw=randwrite\nsize=1m\niodeth=4\n");
  const Ended ended = run({"fio", job, "--target", "null"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("job.fio:4: unknown option iodeth; did you mean iodepth?"));
}

TEST_F(CowbenchTest, FioJobsAreShownFromFilesAndFromCommandLines) {
  const std::string job = file_with("job.fio", "[global]\nsize=1m\n[a]\nrw=randwrite\n[b]\nrw=read\n");
  const Ended shown = run({"fio", job, "--showcmd", "--section", "b"});
  EXPECT_EQ(shown.exit_code, 0) << shown.errors;
  EXPECT_EQ(shown.output, "fio --name=b --size=1m --rw=read\n");
}

// --size is the image's here and the job's there: it once went to the image wherever it stood, and no job had a size.
TEST_F(CowbenchTest, FioOptionsAndOursStandOnOneCommandLine) {
  const Ended line = run({"fio", "--bs", "16k", "--size=2G", "--name=c", "--size", "8m", "--target", "null", "--direct=1",
                          "--showcmd", "--name=d", "--size=1m", "--directory=/nowhere"});
  EXPECT_EQ(line.exit_code, 0) << line.errors;
  EXPECT_EQ(line.output, "fio --name=c --bs=16k --size=8m --direct=1\nfio --name=d --bs=16k --size=1m --directory=/nowhere\n");
  const Ended parsed = run({"fio", "--parse-only", "--name=c", "--size=8k", "--directory=/nowhere"});
  EXPECT_EQ(parsed.exit_code, 0) << parsed.errors;
  EXPECT_EQ(parsed.output, "c: 1 clones, depth 1, 8192 bytes\n  no effect: directory: files lie on the target\n");
  const Ended planned = run({"fio", "--target=cowfs", "--size=2G", "--name=c", "--size=8k", "--plan"});
  EXPECT_EQ(planned.exit_code, 0) << planned.errors;
  EXPECT_THAT(planned.output, HasSubstr("lays out /c.0/c.0.0, 8192 bytes"));
  EXPECT_THAT(planned.output, HasSubstr("2147483648"));
}

TEST_F(CowbenchTest, FioJobsAreMeasuredAndRecorded) {
  const std::string job = file_with("job.fio", "[a]\nrw=randwrite\nsize=1m\nruntime=200ms\ntime_based\nioengine=io_uring\niodepth=8\n");
  std::filesystem::create_directory(in_directory("scratch"));
  const Ended ended = run({"fio", job, "--target", "path:" + in_directory("scratch"), "--no-calibrate", "--json", in_directory("run.json")});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(contents(in_directory("run.json")), reason);
  ASSERT_TRUE(record.ok()) << reason;
  ASSERT_THAT(record->comparisons, SizeIs(1));
  const auto& metrics = record->comparisons.front().results.front().metrics;
  for (const char* metric : {"iops", "bandwidth_mb_s", "clat_p50_ns", "clat_p99_ns"})
    EXPECT_GT(metrics.at(metric).median, 0) << metric;
}

TEST_F(CowbenchTest, RatesAreSharesOfWhatWasReached) {
  const std::string job = file_with("job.fio", "[a]\nrw=randread\nsize=1m\nruntime=200ms\ntime_based\n");
  std::filesystem::create_directory(in_directory("scratch"));
  const Ended ended = run({"rate", job, "--target", "path:" + in_directory("scratch"), "--from", "1%", "--to", "2", "--points", "2",
                           "--json", in_directory("rate.json")});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  const auto json = nlohmann::json::parse(contents(in_directory("rate.json")));
  EXPECT_EQ(json["schema"], "cowbench.rate/1");
  const auto& curve = json["curves"].at(0);
  ASSERT_THAT(curve["points"], SizeIs(2));
  const double capacity = curve["capacity_iops"], offered = curve["points"][0]["offered_iops"];
  EXPECT_NEAR(offered, capacity / 100, 1e-6 * capacity);
  EXPECT_GT(curve["points"][1]["response_mean_ns"], 0);
  EXPECT_THAT(json["record"]["comparisons"], SizeIs(3));
}

TEST_F(CowbenchTest, JobsThatCanHaveNoRateAreRefused) {
  const Ended ended = run({"rate", "--target", "null", "--name=a", "--rw=read", "--size=1m"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("a ends when its files are done; give it runtime= and time_based"));
}

TEST_F(CowbenchTest, SmallLoadsRunOnCowfsAndOnADirectory) {
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  std::filesystem::create_directory(in_directory("place"));
  std::filesystem::permissions(in_directory("place"), std::filesystem::perms::all);
  const Ended ended = wait_for(start(
      {"bench", "DWSL", "MWUM", "cosmoflow", "--clients", "2", "--files", "50", "--scale", "0.0001", "-t", "0.2", "--target",
       "cowfs:cache=64M,node_cache=32M", "--target", "path:" + in_directory("place"), "--rounds", "1", "--size", "768M",
       "--no-calibrate", "--json", "-"},
      true));
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(ended.output, reason);
  ASSERT_TRUE(record.ok()) << reason;
  ASSERT_THAT(record->comparisons, SizeIs(3));
  for (const results::Comparison& comparison : record->comparisons) {
    for (const results::TargetResult& result : comparison.results) {
      SCOPED_TRACE(comparison.workload + " on " + result.target);
      EXPECT_GT(result.metrics.at("ops_s").median, 0);
      if (comparison.workload == "fxmark MWUM") {
        EXPECT_EQ(result.rounds.front().operations, 100u);
      }
      if (comparison.workload.starts_with("mlperf") && result.subject) {  // from the device, not from a cache
        EXPECT_GE(results::engine_activity(result.rounds.front().engine, "device_read").count, result.rounds.front().operations);
      }
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(in_directory("place")));
}

TEST_F(CowbenchTest, UnknownSmallLoadsAreNamed) {
  const Ended ended = run({"bench", "MWXL", "--target", "null"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("there is no load \"MWXL\""));
}

class KeptRunTest : public CowbenchTest {
 protected:
  void SetUp() override {
    CowbenchTest::SetUp();
    std::filesystem::permissions(directory_, std::filesystem::perms::all);
    std::filesystem::create_directory(in_directory("place"));
    std::filesystem::permissions(in_directory("place"), std::filesystem::perms::all);
  }
  // Without root, so that nothing but the kept files is left of a run that is killed.
  pid_t start_job(const std::string& target, const std::vector<std::string>& before, const std::vector<std::string>& job) const {
    std::vector<std::string> arguments = {"fio", "--target", target, "--keep", in_directory("kept"), "--size", "256M", "--json", "-"};
    arguments.insert(arguments.end(), before.begin(), before.end());
    for (const char* setting : {"--name=a", "--rw=randwrite", "--size=8m", "--verify=crc32c", "--ioengine=io_uring", "--iodepth=8"})
      arguments.emplace_back(setting);
    arguments.insert(arguments.end(), job.begin(), job.end());
    return start(arguments, true);
  }
  Ended run_job(const std::string& target, const std::vector<std::string>& before, const std::vector<std::string>& job) const {
    return wait_for(start_job(target, before, job));
  }
  double metric(const Ended& ended, const std::string& name) const {
    std::string reason;
    const auto record = results::parse_record(ended.output, reason);
    EXPECT_TRUE(record.ok()) << reason << ended.errors;
    return record.ok() ? record->comparisons.front().results.front().metrics.at(name).median : -1;
  }
  std::vector<std::string> targets() const { return {"cowfs:cache=64M,node_cache=32M", "path:" + in_directory("place")}; }
  void remove_kept() const {
    std::filesystem::remove_all(in_directory("kept"));
    std::filesystem::remove_all(in_directory("place/cowbench-kept"));
  }

  // Until an fsync has covered so many writes of the job's only clone.
  void wait_until_durable(pid_t process, std::uint64_t writes) const {
    constexpr std::size_t durable_word = 4;
    const int end = static_cast<int>(syscall(SYS_pidfd_open, process, 0));
    pollfd ended{end, POLLIN, 0};
    std::uint64_t words[durable_word + 1] = {};
    while (words[durable_word] < writes && poll(&ended, 1, 1) == 0) {
      const std::string progress = contents(in_directory("kept/progress"));
      if (progress.size() >= sizeof words) std::memcpy(words, progress.data(), sizeof words);
    }
    EXPECT_GE(words[durable_word], writes) << contents(in_directory("errors"));
    close(end);
  }
};

TEST_F(KeptRunTest, WhatARunLeftIsVerifiedByLaterOnes) {
  for (const std::string& target : targets()) {
    SCOPED_TRACE(target);
    remove_kept();
    const Ended written = run_job(target, {}, {"--do_verify=0"});
    ASSERT_EQ(written.exit_code, 0) << written.errors;
    EXPECT_EQ(metric(written, "verified_blocks"), 0);
    for (int time = 0; time < 2; ++time) {
      const Ended verified = run_job(target, {"--verify_only=1"}, {});
      EXPECT_EQ(verified.exit_code, 0) << verified.errors;
      EXPECT_EQ(metric(verified, "verified_blocks"), 2048);
      EXPECT_EQ(metric(verified, "verify_mismatches"), 0);
    }
    EXPECT_EQ(run_job(target, {}, {}).exit_code, 3);  // it would write over what is kept
    const Ended other = run_job(target, {"--verify_only=1"}, {"--bs=8k"});
    EXPECT_EQ(other.exit_code, 2);
    EXPECT_THAT(other.errors, HasSubstr("of other jobs"));
  }
}

TEST_F(KeptRunTest, ADamagedByteIsNamedAndTheExitCodeSaysSo) {
  const std::string target = "path:" + in_directory("place");
  ASSERT_EQ(run_job(target, {}, {"--do_verify=0"}).exit_code, 0);
  std::fstream file(in_directory("place/cowbench-kept/a.0/a.0.0"), std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(5'000'000);
  const char byte = static_cast<char>(file.get() ^ 1);
  file.seekp(5'000'000).put(byte);
  file.close();
  const Ended verified = run_job(target, {"--verify_only=1"}, {});
  EXPECT_EQ(verified.exit_code, 1);
  EXPECT_THAT(verified.errors, HasSubstr("1 block not as written"));
  EXPECT_THAT(verified.output, HasSubstr("/a.0/a.0.0: at byte 5000000: not what was written"));
  EXPECT_EQ(metric(verified, "verify_mismatches"), 1);
}

// The job has gone over its files more than once when it is killed, so most blocks hold their second or third write.
TEST_F(KeptRunTest, WhatWasFsyncedIsThereAfterAKill) {
  for (const std::string& target : targets()) {
    SCOPED_TRACE(target);
    remove_kept();
    const std::vector<std::string> job = {"--size=4m", "--fsync=32", "--time_based", "--runtime=600"};
    const pid_t child = start_job(target, {}, job);
    wait_until_durable(child, 1500);
    kill(child, SIGKILL);
    EXPECT_EQ(wait_for(child).exit_code, 128 + SIGKILL);
    const Ended verified = run_job(target, {"--verify_only=1"}, job);
    EXPECT_EQ(verified.exit_code, 0) << verified.errors << verified.output;
    EXPECT_GT(metric(verified, "verified_blocks"), 500);
    EXPECT_EQ(metric(verified, "verify_mismatches"), 0);
  }
}

TEST_F(CowbenchTest, UsageErrorsExitWithTwo) {
  struct Case {
    std::vector<std::string> arguments;
    const char* says;
  };
  const std::string load = COWBENCH_SYNTHETIC_LOAD;
  for (const Case& c : {Case{{}, "subcommand"},
                        Case{{"fly"}, "subcommand"},
                        Case{{"dbench", "1", "-c", load}, "no target; name at least one with --target"},
                        Case{{"dbench", "0", "-c", load, "--target", "null"}, "CLIENTS"},
                        Case{{"dbench", "1", "-c", load, "--target", "zfs"}, "zfs"},
                        Case{{"dbench", "1", "-c", load, "--target", "cowfs:speed=9"}, "no option 'speed'"},
                        Case{{"dbench", "1", "-c", load, "--target", "null", "--target", "null"}, "twice"},
                        Case{{"dbench", "1", "-c", load, "--target", "null", "--size", "big"}, "--size"},
                        Case{{"dbench", "1", "-c", load, "--target", "null", "--pin", "list=999999"}, "999999"},
                        Case{{"dbench", "1", "-c", "/nowhere", "--target", "null"}, "/nowhere"},
                        Case{{"dbench", "1", "-c", load, "--target", "path:/nowhere"}, "/nowhere"},
                        Case{{"dbench", "1", "-c", load, "--target", "path:" + load}, "not a directory"},
                        Case{{"dbench", "1", "-c", load, "--target", "raw"}, "this load needs a filesystem"},
                        Case{{"fio", "--name=a", "--size=1m", "--taget", "null"}, "unknown option taget"},
                        Case{{"fio", "--name=a", "--size=1m", "--verify=md5", "--target", "null"}, "is none of crc32c"},
                        Case{{"tune", "layout", "--micro"}, "end to end only"},
                        Case{{"--cpu-features", "mmx", "env"}, "mmx is neither none nor a list"},
                        Case{{"report", "/nowhere"}, "/nowhere"}}) {
    SCOPED_TRACE(c.says);
    const Ended ended = run(c.arguments);
    EXPECT_EQ(ended.exit_code, 2);
    EXPECT_THAT(ended.errors, HasSubstr(c.says));
  }
}

TEST_F(CowbenchTest, TuneMeasuresTheKernelsOfThisHost) {
  const Ended ended = run({"--cpu-features", "none", "tune", "checksum", "--micro", "--rounds", "1", "--json", "-"});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  const auto json = nlohmann::json::parse(ended.output);
  EXPECT_EQ(json["schema"], "cowbench.tune/1");
  EXPECT_EQ(json["cpu_features"], "none");
  EXPECT_EQ(json["costs"].size(), 3u);
  EXPECT_THAT(std::string(json["sentences"][0]), HasSubstr("costs least here"));
}

TEST_F(CowbenchTest, BadLoadfilesAreNamedWithLineAndReason) {
  struct Case {
    const char* name;
    std::string text;
    const char* line;
  };
  for (const Case& c : {Case{"unknown", "Mkdir \"\\a\" NT_STATUS_OK\nFly \"\\a\" NT_STATUS_OK\n", "2"},
                        Case{"status", "Mkdir \"\\a\" FINE\n", "1"}, Case{"handle", "Flush 77 NT_STATUS_OK\n", "1"},
                        Case{"quote", "Mkdir \"\\a NT_STATUS_OK\n", "1"},
                        Case{"long", "Mkdir \"\\" + std::string(10'000'000, 'a') + "\" NT_STATUS_OK\n", "1"}}) {
    SCOPED_TRACE(c.name);
    const std::string file = file_with(c.name, c.text);
    const Ended ended = run({"dbench", "1", "-c", file, "--target", "null"});
    EXPECT_EQ(ended.exit_code, 2);
    EXPECT_THAT(ended.errors, HasSubstr(file + ":" + c.line + ": "));
  }
}

TEST_F(CowbenchTest, NullTargetLeavesAValidRecordAndPage) {
  const Ended ended = run({"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "1", "--target", "null", "--json",
                           in_directory("run.json"), "--html", in_directory("run.html"), "--seed", "7"});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(contents(in_directory("run.json")), reason);
  ASSERT_TRUE(record.ok()) << reason;
  ASSERT_THAT(record->comparisons, SizeIs(1));
  const results::Comparison& comparison = record->comparisons.front();
  EXPECT_EQ(record->seed, "7");
  EXPECT_EQ(comparison.clients, 2u);
  ASSERT_THAT(comparison.results, SizeIs(1));
  EXPECT_GT(comparison.results[0].metrics.at("ops_s").median, 1000);
  EXPECT_GT(comparison.results[0].metrics.at("generator_ns_per_operation").median, 0);
  EXPECT_EQ(comparison.results[0].metrics.count("device_write_bytes"), 0u);  // not measured, so not there
  EXPECT_THAT(contents(in_directory("run.html")), HasSubstr("<html"));

  const Ended shown = run({"report", in_directory("run.json")});
  EXPECT_EQ(shown.exit_code, 0);
  EXPECT_THAT(shown.output, HasSubstr("null"));
}

TEST_F(CowbenchTest, DirectoryTargetRunsInInterleavedRoundsAndLeavesNothing) {
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  const Ended ended = run({"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.3", "--warmup", "0", "--target",
                           "path:" + place, "--target", "null", "--rounds", "2", "--no-calibrate", "--json", "-"});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(ended.output, reason);
  ASSERT_TRUE(record.ok()) << reason << ended.output.substr(0, 200);
  const results::Comparison& comparison = record->comparisons.front();
  ASSERT_THAT(comparison.results, SizeIs(2));
  for (const results::TargetResult& result : comparison.results) EXPECT_THAT(result.rounds, SizeIs(2));
  EXPECT_THAT(comparison.ratios, Not(IsEmpty()));
  EXPECT_TRUE(std::filesystem::is_empty(place));
}

TEST_F(CowbenchTest, WithoutRootCowfsRunsOnAnImageBesideADirectory) {
  std::filesystem::permissions(directory_, std::filesystem::perms::all);
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  std::filesystem::permissions(place, std::filesystem::perms::all);
  const Ended ended = wait_for(start(
      {"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.5", "--target", "cowfs:cache=64M,node_cache=32M", "--target",
       "xfs", "--target", "path:" + place, "--rounds", "1", "--size", "768M", "--no-calibrate", "--json", "-"},
      true));
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(ended.output, reason);
  ASSERT_TRUE(record.ok()) << reason;
  const results::Comparison& comparison = record->comparisons.front();
  EXPECT_THAT(comparison.results, SizeIs(2));
  ASSERT_THAT(comparison.skipped, SizeIs(1));
  EXPECT_EQ(comparison.skipped[0].target, "xfs");
  EXPECT_THAT(comparison.skipped[0].reason, HasSubstr("root"));
  EXPECT_TRUE(std::filesystem::is_empty(place));
}

// What is lost, comes back and leaves meanwhile, the clients do not notice: they verify what they read.
TEST_F(CowbenchTest, DevicesAreLostAndFoundWhileALoadIsVerified) {
  struct Case {
    const char* target;
    std::vector<std::string> during;
  };
  const std::string spare = file_with("spare", "");
  std::filesystem::resize_file(spare, 384 << 20);
  for (const Case& c : {Case{"cowfs:replicas=2,cache=64M,node_cache=32M,journal=64M", {"0.2 add-spare " + spare, "0.3 remove 1"}},
                        Case{"cowfs:replicas=2,cache=64M,node_cache=32M", {"0.2 offline 2", "0.3 scrub", "0.4 online 2", "0.5 offline 0"}},
                        Case{"cowfs:ec=2+2,cache=64M,node_cache=32M", {"0.2 offline 1", "0.2 offline 3"}}}) {
    SCOPED_TRACE(c.target);
    std::vector<std::string> arguments = {"dbench", "3", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "1", "--verify", "--payload", "random",
                                          "--devices", "4", "--size", "384M", "--media", "ram", "--target", c.target, "--target",
                                          "xfs", "--rounds", "1", "--no-calibrate", "--json", "-"};
    for (const std::string& change : c.during) arguments.insert(arguments.end(), {"--during", change});
    const Ended ended = run(arguments);
    ASSERT_EQ(ended.exit_code, 0) << ended.errors;
    std::string reason;
    const auto record = results::parse_record(ended.output, reason);
    ASSERT_TRUE(record.ok()) << reason;
    const results::Comparison& comparison = record->comparisons.front();
    EXPECT_THAT(comparison.workload, HasSubstr("during it 0.2 s: "));
    ASSERT_THAT(comparison.results, SizeIs(1));
    for (const std::string& change : c.during)
      EXPECT_THAT(comparison.results[0].notes, Contains(HasSubstr(change.substr(4) + ", took")));
    ASSERT_THAT(comparison.skipped, SizeIs(1));
    EXPECT_THAT(comparison.skipped[0].reason, HasSubstr("one device"));
  }
}

TEST_F(CowbenchTest, WhatCannotBeDoneToDevicesEndsTheRunAndSaysWhy) {
  const std::vector<std::string> load = {"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.5", "--devices", "2", "--size", "384M",
                                         "--media", "ram", "--no-calibrate", "--target", "cowfs:replicas=2,cache=64M,node_cache=32M"};
  struct Case {
    std::vector<std::string> during;
    int exit_code;
    const char* reason;
  };
  for (const Case& c : {Case{{"0.1 offline 0", "0.2 offline 1"}, 1, "0.2 s: offline 1: pool_copies_needed"},
                        Case{{"0.1 offline 5"}, 1, "pool_member_unknown"}, Case{{"2 scrub"}, 2, "the load is over by then"},
                        Case{{"soon scrub"}, 2, "'soon' is no time"}}) {
    SCOPED_TRACE(c.reason);
    std::vector<std::string> arguments = load;
    for (const std::string& change : c.during) arguments.insert(arguments.end(), {"--during", change});
    const Ended ended = run(arguments);
    EXPECT_EQ(ended.exit_code, c.exit_code) << ended.errors;
    EXPECT_THAT(ended.errors, HasSubstr(c.reason));
  }
}

TEST_F(CowbenchTest, PlanNamesEveryStepAndDoesNothing) {
  const std::string place = in_directory("images");
  const Ended ended = run({"dbench", "3", "-c", COWBENCH_SYNTHETIC_LOAD, "--target", "cowfs:cache=64M", "--target", "xfs",
                           "--media", "disk,ram", "--directory", place, "--plan"});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  for (const char* step : {"mkfs.xfs", "mount", "format", "cache=64 MiB", "pin", "comparison on ram"})
    EXPECT_THAT(ended.output, HasSubstr(step));
  EXPECT_FALSE(std::filesystem::exists(place));
}

// What was made at a relative path could not be removed: the image stayed, and so did its entry among what is to be cleaned up.
TEST_F(CowbenchTest, ImagesMayLieInARelativeDirectory) {
  const std::string place = in_directory("images");
  const Ended ended = run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--target", "cowfs:cache=64M,node_cache=32M",
                           "--size", "384M", "--rounds", "1", "--no-calibrate", "--directory", std::filesystem::relative(place)});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_TRUE(!std::filesystem::exists(place) || std::filesystem::is_empty(place));
}

TEST_F(CowbenchTest, ARunThatIsRefusedBeforeItBeginsIsNotStored) {
  const std::string db = in_directory("results.db");
  const Ended refused = run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--target", "cowfs", "--size", "999999G",
                             "--no-calibrate", "--directory", in_directory("images"), "--db", db});
  EXPECT_EQ(refused.exit_code, 3) << refused.errors;
  EXPECT_EQ(run({"results", "export", "--db", db}).output, "");
}

TEST_F(CowbenchTest, AWrongResultFailsTheRunAndSaysWhere) {
  const std::string load = file_with("wrong.load", "Unlink \"\\clients\\not-there\" 0 NT_STATUS_OK\n");
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  const Ended ended = run({"dbench", "1", "-c", load, "-t", "1", "--target", "path:" + place, "--no-calibrate"});
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("line 1"));
  EXPECT_TRUE(std::filesystem::is_empty(place));
}

// Warming up went on for ever, since it waits until every client has moved a byte.
TEST_F(CowbenchTest, LoadWithoutAByteEndsToo) {
  const std::string load = file_with("metadata.load", "Mkdir \"\\clients\" NT_STATUS_OK\n"
                                     "NTCreateX \"\\clients\\client1\" 0x40 0x2 5 NT_STATUS_OK\n"
                                     "WriteX 5 0 0 0 NT_STATUS_OK\nClose 5 NT_STATUS_OK\n");
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  const Ended ended = run({"dbench", "1", "-c", load, "-t", "0.3", "--target", "path:" + place, "--target", "null",
                           "--rounds", "1", "--no-calibrate", "--json", "-"});
  ASSERT_EQ(ended.exit_code, 0) << ended.errors;
  std::string reason;
  const auto record = results::parse_record(ended.output, reason);
  ASSERT_TRUE(record.ok()) << reason;
  for (const auto& result : record->comparisons.front().results) EXPECT_GT(result.metrics.at("ops_s").median, 0);
}

// What the generator costs is measured on a target that keeps nothing: there it found nothing of what it had written.
TEST_F(CowbenchTest, VerifiedLoadsAreMeasuredWithTheirGeneratorsCost) {
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  const Ended ended = run({"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.3", "--warmup", "0", "--rounds", "1", "--verify",
                           "--payload", "random", "--target", "path:" + place});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
}

TEST_F(CowbenchTest, SignalsEndTheRunAfterCleanUp) {
  for (const int signal : {SIGINT, SIGTERM}) {
    SCOPED_TRACE(signal);
    const std::string place = in_directory("place" + std::to_string(signal));
    std::filesystem::create_directory(place);
    const Arrivals arrivals(place);
    const pid_t child = start({"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "600", "--target", "path:" + place});
    arrivals.wait(child);
    kill(child, signal);
    const Ended ended = wait_for(child);
    EXPECT_EQ(ended.exit_code, 128 + signal) << ended.errors;
    EXPECT_TRUE(std::filesystem::is_empty(place));
  }
}

// SIGPIPE ended it at once, and what it had made stayed.
TEST_F(CowbenchTest, WhatNobodyReadsAnyMoreEndsTheRunAfterCleanUp) {
  const std::string place = in_directory("place");
  std::filesystem::create_directory(place);
  const std::string command = std::string(COWBENCH_PROGRAM) + " dbench 2 -c " + COWBENCH_SYNTHETIC_LOAD +
                              " -t 0.2 --warmup 0 --rounds 1000 --no-calibrate --target path:" + place + " 2>&1 | head -n 1 > " + in_directory("output");
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_FALSE(contents(directory_ / "output").empty());
  EXPECT_TRUE(std::filesystem::is_empty(place));
}

TEST_F(CowbenchTest, UnwritableOutputIsFoundBeforeMeasuring) {
  const Ended ended = run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "600", "--target", "null", "--json",
                           "/nowhere/run.json"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.errors, HasSubstr("/nowhere/run.json"));
}

TEST_F(CowbenchTest, RunsAreStoredAndExchanged) {
  const std::string first = in_directory("first.db"), second = in_directory("second.db"), lines = in_directory("lines");
  for (const char* seed : {"7", "8"}) {
    const Ended ended = run({"dbench", "2", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--warmup", "0", "--target", "null",
                             "--no-calibrate", "--seed", seed, "--db", first});
    ASSERT_EQ(ended.exit_code, 0) << ended.errors;
    EXPECT_THAT(ended.errors, HasSubstr("stored as run "));
  }
  const Ended listed = run({"results", "list", "--db", first, "--json"});
  EXPECT_THAT(listed.output, HasSubstr("cowbench.results/1"));
  EXPECT_EQ(run({"results", "verify", "--db", first}).exit_code, 0);
  EXPECT_THAT(run({"results", "changes", "--db", first, "--json"}).output, HasSubstr("\"runs\": 2"));
  for (const std::vector<std::string>& typo : {std::vector<std::string>{"--metric", "throughput"}, {"--control", "xsf"}}) {
    std::vector<std::string> arguments{"results", "changes", "--db", first};
    arguments.insert(arguments.end(), typo.begin(), typo.end());
    const Ended mistyped = run(arguments);
    EXPECT_EQ(mistyped.exit_code, 2);
    EXPECT_THAT(mistyped.errors, HasSubstr(typo[1]));
  }
  ASSERT_EQ(run({"results", "export", "--db", first, "-o", lines}).exit_code, 0);
  EXPECT_THAT(run({"results", "import", lines, lines, "--db", second}).output, HasSubstr("2 runs added, 2 already there"));
  EXPECT_EQ(run({"results", "export", "--db", second}).output, contents(lines));

  const Ended shown = run({"results", "show", "latest", "--db", second, "--json"});
  std::string reason;
  const auto record = results::parse_record(shown.output, reason);
  ASSERT_TRUE(record.ok()) << reason;
  EXPECT_EQ(record->seed, "8");
  EXPECT_THAT(run({"results", "show", "latest", "--db", second}).output, HasSubstr("null"));
}

TEST_F(CowbenchTest, TheStoreIsTheUsersOwnUnlessNamed) {
  setenv("XDG_DATA_HOME", in_directory("data").c_str(), 1);
  const Ended ended = run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--warmup", "0", "--target", "null",
                           "--no-calibrate", "--db"});
  EXPECT_EQ(ended.exit_code, 0) << ended.errors;
  EXPECT_EQ(run({"results", "verify"}).exit_code, 0);
  unsetenv("XDG_DATA_HOME");
  EXPECT_TRUE(std::filesystem::exists(directory_ / "data" / "cowbench" / "results.db"));
}

TEST_F(CowbenchTest, ResultsOfOtherProgramsAreImported) {
  const std::string db = in_directory("results.db");
  const std::string printed = file_with(
      "printed", "FSUse%        Count         Size    Files/sec     App Overhead\n     5   4000   4096   812.5   12345\n");
  EXPECT_EQ(run({"results", "import", printed, "--db", db}).exit_code, 2);
  const Ended imported = run({"results", "import", printed, "--format", "fs_mark", "--target", "xfs", "--db", db});
  ASSERT_EQ(imported.exit_code, 0) << imported.errors;
  EXPECT_THAT(run({"results", "export", "--format", "csv", "--db", db}).output, HasSubstr("xfs,,0,0,files_s,1/s,812.5"));
  EXPECT_EQ(run({"results", "verify", "--db", db}).exit_code, 0);
}

TEST_F(CowbenchTest, NothingIsImportedHalf) {
  const std::string db = in_directory("results.db"), lines = in_directory("lines");
  ASSERT_EQ(run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--warmup", "0", "--target", "null",
                 "--no-calibrate", "--db", db}).exit_code, 0);
  ASSERT_EQ(run({"results", "export", "--db", db, "-o", lines}).exit_code, 0);
  const std::string damaged = file_with("damaged", contents(lines) + "{\"v\":1}\n");
  const std::string other = in_directory("other.db");
  const Ended ended = run({"results", "import", lines, damaged, "--db", other});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.errors, HasSubstr(damaged + ": line 2: "));
  EXPECT_FALSE(std::filesystem::exists(other));

  EXPECT_EQ(run({"results", "list", "--db", lines}).exit_code, 2);
  EXPECT_EQ(run({"results", "show", "f00d", "--db", db}).exit_code, 2);
  EXPECT_EQ(run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "600", "--target", "null", "--db", lines}).exit_code, 2);
}

TEST_F(CowbenchTest, ARunThatFailsIsKeptAsPartial) {
  const std::string db = in_directory("results.db"), place = in_directory("place");
  std::filesystem::create_directory(place);
  const std::string load = file_with("wrong.load", "Unlink \"\\clients\\not-there\" 0 NT_STATUS_OK\n");
  EXPECT_EQ(run({"dbench", "1", "-c", load, "-t", "0.2", "--target", "path:" + place, "--no-calibrate", "--db", db}).exit_code, 1);
  const Ended listed = run({"results", "list", "--db", db});
  EXPECT_THAT(listed.output, HasSubstr("partial"));
}

TEST_F(CowbenchTest, ADiskThatFillsUpInMidRunLeavesAPartialRun) {
  const std::string db = in_directory("results.db"), place = in_directory("small");
  std::filesystem::create_directory(place);
  if (mount("none", place.c_str(), "tmpfs", 0, "size=64k") != 0) GTEST_SKIP() << "mounting a small disk needs root";
  const Ended ran = run({"dbench", "1", "-c", COWBENCH_SYNTHETIC_LOAD, "-t", "0.2", "--target", "null", "--target", "path:" + place,
                         "--rounds", "1", "--no-calibrate", "--db", db});
  umount(place.c_str());
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.errors, HasSubstr("No space left"));
  const Ended shown = run({"results", "show", "latest", "--db", db});
  EXPECT_THAT(shown.output, HasSubstr("partial: path:" + place));
  EXPECT_THAT(shown.output, HasSubstr("No space left"));
  EXPECT_THAT(run({"results", "verify", "--db", db}).output, HasSubstr("sound"));
}

TEST_F(CowbenchTest, CompareSaysBetterOrWorseByItsExitCode) {
  const std::string file = file_with("run.json", results::to_json(results::fixture::make_record()));
  const Ended worse = run({"compare", file + ":cowfs", file + ":cowfs+syscall-charge"});
  EXPECT_EQ(worse.exit_code, 1) << worse.errors;
  EXPECT_THAT(worse.output, HasSubstr("worse"));
  EXPECT_THAT(worse.output, HasSubstr("8 pairs"));
  const Ended better = run({"compare", file + ":xfs", file + ":cowfs", "--different-promises", "--json"});
  EXPECT_THAT(better.output, HasSubstr("cowbench.compare/1"));
  EXPECT_THAT(better.output, HasSubstr("different promises"));
  const std::string copy = file_with("copy.json", contents(file));
  const Ended same = run({"compare", file, copy});
  EXPECT_EQ(same.exit_code, 0) << same.errors;
  EXPECT_THAT(same.output, HasSubstr("not measured in the same rounds"));

  // Targets have colons of their own where they have options; the last one once ended the file's name.
  results::Record record = results::fixture::make_record();
  record.comparisons[0].results[2].target = "cowfs:cache=1G";
  record.comparisons[0].results[2].integrity = record.comparisons[0].results[0].integrity;
  const std::string options = file_with("options.json", results::to_json(record));
  const Ended with_options = run({"compare", options + ":cowfs:cache=1G", options + ":cowfs"});
  EXPECT_EQ(with_options.exit_code, 0) << with_options.errors;
  EXPECT_THAT(with_options.output, HasSubstr("8 pairs"));
  const Ended itself = run({"compare", file, file});
  EXPECT_EQ(itself.exit_code, 2);
  EXPECT_THAT(itself.errors, HasSubstr("compared with itself"));

  EXPECT_EQ(run({"compare", file + ":xfs", file + ":cowfs"}).exit_code, 2);  // they promise different things
  EXPECT_EQ(run({"compare", file + ":xfs", file + ":zfs"}).exit_code, 2);
  EXPECT_EQ(run({"compare", "/nowhere/x", file, "--db", in_directory("none.db")}).exit_code, 2);
}

TEST_F(CowbenchTest, CommitsAreTrackedAndBisected) {
  const std::string repository = in_directory("repository"), db = in_directory("results.db"), work = in_directory("work");
  const std::string history =
      "git init -q -b main " + repository + " && cd " + repository +
      " && for n in 1 2 3 4 5; do [ $n -lt 4 ] && echo flushes 7 > values || echo flushes 9 > values; echo $n > number; git add -A;"
      " git -c user.name=A -c user.email=a@example.org commit -q -m \"change $n\"; done";
  ASSERT_EQ(std::system(history.c_str()), 0);
  const std::string head =
      "name = \"made-up\"\nkeep = [\"values\", \"number\"]\nbench.command = [\"cat\", \"values\"]\n"
      "[[metric]]\nname = \"flushes\"\nbetter = \"lower\"\n";
  const std::string suite = file_with("suite.toml", head + "exact = true\n");
  const auto with = [&](const char* verb, const std::string& range, const std::string& file) {
    return std::vector<std::string>{verb, "--repo", repository, "--range", range, "--suite", file, "--db", db, "--work", work};
  };
  auto planned = with("track", "HEAD~4..HEAD", suite);
  planned.push_back("--plan");
  EXPECT_THAT(run(planned).output, HasSubstr("bench: cat values"));
  EXPECT_FALSE(std::filesystem::exists(db));

  const Ended tracked = run(with("track", "HEAD~4..HEAD", suite));
  EXPECT_EQ(tracked.exit_code, 1) << tracked.errors;
  EXPECT_THAT(tracked.output, HasSubstr("7 -> 9"));
  EXPECT_THAT(tracked.output, HasSubstr("change 4"));
  EXPECT_EQ(run(with("track", "HEAD~1..HEAD", suite)).exit_code, 0);
  std::filesystem::create_directories(repository + "/tracking/suites");
  std::filesystem::copy_file(suite, repository + "/tracking/suites/kept.toml");
  EXPECT_THAT(run(with("track", "HEAD~4..HEAD", "kept")).output, HasSubstr("change 4"));
  const Ended unknown = run(with("track", "HEAD~4..HEAD", "unknown"));
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.errors, HasSubstr("unknown: there is no such suite"));

  auto bisect = with("bisect", "HEAD~4..HEAD", suite);
  bisect.push_back("--json");
  const Ended bisected = run(bisect);
  EXPECT_EQ(bisected.exit_code, 0) << bisected.errors;
  EXPECT_THAT(bisected.output, HasSubstr("cowbench.bisect/1"));
  EXPECT_THAT(bisected.output, HasSubstr("change 4"));
  EXPECT_EQ(run(with("bisect", "HEAD~1..HEAD", suite)).exit_code, 1);

  const std::string page = directory_ / "attribution.html";
  const Ended attributed = run({"attribute", "--repo", repository, "--range", "HEAD~4..HEAD", "--suite", suite, "--work", work,
                                "--pairs", "2", "--profiles", "0", "--html", page});
  EXPECT_EQ(attributed.exit_code, 0) << attributed.errors;
  EXPECT_THAT(attributed.output, HasSubstr("flushes went from 7.00 to 9.00 (+28.57%)"));
  EXPECT_TRUE(std::filesystem::exists(page));

  EXPECT_EQ(run(with("track", "HEAD..nowhere", suite)).exit_code, 2);
  const std::string wrong = file_with("wrong.toml", head + "exact = 1\n");
  const Ended refused = run(with("track", "HEAD~4..HEAD", wrong));
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.errors, HasSubstr(wrong + ":7: metric.exact must be true or false"));
}

TEST_F(CowbenchTest, PublishedRunsAreListedPlannedAndReproduced) {
  EXPECT_THAT(run({"reproduce", "list"}).output, HasSubstr("epyc-9454"));
  const Ended planned = run({"reproduce", "epyc-9454", "--plan", "--synthetic", "pack:1 l3:8 core:6 pu:2"});
  EXPECT_EQ(planned.exit_code, 0) << planned.errors;
  EXPECT_THAT(planned.output, HasSubstr("dbench: 48 clients"));
  EXPECT_THAT(run({"reproduce", "epyc-9454", "--plan", "--synthetic", "pack:1 l3:1 core:1 pu:1"}).output,
              HasSubstr(": 1 client, cpus 0\n"));
  EXPECT_THAT(planned.output, HasSubstr("not published: mkfs and mount options"));
  EXPECT_EQ(run({"reproduce", "epyc-9454", "--synthetic", "pack:1 l3:8 core:6 pu:2"}).exit_code, 2);
  EXPECT_EQ(run({"reproduce", "nowhere"}).exit_code, 2);

  const std::string recipe = file_with("mine.toml", "title = \"mine\"\ncores = 48\ntargets = [\"null\"]\n[[run]]\nname = \"writes\"\n"
                                       "load = \"fio\"\nclients = [48]\njob = \"[a]\\nrw=randwrite\\nsize={megabytes}m\\nnumjobs={clients}\\n"
                                       "runtime={seconds}\\ntime_based\\n\"\n[[run.published]]\ntarget = \"theirs\"\nmetric = \"iops\"\n"
                                       "value = 700000\nsubject = true\n");
  const std::string db = in_directory("results.db"), html = in_directory("page.html");
  const Ended done = run({"reproduce", recipe, "-t", "1", "--rounds", "1", "--no-calibrate", "--db", db, "--html", html, "--json", "-"});
  EXPECT_EQ(done.exit_code, 0) << done.errors;
  EXPECT_THAT(done.output, HasSubstr("cowbench.reproduce/1"));
  EXPECT_THAT(done.output, HasSubstr("\"published\": 700000.0"));
  EXPECT_THAT(contents(html), HasSubstr("Published against measured"));
  EXPECT_THAT(run({"results", "list", "--db", db}).output, HasSubstr("complete"));
}

TEST_F(CowbenchTest, TopologyOfAnotherMachine) {
  const Ended ended = run({"topo", "--synthetic", "pack:1 l3:2 core:4 pu:2", "--json"});
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_THAT(ended.output, HasSubstr("cowbench.topo/1"));
}

}  // namespace
}  // namespace cowbench
