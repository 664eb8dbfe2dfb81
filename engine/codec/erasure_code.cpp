// Recovery. Of the parity shards that are left, as many are taken as data shards are lost. Each is a sum over all data; what
// the data shards that are left contribute is subtracted, and a system of at most 4 x 4 remains, which is inverted. A lost
// parity shard is its sum over the data, with the lost ones replaced by what they are of the shards read.
#include "engine/codec/erasure_code.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "engine/base/assert.h"
#include "engine/codec/galois.h"

namespace cowfs::codec {
namespace {

using galois::inverse;
using galois::multiply;
using Row = std::array<u8, combination_sources_max>;
using Square = std::array<std::array<u8, parity_shards_max>, parity_shards_max>;

Combination encoding_of(u32 data_shards, u32 parity_shards) {
  assert(data_shards >= data_shards_min && data_shards <= data_shards_max);
  assert(parity_shards >= parity_shards_min && parity_shards <= parity_shards_max);
  std::array<u8, combination_sources_max * combination_outputs_max> factors{};
  u8 generator = 1;
  for (u32 parity = 0; parity < parity_shards; ++parity) {
    u8 power = 1;
    for (u32 data = 0; data < data_shards; ++data) {
      factors[parity * data_shards + data] = power;
      power = multiply(power, generator);
    }
    generator = galois::doubled(generator);
  }
  return {data_shards, parity_shards, std::span(factors).first(data_shards * parity_shards)};
}

// Gauss and Jordan.
Square inverted(Square matrix, u32 size) {
  Square result{};
  for (u32 i = 0; i < size; ++i) result[i][i] = 1;
  for (u32 column = 0; column < size; ++column) {
    u32 pivot = column;
    while (matrix[pivot][column] == 0) {
      ++pivot;
      assert(pivot < size);  // a code within the limits has no singular part
    }
    std::swap(matrix[pivot], matrix[column]);
    std::swap(result[pivot], result[column]);
    const u8 scale = inverse(matrix[column][column]);
    for (u32 i = 0; i < size; ++i) {
      matrix[column][i] = multiply(matrix[column][i], scale);
      result[column][i] = multiply(result[column][i], scale);
    }
    for (u32 row = 0; row < size; ++row) {
      const u8 factor = matrix[row][column];
      if (row == column || factor == 0) continue;
      for (u32 i = 0; i < size; ++i) {
        matrix[row][i] ^= multiply(factor, matrix[column][i]);
        result[row][i] ^= multiply(factor, result[column][i]);
      }
    }
  }
  return result;
}

}  // namespace

ErasureCode::ErasureCode(u32 data_shards, u32 parity_shards) : encoding_(encoding_of(data_shards, parity_shards)) {}

void ErasureCode::encode(const std::byte* const* data, std::byte* const* parity, std::size_t bytes) const {
  combine(encoding_, data, parity, bytes);
}

ShardRecovery ErasureCode::recovery(u32 lost) const {
  const u32 data = data_shards();
  const u32 lost_count = static_cast<u32>(std::popcount(lost));
  assert(lost_count >= 1 && lost_count <= parity_shards() && lost >> (data + parity_shards()) == 0);
  const auto is_lost = [&](u32 shard) { return (lost >> shard & 1) != 0; };

  // What is read: the data that are left, then parity in the place of each lost data shard.
  Row sources{};
  std::array<u8, parity_shards_max> lost_data{}, used_parity{};
  u32 read = 0, lost_data_count = 0;
  for (u32 shard = 0; shard < data; ++shard) {
    if (is_lost(shard))
      lost_data[lost_data_count++] = static_cast<u8>(shard);
    else
      sources[read++] = static_cast<u8>(shard);
  }
  const u32 left = read;
  for (u32 parity = 0; read < data; ++parity) {
    if (is_lost(data + parity)) continue;
    used_parity[read - left] = static_cast<u8>(parity);
    sources[read++] = static_cast<u8>(data + parity);
  }

  Square system{};
  for (u32 i = 0; i < lost_data_count; ++i)
    for (u32 j = 0; j < lost_data_count; ++j) system[i][j] = encoding_.factor(used_parity[i], lost_data[j]);
  const Square solution = inverted(system, lost_data_count);
  std::array<Row, parity_shards_max> of_lost_data{};  // each lost data shard, as factors of what is read
  for (u32 i = 0; i < lost_data_count; ++i) {
    for (u32 j = 0; j < lost_data_count; ++j) {
      of_lost_data[i][left + j] = solution[i][j];
      for (u32 source = 0; source < left; ++source)
        of_lost_data[i][source] ^= multiply(solution[i][j], encoding_.factor(used_parity[j], sources[source]));
    }
  }

  std::array<u8, combination_sources_max * combination_outputs_max> factors{};
  std::array<u8, combination_outputs_max> written{};
  u32 outputs = 0;
  for (u32 i = 0; i < lost_data_count; ++i, ++outputs) {
    written[outputs] = lost_data[i];
    std::copy_n(of_lost_data[i].begin(), data, factors.begin() + outputs * data);
  }
  for (u32 parity = 0; parity < parity_shards(); ++parity) {
    if (!is_lost(data + parity)) continue;
    written[outputs] = static_cast<u8>(data + parity);
    u8* row = factors.data() + outputs * data;
    for (u32 source = 0; source < left; ++source) row[source] = encoding_.factor(parity, sources[source]);
    for (u32 i = 0; i < lost_data_count; ++i)
      for (u32 source = 0; source < data; ++source)
        row[source] ^= multiply(encoding_.factor(parity, lost_data[i]), of_lost_data[i][source]);
    ++outputs;
  }
  return {Combination{data, outputs, std::span(factors).first(outputs * data)}, sources, written};
}

void ShardRecovery::run(std::byte* const* shards, std::size_t bytes) const {
  std::array<const std::byte*, combination_sources_max> sources;
  std::array<std::byte*, combination_outputs_max> outputs;
  for (u32 i = 0; i < combination_.sources(); ++i) sources[i] = shards[sources_[i]];
  for (u32 i = 0; i < combination_.outputs(); ++i) outputs[i] = shards[lost_[i]];
  combine(combination_, sources.data(), outputs.data(), bytes);
}

}  // namespace cowfs::codec
