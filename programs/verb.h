// What the verbs of cowbench have in common: how they end, and what they write.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/outcome.h"
#include "results/store/store.h"

namespace CLI {
class App;
}

namespace cowbench::programs {

// Stable: scripts may rely on them.
enum ExitCode : int {
  exit_ok = 0,
  exit_run_failed = 1,
  exit_bad_input = 2,
  exit_refused = 3,
  exit_unfit = 4,
};
constexpr const char* exit_codes_text =
    "Exit status: 0 ok, 1 the run failed, 2 bad input or usage, 3 refused because it would destroy something,\n"
    "4 with --strict: this machine is unfit for measuring. A signal ends it with 128 + its number, after clean-up.";

// Says what went wrong on standard error; returns the exit code for it.
int report_failure(const harness::Failure& failure);

// Replaces the file; "-" is standard output. False, and said on standard error, when it cannot be written.
bool write_output(const std::string& file, std::string_view text);
// Before hours of measuring: whether write_output() will probably work.
bool can_write(const std::string& file);

// The whole file; absent, and said on standard error, when it cannot be read or has more than 1 GiB.
std::optional<std::string> read_input(const std::string& file);

// Absent, and said on standard error, when it cannot be opened so.
std::optional<store::Store> open_store(const std::string& file, store::Store::Access access);
// Says `reason` on standard error; returns the exit code for it.
int report_store_failure(const cowfs::Error& error, const std::string& reason);

void add_results_verb(CLI::App& program, int& exit_code);
void add_serve_verb(CLI::App& program, int& exit_code);
// Its exit codes are its own: see its help.
void add_compare_verb(CLI::App& program, int& exit_code);
// track and bisect; their exit codes are their own, too.
void add_tracking_verbs(CLI::App& program, int& exit_code);

// The verbs that measure; each runs when it was chosen and its options are set.
void add_dbench_verb(CLI::App& program, int& exit_code, const std::string& command_line);
void add_bench_verb(CLI::App& program, int& exit_code, const std::string& command_line);
// checksum, ec and layout.
void add_tune_verb(CLI::App& program, int& exit_code, const std::string& command_line);
// Takes what is fio's own out of `arguments` when they call this verb.
void add_fio_verb(CLI::App& program, int& exit_code, const std::string& command_line, std::vector<std::string>& arguments);
// The same.
void add_rate_verb(CLI::App& program, int& exit_code, const std::string& command_line, std::vector<std::string>& arguments);

}  // namespace cowbench::programs
