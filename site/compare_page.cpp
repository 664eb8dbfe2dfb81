#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "dashboards/format.h"
#include "results/metrics.h"
#include "site/drawing.h"
#include "site/frame_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using dashboards::datum;
using dashboards::escaped_html;
using dashboards::HtmlTable;
using results::Finding;
using results::Verdict;

struct Order {
  Verdict verdict;
  std::string_view sign;
};
constexpr std::array order{Order{Verdict::worse, "▼"}, Order{Verdict::better, "▲"}, Order{Verdict::unclear, "?"},
                           Order{Verdict::same, "="}};

std::size_t rank(const Finding& finding) {
  return static_cast<std::size_t>(std::ranges::find(order, finding.ratio.verdict, &Order::verdict) - order.begin());
}

std::string run_select(std::string_view side, std::string_view label, std::string_view chosen,
                       std::span<const store::RunSummary> runs) {
  std::string html =
      fmt::format("<label for=\"{0}\">{1}</label> <select id=\"{0}\" name=\"{0}\">", side, label);
  for (std::size_t at = runs.size(); at-- > 0;) {
    const store::RunSummary& run = runs[at];
    const bool is_chosen = !chosen.empty() && run.id.starts_with(chosen);
    html += fmt::format("<option value=\"{}\"{}>{} · {} {}</option>", run.id, is_chosen ? " selected" : "",
                        short_id(run.id), short_time(run.started), escaped_html(short_commit(run.commit, run.dirty)));
  }
  return html + "</select>";
}

std::string target_select(std::string_view side, std::string_view label, const std::string& chosen,
                          const store::StoredRun* run) {
  std::vector<std::string> targets;
  if (run != nullptr) {
    for (const results::Comparison& comparison : run->record.comparisons)
      for (const results::TargetResult& result : comparison.results)
        if (std::ranges::find(targets, result.target) == targets.end()) targets.push_back(result.target);
  }
  std::string html = fmt::format(
      "<label for=\"{0}-target\">{1}</label> <select id=\"{0}-target\" name=\"{0}-target\"><option value=\"\">each</option>",
      side, label);
  for (const std::string& target : targets)
    html += fmt::format("<option{}>{}</option>", target == chosen ? " selected" : "", escaped_html(target));
  return html + "</select>";
}

std::string form(const Comparing& comparing, const std::optional<Compared>& compared,
                 std::span<const store::RunSummary> runs) {
  return "<form class=\"compare-form\" method=\"get\"><div>" + run_select("a", "A, the baseline", comparing.a, runs) + " " +
         target_select("a", "target", comparing.a_target, compared ? compared->a : nullptr) + "</div><div>" +
         run_select("b", "B, judged", comparing.b, runs) + " " +
         target_select("b", "target", comparing.b_target, compared ? compared->b : nullptr) +
         "</div><div><label><input type=\"checkbox\" name=\"different-promises\" value=\"1\"" +
         (comparing.different_promises ? " checked" : "") +
         "> also targets that promise different durability or integrity</label> <button>Compare</button></div></form>\n";
}

std::string summary(const std::vector<Finding>& findings) {
  std::string text;
  for (const Order& entry : order) {
    const auto count = std::ranges::count(findings, entry.verdict, [](const Finding& f) { return f.ratio.verdict; });
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, name(entry.verdict));
  }
  return fmt::format("<p class=\"lead\">B against A: {} of {}.</p>\n", text, counted(findings.size(), "metric"));
}

std::string findings_table(std::vector<Finding> findings) {
  std::ranges::stable_sort(findings, {}, rank);
  const RatioScale scale(findings);
  HtmlTable table("findings", "B ÷ A, the worst first");
  table.add_column("Metric");
  table.add_column("Verdict", HtmlTable::Kind::text, "of B");
  table.add_column("B ÷ A", HtmlTable::Kind::number);
  table.add_column("95% interval", HtmlTable::Kind::number);
  table.add_column("Ratio", HtmlTable::Kind::text, scale.range() + "; grey: no difference");
  table.add_column("Targets");
  table.add_column("Load");
  table.add_column("Rounds", HtmlTable::Kind::number);
  for (const Finding& finding : findings) {
    const results::Ratio& ratio = finding.ratio;
    const results::MetricDescription* metric = results::find_metric(ratio.metric);
    const std::string interval =
        ratio.ci95 ? fmt::format("{} to {}", datum(ratio.ci95->low, dashboards::format_factor(ratio.ci95->low)),
                                 datum(ratio.ci95->high, dashboards::format_factor(ratio.ci95->high)))
                   : "none";
    const std::string targets =
        ratio.numerator == ratio.denominator ? ratio.numerator : ratio.numerator + " ÷ " + ratio.denominator;
    table.add_row({escaped_html(metric == nullptr ? ratio.metric : metric->title),
                   marked(name(ratio.verdict), order[rank(finding)].sign, name(ratio.verdict)),
                   ratio.estimate ? datum(*ratio.estimate, dashboards::format_factor(*ratio.estimate)) : "–", interval,
                   scale.row(ratio), escaped_html(targets),
                   escaped_html(fmt::format("{}, {}, {}", ratio.media, ratio.workload, counted(ratio.clients, "client"))),
                   fmt::format("{} {}", ratio.rounds, finding.paired ? "pairs" : "unpaired")});
  }
  return table.render();
}

std::string list(std::string_view title, const std::vector<std::string>& lines, std::string_view kind = "") {
  if (lines.empty()) return "";
  std::string html = fmt::format("<div class=\"note {}\"><h2>{}</h2><ul>", kind, title);
  for (const std::string& line : lines) html += "<li>" + escaped_html(line) + "</li>";
  return html + "</ul></div>\n";
}

std::string remarks(const results::Versus& versus) {
  std::vector<std::string> lines;
  for (const Finding& finding : versus.findings) {
    for (const std::string& remark : finding.remarks)
      if (std::ranges::find(lines, remark) == lines.end()) lines.push_back(remark);
  }
  std::vector<std::string> refused;
  for (const std::string& pair : versus.refused) refused.push_back(pair + " promise different things");
  return list("What weakens this", lines, "warning") + list("Not compared", refused);
}

std::string environments(const Compared& compared) {
  const results::Environment &a = compared.a->record.environment, &b = compared.b->record.environment;
  HtmlTable table("differences", "What else differs between A and B");
  for (const char* title : {"What", "A", "B"}) table.add_column(title);
  const auto row = [&](std::string_view what, const std::string& left, const std::string& right) {
    if (left != right) table.add_row({std::string(what), escaped_html(left), escaped_html(right)});
  };
  row("Commit", short_commit(a.commit, a.dirty), short_commit(b.commit, b.dirty));
  row("Command", compared.a->record.command_line, compared.b->record.command_line);
  row("Kernel", a.kernel, b.kernel);
  row("Kernel command line", a.kernel_command_line, b.kernel_command_line);
  row("Processor", a.cpu, b.cpu);
  row("Cores", std::to_string(a.cores), std::to_string(b.cores));
  row("Memory, MiB", std::to_string(a.memory_bytes >> 20), std::to_string(b.memory_bytes >> 20));
  row("Governor", a.governor, b.governor);
  row("Mitigations", a.mitigations, b.mitigations);
  row("Build", a.build_type + ", " + a.compiler, b.build_type + ", " + b.compiler);
  row("Assertions", a.assertions, b.assertions);
  return table.empty() ? "" : table.render();
}

}  // namespace

std::string compare_page(const Comparing& comparing, const std::optional<Compared>& compared,
                         std::span<const store::RunSummary> runs) {
  std::string content = "<h1>Compare</h1>\n" + form(comparing, compared, runs);
  if (compared) {
    const auto& findings = compared->versus.findings;
    content += findings.empty() ? "<p class=\"lead\">A and B have no load and target in common.</p>\n" : summary(findings);
    if (!findings.empty()) content += findings_table(findings);
    content += remarks(compared->versus) + environments(*compared);
  }
  return render_site_page({"Compare", "/compare", content, ""});
}

}  // namespace cowbench::site
