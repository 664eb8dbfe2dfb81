// Runs as JSON lines: the form in which stores exchange them. One object a line, in this order of fields:
//   {"v":1,"kind":"run","id":"<32 hex digits>","status":"complete","reason":"","record":{...}}
// The record is to_json_line()'s. The id covers the rest of the line, so damage is noticed; `cat` merges files; equal
// runs give equal bytes.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "results/store/run.h"

namespace cowbench::exchange {

using cowfs::u64;

constexpr u64 lines_version = 1;

// Ends in a newline.
std::string to_line(const store::StoredRun& run);

// Empty lines are skipped. Error exchange_input_invalid, with the number of the line: `reason` says "line N: ...".
cowfs::Result<std::vector<store::StoredRun>> parse_lines(std::string_view text, std::string& reason);

}  // namespace cowbench::exchange
