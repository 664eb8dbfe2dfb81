#include "engine/pool/scrub.h"

namespace cowfs::pool {

namespace {

// Its superblock copies are of one sequence, which says which map counts.
Task<std::vector<device::BadPlace>> bad_places(device::Device* member, bool is_of_pool) {
  const Result<SuperblockFound> found = co_await read_superblock(*member);
  std::vector<device::BadPlace> bad;
  if (!found) {
    bad.push_back({member->index(), format::superblock_first_copy * block_bytes, found.error()});
    co_return bad;
  }
  bad = co_await bad_superblocks(*member, found->superblock);
  if (!is_of_pool) co_return bad;
  const std::optional<format::PoolMap> map = co_await read_map(*member, found->superblock);
  const u64 place = format::pool_map_block(found->superblock.map_sequence) * block_bytes;
  if (!map) bad.push_back({member->index(), place, Error{Code::pool_map_damaged, 0}});
  co_return bad;
}

}  // namespace

Task<Status> scrub_superblocks(Assembled& assembled, device::ScrubFindings& findings) {
  const std::vector<device::Device*> members = assembled.device->members();
  std::vector<device::ScrubDamage> damage;
  if (assembled.pool) co_await assembled.pool->map_lock().acquire();
  for (device::Device* member : members) {
    if (member == nullptr || (assembled.pool && !assembled.pool->is_current(member->index()))) continue;
    std::vector<device::BadPlace> bad = co_await bad_places(member, assembled.pool != nullptr);
    if (bad.empty()) continue;
    for (std::size_t i = 0; i < bad.size(); ++i) member->counters().count_damaged_copy();
    damage.push_back({.what = "superblock", .offset_bytes = bad.front().offset_bytes, .bytes = block_bytes, .bad = std::move(bad)});
  }
  if (assembled.pool) assembled.pool->map_lock().release();
  if (damage.empty()) co_return Status{};
  const Status written = assembled.pool ? co_await assembled.pool->renew()
                                        : co_await write_superblocks(*assembled.device, assembled.superblock);
  for (device::ScrubDamage& one : damage) {
    one.repaired = written.ok();
    for (const device::BadPlace& place : one.bad)
      if (written) members[place.member]->counters().count_repaired_copy();
    findings.damage.push_back(std::move(one));
  }
  co_return written;
}

}  // namespace cowfs::pool
