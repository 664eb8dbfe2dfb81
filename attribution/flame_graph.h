// Two profiles as one picture: a differential flame graph (after Brendan Gregg, "Differential Flame Graphs", 2014). A box
// is a function and stands on what called it; its width is the mean of its shares of both profiles, so that what is
// gone can be seen too, and its colour says which profile has more of it.
#pragma once
#include <string>

#include "attribution/profile.h"

namespace cowbench::attribution {

// SVG for pages with the style of dashboards' pages; names and shares of each box are its title. Boxes narrower than a
// thousandth are left out. Empty when either profile is.
std::string flame_graph(const Profile& before, const Profile& after);

}  // namespace cowbench::attribution
