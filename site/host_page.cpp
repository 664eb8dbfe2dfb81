#include <fmt/format.h>

#include "results/statistics.h"
#include "site/frame_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using dashboards::escaped_html;
using dashboards::HtmlTable;

std::string host_link(const HostView& host) { return dashboards::link("/hosts/" + host.fingerprint, host.fingerprint); }

std::string environment_table(const HostView& host) {
  const results::Environment& environment = host.environment;
  HtmlTable table("environment", "As its last run recorded it");
  table.add_column("What");
  table.add_column("Value");
  const auto row = [&](std::string_view what, const std::string& value) {
    if (!value.empty()) table.add_row({std::string(what), escaped_html(value)});
  };
  row("Processor", fmt::format("{}, {}", environment.cpu, counted(environment.cores, "core")));
  row("Memory", fmt::format("{} MiB", environment.memory_bytes >> 20));
  row("Kernel", environment.kernel);
  row("Kernel command line", environment.kernel_command_line);
  row("Governor", environment.governor);
  row("Mitigations", environment.mitigations);
  row("Virtualization", environment.virtualization);
  for (const std::string& mount : environment.mounts) row("Mount", mount);
  for (const std::string& program : environment.programs) row("Program", program);
  return table.render();
}

std::string noise_table(const HostView& host, std::span<const SeriesView> all) {
  HtmlTable table("noise", "How much its figures scatter");
  table.add_column("Series");
  table.add_column("Between runs", HtmlTable::Kind::number, "of medians");
  table.add_column("Within a run", HtmlTable::Kind::number, "of rounds, median");
  table.add_column("Runs", HtmlTable::Kind::number);
  table.add_column("Load");
  for (const SeriesView& series : all) {
    std::vector<double> medians, spreads;
    for (std::size_t at = 0; at < series.history.points.size(); ++at) {
      const store::SeriesPoint& point = series.history.points[at];
      if (point.fingerprint != host.fingerprint) continue;
      medians.push_back(series.medians[at]);
      if (point.values.size() > 1) spreads.push_back(results::relative_spread(point.values));
    }
    if (medians.empty()) continue;
    table.add_row({dashboards::link("/series/" + series.id, series.history.key.target + ": " + series.title()),
                   medians.size() < 2 ? "–" : fmt::format("{:.1f}%", 100 * results::relative_spread(medians)),
                   spreads.empty() ? "–" : fmt::format("{:.1f}%", 100 * results::median(spreads)),
                   std::to_string(medians.size()), escaped_html(series.load())});
  }
  return table.empty() ? "" : table.render();
}

std::string run_table(const HostView& host) {
  HtmlTable table("runs", fmt::format("{}, the newest first", counted(host.runs.size(), "run")));
  for (const char* title : {"Run", "Started", "Commit", "Command"}) table.add_column(title);
  for (auto run = host.runs.rbegin(); run != host.runs.rend(); ++run)
    table.add_row({run_link(run->id), short_time(run->started), escaped_html(short_commit(run->commit, run->dirty)),
                   "<code>" + escaped_html(run->command_line) + "</code>"});
  return table.render();
}

}  // namespace

std::string hosts_page(std::span<const HostView> hosts) {
  HtmlTable table("hosts", "Machines and kernels; another one is another era, and is not compared with");
  for (const char* title : {"Fingerprint", "Processor", "Kernel", "First run", "Last run"}) table.add_column(title);
  table.add_column("Runs", HtmlTable::Kind::number);
  for (const HostView& host : hosts)
    table.add_row({host_link(host), escaped_html(fmt::format("{}, {}", host.environment.cpu,
                                                             counted(host.environment.cores, "core"))),
                   escaped_html(host.environment.kernel), short_time(host.runs.front().started),
                   short_time(host.runs.back().started), std::to_string(host.runs.size())});
  return render_site_page({"Hosts", "/hosts", "<h1>Hosts</h1>\n" + table.render(), ""});
}

std::string host_page(const HostView& host, std::span<const SeriesView> series) {
  std::string content = fmt::format("<h1>Host {}</h1>\n<p class=\"lead\">{}, {}; {}.</p>\n", host.fingerprint,
                                    escaped_html(host.environment.cpu), escaped_html(host.environment.kernel),
                                    counted(host.runs.size(), "run"));
  if (!host.environment.warnings.empty()) {
    content += "<div class=\"note warning\"><h2>This host is less than fit</h2><ul>";
    for (const std::string& warning : host.environment.warnings) content += "<li>" + escaped_html(warning) + "</li>";
    content += "</ul></div>\n";
  }
  content += noise_table(host, series) + environment_table(host) + run_table(host);
  return render_site_page({"Host " + host.fingerprint, "/hosts", content, ""});
}

std::string error_page(int status, std::string_view message) {
  return render_site_page({std::to_string(status), "",
                           fmt::format("<h1>{}</h1>\n<p class=\"lead\">{}</p>\n", status, escaped_html(message)), ""});
}

}  // namespace cowbench::site
