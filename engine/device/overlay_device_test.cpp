#include "engine/device/overlay_device.h"

#include <gtest/gtest.h>

#include "engine/base/random.h"
#include "engine/device/sim_device.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::device {
namespace {

constexpr u64 device_blocks = 64;

runtime::Task<Status> write_blocks(Device* device, u64 first, u64 count, u8 value) {
  AlignedBuffer data(count * block_bytes);
  std::memset(data.data(), value, data.size());
  co_return co_await device->write(first * block_bytes, data.span());
}

runtime::Task<std::vector<u8>> read_blocks(Device* device, u64 first, u64 count) {
  AlignedBuffer data(count * block_bytes);
  const Status read = co_await device->read(first * block_bytes, data.span());
  EXPECT_TRUE(read.ok());
  std::vector<u8> values;
  for (u64 block = 0; block < count; ++block) values.push_back(std::to_integer<u8>(data.data()[block * block_bytes + 7]));
  co_return values;
}

// Against a plain array: what is read is the newest, what lies below changes with write_out alone.
TEST(OverlayDevice, shows_what_was_written_over_what_is_below) {
  for (u64 seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    runtime::SimCores cores({.cores = 1, .seed = seed});
    SimDevice below(Bytes{device_blocks * block_bytes}, {});
    OverlayDevice overlay(below);
    std::array<u8, device_blocks> shown{};
    std::array<u8, device_blocks> kept{};
    for (int step = 0; step < 200; ++step) {
      const u64 first = random.below(device_blocks);
      const u64 count = 1 + random.below(std::min<u64>(device_blocks - first, 9));
      const auto value = static_cast<u8>(random.below(256));
      switch (random.below(step > 100 ? 4 : 3)) {
        case 0:
          ASSERT_TRUE(cores.run(0, [&] { return write_blocks(&overlay, first, count, value); }).ok());
          std::fill_n(shown.begin() + first, count, value);
          break;
        case 3:
          ASSERT_TRUE(cores.run(0, [&] { return overlay.write_out(first, first + count); }).ok());
          std::copy_n(shown.begin() + first, count, kept.begin() + first);
          break;
        default: {
          const auto read = cores.run(0, [&] { return read_blocks(&overlay, first, count); });
          ASSERT_TRUE(std::equal(read.begin(), read.end(), shown.begin() + first));
        }
      }
    }
    const auto all = cores.run(0, [&] { return read_blocks(&below, 0, device_blocks); });
    EXPECT_TRUE(std::equal(all.begin(), all.end(), kept.begin()));
  }
}

TEST(OverlayDevice, errors_of_the_device_below_are_told) {
  runtime::SimCores cores({.cores = 1});
  SimDevice below(Bytes{device_blocks * block_bytes}, {});
  OverlayDevice overlay(below);
  ASSERT_TRUE(cores.run(0, [&] { return write_blocks(&overlay, 3, 1, 9); }).ok());
  below.make_unreadable(4 * block_bytes, block_bytes);
  AlignedBuffer data(2 * block_bytes);
  const auto read = [&](u64 first, u64 count) -> Status {
    Device* device = &overlay;
    MutableByteSpan into = data.span().first(count * block_bytes);
    struct Read {
      static runtime::Task<Status> run(Device* from, u64 at, MutableByteSpan bytes) {
        co_return co_await from->read(at * block_bytes, bytes);
      }
    };
    return cores.run(0, [&] { return Read::run(device, first, into); });
  };
  EXPECT_TRUE(read(3, 1).ok());
  EXPECT_EQ(read(3, 2).error().code, Code::device_io_failed);
  EXPECT_EQ(read(4, 1).error().code, Code::device_io_failed);
}

}  // namespace
}  // namespace cowfs::device
