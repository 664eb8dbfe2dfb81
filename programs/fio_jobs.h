// Jobs of fio on a command line: files, and fio's own options.
#pragma once
#include <string>
#include <vector>

#include "harness/outcome.h"
#include "workloads/fio_job.h"

namespace CLI {
class App;
}

namespace cowbench::programs {

struct FioJobOptions {
  std::vector<std::string> files, sections;
  std::vector<std::string> settings;  // on the command line, as fio spells them
};

void add_job_options(CLI::App& verb, FioJobOptions& options);
// When `arguments` call `verb`, moves fio's own options out of them. After all options of the verb were added.
void take_settings(const CLI::App& verb, FioJobOptions& options, std::vector<std::string>& arguments);

// Failure request: what is wrong, and in which line.
harness::Outcome<std::vector<workloads::FioJob>> read_jobs(const FioJobOptions& options);
// For people: the first file.
std::string name_of(const FioJobOptions& options);

}  // namespace cowbench::programs
