// zlib streams in memory, for blobs that are kept or exchanged.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace cowbench::results {

std::string deflate(std::string_view bytes);

// Absent when `bytes` is not one whole zlib stream, or would grow beyond `size_max`; it allocates no more than that.
std::optional<std::string> inflate(std::string_view bytes, std::size_t size_max);

}  // namespace cowbench::results
