#include "results/store/series.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace cowbench::store {

std::string id_of(const SeriesKey& key) {
  constexpr char separator = '\x1f';
  std::string text = std::to_string(key.clients);
  for (const std::string* field : {&key.target, &key.integrity, &key.media, &key.workload, &key.metric}) {
    text += separator;
    text += *field;
  }
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

}  // namespace cowbench::store
