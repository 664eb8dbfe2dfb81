// The single-flush commit, step by step: one block of data, the record that names it, and the commit block are all in
// the device's cache when the power goes.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/codec/checksum.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/sim_device.h"
#include "engine/format/values.h"
#include "engine/journal/journal.h"
#include "engine/journal/verify.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::journal {
namespace {

using device::Image;
using device::SimDevice;
using format::Superblock;

Superblock small_filesystem() {
  Superblock superblock{};
  superblock.uuid = {9, 8, 7};
  superblock.device_count = 1;
  const Status planned = format::plan_geometry({.capacity = format::device_bytes_min}, superblock);
  EXPECT_TRUE(planned.ok());
  format::seal(superblock);
  return superblock;
}

struct KeepsAll final : EpochObserver, ReclaimTarget {
  void epoch_sealed(Epoch) override {}
  void epoch_durable(Epoch) override {}
  Epoch oldest_needed(CoreIndex) override { return {2}; }
  void checkpoint_wanted(Epoch) override {}
};

// A journal on one core of a simulated device, which may start with an image that a power cut left.
struct Session {
  explicit Session(Image image, bool fresh = false) : device(std::move(image), {.seed = 3}) {
    if (fresh) {
      const Status made = cores.run(0, Journal::initialise(device, superblock));
      EXPECT_TRUE(made.ok());
    }
    Result<History> read = cores.run(0, read_history(device, superblock));
    EXPECT_TRUE(read.ok()) << to_text(read.error());
    history = std::move(*read);
  }
  ~Session() {
    if (journal != nullptr) cores.run(0, journal->stop());
  }
  void start(bool retires = true) {
    if (retires) {
      const Status retired = cores.run(0, retire(history, device));
      EXPECT_TRUE(retired.ok());
    }
    const JournalOptions options{.close_interval_ns = 1'000'000'000, .single_flush = true};
    journal = std::make_unique<Journal>(std::vector<device::Device*>{&device}, history,
                                        std::vector<CoreHooks>{{&hooks, &hooks}}, options);
    EXPECT_TRUE(cores.run(0, begin()).ok());
  }
  Task<Status> begin() { co_return journal->start(); }

  u64 data_block(u64 number) const { return superblock.first_data_bucket * superblock.bucket_blocks + number; }

  // One block full of `byte` at data block `number`, named by the first extent of file 5.
  Task<Status> write(u64 number, unsigned byte) {
    device::AlignedBuffer data(block_bytes);
    std::fill_n(data.data(), block_bytes, static_cast<std::byte>(byte));
    device::IoAwaiter written = device.write(data_block(number) * block_bytes, data.span());
    const Status stored = co_await written;
    if (!stored.ok()) co_return stored;
    format::BlockChecksums checksums;
    checksums.kind = checksum_kind;
    codec::checksum_blocks(checksum_kind, data.data(), 1, checksums.of(0));
    const auto value = format::ExtentValue::data(format::Address{data_block(number)}, 3, 1, checksums);
    co_return co_await name(value.bytes());
  }
  Task<Status> name(ByteSpan value) {
    Stream& stream = journal->stream(0);
    const Status room = co_await stream.reserve(record_bytes(value.size()));
    if (room.ok()) stream.append(0, TreeId::extents, UpdateKind::upsert, {5, 0, format::snapshot_live}, value);
    co_return room;
  }
  Task<Status> commit() { return journal->stream(0).commit(journal->stream(0).current()); }
  Task<void> wait(u64 ns) { co_await runtime::sleep_until(runtime::this_reactor().now_ns() + ns); }

  void write_now(u64 number, unsigned byte) { EXPECT_TRUE(cores.run(0, write(number, byte)).ok()); }
  void commit_now() { EXPECT_TRUE(cores.run(0, commit()).ok()); }

  // What may be missing after a power cut, by its place.
  enum Part : unsigned { data_part = 1, entry_part = 2, block_part = 4, all_parts = 7 };
  Part part_of(u64 offset) const {
    const u64 at = offset / block_bytes;
    const JournalLayout layout = JournalLayout::of(superblock);
    const u64 ring_end = layout.commit_ring_block + format::commit_slots * format::commit_slot_blocks;
    if (at >= layout.commit_ring_block && at < ring_end) return block_part;
    const bool in_journal = at >= layout.bucket_block(0) && at < layout.bucket_block(layout.buckets);
    return in_journal ? entry_part : data_part;
  }
  Image left_of(unsigned parts) const {
    const std::vector<device::PendingWrite> pending = device.pending_writes();
    return device.crash_image(
        [&](std::size_t write, u64) { return (parts & part_of(pending[write].offset)) != 0; });
  }
  // Commits, and takes the image that the power leaves when all of it has just reached the device's cache.
  std::vector<Image> images_of_commit(std::vector<unsigned> parts) {
    std::vector<Image> images;
    device.set_observer([&](SimDevice&) {
      const auto pending = device.pending_writes();
      const auto is_block = [this](const device::PendingWrite& write) { return part_of(write.offset) == block_part; };
      const bool all = std::all_of(pending.begin(), pending.end(), [](const auto& write) { return write.completed; });
      if (!all || std::none_of(pending.begin(), pending.end(), is_block) || !images.empty()) return;
      for (const unsigned kept : parts) images.push_back(left_of(kept));
    });
    commit_now();
    device.set_observer(nullptr);
    EXPECT_EQ(images.size(), parts.size()) << "the block was not written before the flush";
    return images;
  }

  runtime::SimCores cores{{.cores = 1, .seed = 3}};
  Superblock superblock = small_filesystem();
  ChecksumKind checksum_kind = ChecksumKind::crc32c;  // of data
  SimDevice device;
  History history;
  KeepsAll hooks;
  std::unique_ptr<Journal> journal;
};

Image empty() { return Image{format::device_bytes_min.value}; }

TEST(SingleFlush, an_epoch_counts_only_when_all_of_it_arrived) {
  for (const ChecksumKind kind : {ChecksumKind::crc32c, ChecksumKind::crc64, ChecksumKind::xxh3}) {
    SCOPED_TRACE(name(kind));
    Session first(empty(), true);
    first.checksum_kind = kind;
    first.start();
    first.write_now(0, 1);
    first.commit_now();
    const Epoch acknowledged = first.journal->durable();
    first.write_now(1, 2);
    const std::vector<Image> images = first.images_of_commit({0, 1, 2, 3, 4, 5, 6, 7});
    EXPECT_EQ(first.journal->counters().single_flush_commits, 2u);
    for (unsigned kept = 0; kept <= Session::all_parts && kept < images.size(); ++kept) {
      SCOPED_TRACE(testing::Message() << "kept " << kept);
      const Session after(images[kept]);
      const bool whole = kept == Session::all_parts;
      EXPECT_EQ(after.history.last.value, acknowledged.value + (whole ? 1 : 0));
      EXPECT_EQ(after.history.refused.value != 0, !whole && (kept & Session::block_part) != 0);
    }
  }
}

TEST(SingleFlush, data_without_checksums_are_flushed_first) {
  Session session(empty(), true);
  session.checksum_kind = ChecksumKind::none;
  session.start();
  session.write_now(0, 1);
  session.commit_now();
  EXPECT_EQ(session.journal->counters().commits, 1u);
  EXPECT_EQ(session.journal->counters().single_flush_commits, 0u);
}

// A block that was written and replaced in one epoch may be written again once that epoch is acknowledged, while its
// commit block is still the newest: what it held then is nobody's.
TEST(SingleFlush, data_that_died_in_its_epoch_may_be_gone) {
  Session first(empty(), true);
  first.start();
  first.write_now(0, 1);
  first.write_now(1, 2);
  first.commit_now();
  const Epoch acknowledged = first.journal->durable();
  first.write_now(0, 3);
  Session after(first.device.image());
  EXPECT_EQ(after.history.last, acknowledged);
  EXPECT_EQ(after.history.refused.value, 0u);
}

// The same program, run again after the crash, writes the same data to the same place: the refused epoch is whole now,
// but somebody has seen the filesystem without it.
TEST(SingleFlush, a_refused_epoch_is_retired_for_good) {
  Session first(empty(), true);
  first.start();
  first.write_now(0, 1);
  const std::vector<Image> images = first.images_of_commit({Session::entry_part | Session::block_part});
  ASSERT_EQ(images.size(), 1u);
  for (const bool retires : {false, true}) {
    Session second(images[0]);
    const Epoch refused = second.history.refused;
    ASSERT_NE(refused.value, 0u);
    second.start(retires);
    second.write_now(0, 1);
    const Session third(second.device.image());
    EXPECT_EQ(third.history.last == refused, !retires);
    EXPECT_EQ(third.history.entries.empty(), retires);
  }
}

TEST(SingleFlush, epochs_that_would_take_long_to_verify_are_flushed_first) {
  Session session(empty(), true);
  session.start();
  const format::BlockChecksums checksums{.kind = ChecksumKind::crc32c, .bytes = {}};
  const auto value =
      format::ExtentValue::data(format::Address{session.data_block(0)}, 3, format::extent_blocks_max, checksums);
  for (u64 bytes = 0; bytes <= verified_bytes_max; bytes += format::extent_blocks_max * block_bytes)
    EXPECT_TRUE(session.cores.run(0, session.name(value.bytes())).ok());
  session.commit_now();
  EXPECT_EQ(session.journal->counters().commits, 1u);
  EXPECT_EQ(session.journal->counters().single_flush_commits, 0u);
}

// Damage at rest cannot be told from a write that never arrived; so the doubt ends soon, whether anything happens or
// not.
TEST(SingleFlush, when_nothing_more_happens_the_last_epoch_is_confirmed) {
  Session session(empty(), true);
  session.start();
  session.write_now(0, 1);
  session.commit_now();
  session.cores.run(0, session.wait(3'000'000'000));
  EXPECT_EQ(session.journal->counters().commits, 2u);
  session.device.damage(session.data_block(0) * block_bytes, block_bytes);
  const Session after(session.device.image());
  EXPECT_EQ(after.history.last, session.journal->durable()) << "a damaged block must not shorten history";
}

}  // namespace
}  // namespace cowfs::journal
