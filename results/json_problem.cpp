#include "results/json_problem.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace cowbench::results {

std::string json_problem(std::string_view text) {
  try {
    if (nlohmann::json::parse(text).is_object()) return "";
    return "not a JSON object";
  } catch (const nlohmann::json::parse_error& error) {  // the only way to learn where
    return fmt::format("line {}: not JSON", 1 + std::ranges::count(text.substr(0, error.byte), '\n'));
  }
}

}  // namespace cowbench::results
