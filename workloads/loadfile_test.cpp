#include "workloads/loadfile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/base/random.h"

namespace cowbench::workloads {
namespace {

using testing::HasSubstr;

Program parsed(std::string_view text) {
  LoadfileResult result = parse_loadfile(text, "test.load");
  if (const auto* error = std::get_if<LoadfileError>(&result)) {
    ADD_FAILURE() << error->to_text();
    return {};
  }
  return std::get<Program>(std::move(result));
}

TEST(Loadfile, ReadsClientTxt) {
  if (!std::filesystem::exists(COWBENCH_CLIENT_LOAD)) GTEST_SKIP() << "package dbench is not installed";
  LoadfileResult result = read_loadfile(COWBENCH_CLIENT_LOAD);
  ASSERT_TRUE(std::holds_alternative<Program>(result)) << std::get<LoadfileError>(result).to_text();
  const Program& program = std::get<Program>(result);
  EXPECT_EQ(program.ops.size(), 458'344u);
  EXPECT_EQ(program.lines, 458'344u);
  const std::array<u64, op_kind_count> expected = {
      79'230, 58'200, 3'355, 16'000, 2, 0, 1, 71'814, 12'585, 13'168, 6'454, 27'765, 39'502, 124'199, 258, 258, 5'553, 0};
  for (std::size_t kind = 0; kind < op_kind_count; kind++) {
    EXPECT_EQ(program.count_by_kind()[kind], expected[kind]) << loadfile_name(static_cast<OpKind>(kind));
  }
  EXPECT_EQ(std::ranges::count_if(program.ops, &Op::must_succeed), 398'601);
  u64 failing_opens = 0, failing_queries = 0, failing_finds = 0, creates = 0, directories = 0, overwrites = 0;
  u64 written = 0;
  for (const Op& op : program.ops) {
    failing_opens += op.kind == OpKind::nt_create && !op.must_succeed;
    failing_queries += op.kind == OpKind::query_path && !op.must_succeed;
    failing_finds += op.kind == OpKind::find_first && !op.must_succeed;
    creates += op.kind == OpKind::nt_create && !op.directory && op.disposition == Disposition::create;
    directories += op.directory;
    overwrites += op.disposition == Disposition::overwrite;
    if (op.kind == OpKind::write) written += op.size;
  }
  EXPECT_EQ(failing_opens, 21'030u);
  EXPECT_EQ(failing_queries + failing_finds, 24'256u + 14'328u + 129u);
  EXPECT_EQ(creates, 16'056u);
  EXPECT_EQ(directories, 11u);
  EXPECT_EQ(overwrites, 1u);
  EXPECT_EQ(program.accounted_bytes, 2'488'062'937u);
  EXPECT_EQ(written, 1'015'974'170u);
  EXPECT_EQ(program.transfer_bytes_max, 65'536u);
  EXPECT_TRUE(program.due_ns.empty());
  EXPECT_LT(program.paths.size(), 400u);
}

TEST(Loadfile, ReadsEveryOperation) {
  const Program program = parsed(
      "# a comment\n"
      "\n"
      "   \n"
      "NTCreateX \"\\a\\b c\" 0x40 2 7 NT_STATUS_OK\n"
      "WriteX 7 0x10 010 8 NT_STATUS_OK\n"
      "ReadX 7 4294967296 5000000000 12 0x00000000\n"
      "LockX 7 4294967297 3 NT_STATUS_OK\n"
      "UnlockX 7 4294967297 3 NT_STATUS_OK\n"
      "Rename \"/a/b c\" \"/a/d\" 0xC0000034\n"
      "FIND_FIRST \"\\a\\*.txt\" 260 1366 0 NT_STATUS_NO_SUCH_FILE\n"
      "Sleep 250 NT_STATUS_OK extra 0x0\n"
      "  Close   7   NT_STATUS_OK");
  ASSERT_EQ(program.ops.size(), 9u);
  EXPECT_EQ(program.lines, 12u);
  const Op& open = program.ops[0];
  EXPECT_EQ(open.kind, OpKind::nt_create);
  EXPECT_EQ(open.line, 4u);
  EXPECT_TRUE(open.must_succeed);
  EXPECT_FALSE(open.directory);
  EXPECT_EQ(open.disposition, Disposition::create);
  EXPECT_EQ(program.handles[open.handle], 7);
  const Op& write = program.ops[1];
  EXPECT_EQ(write.offset, 16u);
  EXPECT_EQ(write.size, 8u);
  EXPECT_EQ(write.returned, 8u);
  const Op& read = program.ops[2];
  EXPECT_EQ(read.offset, 4'294'967'296u);
  EXPECT_EQ(read.size, 5'000'000'000u);
  EXPECT_EQ(read.returned, 12u);
  EXPECT_TRUE(read.must_succeed);
  EXPECT_EQ(program.ops[3].offset, 4'294'967'297u);
  const Op& rename = program.ops[5];
  EXPECT_FALSE(rename.must_succeed);
  EXPECT_EQ(rename.path, open.path) << "one name, one path";
  EXPECT_NE(rename.handle, rename.path);
  EXPECT_EQ(program.ops[6].size, 1366u);
  EXPECT_EQ(program.ops[7].size, 250u);
  EXPECT_EQ(program.ops[8].kind, OpKind::close);
  EXPECT_EQ(program.transfer_bytes_max, 5'000'000'000u);
  EXPECT_EQ(program.accounted_bytes, 5'000'000'008u);
}

TEST(Loadfile, Dispositions) {
  const std::array<Disposition, 7> expected = {Disposition::open,      Disposition::open,      Disposition::create,
                                               Disposition::open,      Disposition::overwrite, Disposition::overwrite,
                                               Disposition::open};
  for (std::size_t number = 0; number < expected.size(); number++) {
    const Program program = parsed("NTCreateX \"\\a\" 0x1 " + std::to_string(number) + " 7 NT_STATUS_OK\n");
    ASSERT_EQ(program.ops.size(), 1u);
    EXPECT_EQ(program.ops[0].disposition, expected[number]) << number;
    EXPECT_TRUE(program.ops[0].directory);
  }
}

TEST(Loadfile, Timestamps) {
  const Program program = parsed("Mkdir \"\\a\" 0x0\n1.5 Mkdir \"\\b\" 0x0\n0 Mkdir \"\\c\" 0x0\n2e1 Mkdir \"\\c\" 0x0\n");
  ASSERT_EQ(program.ops.size(), 4u);
  EXPECT_EQ(program.due_ns, (std::vector<u64>{0, 1'500'000'000, 0, 20'000'000'000}));
}

TEST(Loadfile, InstantiatesPathsForAClient) {
  const Program program = parsed(
      "Mkdir \"\\clients\\client1\\sub\" 0x0\n"
      "Mkdir \"\\client1\" 0x0\n"
      "Mkdir \"\\x\\client12client1\" 0x0\n"
      "Mkdir \"\\shared\\*.doc\" 0x0\n"
      "Mkdir \"\\my /docs\" 0x0\n");
  const std::vector<ClientPath> paths = program.paths_for(42, "/mnt/client1");
  ASSERT_EQ(paths.size(), 5u);
  EXPECT_EQ(paths[0].path, "/mnt/client1/clients/client42/sub");
  EXPECT_EQ(paths[0].parent, "/mnt/client1/clients/client42");
  EXPECT_EQ(paths[0].name, "sub");
  EXPECT_TRUE(paths[0].is_private);
  EXPECT_EQ(paths[1].path, "/mnt/client1/client42");
  EXPECT_EQ(paths[2].path, "/mnt/client1/x/client422client42");
  EXPECT_FALSE(paths[3].is_private);
  EXPECT_TRUE(paths[3].is_pattern);
  EXPECT_FALSE(paths[0].is_pattern);
  EXPECT_EQ(paths[4].path, "/mnt/client1/my docs");
  EXPECT_EQ(program.paths_for(0, "")[1].parent, "/");
  EXPECT_EQ(program.paths_for(0, "")[1].path, "/client0");
}

TEST(Loadfile, DropsCarriageReturn) {
  EXPECT_TRUE(parsed("Mkdir \"\\a\" NT_STATUS_OK\r\n").ops.at(0).must_succeed);
}

TEST(Loadfile, RefusesWithLineAndReason) {
  struct Case {
    std::string_view name;
    std::string text;
    u64 line;
    std::string_view reason;
  };
  const std::string open = "NTCreateX \"\\a\" 0 2 7 NT_STATUS_OK\n";
  std::string many_files;
  for (u32 i = 1; i <= open_files_max + 1; i++) {
    many_files += "NTCreateX \"\\a\" 0 2 " + std::to_string(i) + " NT_STATUS_OK\n";
  }
  const std::vector<Case> cases = {
      {"unknown operation", "\nFrobnicate 1 NT_STATUS_OK\n", 2, "unknown operation \"Frobnicate\""},
      {"case matters", "close 1 NT_STATUS_OK\n", 1, "unknown operation"},
      {"dbench 1", "SMBopen 1 NT_STATUS_OK\n", 1, "dbench 1"},
      {"no status", "Mkdir \"\\a\"\n", 1, "badly formed status \"/a\""},
      {"status misspelt", "Mkdir \"\\a\" STATUS_OK\n", 1, "badly formed status"},
      {"status of dbench 5", "Mkdir \"\\a\" SUCCESS\n", 1, "badly formed status"},
      {"empty status", "Mkdir \"\\a\" NT_STATUS_\n", 1, "badly formed status"},
      {"status with junk", "Mkdir \"\\a\" NT_STATUS_O$\n", 1, "badly formed status"},
      {"hexadecimal status", "Mkdir \"\\a\" 0xZ\n", 1, "badly formed status"},
      {"bare 0x", "Mkdir \"\\a\" 0x\n", 1, "badly formed status"},
      {"handle never opened", open + "Close 8 NT_STATUS_OK\n", 2, "missing handle 8: no earlier line"},
      {"handle of a failed open", "NTCreateX \"\\a\" 0 1 7 NT_STATUS_NO\nClose 7 NT_STATUS_OK\n", 2, "missing handle 7"},
      {"handle closed", open + "Close 7 NT_STATUS_OK\nFlush 7 NT_STATUS_OK\n", 3, "missing handle 7: closed on line 2"},
      {"handle zero", "NTCreateX \"\\a\" 0 2 0 NT_STATUS_OK\n", 1, "handle 0"},
      {"too many files", many_files, open_files_max + 1, "more than 200 files open"},
      {"missing arguments", "Close NT_STATUS_OK\n", 1, "missing argument 1 (handle)"},
      {"missing last argument", open + "WriteX 7 0 1 NT_STATUS_OK\n", 2, "missing argument 4 (returned)"},
      {"missing new path", "Rename \"\\a\" NT_STATUS_OK\n", 1, "missing argument 2 (new path)"},
      {"lone word", "Close\n", 1, "missing arguments and status"},
      {"lone timestamp", "1.5\n", 1, "no operation after the timestamp"},
      {"bad timestamp", "1.5x Mkdir \"\\a\" 0x0\n", 1, "badly formed timestamp"},
      {"huge timestamp", "1e300 Mkdir \"\\a\" 0x0\n", 1, "badly formed timestamp"},
      {"unterminated quote", "Mkdir \"\\a NT_STATUS_OK\n", 1, "unterminated quote"},
      {"unquoted path", "Mkdir \\a NT_STATUS_OK\n", 1, "not a quoted path"},
      {"relative path", "Mkdir \"a\" NT_STATUS_OK\n", 1, "not a quoted path"},
      {"empty path", "Mkdir \"\" NT_STATUS_OK\n", 1, "not a quoted path"},
      {"not a number", open + "ReadX 7 zero 1 1 NT_STATUS_OK\n", 2, "argument 2 (offset): not a number"},
      {"empty number", open + "ReadX 7 \"\" 1 1 NT_STATUS_OK\n", 2, "not a number"},
      {"number with junk", open + "ReadX 7 1k 1 1 NT_STATUS_OK\n", 2, "not a number"},
      {"number too large", open + "ReadX 7 9223372036854775808 1 1 NT_STATUS_OK\n", 2, "not a number of 63 bits"},
      {"negative size", open + "ReadX 7 0 -1 1 NT_STATUS_OK\n", 2, "negative: -1"},
      {"past the end", open + "ReadX 7 9223372036854775807 1 1 NT_STATUS_OK\n", 2, "past 2^63"},
      {"NUL byte", std::string("Mkdir \"\\a\0\" 0x0\n", 16), 1, "NUL byte"},
      {"long line", open + std::string(10'000'000, 'x') + "\n" + open, 2, "line longer than 1021 bytes"},
      {"long comment", "#" + std::string(10'000'000, ' '), 1, "line longer than 1021 bytes"},
      {"twenty words", "Sleep 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 0x0\n", 1, "more than 19 words"},
      {"empty", "", 0, "no operation in it"},
      {"only comments", "# nothing\n\n", 0, "no operation in it"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    LoadfileResult result = parse_loadfile(c.text, "bad.load");
    const auto* error = std::get_if<LoadfileError>(&result);
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(error->line, c.line);
    EXPECT_THAT(error->reason, HasSubstr(c.reason));
    EXPECT_LT(error->reason.size(), 200u);
    const std::string prefix = c.line == 0 ? "bad.load: " : "bad.load:" + std::to_string(c.line) + ": ";
    EXPECT_EQ(error->to_text(), prefix + error->reason);
  }
}

TEST(Loadfile, LongestLineIsRead) {
  const std::string path(line_bytes_max - std::string_view("Mkdir \"\\\" 0x0").size(), 'p');
  EXPECT_EQ(parsed("Mkdir \"\\" + path + "\" 0x0\n").paths.at(0).pieces.at(0).size(), path.size() + 1);
}

TEST(Loadfile, RefusesWhatIsNoReadableFile) {
  const std::filesystem::path directory = std::filesystem::temp_directory_path() / ("loadfile." + std::to_string(getpid()));
  std::filesystem::create_directories(directory);
  const auto reason_for = [&](const std::string& file) {
    LoadfileResult result = read_loadfile(file);
    const auto* error = std::get_if<LoadfileError>(&result);
    return error == nullptr ? std::string("accepted") : error->to_text();
  };
  EXPECT_THAT(reason_for(directory / "absent"), HasSubstr("cannot be opened: No such file"));
  EXPECT_THAT(reason_for(directory), HasSubstr("not a regular file"));
  EXPECT_THAT(reason_for("/dev/zero"), HasSubstr("not a regular file"));
  const std::string fifo = directory / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(reason_for(fifo), HasSubstr("not a regular file"));
  const std::string huge = directory / "huge";
  std::fclose(std::fopen(huge.c_str(), "w"));
  ASSERT_EQ(truncate(huge.c_str(), static_cast<off_t>(file_bytes_max) + 1), 0);
  EXPECT_THAT(reason_for(huge), HasSubstr("larger than"));
  ASSERT_EQ(truncate(huge.c_str(), 0), 0);
  EXPECT_EQ(reason_for(huge), huge + ": no operation in it");
  std::filesystem::remove_all(directory);
}

// The project's own loadfile covers every operation, and both outcomes of those whose outcome matters.
TEST(Loadfile, SyntheticCoversEveryOperation) {
  LoadfileResult result = read_loadfile(COWBENCH_SYNTHETIC_LOAD);
  ASSERT_TRUE(std::holds_alternative<Program>(result)) << std::get<LoadfileError>(result).to_text();
  const Program& program = std::get<Program>(result);
  std::array<std::array<u64, 2>, op_kind_count> seen = {};
  std::array<u64, 3> dispositions = {};
  u64 directories = 0, short_reads = 0, one_byte_writes = 0, due = 0;
  for (const Op& op : program.ops) {
    seen[static_cast<std::size_t>(op.kind)][op.must_succeed]++;
    if (op.kind == OpKind::nt_create) dispositions[static_cast<std::size_t>(op.disposition)]++;
    directories += op.directory;
    short_reads += op.kind == OpKind::read && op.returned < op.size;
    one_byte_writes += op.kind == OpKind::write && op.size == 1;
  }
  for (const u64 ns : program.due_ns) due += ns != 0;
  for (std::size_t kind = 0; kind < op_kind_count; kind++) {
    EXPECT_GT(seen[kind][1], 0u) << loadfile_name(static_cast<OpKind>(kind));
  }
  for (const OpKind kind : {OpKind::nt_create, OpKind::unlink, OpKind::rename, OpKind::rmdir, OpKind::mkdir,
                            OpKind::deltree, OpKind::query_path, OpKind::find_first}) {
    EXPECT_GT(seen[static_cast<std::size_t>(kind)][0], 0u) << loadfile_name(kind);
  }
  for (const u64 count : dispositions) EXPECT_GT(count, 0u);
  for (const u64 count : {directories, short_reads, one_byte_writes, due}) EXPECT_GT(count, 1u);
}

// dbench itself must have nothing to say about it: it prints on every result that is not as the loadfile expects.
TEST(Loadfile, DbenchRunsSynthetic) {
  if (std::system("command -v dbench > /dev/null") != 0) GTEST_SKIP() << "package dbench is not installed";
  std::string directory = std::filesystem::temp_directory_path() / "synthetic.XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string log = directory + "/log";
  const std::string command = "dbench -c " COWBENCH_SYNTHETIC_LOAD " -t 1 -D " + directory + " 2 > " + log + " 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::ifstream in(log);
  u64 lines = 0;
  for (std::string line; std::getline(in, line); lines++) {
    for (const char* word : {"failed (", "succeeded for", "ERROR", "Badly formed", "Unknown operation", "expected"}) {
      EXPECT_EQ(line.find(word), std::string::npos) << line;
    }
  }
  EXPECT_GT(lines, 5u);
  std::filesystem::remove_all(directory);
}

// Bytes of a good loadfile changed at random: read or refused, never worse. The sanitizers watch.
TEST(Loadfile, SurvivesDamage) {
  const std::string good =
      "NTCreateX \"\\clients\\client1\\a b\" 0x40 0x2 10 NT_STATUS_OK\n"
      "1.25 WriteX 10 0 65536 65536 NT_STATUS_OK\n"
      "FIND_FIRST \"\\clients\\client1\\*\" 260 1366 0 0xC000000F\n"
      "Close 10 NT_STATUS_OK\n";
  const u64 seed = 20'261'121;
  RecordProperty("seed", std::to_string(seed));
  cowfs::Random random(seed);
  u64 refused = 0;
  for (int round = 0; round < 20'000; round++) {
    std::string text = good;
    for (u64 changes = 1 + random.below(3); changes > 0; changes--) {
      constexpr std::string_view interesting = "\"\\/ \n#0x9-\r\0N1";
      text[random.below(text.size())] = random.one_in(2) ? interesting[random.below(interesting.size())]
                                                         : static_cast<char>(random.below(256));
    }
    if (random.one_in(4)) text.resize(random.below(text.size()));
    LoadfileResult result = parse_loadfile(text, "damaged");
    if (const auto* program = std::get_if<Program>(&result)) {
      for (const ClientPath& path : program->paths_for(3, "/d")) EXPECT_TRUE(path.path.starts_with("/d/"));
    } else {
      refused++;
    }
  }
  EXPECT_GT(refused, 5'000u);
  EXPECT_LT(refused, 20'000u);
}

}  // namespace
}  // namespace cowbench::workloads
