#include "engine/codec/checksum.h"

#include "engine/codec/crc32c.h"
#include "engine/codec/crc64.h"
#include "engine/codec/hash.h"

namespace cowfs::codec {
namespace {

u64 nothing(ByteSpan) { return 0; }
void copy_only(std::byte* to, const std::byte* from, std::size_t blocks, std::byte*) {
  std::memcpy(to, from, blocks * block_bytes);
}

const ChecksumKernel& chosen(ChecksumKind kind) {
  const CpuFeatures usable = cpu_features();
  const std::span<const ChecksumKernel> kernels = checksum_kernels(kind);
  std::size_t i = 0;
  while (!usable.has(kernels[i].needs)) ++i;
  return kernels[i];
}

}  // namespace

u64 checksum(ChecksumKind kind, ByteSpan data) { return chosen(kind).checksum(data); }

void checksum_blocks(ChecksumKind kind, const std::byte* from, std::size_t blocks, std::byte* checksums) {
  const ChecksumKernel& kernel = chosen(kind);
  const std::size_t stored_bytes = checksum_bytes(kind);
  if (stored_bytes == 0) return;
  for (std::size_t i = 0; i < blocks; ++i) {
    const le64 value = kernel.checksum({from + i * block_bytes, block_bytes});
    std::memcpy(checksums + i * stored_bytes, &value, stored_bytes);
  }
}

void copy_blocks(ChecksumKind kind, std::byte* to, const std::byte* from, std::size_t blocks, std::byte* checksums) {
  chosen(kind).copy_blocks(to, from, blocks, checksums);
}

std::size_t first_wrong_block(ChecksumKind kind, const std::byte* from, std::size_t blocks,
                              const std::byte* checksums) {
  const ChecksumKernel& kernel = chosen(kind);
  const std::size_t stored_bytes = checksum_bytes(kind);
  if (stored_bytes == 0) return blocks;
  std::size_t i = 0;
  for (; i < blocks; ++i) {
    const le64 value = kernel.checksum({from + i * block_bytes, block_bytes});
    if (std::memcmp(checksums + i * stored_bytes, &value, stored_bytes) != 0) break;
  }
  return i;
}

std::span<const ChecksumKernel> checksum_kernels(ChecksumKind kind) {
  static constexpr std::array none = {ChecksumKernel{"copy", {}, nothing, copy_only}};
  switch (kind) {
    case ChecksumKind::none:
      break;
    case ChecksumKind::crc32c:
      return kernel::crc32c_kernels();
    case ChecksumKind::crc64:
      return kernel::crc64_kernels();
    case ChecksumKind::xxh3:
      return kernel::xxh3_kernels();
  }
  return none;
}

}  // namespace cowfs::codec
