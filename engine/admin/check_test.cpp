// check on filesystems that are sound: after loads, after unmounts, after crashes; and that it writes nothing.
#include <sys/wait.h>

#include <csignal>

#include "engine/admin/image_test_internal.h"
#include "engine/codec/crc32c.h"

namespace cowfs::admin {
namespace {

void load(const TestImage& image, Model& model, u64 round, bool unmount, TestImage** copy = nullptr) {
  auto mounted = mount_image(image, false);
  ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
  Filesystem* filesystem = mounted->get();
  filesystem->run(0, [filesystem, &model, round] { return run_load(filesystem, &model, round); });
  if (copy != nullptr) *copy = new TestImage(image);
  if (unmount) {
    const Status closed = filesystem->unmount();
    ASSERT_TRUE(closed.ok()) << to_text(closed.error());
  }
}

TEST(Check, a_new_filesystem_is_clean) {
  const TestImage image(64 * mib);
  EXPECT_OK(format_image(image));
  expect_clean(image);
}

TEST(Check, clean_after_loads_and_unmounts) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image, 4));
  Model model;
  for (u64 round = 0; round < 3; ++round) {
    load(image, model, round, true);
    expect_clean(image);
  }
}

// The image as it is while mounted, after sync: everything since the last checkpoint is in the journal only.
TEST(Check, clean_with_history_to_replay_and_nothing_is_written) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image));
  Model model;
  load(image, model, 0, true);
  TestImage* copied = nullptr;
  load(image, model, 1, false, &copied);
  const std::unique_ptr<TestImage> crashed(copied);
  ASSERT_NE(copied, nullptr);
  const u32 before = codec::crc32c(crashed->read(0, 256 * mib));
  expect_clean(*crashed);
  const Result<Usage> used = usage(crashed->path());
  EXPECT_OK(used);
  EXPECT_EQ(codec::crc32c(crashed->read(0, 256 * mib)), before);
  const auto mounted = mount_image(*crashed, true);
  ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
  const ReadBack result = read_back_on(**mounted, model);
  EXPECT_EQ(result.refused, 0u);
  EXPECT_TRUE(result.wrong.empty()) << result.wrong.front();
}

// Writes files, syncing each, and says so on `pipe` for each; until killed.
[[noreturn]] void write_until_killed(const TestImage& image, int pipe) {
  auto mounted = mount_image(image, false);
  if (!mounted) _exit(1);
  Filesystem* filesystem = mounted->get();
  Model model;
  for (u64 i = 0;; ++i) {
    const unsigned core = i % 2;
    filesystem->run(core, [filesystem, &model, i] {
      const Piece piece{0, 100 + i * 977 % 200000, i};
      return write_piece(filesystem, &model, "/file" + std::to_string(i % 500), piece, true);
    });
    const char done = 1;
    if (write(pipe, &done, 1) != 1) _exit(1);
  }
}

// On a busy machine, check found the image of the process that it had just seen die "in use": the kernel had not yet taken
// its ring apart.
TEST(Check, clean_after_kill) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image));
  for (int kills = 0; kills < 3; ++kills) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_until_killed(image, ends[1]);
    close(ends[1]);
    char done = 0;
    for (int i = 0; i < 100 + kills * 37; ++i) ASSERT_EQ(read(ends[0], &done, 1), 1);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    close(ends[0]);
    expect_clean(image);
  }
}

// A bucket that is full of live data when an extent in it is cut: replay took the new extent for more than fits.
TEST(Check, an_overwrite_in_full_buckets_is_replayed) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image));
  Model model;
  std::unique_ptr<TestImage> copied;
  for (u64 round = 0; round < 2; ++round) {
    auto mounted = mount_image(image, false);
    ASSERT_TRUE(mounted.ok());
    Filesystem* filesystem = mounted->get();
    const Piece whole{0, 8 * mib, 1};
    const Piece hole{mib + 64 * kib + 4096, 4096, 2};
    const Piece piece = round == 0 ? whole : hole;
    filesystem->run(0, [filesystem, &model, piece] { return write_piece(filesystem, &model, "/full", piece, true); });
    if (round == 1) copied = std::make_unique<TestImage>(image);
    EXPECT_OK(filesystem->unmount());
  }
  expect_clean(*copied);
  model["/full"] = {{mib + 64 * kib + 4096, 4096, 2}};
  const auto mounted = mount_image(*copied, true);
  ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
  EXPECT_EQ(read_back_on(**mounted, model).right, 1u);
}

TEST(Check, usage_adds_up) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image));
  Model model;
  load(image, model, 0, true);
  const Result<Usage> used = usage(image.path());
  ASSERT_TRUE(used.ok()) << to_text(used.error());
  u64 inodes = 0;
  for (const SliceUsage& slice : used->slices) inodes += slice.inodes;
  std::set<std::string> files;
  for (const auto& [path, pieces] : model) files.insert(path);
  // Root, the round's directories but the removed one, a symbolic link, the cut file; the hard link is no inode.
  EXPECT_EQ(used->inodes, files.size() - 1 + 1 + 4 + 1 + 1);
  EXPECT_EQ(inodes, used->inodes);
  EXPECT_GT(used->used_bytes, 5 * mib);
  EXPECT_LT(used->used_bytes, 60 * mib);
}

TEST(List, shows_names_and_nodes_and_the_journal) {
  const TestImage image(256 * mib);
  EXPECT_OK(format_image(image));
  Model model;
  load(image, model, 0, true);
  u64 names = 0;
  ListOptions options;
  options.tree = "dirents";
  const auto keep = [&](const Listed& line) { names += line.text.find("\"moved\"") != std::string::npos; };
  const Result<ListSummary> listed = list(image.path(), options, keep);
  ASSERT_TRUE(listed.ok()) << to_text(listed.error());
  EXPECT_EQ(names, 1u);
  EXPECT_EQ(listed->damaged, 0u);
  options.tree = "no such";
  EXPECT_EQ(list(image.path(), options, keep).error().code, Code::tree_unknown);
  options.tree.reset();
  options.slice = 2;
  EXPECT_EQ(list(image.path(), options, keep).error().code, Code::slice_unknown);
  options.slice = 0;
  options.nodes = true;
  u64 levels = 0;
  const Result<ListSummary> nodes =
      list(image.path(), options, [&](const Listed& line) { levels += line.text.starts_with("level"); });
  ASSERT_TRUE(nodes.ok());
  EXPECT_EQ(levels, nodes->lines);
  EXPECT_GT(levels, 4u);
  const Result<JournalShown> journal = list_journal(image.path());
  ASSERT_TRUE(journal.ok()) << to_text(journal.error());
  EXPECT_GT(journal->last_epoch, 1u);
}

}  // namespace
}  // namespace cowfs::admin
