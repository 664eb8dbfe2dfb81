// A tracked range of commits as one static page.
#pragma once
#include <string>

#include "tracking/track.h"

namespace cowbench::site {

// What changed and since which commit, the curve of each metric, and every commit. It stands alone: no link leads to a server.
std::string track_page(const tracking::TrackReport& report);

}  // namespace cowbench::site
