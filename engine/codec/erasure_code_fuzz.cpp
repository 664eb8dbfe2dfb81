// Any code, any loss within its limits, any bytes: all kernels compute the same, and what was lost comes back.
#include "engine/codec/erasure_code.h"

#include <bit>

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"

namespace cowfs::fuzz {
namespace {

struct Choice {
  u8 data, parity;
  le32 lost;
  u8 skew;
};

template <typename Sources, typename Outputs>
void compare_kernels(const codec::Combination& combination, Sources sources, Outputs outputs, std::size_t bytes) {
  std::vector<std::vector<std::byte>> expected;
  for (u32 i = 0; i < combination.outputs(); ++i) expected.emplace_back(outputs[i], outputs[i] + bytes);
  for (const codec::kernel::Combine& kernel : codec::kernel::combine_kernels()) {
    if (!codec::native_cpu_features().has(kernel.needs) || !kernel.suits(combination, sources, outputs, bytes))
      continue;
    kernel.run(combination, sources, outputs, bytes);
    for (u32 i = 0; i < combination.outputs(); ++i)
      assert(std::equal(expected[i].begin(), expected[i].end(), outputs[i]));
  }
}

}  // namespace

void try_input(ByteSpan input) {
  const auto choice = front_of<Choice>(input);
  const u32 data = codec::data_shards_min + choice.data % (codec::data_shards_max - codec::data_shards_min + 1);
  const u32 parity = codec::parity_shards_min + choice.parity % codec::parity_shards_max;
  const u32 count = data + parity;
  const u32 lost = choice.lost % (1u << count);
  const ByteSpan content = input.subspan(std::min(input.size(), sizeof choice));
  const std::size_t bytes = content.size() / data;

  std::vector<std::vector<std::byte>> memory(count, std::vector<std::byte>(bytes + 256));
  std::vector<std::byte*> shards;
  for (std::vector<std::byte>& one : memory) shards.push_back(one.data() + choice.skew);
  for (u32 i = 0; i < data; ++i) std::memcpy(shards[i], content.data() + i * bytes, bytes);

  const codec::ErasureCode code(data, parity);
  code.encode(shards.data(), shards.data() + data, bytes);
  compare_kernels(code.encoding(), shards.data(), shards.data() + data, bytes);

  const auto whole = memory;
  if (lost == 0 || std::popcount(lost) > static_cast<int>(parity)) return;
  for (u32 i = 0; i < count; ++i)
    if ((lost >> i & 1) != 0) std::fill_n(shards[i], bytes, std::byte{0xee});
  code.recovery(lost).run(shards.data(), bytes);
  assert(memory == whole);
}

std::vector<std::vector<std::byte>> seeds() {
  std::vector<std::byte> content(sizeof(Choice) + 1000, std::byte{0x37});
  const Choice choice{2, 1, 3, 0};
  std::memcpy(content.data(), &choice, sizeof choice);
  return {content};
}

}  // namespace cowfs::fuzz
