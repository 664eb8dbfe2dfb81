// A smaller space for a pool: its last chunks go, so that others have room to move to.
#pragma once
#include "engine/pool/change.h"

namespace cowfs::pool {

// The first `chunks` of the space, and no more. Precondition: whole rows.
format::PoolMap reduced(format::PoolMap map, u32 chunks);

// How many chunks at most the space may have if nothing is to lie on the member behind its first `kept`. Error pool_chunks_unplaced
// (value: of the whole space): however few there were, some would have no place.
Result<u32> chunks_without(const format::PoolMap& map, u16 member, u32 kept);

}  // namespace cowfs::pool
