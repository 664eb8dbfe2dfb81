// Reads tables of TOML files that people write: every mistake is found, and named with its line.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <toml++/toml.h>
#include <vector>

#include "engine/base/types.h"
#include "harness/outcome.h"

namespace cowbench::tracking {

using cowfs::u32;

// Takes keys of one table, and remembers the first thing that is wrong. Keys that are missing leave their value alone.
class TableReader {
 public:
  // `where`: before each key in messages, such as "bench.". Both arguments outlive it.
  TableReader(const toml::table& table, std::string where, std::string& problem)
      : table_(table), where_(std::move(where)), problem_(problem) {}

  void text(std::string_view key, std::string& value);
  void flag(std::string_view key, bool& value);
  void seconds(std::string_view key, u32& value);
  void count(std::string_view key, u32& value);  // from 1
  void counts(std::string_view key, std::vector<u32>& value);
  void positive(std::string_view key, double& value);
  void words(std::string_view key, std::vector<std::string>& value);
  void commands(std::string_view key, std::vector<std::vector<std::string>>& value);
  // nullptr when it is missing or wrong.
  const toml::table* table(std::string_view key);
  const toml::array* tables(std::string_view key);

  // To be called when all keys were taken: what was not is unknown.
  void end();
  void need(std::string_view key, bool there);
  void complain(const toml::source_region& place, const std::string& what);

 private:
  using Read = std::function<bool(const toml::node&)>;
  void take(std::string_view key, std::string_view wanted, const Read& read);

  const toml::table& table_;
  std::string where_;
  std::string& problem_;
  std::vector<std::string_view> taken_;
};

// Failure request, "FILE:LINE: what is wrong", unless `text` is TOML and `read` finds nothing wrong.
harness::Action read_toml(std::string_view text, const std::string& file,
                          const std::function<void(const toml::table&, std::string& problem)>& read);

}  // namespace cowbench::tracking
