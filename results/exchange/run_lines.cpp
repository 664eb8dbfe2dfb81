#include "results/exchange/run_lines.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "results/summary.h"

namespace cowbench::exchange {
namespace {

using Json = nlohmann::ordered_json;
using cowfs::Code;
using cowfs::Error;
using store::StoredRun;

// Why the line is not a run; empty when it is one.
std::string parse_line(std::string_view line, StoredRun& run) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return "not a JSON object";
  const auto text = [&](const char* field) {
    const auto found = json.find(field);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto version = json.find("v");
  if (version == json.end() || !version->is_number_unsigned()) return "\"v\" should be a whole number";
  if (version->get<u64>() > lines_version)
    return fmt::format("version {}, and this build knows up to {}: use a newer cowbench", version->get<u64>(), lines_version);
  if (text("kind") != "run") return "\"kind\" should be \"run\"";
  const auto status = store::status_named(text("status"));
  if (!status) return "\"status\" should be complete or partial";
  if (!json.contains("record")) return "\"record\" is missing";
  std::string reason;
  auto record = results::parse_record(json["record"].dump(), reason);
  if (!record) return "record: " + reason;
  results::summarise(*record);
  run = {*status, text("reason"), std::move(*record)};
  if (store::id_of(run) != text("id")) return "damaged: its id is not that of its content";
  return "";
}

}  // namespace

std::string to_line(const StoredRun& run) {
  const auto quoted = [](const std::string& text) { return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace); };
  return fmt::format(R"({{"v":{},"kind":"run","id":"{}","status":"{}","reason":{},"record":{}}})"
                     "\n",
                     lines_version, id_of(run), name(run.status), quoted(run.reason), to_json_line(run.record));
}

cowfs::Result<std::vector<StoredRun>> parse_lines(std::string_view text, std::string& reason) {
  std::vector<StoredRun> runs;
  u64 number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    reason = parse_line(line, runs.emplace_back());
    if (reason.empty()) continue;
    reason = fmt::format("line {}: {}", number, reason);
    return Error{Code::exchange_input_invalid, number};
  }
  return runs;
}

}  // namespace cowbench::exchange
