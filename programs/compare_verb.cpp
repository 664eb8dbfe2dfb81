// cowbench compare A B: whether B is better or worse than A, and how sure that is.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

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

// "run.json", "1f3a", "latest", each with ":target" or without.
std::optional<results::Record> load_side(const std::string& name, const std::string& db, std::string& target) {
  std::string place = name;
  if (const auto colon = name.rfind(':'); colon != name.npos && !std::filesystem::exists(name)) {
    place = name.substr(0, colon);
    target = name.substr(colon + 1);
  }
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
  std::vector<std::string> remarks;
  for (const results::Finding& finding : versus.findings) {
    const results::Ratio& ratio = finding.ratio;
    table.add_row({fmt::format("{}, {}, {} clients", ratio.media, ratio.workload, ratio.clients), ratio.denominator,
                   ratio.numerator, ratio.metric, dashboards::format_ratio(ratio),
                   fmt::format("{} {}", ratio.rounds, finding.paired ? "pairs" : "unpaired")});
    for (const std::string& remark : finding.remarks) {
      const std::string line = fmt::format("{}: {}", ratio.metric, remark);
      if (std::ranges::find(remarks, line) == remarks.end()) remarks.push_back(line);
    }
    if (ratio.rounds_needed)
      remarks.push_back(fmt::format("{}: about {} pairs in all would settle it", ratio.metric, *ratio.rounds_needed));
  }
  std::string text = table.render(dashboards::style_of(stdout));
  for (const std::string& remark : remarks) text += remark + "\n";
  return text;
}

int compare(const CompareOptions& options) {
  results::Side a{options.a, nullptr, ""}, b{options.b, nullptr, ""};
  const auto old = load_side(options.a, options.db, a.target);
  if (!old) return exit_invalid;
  // One record named twice is one record: its rounds are pairs.
  const auto place = [](const std::string& name) { return name.substr(0, name.rfind(':')); };
  const auto fresh = load_side(options.b, options.db, b.target);
  if (!fresh) return exit_invalid;
  a.record = &*old;
  b.record = place(options.a) == place(options.b) ? &*old : &*fresh;

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
