// What was found out about one subject, as text, page and JSON.
#pragma once
#include <string>
#include <vector>

#include "dashboards/table.h"
#include "tune/micro.h"
#include "tune/settings.h"

namespace cowbench::tune {

struct Tuning {
  Subject subject = Subject::checksum;
  std::vector<Measured> micro;    // empty: not measured
  std::vector<Setting> settings;  // that were tried end to end; empty: not measured
};

// The best setting of each half with its interval: what it costs against none, or gains on what cowfs chooses.
std::vector<std::string> sentences(const Tuning& tuning, const results::Record& record);

// `record`: of the settings end to end; of a run without, only its environment.
std::string to_text(const Tuning& tuning, const results::Record& record, const dashboards::Style& style);
// The report page of the record with sentences, plots and tables on top.
std::string to_html(const Tuning& tuning, const results::Record& record);
// Schema "cowbench.tune/1"; docs/tune.md explains it.
std::string to_json(const Tuning& tuning, const results::Record& record);

}  // namespace cowbench::tune
