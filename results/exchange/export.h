// Runs in the forms that other programs read. Pure functions.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "results/store/run.h"

namespace cowbench::exchange {

enum class OutputFormat {
  lines,       // run_lines.h: everything, and the only one that can be imported again
  json,        // records with their summaries and ratios; several in a list
  csv,         // one line a measured value
  markdown,    // a table of medians and their spread
  hlog,        // HdrHistogram's log, version 1.3: one line a target and operation
  prometheus,  // medians in the text format
  fio,         // fio's json+: a job a target, with the bins of its reads, writes, trims and syncs
};
std::string_view name(OutputFormat format);
std::optional<OutputFormat> output_format_named(std::string_view text);

std::string export_runs(std::span<const store::StoredRun> runs, OutputFormat format);

}  // namespace cowbench::exchange
