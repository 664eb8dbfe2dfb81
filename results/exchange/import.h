// Runs from files: our own, and what other programs print. A file is taken whole or not at all.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/store/run.h"

namespace cowbench::exchange {

enum class Format {
  lines,             // run_lines.h
  record,            // dbench --json
  fio,               // fio --output-format=json or json+
  google_benchmark,  // --benchmark_format=json
  dbench,            // what dbench 4.0 prints
  fs_mark,           // what fs_mark prints
};
std::string_view name(Format format);
// Absent when `text` names none.
std::optional<Format> format_named(std::string_view text);

// By how the text begins; absent when it is none of them.
std::optional<Format> detect_format(std::string_view text);

struct ImportOptions {
  std::string target = "imported";  // what was measured: other programs do not say
  std::string integrity;            // and what it promises
};

// Error exchange_input_invalid (value: the line, 0 when there is none), or parse_record()'s; `reason` says where and why.
cowfs::Result<std::vector<store::StoredRun>> import_runs(std::string_view text, Format format, const ImportOptions& options,
                                                         std::string& reason);

}  // namespace cowbench::exchange
