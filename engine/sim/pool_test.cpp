// Filesystems on several devices: what is spread over them, and which sets of devices are refused.
#include <fcntl.h>

#include "engine/admin/members.h"
#include "engine/device/aligned_buffer.h"
#include "engine/pool/stripe_layout.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seed_run.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

ScenarioSettings on_devices(Random& random, u64 devices, u8 replicas) {
  ScenarioSettings settings = random_scenario(random);
  settings.format.devices = devices;
  settings.format.replicas = replicas;
  return settings;
}

// A set that is refused is left alone.
Status mounted(const Images& images, bool degraded = false) {
  MountSettings settings;
  settings.degraded = degraded;
  SimulatedFilesystem filesystem(images, settings);
  const Status status = filesystem.mount();
  for (std::size_t i = 0; i < filesystem.device_count() && !status; ++i) {
    if (filesystem.has_device(i)) {
      EXPECT_EQ(filesystem.device(i).counts().writes, 0u);
    }
  }
  return status;
}

Code refused(const Images& images) {
  const Status status = mounted(images);
  EXPECT_FALSE(status.ok());
  return status ? Code{} : status.error().code;
}

// Two mounts, with crashes after some of the syncs.
void expect_sound_histories(const ScenarioSettings& settings, Random& random) {
  Scenario scenario(settings);
  for (int round = 0; round < 2; ++round) {
    scenario.mount(random_settings(random));
    scenario.try_crashes_after_syncs(8);
    scenario.run_clients(80);
    ASSERT_TRUE(none(scenario.problems()));
    scenario.expect_exact();
    ASSERT_TRUE(none(scenario.problems()));
    scenario.close();
  }
}

TEST(Pool, what_was_written_to_several_devices_is_there_after_each_mount_and_crash) {
  for (u64 seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    expect_sound_histories(on_devices(random, 2 + random.below(4), 1), random);
    if (HasFatalFailure()) return;
  }
}

ScenarioSettings in_stripes(Random& random, ErasureCoding code, u64 devices) {
  ScenarioSettings settings = on_devices(random, devices, 1);
  settings.format.erasure = code;
  return settings;
}

TEST(Pool, what_was_written_in_stripes_is_there_after_each_mount_and_crash) {
  constexpr ErasureCoding codes[] = {{2, 1}, {2, 2}, {3, 1}, {4, 2}, {5, 3}, {3, 4}};
  for (u64 seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const ErasureCoding code = codes[seed % std::size(codes)];
    const u64 devices = code.data_shards + code.parity_shards + random.below(3);
    expect_sound_histories(in_stripes(random, code, devices), random);
    if (HasFatalFailure()) return;
  }
}

// A load, closed: the images of a sound filesystem.
Images loaded(ScenarioSettings settings, u64 seed) {
  settings.format.seed = seed;
  Images images = make_devices(settings.format);
  SimulatedFilesystem filesystem(images, {});
  EXPECT_TRUE(filesystem.mount().ok());
  const Status made = filesystem.run(0, [&filesystem] { return filesystem.operations().mkdir("/there", 0755); });
  EXPECT_TRUE(made.ok());
  EXPECT_TRUE(filesystem.close().ok());
  return filesystem.images();
}

Images loaded(u64 devices, u8 replicas, u64 seed) {
  Random random(seed);
  return loaded(on_devices(random, devices, replicas), seed);
}

Task<Status> write_file(fs::Operations* operations, u64 bytes) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDWR | O_CREAT, 0644);
  if (!file) co_return file.error();
  const std::vector<std::byte> data(mib, std::byte{1});
  for (u64 at = 0; at < bytes; at += data.size()) {
    const Result<u64> written = co_await operations->write(*file, at, data);
    if (!written) co_return written.error();
  }
  const Status synced = co_await operations->fsync(*file);
  if (!synced) co_return synced;
  co_return co_await operations->close(*file);
}

TEST(Pool, one_file_is_spread_over_all_devices) {
  constexpr u64 file_bytes = 32 * mib;
  constexpr u64 devices = 4;
  SimulatedFilesystem filesystem(make_devices({.devices = devices, .slices = 1, .region_bytes = 64 * mib}), {});
  ASSERT_TRUE(filesystem.mount().ok());
  const Status written = filesystem.run(0, [&filesystem] { return write_file(&filesystem.operations(), file_bytes); });
  ASSERT_TRUE(written.ok()) << to_text(written.error());
  for (u64 i = 0; i < devices; ++i)
    EXPECT_GT(filesystem.device(i).counts().written_bytes, file_bytes / devices * 3 / 4) << i;
  EXPECT_TRUE(filesystem.close().ok());
}

Task<Status> read_file(fs::Operations* operations, u64 bytes) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDONLY, 0);
  if (!file) co_return file.error();
  std::vector<std::byte> data(bytes);
  const Result<u64> read = co_await operations->read(*file, 0, data);
  const Status closed = co_await operations->close(*file);
  co_return read ? closed : Status{read.error()};
}

TEST(Pool, an_error_names_the_device_and_the_place_on_it) {
  constexpr u64 file_bytes = 32 * mib, first_unreadable = 12 * mib;
  const FormatSettings format{.devices = 3, .slices = 1, .region_bytes = 64 * mib};
  for (u32 device = 0; device < format.devices; ++device) {
    SimulatedFilesystem filesystem(make_devices(format), {});
    ASSERT_TRUE(filesystem.mount().ok());
    ASSERT_TRUE(filesystem.run(0, [&] { return write_file(&filesystem.operations(), file_bytes); }).ok());
    device::SimDevice& broken = filesystem.device(device);
    broken.make_unreadable(first_unreadable, broken.capacity().value - first_unreadable);
    const Status read = filesystem.run(0, [&] { return read_file(&filesystem.operations(), file_bytes); });
    ASSERT_FALSE(read.ok());
    EXPECT_EQ(read.error().place.device, device) << to_text(read.error());
    EXPECT_GE(read.error().place.offset_bytes, first_unreadable);
    EXPECT_LT(read.error().place.offset_bytes, broken.capacity().value);
  }
}

TEST(Pool, check_finds_nothing_on_a_sound_set) {
  EXPECT_TRUE(none(findings_in(loaded(3, 1, 1))));
}

TEST(Pool, a_wrong_set_is_refused_and_nothing_changes) {
  const Images sound = loaded(3, 1, 1);
  const Images other = loaded(3, 1, 2);
  const Images alone = {make_filesystem({.seed = 3})};
  Image small(sound[1].size() - 16 * mib);
  std::vector<std::byte> bytes(mib);
  for (u64 at = 0; at < small.size(); at += bytes.size()) {
    sound[1].read(at, bytes);
    small.write(at, bytes);
  }
  struct Case {
    const char* name;
    Images images;
    Code expected;
  };
  for (const Case& c :
       {Case{"missing", {sound[0], sound[1]}, Code::superblock_devices_missing},
        Case{"missing, the other way round", {sound[2]}, Code::superblock_devices_missing},
        Case{"foreign", {sound[0], sound[1], other[2]}, Code::pool_device_foreign},
        Case{"of one device", {sound[0], sound[1], sound[2], alone[0]}, Code::pool_device_foreign},
        Case{"first of one device", {alone[0], sound[0]}, Code::pool_device_foreign},
        Case{"twice", {sound[0], sound[1], sound[2], sound[1]}, Code::pool_device_twice},
        Case{"one device twice", {alone[0], alone[0]}, Code::pool_device_twice},
        Case{"shrank", {sound[0], small, sound[2]}, Code::device_truncated},
        Case{"no filesystem", {sound[0], sound[1], Image(sound[0].size())}, Code::superblock_magic_mismatch}}) {
    SCOPED_TRACE(c.name);
    const Status status = mounted(c.images);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, c.expected) << to_text(status.error());
    const Status degraded = mounted(c.images, true);
    ASSERT_FALSE(degraded.ok());
    EXPECT_EQ(degraded.error().code, c.expected) << to_text(degraded.error());
  }
  EXPECT_TRUE(mounted({sound[2], sound[0], sound[1]}).ok());  // in any order
}

// Copies.

// The images after a mount of some of the devices that wrote something.
Images changed(const Images& images, const std::string& name) {
  MountSettings settings;
  settings.degraded = true;
  SimulatedFilesystem filesystem(images, settings);
  const Status mounted = filesystem.mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  const Status made = filesystem.run(0, [&] { return filesystem.operations().mkdir(name, 0755); });
  EXPECT_TRUE(made.ok());
  EXPECT_TRUE(filesystem.close().ok());
  return filesystem.images();
}

bool has(const Images& images, const std::string& name) {
  MountSettings settings;
  settings.degraded = true;
  SimulatedFilesystem filesystem(images, settings);
  const Status mounted = filesystem.mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  if (!mounted) return false;
  const auto found = filesystem.run(0, [&] { return filesystem.operations().stat(name, false); });
  return found.ok();
}

TEST(Pool, without_a_device_it_is_mounted_only_when_asked_to_and_only_with_a_copy_of_everything) {
  const Images two = loaded(2, 2, 1);
  EXPECT_EQ(refused({two[0], {}}), Code::superblock_devices_missing);
  EXPECT_TRUE(has({two[0], {}}, "/there"));
  EXPECT_TRUE(has({{}, two[1]}, "/there"));
  const Images three = loaded(3, 2, 2);
  EXPECT_TRUE(has({three[0], {}, three[2]}, "/there"));
  MountSettings degraded;
  degraded.degraded = true;
  SimulatedFilesystem one({three[0], {}, {}}, degraded);
  const Status status = one.mount();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::superblock_devices_missing);
}

TEST(Pool, a_device_that_missed_a_mount_is_stale) {
  const Images before = loaded(2, 2, 1);
  const Images after = changed({before[0], {}}, "/new");
  EXPECT_EQ(refused({after[0], before[1]}), Code::pool_device_stale);
  EXPECT_TRUE(has({after[0], before[1]}, "/new"));
  EXPECT_TRUE(has({after[0], before[1]}, "/there"));
  EXPECT_TRUE(none(findings_in({after[0], before[1]})));
}

// Nobody was told that it was away: an image from before the last mount.
TEST(Pool, an_old_image_of_a_device_is_stale) {
  const Images before = loaded(2, 2, 1);
  const Images after = changed(before, "/new");
  EXPECT_EQ(refused({after[0], before[1]}), Code::pool_device_stale);
  EXPECT_TRUE(has({after[0], before[1]}, "/new"));
  EXPECT_EQ(refused(changed({before[0], after[1]}, "/newer")), Code::pool_device_stale);
}

TEST(Pool, two_histories_are_refused) {
  const Images before = loaded(2, 2, 1);
  const Images left = changed({before[0], {}}, "/left");
  const Images right = changed({{}, before[1]}, "/right");
  EXPECT_EQ(refused({left[0], right[1]}), Code::pool_split_brain);
  const Images later = changed({{}, right[1]}, "/later");
  EXPECT_EQ(refused({left[0], later[1]}), Code::pool_split_brain);
  EXPECT_TRUE(has({left[0], {}}, "/left"));
}

Task<Result<std::vector<u16>>> refill_all(SimulatedFilesystem* filesystem) {
  std::vector<device::Device*> devices;
  for (std::size_t i = 0; i < filesystem->device_count(); ++i)
    if (filesystem->has_device(i)) devices.push_back(&filesystem->device(i));
  co_return co_await admin::refill_stale(devices, {});
}

TEST(Pool, a_stale_device_that_was_brought_up_to_date_can_stand_alone) {
  const Images before = loaded(3, 2, 1);
  const Images after = changed({before[0], before[1], {}}, "/new");
  SimulatedFilesystem filesystem({after[0], after[1], before[2]}, {.cores = 1});
  const auto done = filesystem.run(0, [&filesystem] { return refill_all(&filesystem); });
  ASSERT_TRUE(done.ok()) << to_text(done.error());
  EXPECT_EQ(*done, std::vector<u16>{2});
  const Images whole = filesystem.crash_images_all_lost();
  EXPECT_TRUE(mounted(whole).ok());
  EXPECT_TRUE(has({whole[0], {}, whole[2]}, "/new"));
  EXPECT_TRUE(has({{}, whole[1], whole[2]}, "/new"));
  EXPECT_TRUE(none(findings_in({whole[0], {}, whole[2]})));
}

TEST(Pool, a_device_that_was_not_brought_up_to_date_to_the_end_stays_stale) {
  const Images before = loaded(2, 2, 1);
  const Images after = changed({before[0], {}}, "/new");
  for (u64 seed : seeds(20)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    SimulatedFilesystem filesystem({after[0], before[1]}, {.seed = seed, .cores = 1});
    filesystem.device(seed % 2).set_faults({.power_cut_at = 1 + random.below(200)});
    const auto done = filesystem.run(0, [&filesystem] { return refill_all(&filesystem); });
    EXPECT_FALSE(done.ok());
    filesystem.power_cut();
    const Images left = filesystem.crash_images(random);
    EXPECT_EQ(refused(left), Code::pool_device_stale);
    EXPECT_TRUE(has(left, "/new"));
  }
}

// Whatever one device does, nobody notices where everything has another copy; and after it, and a power cut, all that was
// synced is there, with or without that device.
TEST(Pool, with_copies_no_fault_of_one_device_is_noticed) {
  for (u64 seed : seeds(20)) {
    for (Fault fault : {Fault::device_lost, Fault::read_error, Fault::write_error, Fault::flush_error, Fault::hung, Fault::lost_write,
                        Fault::misdirected_write, Fault::flipped_write, Fault::flipped_at_rest, Fault::unreadable}) {
      const SeedResult result = run_seed({.seed = seed, .operations = 120, .faults = {fault}, .replicas = 2});
      ASSERT_TRUE(none(result.problems)) << "seed " << seed << ": " << result.configuration;
    }
  }
}

// Counters of each device.

u64 counted(SimulatedFilesystem& filesystem, std::size_t device, format::Activity activity) {
  const u64 id = filesystem.device(device).id();
  const auto value = filesystem.run(0, [&filesystem, activity, id] {
    return filesystem.state().core(0).slice(0).slice.get(format::TreeId::counters, format::counter_key(activity, id));
  });
  EXPECT_TRUE(value.ok());
  return value && *value ? format::decode_counter(**value).count : 0;
}

TEST(Pool, what_each_device_did_and_what_was_wrong_on_it_is_counted_and_survives_mounts) {
  constexpr u64 file_bytes = 16 * mib;
  Images images = make_devices({.device_bytes = 128 * mib, .devices = 2, .replicas = 2});
  {
    SimulatedFilesystem filesystem(images, {});
    ASSERT_TRUE(filesystem.mount().ok());
    ASSERT_TRUE(filesystem.run(0, [&] { return write_file(&filesystem.operations(), file_bytes); }).ok());
    ASSERT_TRUE(filesystem.close().ok());
    images = filesystem.images();
  }
  {
    SimulatedFilesystem filesystem(images, {});
    filesystem.device(1).damage(16 * mib, 24 * mib);
    ASSERT_TRUE(filesystem.mount().ok());
    ASSERT_TRUE(filesystem.run(0, [&] { return read_file(&filesystem.operations(), file_bytes); }).ok());
    filesystem.device(0).set_faults({.read_error_at = 1});
    ASSERT_TRUE(filesystem.run(0, [&] { return read_file(&filesystem.operations(), file_bytes); }).ok());
    ASSERT_TRUE(filesystem.close().ok());
    images = filesystem.images();
  }
  SimulatedFilesystem filesystem(images, {});
  ASSERT_TRUE(filesystem.mount().ok());
  using enum format::Activity;
  EXPECT_GT(counted(filesystem, 0, device_write), 0u);
  EXPECT_GT(counted(filesystem, 1, device_write), 0u);
  EXPECT_EQ(counted(filesystem, 0, copy_damaged), 0u);
  EXPECT_GT(counted(filesystem, 1, copy_damaged), 0u);
  EXPECT_EQ(counted(filesystem, 1, copy_damaged), counted(filesystem, 1, copy_repaired));
  EXPECT_EQ(counted(filesystem, 0, device_error), 1u);
  EXPECT_EQ(counted(filesystem, 1, device_error), 0u);
}

// Stripes.

Task<Result<u64>> bytes_that_are_wrong(fs::Operations* operations, u64 bytes) {
  const Result<FileHandle> file = co_await operations->open("/file", O_RDONLY, 0);
  if (!file) co_return file.error();
  std::vector<std::byte> data(mib);
  u64 wrong = 0;
  for (u64 at = 0; at < bytes; at += data.size()) {
    const Result<u64> read = co_await operations->read(*file, at, data);
    if (!read) co_return read.error();
    wrong += static_cast<u64>(std::count_if(data.begin(), data.end(), [](std::byte byte) { return byte != std::byte{1}; }));
  }
  const Status closed = co_await operations->close(*file);
  if (!closed) co_return closed.error();
  co_return wrong;
}

constexpr u64 striped_file_bytes = 8 * mib;

Images with_a_file(ErasureCoding code, u64 devices) {
  FormatSettings format;
  format.devices = devices;
  format.erasure = code;
  SimulatedFilesystem filesystem(make_devices(format), {});
  EXPECT_TRUE(filesystem.mount().ok());
  const Status written = filesystem.run(0, [&] { return write_file(&filesystem.operations(), striped_file_bytes); });
  EXPECT_TRUE(written.ok()) << to_text(written.error());
  EXPECT_TRUE(filesystem.close().ok());
  return filesystem.images();
}

void expect_readable(const Images& images) {
  MountSettings settings;
  settings.degraded = true;
  SimulatedFilesystem filesystem(images, settings);
  const Status mounted = filesystem.mount();
  ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
  const auto wrong = filesystem.run(0, [&] { return bytes_that_are_wrong(&filesystem.operations(), striped_file_bytes); });
  ASSERT_TRUE(wrong.ok()) << to_text(wrong.error());
  EXPECT_EQ(*wrong, 0u);
}

TEST(Stripes, everything_is_there_whichever_devices_are_lost_up_to_the_parity) {
  for (const ErasureCoding code : {ErasureCoding{2, 1}, ErasureCoding{4, 2}, ErasureCoding{3, 3}}) {
    const u64 devices = code.data_shards + code.parity_shards;
    SCOPED_TRACE(std::to_string(code.data_shards) + "+" + std::to_string(code.parity_shards));
    const Images sound = with_a_file(code, devices);
    expect_readable(sound);
    EXPECT_TRUE(none(findings_in(sound)));
    for (u32 number = 0; number < pool::choices(static_cast<u32>(devices), code.parity_shards); ++number) {
      const pool::ShardMask lost = pool::choice(static_cast<u32>(devices), code.parity_shards, number);
      SCOPED_TRACE("lost " + std::to_string(lost));
      Images left = sound;
      for (u64 i = 0; i < devices; ++i)
        if ((lost >> i & 1) != 0) left[i] = Image{};
      expect_readable(left);
    }
    Images too_few = sound;
    for (u64 i = 0; i <= code.parity_shards; ++i) too_few[i] = Image{};
    MountSettings degraded;
    degraded.degraded = true;
    SimulatedFilesystem filesystem(too_few, degraded);
    const Status status = filesystem.mount();
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::superblock_devices_missing);
  }
}

// Half of all blocks of two devices; what is wrong is found by its checksum, and computed from the others.
TEST(Stripes, damage_of_as_many_devices_as_there_is_parity_is_read_around_and_healed) {
  Images images = with_a_file({4, 2}, 6);
  Random random(1);
  std::vector<std::byte> block(block_bytes);
  for (Image* image : {&images[1], &images[4]}) {
    for (u64 at = mib; at + block_bytes < image->size(); at += block_bytes) {
      if (!random.one_in(2)) continue;
      image->read(at, block);
      if (std::all_of(block.begin(), block.end(), [](std::byte byte) { return byte == std::byte{0}; })) continue;
      block[random.below(block_bytes)] ^= std::byte{1};
      image->write(at, block);
    }
  }
  expect_readable(images);
  EXPECT_TRUE(none(findings_in(images)));
}

TEST(Stripes, devices_that_were_brought_up_to_date_replace_others) {
  const Images before = with_a_file({3, 2}, 5);
  Images without = before;
  without[0] = without[3] = Image{};
  Images after = changed(without, "/new");
  after[0] = before[0];
  after[3] = before[3];
  SimulatedFilesystem filesystem(after, {.cores = 1});
  const auto done = filesystem.run(0, [&filesystem] { return refill_all(&filesystem); });
  ASSERT_TRUE(done.ok()) << to_text(done.error());
  EXPECT_EQ(*done, (std::vector<u16>{0, 3}));
  const Images whole = filesystem.crash_images_all_lost();
  EXPECT_TRUE(mounted(whole).ok());
  for (const auto& [a, b] : {std::pair(1, 2), std::pair(2, 4), std::pair(1, 4)}) {
    Images left = whole;
    left[a] = left[b] = Image{};
    expect_readable(left);
    EXPECT_TRUE(has(left, "/new"));
    EXPECT_TRUE(none(findings_in(left)));
  }
}

// What was found when all devices were there is there without any one of them.
void expect_the_same_without_one(const Images& images, const TreeFound& found) {
  MountSettings degraded;
  degraded.degraded = true;
  for (std::size_t lost = 0; lost < images.size(); ++lost) {
    Images left = images;
    left[lost] = Image{};
    SimulatedFilesystem without(left, degraded);
    ASSERT_TRUE(without.mount().ok());
    const TreeFound again = walk(without);
    EXPECT_TRUE(none(again.problems)) << "without device " << lost;
    EXPECT_EQ(found.contents, again.contents) << "without device " << lost;
  }
}

// A stripe at the end of the space, its parity lost; and what is read of it by all ways there are.
Task<Status> lose_and_restore_parity(pool::Pool* pool, u64 bucket_blocks) {
  const u64 stripe_bytes = pool->stripe_blocks() * block_bytes;
  const u64 offset = pool->capacity().value - bucket_blocks * block_bytes;
  device::AlignedBuffer data(stripe_bytes), read(stripe_bytes);
  for (u64 i = 0; i < data.size(); ++i) data.data()[i] = static_cast<std::byte>(i * 7 + i / block_bytes);
  Status done = co_await pool->write(offset, data.span());
  if (!done) co_return done;
  const pool::StripeLayout layout(pool->map(), bucket_blocks);
  const pool::StripeRange stripe = layout.range(offset, stripe_bytes);
  for (u32 parity = layout.data_shards(); parity < layout.shards(); ++parity) {
    const device::AlignedBuffer zeros(block_bytes);
    const u64 at = layout.member_offset(stripe.set, parity, stripe.first_stripe);
    done = co_await pool->member(layout.member(stripe.set, parity))->write(at, zeros.span());
    if (!done) co_return done;
  }
  device::Device::VerifiedBlocks verified;
  for (u64 at = 0; at < stripe_bytes; at += block_bytes) {
    const ByteSpan block = ByteSpan(data.span()).subspan(at, block_bytes);
    verified[offset + at].assign(block.begin(), block.end());
  }
  done = co_await pool->restore_parity(verified);
  for (u16 reading = 0; done && reading <= pool->reconstructions() + 1; ++reading) {
    done = co_await pool->read(offset, read.span(), reading);
    EXPECT_EQ(std::memcmp(read.data(), data.data(), stripe_bytes), 0) << "reading " << reading;
  }
  co_return done;
}

TEST(Stripes, parity_is_made_to_fit_what_was_verified) {
  for (const ErasureCoding code : {ErasureCoding{2, 1}, ErasureCoding{4, 2}, ErasureCoding{3, 4}}) {
    FormatSettings format;
    format.devices = code.data_shards + u64{code.parity_shards};
    format.erasure = code;
    SimulatedFilesystem filesystem(make_devices(format), {.cores = 1});
    ASSERT_TRUE(filesystem.mount().ok());
    pool::Pool* pool = filesystem.assembled().pool.get();
    const u64 bucket_blocks = filesystem.assembled().superblock.bucket_blocks;
    const Status restored = filesystem.run(0, [&] { return lose_and_restore_parity(pool, bucket_blocks); });
    EXPECT_TRUE(restored.ok()) << to_text(restored.error());
    EXPECT_TRUE(filesystem.close().ok());
  }
}

// Whichever device missed what a commit was about to flush.
TEST(Stripes, what_recovery_takes_for_durable_has_its_parity) {
  MountSettings degraded;
  degraded.degraded = true;
  u64 recoveries = 0;
  for (u64 seed : seeds(24)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    ScenarioSettings settings = in_stripes(random, {2, 1}, 3);
    settings.format.single_flush = true;
    settings.errors_expected = true;
    Scenario scenario(settings);
    scenario.mount(random_settings(random));
    scenario.filesystem().device(random.below(3)).set_faults({.power_cut_at = 1 + random.below(60)});
    scenario.filesystem().share_power();
    scenario.run_clients(60);
    scenario.filesystem().power_cut();
    scenario.abandon();
    for (std::size_t missed = 0; missed < 3; ++missed) {
      SimulatedFilesystem recovered(scenario.filesystem().crash_images_one_lost(missed), degraded);
      const Status mounted = recovered.mount();
      ASSERT_TRUE(mounted.ok()) << to_text(mounted.error());
      if (!recovered.assembled().absent.empty()) continue;  // it was given up before the others lost their power
      ++recoveries;
      const TreeFound found = walk(recovered);
      ASSERT_TRUE(none(found.problems));
      expect_the_same_without_one(recovered.crash_images_all_lost(), found);
    }
  }
  EXPECT_GT(recoveries, 0u);
}

// One after the other, up to the parity; and then the power goes.
TEST(Stripes, no_fault_within_the_parity_is_noticed) {
  for (u64 seed : seeds(8)) {
    for (Fault fault : {Fault::device_lost, Fault::read_error, Fault::write_error, Fault::flush_error, Fault::hung, Fault::lost_write,
                        Fault::misdirected_write, Fault::flipped_write, Fault::flipped_at_rest, Fault::unreadable}) {
      const ErasureCoding code{static_cast<u8>(2 + seed % 3), static_cast<u8>(1 + seed % 2)};
      const SeedResult result = run_seed({.seed = seed, .operations = 120, .faults = {fault}, .erasure = code});
      ASSERT_TRUE(none(result.problems)) << "seed " << seed << ": " << result.configuration;
    }
  }
}

}  // namespace
}  // namespace cowfs::sim
