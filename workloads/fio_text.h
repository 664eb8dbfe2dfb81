// fio's job files and command lines as text: sections of settings, each with the place that it came from. What the
// settings mean is fio_job.h's.
//
// As fio 3.33 reads them:
//   [name]        a section; [global] sections give defaults to the sections below them
//   key=value     or a lone key, which means 1; blanks around both are dropped
//   ; #           begin a comment, wherever they stand
//   include FILE  inside a section: FILE's lines, looked for beside the including file
//   ${VAR}        in values: the environment's; empty when it is not set
//   $pagesize $mb_memory $ncpus   in values: numbers of this machine; beside a number, an operator is not needed
// A command line is --key=value, --key value or --flag; each --name begins a section, and what stands before the first
// is global.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/base/types.h"

namespace cowbench::workloads {

using cowfs::u32;
using cowfs::u64;

struct FioPlace {
  std::string file;  // "command line" for one
  u64 line = 0;      // from 1; of a command line: the argument's number. 0: the whole
};

struct FioSetting {
  std::string key, value;
  FioPlace place;
};

struct FioSection {
  std::string name;
  FioPlace place;
  std::vector<FioSetting> settings;
  bool is_global() const { return name == "global"; }
};

struct FioError {
  FioPlace place;
  std::string reason;
  std::string to_text() const;  // "FILE:LINE: reason"
};

template <typename T>
using FioResult = std::variant<T, FioError>;
using FioSections = std::vector<FioSection>;

constexpr u64 fio_file_bytes_max = cowfs::mib;
constexpr u32 fio_include_depth_max = 8;
constexpr u64 fio_settings_max = 100'000;

// Errors: a file that cannot be read, is no regular file or is too large; a setting outside of a section; a section
// without a name or its bracket; an include that goes too deep; a NUL byte.
FioResult<FioSections> read_fio_file(const std::string& file);
// The same from memory; `file` names it in errors, and includes are looked for beside it.
FioResult<FioSections> parse_fio_text(std::string_view text, const std::string& file);
// Error: an argument that is no option.
FioResult<FioSections> parse_fio_arguments(const std::vector<std::string>& arguments);

}  // namespace cowbench::workloads
