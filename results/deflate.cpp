#include "results/deflate.h"

#include <zlib.h>

#include <algorithm>

#include "engine/base/assert.h"

namespace cowbench::results {

std::string deflate(std::string_view bytes) {
  uLongf size = compressBound(bytes.size());
  std::string out(size, '\0');
  const int outcome = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                                reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), Z_BEST_COMPRESSION);
  assert(outcome == Z_OK);
  out.resize(size);
  return out;
}

std::optional<std::string> inflate(std::string_view bytes, std::size_t size_max) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return std::nullopt;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(bytes.size(), UINT32_MAX));
  const std::size_t limit = size_max + 1;  // room for the end of the stream to be seen
  std::string out;
  int outcome = Z_OK;
  while (outcome == Z_OK && stream.total_out < limit) {
    const std::size_t kept = out.size();
    out.resize(std::min(limit, std::max<std::size_t>(4096, 2 * kept)));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + kept);
    stream.avail_out = static_cast<uInt>(out.size() - kept);
    outcome = ::inflate(&stream, Z_NO_FLUSH);
    out.resize(stream.total_out);
  }
  const bool whole = outcome == Z_STREAM_END && stream.avail_in == 0 && out.size() <= size_max;
  inflateEnd(&stream);
  return whole ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace cowbench::results
