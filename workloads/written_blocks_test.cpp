#include "workloads/written_blocks.h"

#include <gtest/gtest.h>

#include <map>

#include "engine/base/random.h"
#include "workloads/fio_stream.h"

namespace cowbench::workloads {
namespace {

FioJob job(std::string_view text) {
  auto sections = parse_fio_text(text, "test.fio");
  auto read = fio_jobs(std::get<FioSections>(sections));
  if (const auto* error = std::get_if<FioError>(&read)) ADD_FAILURE() << error->to_text();
  return std::get<std::vector<FioJob>>(read).front();
}

// Beside a model that knows for each byte which write it is of: a block is held while all its bytes are.
TEST(WrittenBlocks, HoldWhatNoLaterWriteTouched) {
  for (const u64 seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    cowfs::Random random(seed);
    WrittenBlocks blocks;
    std::map<u64, WrittenBlock> all;
    std::vector<u64> of_byte(200);
    for (u64 number = 1; number < 300; ++number) {
      const WrittenBlock block{0, random.below(180), 1 + random.below(20), number};
      blocks.add(block);
      all[number] = block;
      for (u64 at = block.offset; at < block.offset + block.bytes; ++at) of_byte[at] = number;
    }
    std::size_t whole = 0;
    for (const auto& [number, block] : all) {
      bool is_whole = true;
      for (u64 at = block.offset; at < block.offset + block.bytes; ++at) is_whole = is_whole && of_byte[at] == number;
      whole += is_whole ? 1 : 0;
    }
    EXPECT_EQ(blocks.size(), whole);
    for (u64 end = 0; const auto block = blocks.take_first();) {
      EXPECT_GE(block->offset, end);
      end = block->offset + block->bytes;
      for (u64 at = block->offset; at < end; ++at) EXPECT_EQ(of_byte[at], block->number);
    }
  }
}

TEST(WrittenBlocks, FilesAreApart) {
  WrittenBlocks blocks;
  blocks.add({0, 4096, 4096, 1});
  blocks.add({1, 4096, 4096, 2});
  EXPECT_EQ(blocks.forget(1, 0, 4096), 0u);
  EXPECT_EQ(blocks.forget(1, 0, 4097), 1u);
  EXPECT_EQ(blocks.size(), 1u);
}

// 256 blocks, written twice: the first 300 writes and no more. With 256 of them durable, the 44 blocks that were written
// again hold either; the others must hold the first.
TEST(ReplayWrites, WhatIsDurableMustBeThereAndWhatCameLaterIsDoubtful) {
  const FioJob twice = job("[a]\nrw=randwrite\nsize=1m\nloops=2\nverify=crc32c\nfsync=32\n");
  const u64 none[] = {0}, once[] = {256}, all[] = {300};
  const auto everything = replay_writes(twice, 0, 7, 300, all);
  EXPECT_EQ(everything.blocks.size(), 256u);
  EXPECT_EQ(everything.doubtful, 0u);
  auto some = replay_writes(twice, 0, 7, 300, once);
  EXPECT_EQ(some.blocks.size(), 212u);
  EXPECT_EQ(some.doubtful, 44u);
  while (const auto block = some.blocks.take_first()) EXPECT_LE(block->number, 256u);
  EXPECT_EQ(replay_writes(twice, 0, 7, 300, none).blocks.size(), 0u);
  // A damaged count ends with the job.
  const u64 damaged[] = {~0ull};
  EXPECT_EQ(replay_writes(twice, 0, 7, ~0ull, damaged).blocks.size(), 256u);
}

}  // namespace
}  // namespace cowbench::workloads
