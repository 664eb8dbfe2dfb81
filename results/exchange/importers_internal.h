// One function a foreign format. They fill the record's start, command line, comparisons and rounds, and return why
// they cannot; empty when they can.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "results/exchange/import.h"

namespace cowbench::exchange {

std::string import_fio(std::string_view text, const ImportOptions& options, results::Record& record);
std::string import_google_benchmark(std::string_view text, const ImportOptions& options, results::Record& record);
std::string import_dbench(std::string_view text, const ImportOptions& options, results::Record& record);
std::string import_fs_mark(std::string_view text, const ImportOptions& options, results::Record& record);

// Empty when `object` has no such text.
std::string text_field(const nlohmann::json& object, const char* field);

// A comparison of one target, for one workload.
results::TargetResult& add_result(results::Record& record, const std::string& workload, cowfs::u64 clients,
                                  const ImportOptions& options);

}  // namespace cowbench::exchange
