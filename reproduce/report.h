// What was published beside what was measured here: as text, HTML and JSON.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "dashboards/table.h"
#include "reproduce/recipe.h"
#include "results/record.h"

namespace cowbench::reproduce {

// Of one figure of the publication. A ratio has no figure a core.
struct Beside {
  std::string run, media, there, here;  // "bcachefs / xfs" there, "cowfs / xfs" here
  std::string metric, unit;
  double published = 0;
  std::optional<double> published_per_core, measured, measured_per_core;
  std::optional<results::Interval> ci95;  // of a measured ratio
};

struct Reproduction {
  const Recipe* recipe = nullptr;
  const Scaling* scaling = nullptr;
  std::size_t media = 1;  // comparison i of a record is of measurement i / media
};

std::vector<Beside> beside(const Reproduction& reproduction, const results::Record& record);

// In words: what it is, how it was scaled, what is not known.
std::vector<std::string> facts(const Reproduction& reproduction);

std::string to_text(const Reproduction& reproduction, const results::Record& record, const dashboards::Style& style);
// The report page with it on top.
std::string to_html(const Reproduction& reproduction, const results::Record& record);
// Schema "cowbench.reproduce/1"; docs/reproduce.md explains it.
std::string to_json(const Reproduction& reproduction, const results::Record& record);

}  // namespace cowbench::reproduce
