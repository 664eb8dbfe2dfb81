#include "attribution/flame_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "dashboards/html.h"

namespace cowbench::attribution {
namespace {

constexpr double width = 1200, row_height = 18, share_min = 0.001, character_width = 7;
constexpr std::size_t depth_max = 128;  // perf itself stops at 127

struct Box {
  std::map<std::string, std::unique_ptr<Box>, std::less<>> callees;
  double before = 0, after = 0;  // shares, what it called included
  double share() const { return (before + after) / 2; }
  double change() const { return after - before; }
};

void add_stacks(Box& root, const Profile& profile, double Box::*side) {
  for (const auto& [stack, samples] : profile.stacks) {
    const double share = static_cast<double>(samples) / static_cast<double>(profile.samples);
    Box* box = &root;
    box->*side += share;
    std::size_t depth = 0;
    for_each_frame(stack, [&](std::string_view frame) {
      if (++depth > depth_max) return;
      auto callee = box->callees.find(frame);
      if (callee == box->callees.end()) callee = box->callees.emplace(frame, std::make_unique<Box>()).first;
      box = callee->second.get();
      box->*side += share;
    });
  }
}

class Drawing {
 public:
  explicit Drawing(const Box& root) { measure(root, 0); }

  std::string draw(const Box& root) {
    draw_callees(root, 0, 0);
    return fmt::format(
        R"(<svg viewBox="0 0 {:.0f} {:.0f}" class="flame" role="img" aria-label="Differential flame graph; the tables have its figures">{}</svg>)",
        width, row_height * static_cast<double>(depth_), svg_);
  }

 private:
  void measure(const Box& box, std::size_t depth) {
    depth_ = std::max(depth_, depth);
    for (const auto& [name, callee] : box.callees) {
      if (callee->share() < share_min) continue;
      change_max_ = std::max(change_max_, std::abs(callee->change()));
      measure(*callee, depth + 1);
    }
  }

  void draw_callees(const Box& caller, double left, std::size_t depth) {
    for (const auto& [name, callee] : caller.callees) {
      if (callee->share() < share_min) continue;
      draw_box(name, *callee, left, depth);
      draw_callees(*callee, left, depth + 1);
      left += callee->share() * width;
    }
  }

  void draw_box(const std::string& name, const Box& box, double left, std::size_t depth) {
    const double top = row_height * static_cast<double>(depth_ - depth - 1), wide = box.share() * width;
    const double strength = change_max_ == 0 ? 0 : std::abs(box.change()) / change_max_;
    svg_ += fmt::format(R"(<g><title>{}: {:.2f}% before, {:.2f}% after, {:+.2f}</title>)", dashboards::escaped_html(name),
                        100 * box.before, 100 * box.after, 100 * box.change());
    const std::string place = fmt::format(R"(x="{:.1f}" y="{:.0f}" width="{:.1f}" height="{:.0f}")", left, top,
                                          std::max(wide - 0.5, 0.3), row_height - 1);
    svg_ += fmt::format(R"(<rect class="frame" {}/><rect class="{}" fill-opacity="{:.2f}" {}/>)", place,
                        box.change() > 0 ? "more" : "less", 0.75 * strength, place);
    if (const auto room = static_cast<std::size_t>(wide / character_width); room >= 4)
      svg_ += fmt::format(R"(<text x="{:.1f}" y="{:.1f}">{}</text>)", left + 3, top + row_height - 5,
                          dashboards::escaped_html(shortened(name, room)));
    svg_ += "</g>";
  }

  static std::string shortened(const std::string& name, std::size_t room) {
    return name.size() <= room ? name : name.substr(0, room - 2) + "..";
  }

  std::size_t depth_ = 0;
  double change_max_ = 0;
  std::string svg_;
};

}  // namespace

std::string flame_graph(const Profile& before, const Profile& after) {
  if (before.samples == 0 || after.samples == 0) return "";
  Box root;
  add_stacks(root, before, &Box::before);
  add_stacks(root, after, &Box::after);
  return Drawing(root).draw(root);
}

}  // namespace cowbench::attribution
