#include "tune/tuning.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "dashboards/format.h"
#include "dashboards/html.h"
#include "dashboards/report.h"
#include "dashboards/terminal.h"
#include "engine/codec/cpu_features.h"

namespace cowbench::tune {
namespace {

using dashboards::datum;
using dashboards::escaped_html;
using dashboards::format_factor;
using dashboards::format_ratio;

std::string_view name(Subject subject) {
  switch (subject) {
    case Subject::checksum:
      return "checksum";
    case Subject::ec:
      return "ec";
    case Subject::layout:
      return "layout";
  }
  return "";
}

std::string_view name(Cache cache) { return cache == Cache::hot ? "hot" : "cold"; }

std::string size_text(u64 bytes) { return fmt::format("{} KiB", bytes / cowfs::kib); }

std::string interval_text(const results::Estimate& estimate) {
  if (!estimate.interval) return fmt::format("{:.1f} ns (no interval)", estimate.value);
  return fmt::format("{:.1f} ns [{:.1f}, {:.1f}]", estimate.value, estimate.interval->low, estimate.interval->high);
}

std::string speed_text(const results::PairedRatio& ratio) {
  if (!ratio.interval) return format_factor(ratio.estimate);
  return fmt::format("{} [{}, {}]", format_factor(ratio.estimate), format_factor(ratio.interval->low),
                     format_factor(ratio.interval->high));
}

// "by folding-avx512 1.04 times the next kernel"; the next may be the faster one.
std::string choice_text(const Cost& cost) {
  std::string text = fmt::format("by {} at {:.1f} GB/s a core", cost.measured->candidate.kernel, cost.measured->gb_s);
  if (cost.speed) text += fmt::format(", {} times the next best kernel", speed_text(*cost.speed));
  return text;
}

std::string micro_sentence(const Tuning& tuning, const std::vector<Cost>& found) {
  const Cost& best = found.front();
  if (tuning.subject == Subject::checksum)
    return fmt::format("Of the checksums {} costs least here: {} for each 4 KiB that is copied, against none, {}.",
                       best.measured->candidate.setting, interval_text(best.ns_for_4_kib), choice_text(best));
  std::string text = "Parity of 64 KiB shards costs, for each 4 KiB of data, against none:";
  for (const Cost& cost : found)
    text += fmt::format("{} {} with {}", &cost == &best ? "" : ",", interval_text(cost.ns_for_4_kib),
                        cost.measured->candidate.setting);
  return text + fmt::format("; the engine takes {} for {}, {} times the next best kernel.",
                            best.measured->candidate.kernel, best.measured->candidate.setting,
                            best.speed ? speed_text(*best.speed) : "-");
}

std::string trial_sentence(const Trials& trials) {
  const Trial& best = trials.others.front();
  return fmt::format("{} on {}: {} is best, {} of {}.", trials.load, trials.media, best.setting,
                     format_ratio(best.ratio), trials.against);
}

// Bars of what the engine takes and its rivals, hot and cold.
std::string plot(const std::vector<Measured>& measured, const std::string& what) {
  constexpr double width = 1000, left = 240, right = 80, bar = 16, top = 8;
  std::vector<const Measured*> shown;
  double highest = 0;
  for (const Measured& one : measured) {
    const bool task = one.candidate.task == "copy with checksum" || one.candidate.task == "encode";
    const u64 bytes = one.candidate.task == "encode" ? 64 * cowfs::kib : 4 * cowfs::kib;
    if (!task || one.candidate.bytes != bytes) continue;
    shown.push_back(&one);
    highest = std::max(highest, one.gb_s);
  }
  const double height = top + bar * static_cast<double>(shown.size()) + top;
  std::string svg = fmt::format("<svg class=\"rates\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">", width,
                                height, escaped_html(what));
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const Candidate& candidate = shown[i]->candidate;
    const double y = top + bar * static_cast<double>(i), length = (width - left - right) * shown[i]->gb_s / highest;
    svg += fmt::format(
        "<text class=\"tick\" x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{} {}, {}</text>"
        "<rect x=\"{}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" style=\"fill:var(--series-{});opacity:{}\"/>"
        "<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\">{:.1f}</text>",
        left - 8, y + 12, escaped_html(candidate.setting), escaped_html(candidate.kernel), name(candidate.cache), left,
        y + 2, length, bar - 4, candidate.cache == Cache::hot ? 0 : 1, candidate.chosen ? "1" : "0.45",
        left + length + 6, y + 12, shown[i]->gb_s);
  }
  return svg + "</svg>";
}

std::string micro_html(const Tuning& tuning, const std::string& what) {
  using Kind = dashboards::HtmlTable::Kind;
  dashboards::HtmlTable table("tune-micro", "Kernels on one core");
  for (const char* title : {"Setting", "Task", "Kernel", "Needs", "Cache"}) table.add_column(title);
  table.add_column("Size", Kind::number);
  table.add_column("GB/s", Kind::number, "of data, median of the rounds");
  table.add_column("Taken");
  for (const Measured& one : tuning.micro) {
    const Candidate& candidate = one.candidate;
    table.add_row({escaped_html(candidate.setting), escaped_html(candidate.task), escaped_html(candidate.kernel),
                   escaped_html(candidate.needs), std::string(name(candidate.cache)),
                   datum(static_cast<double>(candidate.bytes), size_text(candidate.bytes)),
                   datum(one.gb_s, fmt::format("{:.1f}", one.gb_s)), candidate.chosen ? "taken" : ""});
  }
  return "<figure class=\"history-figure\">" + plot(tuning.micro, what) +
         "</figure>\n<p class=\"legend\">GB/s of data a core: " +
         (tuning.subject == Subject::ec ? "parity of 64 KiB shards" : "4 KiB blocks copied with their checksum") +
         ". <span style=\"color:var(--series-0)\">■</span> in the caches <span "
         "style=\"color:var(--series-1)\">■</span> "
         "beyond them; strong: what the engine takes</p>\n" +
         table.render();
}

std::string trials_html(const Trials& trials) {
  using Kind = dashboards::HtmlTable::Kind;
  dashboards::HtmlTable table("tune-trials", trials.load + " on " + trials.media);
  table.add_column("Setting");
  table.add_column("MB/s", Kind::number);
  table.add_column("Ratio to " + trials.against, Kind::number, "with the 95% interval over paired rounds");
  for (const Trial& trial : trials.others)
    table.add_row({escaped_html(trial.setting), datum(trial.mb_s, dashboards::format_number(trial.mb_s)),
                   escaped_html(format_ratio(trial.ratio))});
  return table.empty() ? "" : table.render();
}

std::string micro_text(const Tuning& tuning, const dashboards::Style& style) {
  dashboards::Table table;
  using Align = dashboards::Table::Align;
  for (const char* title : {"setting", "task", "kernel", "needs"}) table.add_column(title, Align::left);
  for (const char* title : {"size", "hot GB/s", "cold GB/s"}) table.add_column(title, Align::right);
  table.add_column("", Align::left);
  for (const Measured& hot : tuning.micro) {
    const Candidate& one = hot.candidate;
    if (one.cache == Cache::cold) continue;
    const auto cold = std::ranges::find_if(tuning.micro, [&](const Measured& other) {
      return other.candidate.cache == Cache::cold && other.candidate.setting == one.setting &&
             other.candidate.task == one.task && other.candidate.kernel == one.kernel &&
             other.candidate.bytes == one.bytes;
    });
    table.add_row({one.setting, one.task, one.kernel, one.needs, size_text(one.bytes), fmt::format("{:.1f}", hot.gb_s),
                   cold == tuning.micro.end() ? "" : fmt::format("{:.1f}", cold->gb_s), one.chosen ? "taken" : ""});
  }
  return "kernels on one core, GB/s of data; processor features in use: " +
         cowfs::codec::to_text(cowfs::codec::cpu_features()) + "\n" + table.render(style);
}

std::string trials_text(const Trials& trials, const dashboards::Style& style) {
  dashboards::Table table;
  table.add_column("setting", dashboards::Table::Align::left);
  table.add_column("MB/s", dashboards::Table::Align::right);
  table.add_column("ratio to " + trials.against, dashboards::Table::Align::left);
  for (const Trial& trial : trials.others)
    table.add_row({trial.setting, dashboards::format_number(trial.mb_s), format_ratio(trial.ratio)});
  return trials.load + " on " + trials.media + "\n" + table.render(style);
}

}  // namespace

std::vector<std::string> sentences(const Tuning& tuning, const results::Record& record) {
  std::vector<std::string> all;
  if (const std::vector<Cost> found = costs(tuning.micro); !found.empty()) all.push_back(micro_sentence(tuning, found));
  for (const Trials& one : trials(record, tuning.settings))
    if (!one.others.empty()) all.push_back(trial_sentence(one));
  return all;
}

std::string to_text(const Tuning& tuning, const results::Record& record, const dashboards::Style& style) {
  std::string text;
  if (!tuning.micro.empty()) text += micro_text(tuning, style);
  for (const Trials& one : trials(record, tuning.settings)) text += trials_text(one, style);
  for (const std::string& sentence : sentences(tuning, record)) text += in_style(sentence, style) + "\n";
  return text;
}

std::string to_html(const Tuning& tuning, const results::Record& record) {
  std::string html = "<div class=\"introduction\">", what;
  for (const std::string& sentence : sentences(tuning, record)) {
    what += sentence + " ";
    html += "<p>" + escaped_html(sentence) + "</p>\n";
  }
  for (const Trials& one : trials(record, tuning.settings)) html += trials_html(one);
  if (!tuning.micro.empty()) html += micro_html(tuning, what);
  return dashboards::render_report(record, "", html + "</div>\n");
}

std::string to_json(const Tuning& tuning, const results::Record& record) {
  using Json = nlohmann::ordered_json;
  const auto interval = [](const auto& bounds) {
    return bounds ? Json::array({bounds->low, bounds->high}) : Json(nullptr);
  };
  Json json = {{"schema", "cowbench.tune/1"},
               {"subject", name(tuning.subject)},
               {"cpu_features", cowfs::codec::to_text(cowfs::codec::cpu_features())},
               {"sentences", sentences(tuning, record)},
               {"micro", Json::array()},
               {"costs", Json::array()},
               {"end_to_end", Json::array()}};
  for (const Measured& one : tuning.micro)
    json["micro"].push_back({{"setting", one.candidate.setting},
                             {"task", one.candidate.task},
                             {"kernel", one.candidate.kernel},
                             {"needs", one.candidate.needs},
                             {"bytes", one.candidate.bytes},
                             {"cache", name(one.candidate.cache)},
                             {"taken", one.candidate.chosen},
                             {"gb_s", one.gb_s},
                             {"gb_s_rounds", one.gb_s_rounds}});
  for (const Cost& cost : costs(tuning.micro))
    json["costs"].push_back({{"setting", cost.measured->candidate.setting},
                             {"kernel", cost.measured->candidate.kernel},
                             {"ns_for_4_kib", cost.ns_for_4_kib.value},
                             {"ci95", interval(cost.ns_for_4_kib.interval)}});
  for (const Trials& one : trials(record, tuning.settings)) {
    Json entry = {{"load", one.load}, {"media", one.media}, {"against", one.against}, {"settings", Json::array()}};
    for (const Trial& trial : one.others)
      entry["settings"].push_back({{"setting", trial.setting},
                                   {"mb_s", trial.mb_s},
                                   {"ratio", trial.ratio.estimate ? Json(*trial.ratio.estimate) : Json(nullptr)},
                                   {"ci95", interval(trial.ratio.ci95)},
                                   {"verdict", results::name(trial.ratio.verdict)}});
    json["end_to_end"].push_back(std::move(entry));
  }
  json["record"] = Json::parse(results::to_json(record));
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace cowbench::tune
