#include "engine/device/overlay_device.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::device {
namespace {

constexpr u64 device_blocks = 64;

runtime::Task<Status> write_blocks(Device* device, u64 first, u64 count, u8 value, bool durable = false) {
  AlignedBuffer data(count * block_bytes);
  std::memset(data.data(), value, data.size());
  co_return co_await device->write(first * block_bytes, data.span(), durable);
}

runtime::Task<Status> flush(Device* device) { co_return co_await device->flush(); }

runtime::Task<Result<std::vector<u8>>> read_blocks(Device* device, u64 first, u64 count) {
  AlignedBuffer data(count * block_bytes);
  const Status read = co_await device->read(first * block_bytes, data.span());
  if (!read) co_return read.error();
  std::vector<u8> values;
  for (u64 block = 0; block < count; ++block) values.push_back(std::to_integer<u8>(data.data()[block * block_bytes + 7]));
  co_return values;
}

u8 first_byte(const Image& image, u64 block) {
  std::byte byte{};
  image.read(block * block_bytes, {&byte, 1});
  return std::to_integer<u8>(byte);
}

// Against plain arrays: what is read is the newest, what lies below changes with write_out alone.
TEST(OverlayDevices, show_what_was_written_over_what_is_below) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    runtime::SimCores cores({.cores = 1, .seed = seed});
    SimDevice one(Bytes{device_blocks * block_bytes}, {}), other(Bytes{device_blocks * block_bytes}, {});
    OverlayDevices overlay({&one, &other});
    EXPECT_FALSE(overlay.is_written());
    std::array<std::array<u8, device_blocks>, 2> shown{};
    for (int step = 0; step < 200; ++step) {
      const std::size_t number = random.below(2);
      Device* device = overlay.devices()[number];
      const u64 first = random.below(device_blocks);
      const u64 count = 1 + random.below(std::min<u64>(device_blocks - first, 9));
      const auto value = static_cast<u8>(1 + random.below(255));
      switch (random.below(4)) {
        case 0:
          ASSERT_TRUE(cores.run(0, [&] { return write_blocks(device, first, count, value, random.one_in(4)); }).ok());
          std::fill_n(shown[number].begin() + first, count, value);
          break;
        case 1:
          ASSERT_TRUE(cores.run(0, [&] { return flush(device); }).ok());
          break;
        default: {
          const auto read = cores.run(0, [&] { return read_blocks(device, first, count); });
          ASSERT_TRUE(read.ok() && std::equal(read->begin(), read->end(), shown[number].begin() + first));
        }
      }
    }
    EXPECT_EQ(one.counts().writes + other.counts().writes, 0u);
    EXPECT_TRUE(overlay.is_written());
    const auto changed = cores.run(0, [&] { return overlay.changed_blocks(0); });
    EXPECT_EQ(*changed,
              static_cast<u64>(std::count_if(shown[0].begin(), shown[0].end(), [](u8 value) { return value != 0; })));
    ASSERT_TRUE(cores.run(0, [&] { return overlay.write_out_to(1); }).ok());
    EXPECT_EQ(one.counts().writes, 0u);
    ASSERT_TRUE(cores.run(0, [&] { return overlay.write_out(); }).ok());
    for (u64 block = 0; block < device_blocks; ++block) {
      EXPECT_EQ(first_byte(one.crash_image_all_lost(), block), shown[0][block]);
      EXPECT_EQ(first_byte(other.crash_image_all_lost(), block), shown[1][block]);
    }
    EXPECT_EQ(*cores.run(0, [&] { return overlay.changed_blocks(0); }), 0u);
  }
}

// Each step stands for what must not be there without the one before it, on whichever device that is.
TEST(OverlayDevices, are_written_out_in_the_order_of_flushes) {
  for (u64 request = 1;; ++request) {
    SCOPED_TRACE(testing::Message() << "power cut at request " << request);
    runtime::SimCores cores({.cores = 1});
    SimDevice one(Bytes{device_blocks * block_bytes}, {}), other(Bytes{device_blocks * block_bytes}, {});
    one.set_power_observer([&other] { other.power_cut(); });
    OverlayDevices overlay({&one, &other});
    const std::vector<Device*> over = overlay.devices();
    for (u8 step = 1; step <= 6; ++step) {
      Device* device = over[step % 2];
      ASSERT_TRUE(cores.run(0, [&] { return write_blocks(device, 3, 1, step, step % 3 == 0); }).ok());
      if (step % 3 == 0) continue;
      ASSERT_TRUE(cores.run(0, [&] { return flush(over[0]); }).ok());
    }
    one.set_faults({.power_cut_at = request});
    (void)cores.run(0, [&] { return overlay.write_out(); });
    if (!one.power_is_cut()) break;
    const int even = first_byte(one.crash_image_all_lost(), 3);
    const int odd = first_byte(other.crash_image_all_lost(), 3);
    EXPECT_LE(std::abs(even - odd), 1) << even << " " << odd;
  }
}

TEST(OverlayDevices, errors_of_a_device_below_are_told) {
  runtime::SimCores cores({.cores = 1});
  SimDevice below(Bytes{device_blocks * block_bytes}, {});
  OverlayDevices overlay({&below});
  Device* device = overlay.devices().front();
  ASSERT_TRUE(cores.run(0, [&] { return write_blocks(device, 3, 1, 9); }).ok());
  below.make_unreadable(4 * block_bytes, block_bytes);
  const auto read = [&](u64 first, u64 count) {
    return cores.run(0, [&] { return read_blocks(device, first, count); });
  };
  EXPECT_TRUE(read(3, 1).ok());
  EXPECT_EQ(read(3, 2).error().code, Code::device_io_failed);
  EXPECT_EQ(read(4, 1).error().code, Code::device_io_failed);
  below.set_faults({.write_error_at = 1});
  EXPECT_FALSE(cores.run(0, [&] { return overlay.write_out(); }).ok());
}

}  // namespace
}  // namespace cowfs::device
