// Reading and writing what lies in stripes: Reed-Solomon coded, a block of each stripe on every shard's member.
//
// There is no write hole: a stripe is written as a whole, once, when its bucket is being filled, and not again before the
// bucket is empty and free. So nothing that was flushed can be hurt by a write that is cut off, whatever else is lost. What a
// single flush was to make durable together is written over by recovery, in which restore_parity makes the stripes agree.
#pragma once
#include <utility>
#include <vector>

#include "engine/codec/erasure_code.h"
#include "engine/device/device.h"
#include "engine/pool/shard_memory.h"
#include "engine/pool/stripe_layout.h"
#include "engine/runtime/task.h"

namespace cowfs::pool {

class Member;
class MemberRequests;
class Pool;

using runtime::Task;

class Stripes {
 public:
  // On a core. `pool` outlives it. Precondition: its map has stripe sets.
  Stripes(Pool& pool, u64 bucket_blocks);

  const StripeLayout& layout() const { return layout_; }
  // Ways to read a block without trusting any given shards: as many as there are choices of what may be lost.
  u16 reconstructions() const;
  // Shards of a set whose members do not count.
  ShardMask absent(u64 set) const;

  // Of a block: the member, and where on it.
  std::pair<u16, u64> place(const StripeRange& block) const;

  // All answer 0, or a negative errno.
  // `reading`: 0 reads what is there, and reconstructs what is not; 1 only reads; from 2 on one of the reconstructions.
  Task<i64> read(StripeRange range, std::byte* into, u16 reading);
  // Precondition: whole stripes; of new contents.
  Task<i64> write(StripeRange range, const std::byte* from, bool durable);
  // Blocks get back what they should hold, so parity stays.
  Task<i64> heal(StripeRange range, const std::byte* from);
  Task<i64> discard(StripeRange range);
  // Of the stripe of a block. `known`: by data shard, what is to be there; null: what is there is right, or nobody's.
  Task<i64> restore_parity(StripeRange block, const std::vector<const std::byte*>& known);
  // Of whole stripes that begin at `offset_bytes` of the space; see Device::scrub_stripes.
  Task<device::Device::StripesSeen> scrub(StripeRange range, u64 offset_bytes, device::Device::CheckBlock check, bool mend);
  // What a shard of some stripes should hold, from the others.
  Task<i64> make_shard(StripeRows rows, u32 shard, std::byte* into);
  // What it holds, right or wrong; what cannot be read there, from the others.
  Task<i64> read_shard(StripeRows rows, u32 shard, std::byte* into);

 private:
  u32 k() const { return code_.data_shards(); }
  u32 m() const { return code_.parity_shards(); }
  Task<i64> read_in_place(StripeRange range, std::byte* into, ShardMask* failed);
  Task<i64> reconstruct(StripeRange range, std::byte* into, ShardMask lost);
  Task<i64> load(StripeRows rows, ShardMemory& shards, ShardMask lost);
  Task<ShardMask> read_all(StripeRows rows, ShardMemory& shards, u64* bytes);
  bool is_right(const StripeRows& rows, u64 stripe, u64 offset_bytes, ShardMemory& shards,
                const device::Device::CheckBlock& check) const;
  Task<i64> write_shards(StripeRows rows, ShardMemory& shards, ShardMask which, bool durable);
  ShardRun run_of(const StripeRows& rows, u32 shard) const;
  void add_read(MemberRequests& requests, const ShardRun& run, std::byte* memory) const;
  void add_change(MemberRequests& requests, device::IoOperation::Kind kind, const ShardRun& run, std::byte* memory,
                  bool durable = false) const;
  std::size_t with_moving(std::size_t changes) const;
  template <typename Failed>
  void each_failed_change(const MemberRequests& requests, Failed failed) const;
  void clear_missing(const StripeRows& rows, ShardMemory& shards) const;
  void gather(const StripeRange& range, const std::byte* from, ShardMemory& shards) const;
  void scatter(const StripeRange& range, ShardMemory& shards, std::byte* into) const;
  SpareMemory& spare_here();

  Pool& pool_;
  const StripeLayout layout_;
  const codec::ErasureCode code_;
  std::vector<SpareMemory> spare_;  // by core
};

}  // namespace cowfs::pool
