// Every kernel of a kind gives the same checksum of any bytes at any place, alone and with a copy.
#include "engine/codec/checksum.h"

#include <algorithm>

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"

namespace cowfs::fuzz {

void try_input(ByteSpan input) {
  const std::size_t skew = input.empty() ? 0 : static_cast<u8>(input[0]) % 64;
  std::vector<std::byte> memory(skew + round_up(std::max<std::size_t>(1, input.size()), block_bytes));
  std::copy(input.begin(), input.end(), memory.begin() + static_cast<std::ptrdiff_t>(skew));
  const std::byte* const from = memory.data() + skew;
  const std::size_t blocks = (memory.size() - skew) / block_bytes;
  for (const ChecksumKind kind : checksum_kinds) {
    const auto kernels = codec::checksum_kernels(kind);
    std::vector<std::byte> expected(blocks * codec::checksum_bytes_max), actual = expected, to(blocks * block_bytes);
    codec::checksum_blocks(kind, from, blocks, expected.data());
    for (const codec::ChecksumKernel& kernel : kernels) {
      if (!codec::native_cpu_features().has(kernel.needs)) continue;
      assert(kernel.checksum({from, input.size()}) == kernels.back().checksum({from, input.size()}));
      kernel.copy_blocks(to.data(), from, blocks, actual.data());
      assert(actual == expected && std::equal(to.begin(), to.end(), from));
    }
  }
}

std::vector<std::vector<std::byte>> seeds() { return {{}, std::vector<std::byte>(9000, std::byte{0x37})}; }

}  // namespace cowfs::fuzz
