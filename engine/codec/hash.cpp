#include "engine/codec/hash.h"

#include <xxhash.h>

namespace cowfs::codec {

u64 xxh3(ByteSpan data, u64 seed) { return XXH3_64bits_withSeed(data.data(), data.size(), seed); }

}  // namespace cowfs::codec
