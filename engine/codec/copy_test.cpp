#include "engine/codec/copy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "engine/base/random.h"

namespace cowfs::codec {
namespace {

TEST(Copy, past_the_caches_is_as_memcpy_at_any_place_and_length) {
  const u64 seed = 5;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  std::vector<std::byte> from(20000);
  for (std::byte& byte : from) byte = static_cast<std::byte>(random.next());
  for (int round = 0; round < 500; ++round) {
    const std::size_t length = random.below(round % 2 == 0 ? 200 : 10000);
    const std::size_t source = random.below(100), target = random.below(200);
    std::vector<std::byte> to(length + 400, std::byte{0x5a}), expected = to;
    std::memcpy(expected.data() + target, from.data() + source, length);
    copy_past_caches(to.data() + target, from.data() + source, length);
    ASSERT_EQ(to, expected) << length << " bytes from " << source << " to " << target;
  }
}

}  // namespace
}  // namespace cowfs::codec
