#include "engine/format/superblock.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>

#include "engine/codec/crc32c.h"

namespace cowfs::format {
namespace {

Superblock planned(u64 capacity) {
  Superblock superblock{};
  superblock.device_count = 1;
  const Status status = plan_geometry({.capacity = Bytes{capacity}}, superblock);
  EXPECT_TRUE(status.ok()) << capacity;
  seal(superblock);
  return superblock;
}

void reseal(Superblock& superblock) { superblock.checksum = codec::crc32c(bytes_of(superblock).subspan(4)); }

TEST(Superblock, geometry_follows_capacity) {
  struct Case {
    u64 capacity, bucket, slices, journal;
  };
  for (const Case& c :
       {Case{64 * mib, 512 * kib, 1, 8 * mib}, Case{255 * mib, 512 * kib, 1, 8 * mib},
        Case{256 * mib, 512 * kib, 1, 16 * mib}, Case{gib, 512 * kib, 4, 32 * mib}, Case{4 * gib, mib, 4, 128 * mib},
        Case{64 * gib, mib, 16, gib}, Case{1024 * gib, mib, 256, gib}, Case{1025 * gib, 2 * mib, 256, gib},
        Case{5000 * gib, 4 * mib, 256, gib}, Case{65536 * gib, 8 * mib, 256, gib}}) {
    SCOPED_TRACE(c.capacity / mib);
    const Superblock s = planned(c.capacity);
    EXPECT_TRUE(validate(s).ok());
    EXPECT_EQ(s.bucket_blocks * block_bytes, c.bucket);
    EXPECT_EQ(u64{s.slices}, c.slices);
    EXPECT_EQ(s.journal_buckets * c.bucket, c.journal);
    EXPECT_EQ(u32{s.usable_percent}, 92u);
    EXPECT_LT(s.bucket_count * s.bucket_blocks, u64{s.capacity_blocks});  // the last copy has its block
    EXPECT_GE((s.bucket_count - s.first_data_bucket) / s.slices, 64u);
  }
}

// A device small for so many cores was dealt to some of them only: 16 slices for 48 cores.
TEST(Superblock, each_core_gets_a_slice_where_there_is_room) {
  struct Case {
    u64 capacity, cores, slices;
  };
  for (const Case& c : {Case{8 * gib, 1, 2}, Case{8 * gib, 2, 2}, Case{8 * gib, 3, 8}, Case{16 * gib, 48, 128},
                        Case{8 * gib, 64, 64}, Case{64 * gib, 192, 512}, Case{1024 * gib, 2, 256}, Case{64 * mib, 48, 1},
                        Case{gib, 192, 16}}) {
    SCOPED_TRACE(fmt::format("{} cores, {} MiB", c.cores, c.capacity / mib));
    Superblock s{};
    ASSERT_TRUE(plan_geometry({.capacity = Bytes{c.capacity}, .cores = c.cores}, s).ok());
    EXPECT_EQ(u64{s.slices}, c.slices);
  }
}

TEST(Superblock, any_capacity_gives_a_valid_geometry) {
  for (u64 capacity = 64 * mib; capacity < 20000 * gib; capacity += capacity / 7 + 12345)
    EXPECT_TRUE(validate(planned(capacity)).ok()) << capacity;
}

TEST(Superblock, requests_are_checked) {
  Superblock s{};
  const auto code = [&](GeometryRequest request) { return plan_geometry(request, s).error().code; };
  EXPECT_EQ(code({.capacity = Bytes{64 * mib - 1}}), Code::device_too_small);
  EXPECT_EQ(code({.capacity = Bytes{gib}, .bucket_bytes = 3 * mib}), Code::superblock_geometry_invalid);
  EXPECT_EQ(code({.capacity = Bytes{gib}, .bucket_bytes = 16 * mib}), Code::superblock_geometry_invalid);
  EXPECT_EQ(code({.capacity = Bytes{gib}, .slices = 3}), Code::superblock_geometry_invalid);
  EXPECT_EQ(code({.capacity = Bytes{gib}, .slices = 4096}), Code::device_too_small);
  EXPECT_EQ(code({.capacity = Bytes{gib}, .journal_bytes = 2 * gib}), Code::device_too_small);
  EXPECT_TRUE(plan_geometry({.capacity = Bytes{gib}, .slices = 16, .journal_bytes = 100 * mib}, s).ok());
  EXPECT_EQ(u16{s.slices}, 16);
  EXPECT_EQ(u64{s.journal_buckets}, 200u);
}

TEST(Superblock, each_reason_to_refuse) {
  struct Case {
    const char* name;
    std::function<void(Superblock&)> damage;
    bool seal;
    Code expected;
  };
  const Case cases[] = {
      {"magic", [](Superblock& s) { s.magic = 1; }, true, Code::superblock_magic_mismatch},
      {"checksum", [](Superblock& s) { s.label[3] = 'x'; }, false, Code::superblock_checksum_mismatch},
      {"version", [](Superblock& s) { s.version = format_version + 1; }, true, Code::superblock_version_unsupported},
      {"feature", [](Superblock& s) { s.features_required = 1ull << 40; }, true, Code::superblock_feature_unsupported},
      {"block", [](Superblock& s) { s.block_kib = u16{8}; }, true, Code::superblock_geometry_invalid},
      {"device index", [](Superblock& s) { s.device_index = u16{1}; }, true, Code::superblock_geometry_invalid},
      {"slices", [](Superblock& s) { s.slices = u16{3}; }, true, Code::superblock_geometry_invalid},
      {"no slices", [](Superblock& s) { s.slices = u16{0}; }, true, Code::superblock_geometry_invalid},
      {"bucket", [](Superblock& s) { s.bucket_blocks = u64{100}; }, true, Code::superblock_geometry_invalid},
      {"capacity", [](Superblock& s) { s.capacity_blocks = ~0ull; }, true, Code::superblock_geometry_invalid},
      {"buckets", [](Superblock& s) { s.bucket_count = s.bucket_count + 1; }, true, Code::superblock_geometry_invalid},
      {"ring", [](Superblock& s) { s.commit_ring_block = u64{64}; }, true, Code::superblock_geometry_invalid},
      {"headers", [](Superblock& s) { s.slice_headers_block = ~0ull; }, true, Code::superblock_geometry_invalid},
      {"headers on ring", [](Superblock& s) { s.slice_headers_block = s.commit_ring_block; }, true,
       Code::superblock_geometry_invalid},
      {"journal place", [](Superblock& s) { s.journal_first_bucket = ~0ull; }, true, Code::superblock_geometry_invalid},
      {"journal size", [](Superblock& s) { s.journal_buckets = ~0ull; }, true, Code::superblock_geometry_invalid},
      {"data", [](Superblock& s) { s.first_data_bucket = u64{1}; }, true, Code::superblock_geometry_invalid},
      {"region", [](Superblock& s) { s.region_bytes = u64{5}; }, true, Code::superblock_geometry_invalid},
      {"data checksum", [](Superblock& s) { s.data_checksum = 4; }, true, Code::superblock_checksum_kind_invalid},
      {"metadata checksum", [](Superblock& s) { s.metadata_checksum = 4; }, true, Code::superblock_checksum_kind_invalid},
      {"no metadata checksum", [](Superblock& s) { s.metadata_checksum = 0; }, true, Code::superblock_checksum_kind_invalid},
      {"usable", [](Superblock& s) { s.usable_percent = 0; }, true, Code::superblock_geometry_invalid},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Superblock s = planned(gib);
    c.damage(s);
    if (c.seal) reseal(s);
    const Status status = validate(s);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected);
  }
}

TEST(Superblock, text_survives_any_label) {
  Superblock s = planned(gib);
  std::memset(s.label, 0xff, sizeof s.label);  // no NUL
  EXPECT_NE(to_text(s).find("????"), std::string::npos);
}

}  // namespace
}  // namespace cowfs::format
