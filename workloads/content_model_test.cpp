#include "workloads/content_model.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"

namespace cowbench::workloads {
namespace {

using NaiveFile = std::shared_ptr<std::vector<std::byte>>;

void write_both(FileContent& file, std::vector<std::byte>& naive, u64 offset, u64 length, u64 stream) {
  file.write(offset, length, stream);
  if (length == 0) return;
  if (naive.size() < offset + length) naive.resize(offset + length);
  fill_payload(PayloadKind::random, stream, offset, std::span(naive).subspan(offset, length));
}

TEST(FileContent, AgreesWithAnArrayOfBytes) {
  const u64 seed = 4711;
  RecordProperty("seed", std::to_string(seed));
  cowfs::Random random(seed);
  for (int file_number = 0; file_number < 50; file_number++) {
    FileContent file;
    std::vector<std::byte> naive;
    for (u64 version = 0; version < 200; version++) {
      if (random.one_in(60)) {
        file.truncate();
        naive.clear();
      }
      write_both(file, naive, random.below(300), random.below(random.one_in(4) ? 150 : 12), version);
      ASSERT_EQ(file.size(), naive.size());
      const u64 at = random.below(460);
      std::vector<std::byte> window(random.below(200));
      file.expected(PayloadKind::random, at, window);
      for (u64 i = 0; i < window.size(); i++) {
        ASSERT_EQ(window[i], at + i < naive.size() ? naive[at + i] : std::byte{0}) << "byte " << at + i;
      }
    }
  }
}

TEST(ContentModel, ReportsTheFirstWrongByte) {
  ContentModel model(PayloadKind::random);
  const FileRef file = model.opened("/d/f", true, false);
  file->write(100, 200'000, 5);
  std::vector<std::byte> data(200'100);
  file->expected(PayloadKind::random, 0, data);
  EXPECT_FALSE(model.check_read(*file, "/d/f", 0, data.size(), data));
  EXPECT_FALSE(model.check_read(*file, "/d/f", 150'000, 100'000, cowfs::ByteSpan(data).subspan(150'000)));
  data[150'001] ^= std::byte{1};
  data[150'002] ^= std::byte{1};
  const std::optional<Mismatch> mismatch = model.check_read(*file, "/d/f", 70'000, 100'000, std::span(data).subspan(70'000, 100'000));
  ASSERT_TRUE(mismatch);
  EXPECT_EQ(mismatch->offset, 150'001u);
  EXPECT_NE(mismatch->expected, mismatch->got);
  EXPECT_TRUE(mismatch->to_text().starts_with("/d/f: at byte 150001: expected 0x")) << mismatch->to_text();
}

TEST(ContentModel, ReportsWrongLengths) {
  ContentModel model(PayloadKind::zero);
  const FileRef file = model.opened("/f", true, false);
  file->write(0, 10, 1);
  const std::vector<std::byte> zeros(20);
  EXPECT_FALSE(model.check_read(*file, "/f", 4, 20, std::span(zeros).first(6)));
  EXPECT_EQ(model.check_read(*file, "/f", 4, 20, std::span(zeros).first(7))->expected, "6 bytes");
  EXPECT_EQ(model.check_read(*file, "/f", 4, 3, std::span(zeros).first(2))->got, "2 bytes");
  EXPECT_FALSE(model.check_read(*file, "/f", 10, 20, {}));
  EXPECT_FALSE(model.check_size(*file, "/f", 10));
  EXPECT_EQ(model.check_size(*file, "/f", 11)->expected, "a size of 10 bytes");
}

TEST(ContentModel, FollowsNames) {
  ContentModel model(PayloadKind::random);
  EXPECT_EQ(model.opened("/a", false, false), nullptr);
  const FileRef a = model.opened("/a", true, false);
  a->write(0, 5, 1);
  EXPECT_EQ(model.opened("//a/", false, false), a);
  EXPECT_EQ(model.opened("/a", true, false), a) << "create does not insist on being first";
  EXPECT_EQ(a->size(), 5u);

  model.unlinked("/a");
  EXPECT_EQ(a->size(), 5u) << "open handles keep the content";
  EXPECT_NE(model.opened("/a", true, false), a);

  const FileRef b = model.opened("/dir/b", true, false);
  const FileRef deep = model.opened("/dir/sub/deep", true, false);
  const FileRef sibling = model.opened("/directory", true, false);
  model.renamed("/dir", "/moved");
  EXPECT_EQ(model.opened("/moved/b", false, false), b);
  EXPECT_EQ(model.opened("/moved/sub/deep", false, false), deep);
  EXPECT_EQ(model.opened("/directory", false, false), sibling);
  EXPECT_FALSE(model.knows("/dir/b"));

  model.renamed("/directory", "/moved/b");
  EXPECT_EQ(model.opened("/moved/b", false, false), sibling) << "a rename replaces";
  model.tree_deleted("/moved");
  EXPECT_FALSE(model.knows("/moved/b"));
  EXPECT_FALSE(model.knows("/moved/sub/deep"));
  EXPECT_TRUE(model.knows("/a"));

  sibling->write(0, 100, 2);
  const FileRef truncated = model.opened("/a", true, true);
  EXPECT_EQ(truncated->size(), 0u);
}

TEST(ContentModel, AnUnknownFileStaysUnknownUntilTruncated) {
  ContentModel model(PayloadKind::random);
  model.opened("/known", true, false);
  model.renamed("/stranger", "/known");
  EXPECT_EQ(model.opened("/known", true, false), nullptr);
  EXPECT_NE(model.opened("/known", true, true), nullptr);
  EXPECT_NE(model.opened("/known", false, false), nullptr);
}

}  // namespace
}  // namespace cowbench::workloads
