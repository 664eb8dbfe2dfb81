// Why a text is no JSON, for people.
#pragma once
#include <string>
#include <string_view>

namespace cowbench::results {

// "line 3: not JSON", or "not a JSON object" when it is something else; empty when it is one.
std::string json_problem(std::string_view text);

}  // namespace cowbench::results
