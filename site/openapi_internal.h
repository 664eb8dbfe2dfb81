// docs/openapi.json, as it was when this was built.
#pragma once
#include <string_view>

namespace cowbench::site {

std::string_view openapi();

}  // namespace cowbench::site
