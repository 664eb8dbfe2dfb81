// cowbench compare A B: whether B is better or worse than A, and how sure that is.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <set>

#include "dashboards/format.h"
#include "dashboards/terminal.h"
#include "programs/verb.h"
#include "results/versus.h"
#include "site/documents.h"

namespace cowbench::programs {
namespace {

constexpr const char* compare_codes_text =
    "Exit status: 0 nothing is worse, 1 something is worse, 2 the two cannot be compared, or bad usage.";
enum CompareExit : int { exit_not_worse = 0, exit_worse = 1, exit_invalid = 2 };

struct CompareOptions {
  std::string a, b, db = store::default_path();
  results::VersusOptions versus;
  bool json = false;
};

struct Name {
  std::string place;   // a file, or the id of a stored run
  std::string target;  // empty: all
};

// "run.json", "1f3a", "latest", each with ":target" or without; targets and files may have colons of their own.
Name split(const std::string& text) {
  std::size_t colon = text.find(':');
  for (std::size_t end = text.size(); end != text.npos && end > 0; end = text.rfind(':', end - 1)) {
    if (!std::filesystem::exists(text.substr(0, end))) continue;
    colon = end;
    break;
  }
  if (colon >= text.size()) return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

std::optional<results::Record> load_side(const std::string& place, const std::string& db) {
  std::string reason;
  if (std::filesystem::exists(place)) {
    const auto text = read_input(place);
    if (!text) return std::nullopt;
    if (auto record = results::parse_record(*text, reason)) return std::move(*record);
    fmt::print(stderr, "cowbench: {}: {}\n", place, reason);
    return std::nullopt;
  }
  const auto opened = open_store(db, store::Store::Access::read);
  if (!opened) return std::nullopt;
  auto run = opened->load(place, reason);
  if (!run) {
    report_store_failure(run.error(), reason);
    return std::nullopt;
  }
  if (run->status == store::RunStatus::partial) fmt::print(stderr, "cowbench: {} is partial: {}\n", place, run->reason);
  return std::move(run->record);
}

std::string as_text(const results::Versus& versus) {
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : {"load", "A", "B", "metric", "B / A (95%)"}) table.add_column(title, Align::left);
  table.add_column("runs", Align::right);
  std::set<std::string> compared;
  std::vector<std::pair<std::string, std::vector<std::string>>> remarks;  // with the metrics that they are on
  const auto note = [&](const std::string& remark, const std::string& metric) {
    auto known = std::ranges::find(remarks, remark, &decltype(remarks)::value_type::first);
    if (known == remarks.end()) known = remarks.insert(known, {remark, {}});
    if (std::ranges::find(known->second, metric) == known->second.end()) known->second.push_back(metric);
  };
  for (const results::Finding& finding : versus.findings) {
    const results::Ratio& ratio = finding.ratio;
    table.add_row({fmt::format("{}, {}, {}", ratio.media, ratio.workload, dashboards::counted(ratio.clients, "client")), ratio.denominator,
                   ratio.numerator, ratio.metric, dashboards::format_ratio(ratio),
                   finding.paired ? dashboards::counted(ratio.rounds, "pair") : fmt::format("{} unpaired", ratio.rounds)});
    compared.insert(ratio.metric);
    for (const std::string& remark : finding.remarks) note(remark, ratio.metric);
    if (ratio.rounds_needed)
      note("about " + dashboards::counted(*ratio.rounds_needed, "pair") + " in all would settle it", ratio.metric);
  }
  std::string text = table.render(dashboards::style_of(stdout));
  for (const auto& [remark, metrics] : remarks)
    text += fmt::format("{}: {}\n", metrics.size() == compared.size() ? "all" : fmt::format("{}", fmt::join(metrics, ", ")), remark);
  return text;
}

int compare(const CompareOptions& options) {
  const Name a_name = split(options.a), b_name = split(options.b);
  const bool one_run = a_name.place == b_name.place;  // its rounds are pairs
  if (one_run && (a_name.target.empty() || b_name.target.empty())) {
    fmt::print(stderr, "cowbench: {} is compared with itself: name one of its targets on each side, as in {}:cowfs\n",
               a_name.place, a_name.place);
    return exit_invalid;
  }
  const auto old = load_side(a_name.place, options.db);
  if (!old) return exit_invalid;
  const auto fresh = load_side(b_name.place, options.db);
  if (!fresh) return exit_invalid;
  const results::Side a{options.a, &*old, a_name.target};
  const results::Side b{options.b, one_run ? &*old : &*fresh, b_name.target};

  const results::Versus versus = compare_sides(a, b, options.versus);
  for (const std::string& pair : versus.refused)
    fmt::print(stderr, "cowbench: {} promise different things and are not compared; --different-promises does it\n", pair);
  if (versus.findings.empty()) {
    if (versus.refused.empty()) fmt::print(stderr, "cowbench: {} and {} have no load and target in common\n", options.a, options.b);
    return exit_invalid;
  }
  const std::string text = options.json ? site::compare_document(versus, options.a, options.b, options.versus.band) : as_text(versus);
  if (!write_output("-", text)) return exit_invalid;
  const bool worse = std::ranges::any_of(
      versus.findings, [](const auto& finding) { return finding.ratio.verdict == results::Verdict::worse; });
  return worse ? exit_worse : exit_not_worse;
}

}  // namespace

void add_compare_verb(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<CompareOptions>();
  CLI::App* verb = program.add_subcommand("compare", "Say whether B is better or worse than A, metric by metric");
  verb->add_option("A", options->a, "The baseline: a record's file or the id of a stored run, and :TARGET to take one")
      ->required();
  verb->add_option("B", options->b, "What is judged, likewise. Two targets of one run are compared round by round")
      ->required();
  verb->add_option("--db", options->db, "The store that ids are looked up in")->capture_default_str();
  verb->add_option("--band", options->versus.band, "Differences below this share count as none")
      ->capture_default_str()
      ->check(CLI::Range(1e-6, 1.0));
  verb->add_flag("--different-promises", options->versus.different_promises,
                 "Also compare targets that promise different durability or integrity");
  verb->add_flag("--json", options->json, "As JSON, schema cowbench.compare/1");
  verb->footer(compare_codes_text);
  verb->callback([options, &exit_code] { exit_code = compare(*options); });
}

}  // namespace cowbench::programs
