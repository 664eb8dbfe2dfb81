#include "workloads/fio_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace cowbench::workloads {
namespace {

FioJob job(std::string_view text) {
  auto sections = parse_fio_text(text, "test.fio");
  auto jobs = fio_jobs(std::get<FioSections>(sections));
  if (const auto* error = std::get_if<FioError>(&jobs)) ADD_FAILURE() << error->to_text();
  return std::get<std::vector<FioJob>>(std::move(jobs)).front();
}

std::vector<FioOp> all(const FioJob& job, u32 clone = 0, u64 seed = 1, std::size_t at_most = 1'000'000) {
  FioStream stream(job, clone, seed);
  std::vector<FioOp> ops;
  while (ops.size() < at_most) {
    const auto op = stream.next();
    if (!op) break;
    ops.push_back(*op);
  }
  return ops;
}

TEST(RandomOrder, IsABijection) {
  for (const u64 count : {1, 2, 3, 4, 5, 17, 64, 1000, 4097}) {
    const RandomOrder order(count, 7);
    std::set<u64> seen;
    for (u64 at = 0; at < count; ++at) seen.insert(order.at(at));
    EXPECT_EQ(seen.size(), count);
    EXPECT_EQ(*seen.rbegin(), count - 1);
  }
}

TEST(FioStream, ARandomMapCoversEachBlockOnceAPass) {
  const FioJob wanted = job("[a]\nrw=randwrite\nsize=16m\nbs=4k\nloops=2\n");
  const auto ops = all(wanted);
  ASSERT_EQ(ops.size(), 2u * 4096);
  for (u32 pass = 0; pass < 2; ++pass) {
    std::set<u64> offsets;
    for (u32 at = 0; at < 4096; ++at) offsets.insert(ops[pass * 4096 + at].offset);
    EXPECT_EQ(offsets.size(), 4096u);
  }
  // The order is random: few neighbours follow each other.
  u32 neighbours = 0;
  for (u32 at = 1; at < 4096; ++at) neighbours += ops[at].offset == ops[at - 1].offset + 4096;
  EXPECT_LT(neighbours, 20u);
}

// Each lane of a clone asks until it is told the end. The count of loops once ran below zero at the first answer, and the
// second lane to ask began four thousand million more.
TEST(FioStream, TheEndStaysTheEnd) {
  const FioJob wanted = job("[a]\nrw=randwrite\nsize=16k\n");
  FioStream stream(wanted, 0, 1);
  for (u32 at = 0; at < 4; ++at) EXPECT_TRUE(stream.next().has_value());
  for (u32 at = 0; at < 8; ++at) EXPECT_FALSE(stream.next().has_value());
}

TEST(FioStream, TheSameSeedIsTheSameStream) {
  const FioJob repeated = job("[a]\nrw=randrw\nsize=16m\n");
  const FioJob fresh = job("[a]\nrw=randrw\nsize=16m\nrandrepeat=0\n");
  const auto offsets = [](const std::vector<FioOp>& ops) {
    std::vector<u64> list;
    for (const FioOp& op : ops) list.push_back(op.offset * 8 + static_cast<u64>(op.kind));
    return list;
  };
  EXPECT_EQ(offsets(all(repeated, 0, 1)), offsets(all(repeated, 0, 2)));
  EXPECT_NE(offsets(all(repeated, 0, 1)), offsets(all(repeated, 1, 1)));
  EXPECT_EQ(offsets(all(fresh, 0, 1)), offsets(all(fresh, 0, 1)));
  EXPECT_NE(offsets(all(fresh, 0, 1)), offsets(all(fresh, 0, 2)));
}

TEST(FioStream, SequencesGoOnWrapAndGoBackwards) {
  const auto forward = all(job("[a]\nrw=read\nsize=64k\nbs=16k\nio_size=96k\n"));
  std::vector<u64> offsets;
  for (const FioOp& op : forward) offsets.push_back(op.offset);
  EXPECT_EQ(offsets, (std::vector<u64>{0, 16384, 32768, 49152, 0, 16384}));
  offsets.clear();
  for (const FioOp& op : all(job("[a]\nrw=read:-32k\nsize=64k\nbs=16k\n"))) offsets.push_back(op.offset);
  EXPECT_EQ(offsets, (std::vector<u64>{32768, 16384, 0, 32768}));
  offsets.clear();
  for (const FioOp& op : all(job("[a]\nrw=write:16k\nsize=64k\nbs=16k\nio_size=32k\n"))) offsets.push_back(op.offset);
  EXPECT_EQ(offsets, (std::vector<u64>{0, 32768}));
}

TEST(FioStream, MixesAndSplitsHaveTheirShares) {
  std::map<u64, u32> sizes;
  u32 reads = 0;
  const auto ops = all(job("[a]\nrw=randrw\nrwmixread=70\nsize=1g\nbssplit=4k/60:64k/40\nnumber_ios=20000\n"));
  ASSERT_EQ(ops.size(), 20'000u);
  for (const FioOp& op : ops) {
    ++sizes[op.bytes];
    reads += op.kind == FioOp::Kind::read;
    EXPECT_LE(op.offset + op.bytes, cowfs::gib);
  }
  EXPECT_NEAR(reads, 14'000, 300);
  EXPECT_NEAR(sizes[4096], 12'000, 300);
  EXPECT_NEAR(sizes[65536], 8'000, 300);
}

TEST(FioStream, SyncsComeAfterSoManyWrites) {
  const auto ops = all(job("[a]\nrw=randwrite\nsize=1m\nfsync=32\n"));
  ASSERT_GT(ops.size(), 33u);
  EXPECT_EQ(ops[32].kind, FioOp::Kind::fsync);
  EXPECT_EQ(std::ranges::count(ops, FioOp::Kind::fsync, &FioOp::kind), 256 / 32);
}

TEST(FioStream, FilesAndOffsets) {
  const FioJob two = job("[a]\nrw=randread\nsize=32m\nnrfiles=2\nnumjobs=2\n");
  const auto files = fio_files(two, 1);
  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[1].name, "a.1.1");
  EXPECT_EQ(files[1].bytes, 16 * cowfs::mib);
  EXPECT_EQ(all(two).size(), 8192u);
  const FioJob shared = job("[a]\nrw=write\nfilename=s\nsize=16m\noffset_increment=16m\nnumjobs=2\n");
  EXPECT_EQ(fio_files(shared, 1).front().bytes, 32 * cowfs::mib);
  EXPECT_EQ(all(shared, 1).front().offset, 16 * cowfs::mib);
  const FioJob tail = job("[a]\nrw=write\nsize=16m\noffset=75%\n");
  EXPECT_EQ(all(tail).size(), 1024u);
}

// The share of the hottest blocks, as theory has it.
TEST(FioStream, SkewedDistributionsAreSkewed) {
  struct Case {
    const char* name;
    double low, high;  // the share of draws that the hottest 1% of the blocks get
  };
  // zipf 1.2 over 4096: H(41) / H(4096) = 0.72; zipf 0.9: 0.37; pareto 0.2 (80/20 again and again): 0.01^(1/7.2) = 0.53.
  for (const Case& c : {Case{"zipf:1.2", 0.69, 0.76}, Case{"zipf:0.9", 0.34, 0.40}, Case{"zipf:1.0", 0.45, 0.52},
                        Case{"pareto:0.2", 0.49, 0.58}, Case{"random", 0.009, 0.03}}) {
    SCOPED_TRACE(c.name);
    const FioJob skewed = job(std::string("[a]\nrw=randread\nsize=16m\nnorandommap\nio_size=400m\nrandom_distribution=") + c.name);
    std::map<u64, u32> draws;
    for (const FioOp& op : all(skewed)) ++draws[op.offset];
    std::vector<u32> counts;
    u64 total = 0;
    for (const auto& [offset, count] : draws) counts.push_back(count), total += count;
    std::ranges::sort(counts, std::greater<>());
    u64 hottest = 0;
    for (std::size_t at = 0; at < 41 && at < counts.size(); ++at) hottest += counts[at];
    const double share = static_cast<double>(hottest) / static_cast<double>(total);
    EXPECT_GT(share, c.low);
    EXPECT_LT(share, c.high);
  }
}

TEST(FioStream, ZonesGetTheirShare) {
  const FioJob zoned = job("[a]\nrw=randread\nsize=40m\nio_size=400m\nrandom_distribution=zoned:60/10:30/20:10/70\n");
  u32 first = 0, second = 0, count = 0;
  for (const FioOp& op : all(zoned)) {
    ++count;
    first += op.offset < 4 * cowfs::mib;
    second += op.offset >= 4 * cowfs::mib && op.offset < 12 * cowfs::mib;
  }
  EXPECT_NEAR(first / static_cast<double>(count), 0.6, 0.02);
  EXPECT_NEAR(second / static_cast<double>(count), 0.3, 0.02);
}

}  // namespace
}  // namespace cowbench::workloads
