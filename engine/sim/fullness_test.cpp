// A filesystem that is full: everything accepted is kept, space comes back, and overwriting goes on for ever.
#include "engine/sim/filler_test_internal.h"

namespace cowfs::sim {
namespace {

std::string random_text(Random& random, u64 bytes) {
  std::string text(bytes, ' ');
  for (char& byte : text) byte = static_cast<char>('a' + random.below(26));
  return text;
}

// Asks for more and more of `data` to be written, from the front, until nothing more is; then one more time.
Task<void> write_too_much(fs::Operations* operations, int flags, const std::string* data, u64* there) {
  const Result<FileHandle> handle = co_await operations->open("/last", O_RDWR | O_CREAT | flags, 0644);
  EXPECT_TRUE(handle.ok()) << to_text(handle.error());
  if (!handle) co_return;
  device::AlignedBuffer buffer(data->size());
  std::memcpy(buffer.data(), data->data(), data->size());
  int refusals = 0;
  while (refusals < 2 && *there < data->size()) {
    const Result<u64> written = co_await operations->write(*handle, *there, buffer.span().subspan(*there));
    if (written) {
      EXPECT_EQ(refusals, 0);
      EXPECT_GT(*written, 0u);
      *there += *written;
    } else {
      EXPECT_EQ(to_errno(written.error().code), ENOSPC);
      ++refusals;
    }
    const Result<Attributes> attributes = co_await operations->stat(*handle);
    EXPECT_EQ(attributes->size, *there);
  }
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
}

// Of /last, which is made longer first: nothing comes to light behind it.
Task<void> expect_content(fs::Operations* operations, std::string_view content) {
  const Result<FileHandle> handle = co_await operations->open("/last", O_RDWR, 0);
  const u64 longer = content.size() + 8 * mib;
  EXPECT_TRUE((co_await operations->truncate(*handle, longer)).ok());
  device::AlignedBuffer buffer(longer);
  const Result<u64> read = co_await operations->read(*handle, 0, buffer.span());
  EXPECT_EQ(read.ok() ? *read : 0, longer);
  const std::string_view got{reinterpret_cast<const char*>(buffer.data()), longer};
  EXPECT_TRUE(got.starts_with(content));
  EXPECT_EQ(got.find_first_not_of('\0', content.size()), std::string_view::npos);
  EXPECT_TRUE((co_await operations->truncate(*handle, content.size())).ok());
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
}

TEST(Fullness, fills_up_keeps_everything_and_empties_again) {
  for (u64 seed : seeds(3)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    Image image =
        make_filesystem({.slices = static_cast<u16>(1 << random.below(3)), .region_bytes = 64 * mib, .seed = seed});
    auto filesystem = std::make_unique<SimulatedFilesystem>(image, random_settings(random));
    ASSERT_TRUE(filesystem->mount().ok());
    const u64 usable = usable_blocks(*filesystem);
    Filler filler(*filesystem);
    for (int round = 0; round < 3 && !HasFailure(); ++round) {
      fill(*filesystem, filler, random.one_in(2) ? O_DIRECT : 0);
      EXPECT_GE(filler.blocks() * 100, usable * 97) << filler.blocks() << " of " << usable;
      check_files(*filesystem, filler);
      const Status closed = filesystem->close();
      EXPECT_TRUE(closed.ok()) << to_text(closed.error());
      image = filesystem->device().crash_image_all_lost();
      filesystem = std::make_unique<SimulatedFilesystem>(image, random_settings(random));
      ASSERT_TRUE(filesystem->mount().ok());
      filler.use(*filesystem);
      check_files(*filesystem, filler);
      const u64 remove = random.one_in(2) ? filler.files().size() : 1 + random.below(filler.files().size());
      filesystem->run(0, [&] { return filler.remove_last(remove); });
    }
    if (HasFailure()) return;
  }
}

void fill_and_overwrite(const FormatSettings& format, Random& random) {
  SimulatedFilesystem filesystem(make_devices(format), random_settings(random));
  ASSERT_TRUE(filesystem.mount().ok());
  Filler filler(filesystem);
  if (random.one_in(2)) filler.make_directories(format.slices);
  fill(filesystem, filler, 0);
  Filler::Overwriting load{.seed = format.seed, .direct = random.one_in(2), .skewed = random.one_in(2)};
  if (random.one_in(2)) load.sync_every = 32;
  for (int round = 0; round < 2 && !testing::Test::HasFailure(); ++round) {
    filesystem.run(0, [&] { return filler.overwrite(load); });
  }
  check_files(filesystem, filler);
  const Status closed = filesystem.close();
  EXPECT_TRUE(closed.ok()) << to_text(closed.error());
}

// Metadata took buckets from its reserve and what it gave back went to users, until neither copygc nor a checkpoint found
// one; and a direct write whose extents were not in memory was refused as if it were new data. So overwriting a full device
// ended with ENOSPC, sooner the smaller the device.
TEST(Fullness, a_full_device_can_be_overwritten_for_ever) {
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    FormatSettings format{.region_bytes = 64 * mib, .seed = seed};
    format.slices = static_cast<u16>(1 << seed % 3);
    if (random.one_in(2)) format.device_bytes = 64 * mib + random.below(10'000) * block_bytes;
    fill_and_overwrite(format, random);
    if (HasFailure()) return;
  }
}

// There each device write may leave most of a stripe empty, and what copygc moves must not.
TEST(Fullness, in_stripes_full_devices_can_be_overwritten_for_ever) {
  constexpr ErasureCoding codes[] = {{3, 1}, {2, 1}};
  for (u64 seed : seeds(1)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    FormatSettings format{.region_bytes = 64 * mib, .seed = seed};
    format.erasure = codes[seed % std::size(codes)];
    format.devices = format.erasure.data_shards + u64{format.erasure.parity_shards};
    format.slices = static_cast<u16>(1 << seed % 3);
    fill_and_overwrite(format, random);
    if (HasFailure()) return;
  }
}

// A write of several windows or regions that met the end of space in its middle was refused, and what it had put into the cache
// was written back all the same, behind the end of the file: check named extent_past_end, and a file that grew showed it. An
// append that was refused left zeros.
TEST(Fullness, a_write_that_meets_the_end_of_space_answers_with_what_it_wrote) {
  for (u64 seed : seeds(12)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const FormatSettings format{.slices = static_cast<u16>(1 << seed % 3), .region_bytes = 256 * kib, .seed = seed};
    auto filesystem = std::make_unique<SimulatedFilesystem>(make_filesystem(format), random_settings(random));
    ASSERT_TRUE(filesystem->mount().ok());
    Filler filler(*filesystem);
    fill(*filesystem, filler, 0);
    filesystem->run(0, [&] { return filler.remove_last(2); });
    const int flags = seed % 4 == 0 ? O_APPEND : seed % 4 == 1 ? O_DIRECT : 0;
    const std::string data = random_text(random, 8 * mib);
    u64 there = 0;
    filesystem->run(0, [&] { return write_too_much(&filesystem->operations(), flags, &data, &there); });
    EXPECT_GE(there, filler_file_bytes);
    filesystem->run(0, [&] { return expect_content(&filesystem->operations(), std::string_view(data).substr(0, there)); });
    ASSERT_TRUE(filesystem->close().ok());
    expect_sound(filesystem->device().image());
    if (HasFailure()) return;
  }
}

// Files are removed in the background, and what metadata does not need any more is free after a checkpoint: a write that came
// before was refused.
TEST(Fullness, what_was_removed_is_written_at_once) {
  for (u64 seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const FormatSettings format{.slices = static_cast<u16>(1 << seed / 2 % 2), .region_bytes = 256 * kib, .seed = seed};
    MountSettings settings = random_settings(random);
    settings.node_cache_bytes = 128 * kib;  // so removals wait for nodes
    settings.device.read_ns_min = settings.device.read_ns_max = 5'000'000;
    SimulatedFilesystem filesystem(make_filesystem(format), settings);
    ASSERT_TRUE(filesystem.mount().ok());
    Filler filler(filesystem);
    const std::string data = random_text(random, 8 * mib);
    u64 expected = data.size();
    fill(filesystem, filler, 0);
    if (seed % 2 == 0) {
      filesystem.run(0, [&] { return filler.remove_last(20 * mib / filler_file_bytes); });
      filesystem.run(0, [&] { return filler.fill_with_links(); });
    } else {
      const u64 before = filler.blocks();
      filesystem.run(0, [&] { return filler.remove_last(2, false); });
      expected = (before - filler.blocks() - data::window_blocks) * block_bytes;
    }
    u64 there = 0;
    const int flags = random.one_in(2) ? O_DIRECT : 0;
    filesystem.run(0, [&] { return write_too_much(&filesystem.operations(), flags, &data, &there); });
    EXPECT_GE(there, expected);
    ASSERT_TRUE(filesystem.close().ok());
    expect_sound(filesystem.device().image());
    if (HasFailure()) return;
  }
}

Task<void> overwrite_both_ways(fs::Operations* operations) {
  constexpr u64 cached_blocks = 100;
  constexpr u64 direct_blocks = 64;
  const Result<FileHandle> cached = co_await operations->open("/f0", O_RDWR, 0);
  const Result<FileHandle> direct = co_await operations->open("/f0", O_RDWR | O_DIRECT, 0);
  device::AlignedBuffer buffer(cached_blocks * block_bytes);
  EXPECT_TRUE((co_await operations->write(*cached, 0, buffer.span())).ok());
  const ByteSpan part = buffer.span().first(direct_blocks * block_bytes);
  EXPECT_TRUE((co_await operations->write(*direct, cached_blocks * block_bytes, part)).ok());
  EXPECT_TRUE((co_await operations->close(*cached)).ok());
  EXPECT_TRUE((co_await operations->close(*direct)).ok());
}

// On a full filesystem the direct write waited for what the cache had borrowed of the same file, and kept it from being written.
TEST(Fullness, a_direct_write_waits_for_its_own_files_dirty_blocks) {
  MountSettings settings;
  settings.steps_max = 20'000'000;
  SimulatedFilesystem filesystem(make_filesystem({.slices = 1, .region_bytes = 64 * mib}), settings);
  ASSERT_TRUE(filesystem.mount().ok());
  Filler filler(filesystem);
  fill(filesystem, filler, 0);
  filesystem.run(0, [&] { return overwrite_both_ways(&filesystem.operations()); });
  ASSERT_TRUE(filesystem.close().ok());
  expect_sound(filesystem.device().image());
}

struct Cleaning {
  u64 buckets = 0;    // emptied by copygc
  u64 shortages = 0;  // of writers
};

Cleaning cleaning_of(SimulatedFilesystem& filesystem) {
  Cleaning cleaning;
  for (runtime::CoreIndex core = 0; core < filesystem.core_count(); ++core) {
    filesystem.state().core(core).each_slice([&](fs::SliceState& slice) {
      cleaning.buckets += slice.copygc.counters().buckets;
      cleaning.shortages += slice.data.supply.shortages();
    });
  }
  return cleaning;
}

// The background cleaner was never woken: every bucket was emptied while a writer waited for it.
TEST(Fullness, buckets_are_emptied_before_a_writer_has_to_wait) {
  for (u64 seed : seeds(4)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const FormatSettings format{.slices = static_cast<u16>(1 << seed % 2), .region_bytes = 64 * mib, .seed = seed};
    SimulatedFilesystem filesystem(make_filesystem(format), random_settings(random));
    ASSERT_TRUE(filesystem.mount().ok());
    Filler filler(filesystem);
    fill(filesystem, filler, 0);
    filesystem.run(0, [&] { return filler.remove_last(filler.files().size() / 3); });
    const Cleaning before = cleaning_of(filesystem);
    const Filler::Overwriting load{.seed = seed, .direct = random.one_in(2), .skewed = random.one_in(2)};
    for (int round = 0; round < 3 && !HasFailure(); ++round) {
      filesystem.run(0, [&] { return filler.overwrite(load); });
    }
    const Cleaning after = cleaning_of(filesystem);
    EXPECT_GT(after.buckets - before.buckets, 10u);
    EXPECT_EQ(after.shortages - before.shortages, 0u);
    check_files(filesystem, filler);
    const Status closed = filesystem.close();
    EXPECT_TRUE(closed.ok()) << to_text(closed.error());
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::sim
