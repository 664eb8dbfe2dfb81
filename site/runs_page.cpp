#include <fmt/format.h>

#include "dashboards/report.h"
#include "site/frame_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using dashboards::escaped_html;
using dashboards::HtmlTable;

std::string choice(std::string_view side, const store::RunSummary& run, bool chosen) {
  return fmt::format("<input type=\"radio\" name=\"{0}\" value=\"{1}\" aria-label=\"{2}: run {3}\"{4}>", side, run.id,
                     side == "a" ? "Baseline" : "Judged", short_id(run.id), chosen ? " checked" : "");
}

}  // namespace

std::string runs_page(std::span<const store::RunSummary> runs, const Proposal& proposal) {
  std::string content = "<h1>Runs</h1>\n";
  if (runs.empty()) {
    content += "<p class=\"lead\">The store holds no run yet: <code>cowbench dbench --db</code> adds one.</p>\n";
    return render_site_page({"Runs", "/runs", content, ""});
  }
  HtmlTable table("runs", fmt::format("{}, the newest first", counted(runs.size(), "run")));
  for (const char* title : {"Run", "Started", "Commit", "Status", "Command"}) table.add_column(title);
  table.add_column("Values", HtmlTable::Kind::number);
  table.add_column("A", HtmlTable::Kind::text, "baseline");
  table.add_column("B", HtmlTable::Kind::text, "judged");
  for (std::size_t at = runs.size(); at-- > 0;) {
    const store::RunSummary& run = runs[at];
    const std::string status = run.status == store::RunStatus::partial
                                   ? marked("unclear", "?", "partial") + "<small>" + escaped_html(run.reason) + "</small>"
                                   : "complete";
    table.add_row({run_link(run.id), short_time(run.started), escaped_html(short_commit(run.commit, run.dirty)), status,
                   "<code>" + escaped_html(run.command_line) + "</code>", std::to_string(run.samples),
                   choice("a", run, run.id == proposal.a), choice("b", run, run.id == proposal.b)});
  }
  content += "<form action=\"/compare\" method=\"get\">" + table.render() + "<button>Compare A and B</button></form>\n";
  return render_site_page({"Runs", "/runs", content, ""});
}

std::string run_page(const store::RunSummary& summary, const store::StoredRun& run) {
  std::string facts = fmt::format("Run <code>{}</code> of {}", short_id(summary.id),
                                  dashboards::link("/hosts/" + summary.fingerprint, "this host"));
  if (run.status == store::RunStatus::partial)
    facts += ", " + marked("unclear", "?", "partial") + ": " + escaped_html(run.reason);
  return dashboards::render_report(run.record, navigation("/runs") + "<p class=\"facts\">" + facts + ".</p>\n");
}

}  // namespace cowbench::site
