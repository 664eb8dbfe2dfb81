#include "harness/cowfs_options.h"

#include <gmock/gmock.h>

namespace cowbench::harness {
namespace {

using testing::HasSubstr;

TEST(CowfsOptions, ReadsEachOption) {
  const auto options = parse_cowfs_options(
      "cache=1G,node_cache=64M,cores=2,spin_us=20,commit_ms=500,discard=1,populate=0,slices=4,bucket=1M,journal=256M,"
      "data_checksum=none,metadata_checksum=xxh3");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->cache_bytes, cowfs::gib);
  EXPECT_EQ(options->node_cache_bytes, 64 * cowfs::mib);
  EXPECT_EQ(options->cores, 2u);
  EXPECT_EQ(options->spin_us, 20u);
  EXPECT_EQ(options->commit_ms, 500u);
  EXPECT_EQ(options->discard, 1u);
  EXPECT_EQ(options->populate, 0u);
  EXPECT_EQ(options->slices, 4u);
  EXPECT_EQ(options->bucket_bytes, cowfs::mib);
  EXPECT_EQ(options->journal_bytes, 256 * cowfs::mib);
  EXPECT_EQ(options->data_checksum, cowfs::ChecksumKind::none);
  EXPECT_EQ(options->metadata_checksum, cowfs::ChecksumKind::xxh3);
}

TEST(CowfsOptions, reads_an_erasure_code) {
  const auto options = parse_cowfs_options("ec=4+2,cores=1");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->erasure->data_shards, 4);
  EXPECT_EQ(options->erasure->parity_shards, 2);
}

TEST(CowfsOptions, NothingIsAllDefaults) {
  const auto options = parse_cowfs_options("");
  ASSERT_TRUE(options.ok());
  EXPECT_FALSE(options->cache_bytes.has_value());
}

TEST(CowfsOptions, NamesWhatIsWrong) {
  struct Case {
    const char* text;
    const char* says;
  };
  for (const Case& c : {Case{"speed=9", "no option 'speed'"}, Case{"cache", "has no value"}, Case{"cache=lots", "lots"},
                        Case{"discard=2", "0 to 1"}, Case{"cache=1G,cache=2G", "twice"}, Case{",", "no option ''"},
                        Case{"data_checksum=md5", "none, crc32c, crc64 or xxh3"}, Case{"data_checksum", "has no value"},
                        Case{"metadata_checksum=none", "crc32c, crc64 or xxh3"},
                        Case{"data_checksum=none,data_checksum=none", "twice"}, Case{"ec=4", "no erasure code"},
                        Case{"ec=1+1", "no erasure code"}, Case{"ec=4+5", "no erasure code"}, Case{"ec=17+1", "no erasure code"},
                        Case{"ec", "no erasure code"}, Case{"ec=2+1,ec=2+1", "twice"}, Case{"ec=2+1,replicas=2", "exclude"}}) {
    SCOPED_TRACE(c.text);
    const auto options = parse_cowfs_options(c.text);
    ASSERT_FALSE(options.ok());
    EXPECT_EQ(options.failure().kind, FailureKind::request);
    EXPECT_THAT(options.failure().what, HasSubstr(c.says));
  }
  EXPECT_THAT(parse_cowfs_options("speed=9").failure().remedy, HasSubstr("cache, node_cache"));
}

}  // namespace
}  // namespace cowbench::harness
