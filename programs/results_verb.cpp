// cowbench results: what the store keeps, and the ways into it and out of it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "dashboards/format.h"
#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "programs/verb.h"
#include "results/exchange/export.h"
#include "results/exchange/import.h"
#include "results/history/stored_changes.h"
#include "results/store/store.h"
#include "sharing/team_store.h"
#include "site/documents.h"
#include "site/view.h"

namespace cowbench::programs {
namespace {

using store::Store;
using store::StoredRun;

struct ResultsOptions {
  std::string db = store::default_path();
  std::vector<std::string> ids, files;
  std::string output = "-", html, format, url;
  exchange::ImportOptions foreign;
  history::StoredRequest changes;
  bool json = false;
};

std::string short_commit(const store::RunSummary& run) {
  return run.commit.substr(0, 10) + (run.dirty && !run.commit.empty() ? "+" : "");
}

int list_runs(const ResultsOptions& options) {
  auto opened = open_store(options.db, Store::Access::read);
  if (!opened) return exit_bad_input;
  std::string reason;
  const auto runs = opened->list(reason);
  if (!runs) return report_store_failure(runs.error(), reason);
  if (options.json) return write_output("-", site::runs_document(*runs)) ? exit_ok : exit_run_failed;
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : {"run", "started", "status", "commit"}) table.add_column(title, Align::left);
  table.add_column("samples", Align::right);
  table.add_column("command", Align::left);
  for (const store::RunSummary& run : *runs) {
    table.add_row({run.id.substr(0, 12), run.started, std::string(name(run.status)), short_commit(run),
                   std::to_string(run.samples), run.command_line});
  }
  fmt::print("{}", table.render(dashboards::style_of(stdout)));
  return exit_ok;
}

int show_run(const ResultsOptions& options) {
  auto opened = open_store(options.db, Store::Access::read);
  if (!opened) return exit_bad_input;
  std::string reason;
  const auto run = opened->load(options.ids.front(), reason);
  if (!run) return report_store_failure(run.error(), reason);
  if (!options.html.empty())
    return write_output(options.html, dashboards::render_report(run->record)) ? exit_ok : exit_bad_input;
  if (options.json) return write_output("-", results::to_json(run->record)) ? exit_ok : exit_run_failed;
  fmt::print("run {}, {}{}{}\n", id_of(*run), name(run->status), run->reason.empty() ? "" : ": ",
             dashboards::printable(run->reason));
  fmt::print("{}", dashboards::render_record(run->record, dashboards::style_of(stdout)));
  return exit_ok;
}

int export_runs(const ResultsOptions& options) {
  auto opened = open_store(options.db, Store::Access::read);
  if (!opened) return exit_bad_input;
  std::string reason;
  std::vector<std::string> ids = options.ids;
  if (ids.empty()) {
    const auto listed = opened->list(reason);
    if (!listed) return report_store_failure(listed.error(), reason);
    for (const store::RunSummary& run : *listed) ids.push_back(run.id);
  }
  std::vector<StoredRun> runs;
  for (const std::string& id : ids) {
    auto run = opened->load(id, reason);
    if (!run) return report_store_failure(run.error(), reason);
    runs.push_back(std::move(*run));
  }
  const auto format = exchange::output_format_named(options.format).value_or(exchange::OutputFormat::lines);
  return write_output(options.output, exchange::export_runs(runs, format)) ? exit_ok : exit_bad_input;
}

int import_files(const ResultsOptions& options) {
  std::vector<StoredRun> runs;
  std::string reason;
  for (const std::string& file : options.files) {
    const auto text = read_input(file);
    if (!text) return exit_bad_input;
    const auto format = options.format.empty() ? exchange::detect_format(*text) : exchange::format_named(options.format);
    if (!format)
      return report_failure({harness::FailureKind::request, file + ": none of the formats that can be imported",
                             "nothing was imported; --format says which it is"});
    auto parsed = exchange::import_runs(*text, *format, options.foreign, reason);
    if (!parsed) return report_failure({harness::FailureKind::request, file + ": " + reason, "nothing was imported"});
    for (StoredRun& run : *parsed) runs.push_back(std::move(run));
  }
  auto opened = open_store(options.db, Store::Access::write);
  if (!opened) return exit_bad_input;
  const auto added = opened->add(runs, reason);
  if (!added) return report_store_failure(added.error(), reason);
  const auto fresh = std::ranges::count_if(*added, &store::Added::fresh);
  fmt::print("{} added, {} already there\n", dashboards::counted(static_cast<std::size_t>(fresh), "run"),
             std::ssize(*added) - fresh);
  return exit_ok;
}

int report_left_out(const sharing::Moved& moved, const char* what) {
  for (const std::string& run : moved.left_out) fmt::print(stderr, "cowbench: not {}: {}\n", what, dashboards::printable(run));
  return moved.left_out.empty() ? exit_ok : exit_run_failed;
}

int push_runs(const ResultsOptions& options) {
  auto local = open_store(options.db, Store::Access::read);
  if (!local) return exit_bad_input;
  auto team = sharing::TeamStore::open(options.url);
  if (!team) return report_failure(team.failure());
  const auto moved = team->push(*local);
  if (!moved) return report_failure(moved.failure());
  fmt::print("{} pushed, {} already there\n", moved->added, moved->there_already);
  return report_left_out(*moved, "pushed");
}

int pull_runs(const ResultsOptions& options) {
  auto team = sharing::TeamStore::open(options.url);
  if (!team) return report_failure(team.failure());
  auto local = open_store(options.db, Store::Access::write);
  if (!local) return exit_bad_input;
  const auto moved = team->pull(*local);
  if (!moved) return report_failure(moved.failure());
  fmt::print("{} pulled, {} already here\n", moved->added, moved->there_already);
  return report_left_out(*moved, "pulled");
}

int verify_store(const ResultsOptions& options) {
  auto opened = open_store(options.db, Store::Access::read);
  if (!opened) return exit_bad_input;
  std::string reason;
  const auto problems = opened->verify(reason);
  if (!problems) return report_store_failure(problems.error(), reason);
  for (const std::string& problem : *problems) fmt::print(stderr, "cowbench: {}\n", problem);
  if (problems->empty()) fmt::print("{}: sound\n", options.db);
  return problems->empty() ? exit_ok : exit_run_failed;
}

std::string change_place(const store::SeriesPoint& point) {
  return point.commit.empty() ? point.started : point.commit.substr(0, 10);
}

int show_changes(const ResultsOptions& options) {
  auto opened = open_store(options.db, Store::Access::read);
  if (!opened) return exit_bad_input;
  std::string reason;
  const auto histories = history::find_changes(*opened, options.changes, reason);
  if (!histories) return report_store_failure(histories.error(), reason);
  if (std::ranges::all_of(*histories, [](const history::StoredHistory& found) { return found.points.empty(); })) {
    const std::string beside = options.changes.control.empty() ? "" : " beside " + options.changes.control;
    return report_failure({harness::FailureKind::request, fmt::format("{}: no complete run measured {}{}", options.db, options.changes.metric, beside),
                           "cowbench serve shows what there is"});
  }
  nlohmann::ordered_json json = {{"schema", "cowbench.changes/1"}, {"metric", options.changes.metric},
                                 {"control", options.changes.control}, {"series", nlohmann::ordered_json::array()}};
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : {"target", "load", "first with it", "last without"}) table.add_column(title, Align::left);
  for (const char* title : {"change", "p"}) table.add_column(title, Align::right);
  for (const history::StoredHistory& found : *histories) {
    const store::SeriesKey& key = found.key;
    nlohmann::ordered_json series = {{"target", key.target},     {"integrity", key.integrity}, {"media", key.media},
                                     {"workload", key.workload}, {"clients", key.clients},     {"runs", found.points.size()},
                                     {"eras", found.eras.size() + 1}, {"changes", nlohmann::ordered_json::array()}};
    for (const history::ChangePoint& change : found.changes) {
      const store::SeriesPoint &first = found.points[change.at], &last = found.points[change.at - 1];
      table.add_row({key.target,
                     site::load_of(key),
                     change_place(first),
                     change_place(last), fmt::format("{:+.1f}%", 100 * change.effect), fmt::format("{:.2g}", change.p)});
      series["changes"].push_back({{"run", first.run}, {"commit", first.commit}, {"run_before", last.run},
                                   {"commit_before", last.commit}, {"effect", change.effect}, {"p", change.p}});
    }
    json["series"].push_back(std::move(series));
  }
  if (options.json)
    return write_output("-", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n") ? exit_ok : exit_run_failed;
  if (table.empty()) {
    fmt::print("no change of {} in {} series\n", options.changes.metric, histories->size());
  } else {
    fmt::print("{}candidates: measure both sides again, in one run, before you believe one\n",
               table.render(dashboards::style_of(stdout)));
  }
  return exit_ok;
}

using Action = int (*)(const ResultsOptions&);

CLI::App* add_action(CLI::App& verb, const char* name, const char* what, Action action, int& exit_code,
                     const std::shared_ptr<ResultsOptions>& options) {
  CLI::App* added = verb.add_subcommand(name, what);
  added->add_option("--db", options->db, "The store")->capture_default_str();
  added->footer(exit_codes_text);
  added->callback([options, action, &exit_code] { exit_code = action(*options); });
  return added;
}

}  // namespace

void add_results_verb(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<ResultsOptions>();
  CLI::App* verb = program.add_subcommand("results", "List, show, export, import and verify the runs in a store");
  verb->require_subcommand(1);
  CLI::App* list = add_action(*verb, "list", "The runs, oldest first", list_runs, exit_code, options);
  list->add_flag("--json", options->json, "As JSON, schema cowbench.results/1");
  CLI::App* show = add_action(*verb, "show", "One run", show_run, exit_code, options);
  show->add_option("ID", options->ids, "The beginning of its id, or latest")->required()->expected(1);
  show->add_flag("--json", options->json, "As JSON, schema cowbench.run/1");
  show->add_option("--html", options->html, "Write one self-contained page instead of printing tables");
  CLI::App* out = add_action(*verb, "export", "Write runs for other stores and other programs", export_runs, exit_code, options);
  out->add_option("ID", options->ids, "Beginnings of ids (default: all runs)");
  out->add_option("--format", options->format,
                  "lines (JSON lines, which import takes), json, csv, markdown, hlog (HdrHistogram), prometheus or fio (json+)")
      ->default_str("lines")
      ->check(CLI::IsMember({"lines", "json", "csv", "markdown", "hlog", "prometheus", "fio"}));
  out->add_option("-o,--output", options->output, "File; - is standard output")->capture_default_str();
  CLI::App* in = add_action(*verb, "import", "Add the runs of files, all of them or none", import_files, exit_code, options);
  in->add_option("FILE", options->files, "Our own exports and records, or what fio, Google Benchmark, dbench and fs_mark write")
      ->required();
  in->add_option("--format", options->format, "lines, record, fio, google-benchmark, dbench or fs_mark (default: as it looks)")
      ->check(CLI::IsMember({"lines", "record", "fio", "google-benchmark", "dbench", "fs_mark"}));
  in->add_option("--target", options->foreign.target, "What another program measured")->capture_default_str();
  in->add_option("--integrity", options->foreign.integrity, "What that promises: checksums, and what fsync does");
  CLI::App* changes = add_action(*verb, "changes", "Where a metric changed its level over the stored runs", show_changes,
                                 exit_code, options);
  changes->add_option("--metric", options->changes.metric, "As in docs/json.md")->capture_default_str();
  changes->add_option("--control", options->changes.control, "Look at the ratio to this target, measured in the same runs");
  changes->add_flag("--json", options->json, "As JSON, schema cowbench.changes/1");
  const auto add_url = [&](CLI::App* action) {
    action->add_option("URL", options->url, "postgresql://user@host/database; ~/.pgpass and PGPASSWORD hold passwords")
        ->required();
  };
  add_url(add_action(*verb, "push", "Add what a team's store does not have to it", push_runs, exit_code, options));
  add_url(add_action(*verb, "pull", "Add what a team's store has and this one does not", pull_runs, exit_code, options));
  add_action(*verb, "verify", "Decode every run and compare it with its id", verify_store, exit_code, options);
}

}  // namespace cowbench::programs
