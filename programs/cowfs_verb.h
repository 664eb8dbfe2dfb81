// What the verbs of cowfs share.
#pragma once
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/result.h"

namespace cowbench::programs {

using nlohmann::ordered_json;

enum ExitCode : int { exit_ok = 0, exit_errors_found = 1, exit_bad_input = 2, exit_repaired = 3 };

using Devices = std::vector<std::string>;

// Which of them it is about; all, when that is not known.
std::string named(const Devices& devices, const cowfs::Error& error);

// Of the device, for the user; 1 when something on it is damaged behind its superblock, 2 when it cannot be used at all.
int report_error(const std::string& device, const cowfs::Error& error);
int report_error(const Devices& devices, const cowfs::Error& error);

// Damaged names may be any bytes; JSON may not.
std::string dumped(const ordered_json& object, int indent);
std::string size_text(cowfs::u64 bytes);

void add_scrub_verb(CLI::App& program, int& exit_code);
void add_device_verbs(CLI::App& program, int& exit_code);

}  // namespace cowbench::programs
