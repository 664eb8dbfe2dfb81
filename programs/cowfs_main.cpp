// cowfs: makes, shows, checks and repairs filesystems. Each verb parses, calls one function of the engine, and prints. Those of
// devices and of a scrub stand in cowfs_device_verbs.cpp.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/admin/change_options.h"
#include "engine/admin/tools.h"
#include "engine/engine.h"
#include "engine/repair/corrupt.h"
#include "engine/repair/repair.h"
#include "programs/cowfs_verb.h"

namespace cowbench::programs {
namespace {

using cowfs::ChecksumKind;
using cowfs::u16;
using cowfs::u64;
namespace admin = cowfs::admin;

constexpr const char* exit_codes_text =
    "Exit status: 0 ok, for check and scrub: clean; 1 errors found on the device and left, or reading or writing it failed;\n"
    "3 check --repair or scrub found errors, and none is left;\n"
    "2 bad usage, or a device that is no intact cowfs device to begin with: missing, in use, too small, read-only,\n"
    "cut off, another format or version. --json prints one object; list prints one a line.";

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print("note: {}\n", note);
}

int show_what_was_done(const Devices& devices, std::string_view done, const char* schema, bool json) {
  const auto shown = admin::show_superblock(devices.front());
  if (!shown) return report_error(devices.front(), shown.error());
  ordered_json object{{"schema", schema}, {"device", devices.front()}, {"devices", devices}};
  for (const auto& [name, value] : shown->fields) object["superblock"][name] = value;
  if (json) {
    fmt::print("{}\n", dumped(object, 2));
  } else {
    fmt::print("{}: {}\n", fmt::join(devices, " "), done);
    for (const auto& [name, value] : shown->fields) fmt::print("{:<22} {}\n", name, value);
  }
  return exit_ok;
}

// "--data-checksum KIND" and "--metadata-checksum KIND", into anything that a ChecksumKind can be put into.
template <typename Kind>
void add_checksum_options(CLI::App& verb, Kind& data, Kind& metadata, const std::string& otherwise) {
  const auto add = [&verb](const char* name, Kind& kind, std::vector<ChecksumKind> allowed, const std::string& help) {
    std::vector<std::string> names;
    for (const ChecksumKind one : allowed) names.emplace_back(cowfs::name(one));
    verb.add_option_function<std::string>(
            name, [&kind](const std::string& word) { kind = *cowfs::parse_checksum_kind(word); }, help)
        ->check(CLI::IsMember(names))
        ->type_name("KIND");
  };
  add("--data-checksum", data, {ChecksumKind::none, ChecksumKind::crc32c, ChecksumKind::crc64, ChecksumKind::xxh3},
      "Of each 4 KiB of data" + otherwise);
  add("--metadata-checksum", metadata, {ChecksumKind::crc32c, ChecksumKind::crc64, ChecksumKind::xxh3},
      "Of nodes, journal, commits and slice headers" + otherwise);
}

int format_verb(const cowfs::FormatOptions& options, bool json) {
  const cowfs::Status made = cowfs::format_devices(options);
  if (!made && made.error().code == cowfs::Code::superblock_geometry_invalid) {
    fmt::print(stderr,
               "cowfs: {}: {} is not possible: slices are a power of two up to 4096, buckets one from 512K to 8M\n",
               named(options.devices, made.error()), made.error().value);
    return exit_bad_input;
  }
  if (!made) return report_error(options.devices, made.error());
  return show_what_was_done(options.devices, "formatted", "cowfs.format/1", json);
}

void add_format_verb(CLI::App& program, int& exit_code) {
  struct Options {
    cowfs::FormatOptions format;
    u64 bucket_bytes = 0, journal_bytes = 0;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("format", "Make a filesystem; what the device holds is lost");
  verb->add_option("DEV", options->format.devices, "Block devices or existing image files")
      ->required();
  verb->add_flag("--force", options->format.force, "Also when the device carries a filesystem or another signature");
  verb->add_option("--label", options->format.label, "Name of the filesystem, at most 63 bytes")
      ->check([](const std::string& label) { return label.size() < 64 ? "" : "longer than 63 bytes"; });
  verb->add_option("--replicas", options->format.replicas, "Copies of everything, each on another device")
      ->check(CLI::Range(1, 4));
  verb->add_option_function<std::string>(
          "--erasure-code",
          [options](const std::string& text) { options->format.erasure = *cowfs::parse_erasure_code(text); },
          "K+M, such as 4+2: stripes of K blocks on as many devices and M of parity on others, any M of which may be lost")
      ->check([](const std::string& text) {
        return cowfs::parse_erasure_code(text) ? "" : "not K+M with K from 2 to 16 and M from 1 to 4";
      })
      ->excludes("--replicas");
  verb->add_option("--device-labels", options->format.device_labels,
                   "What fails together: one label for each device, separated by commas; copies and shards have different ones")
      ->delimiter(',')
      ->allow_extra_args(false);
  verb->add_option("--slices", options->format.slices, "Parts that cores work on; a power of two (0: from capacity and cores)");
  verb->add_option("--cores", options->format.cores,
                   "Cores that will mostly work on it, though any number can (0: as many as here)");
  verb->add_option("--bucket-size", options->bucket_bytes, "Unit of space, 512K to 8M (0: from capacity)")
      ->transform(CLI::AsSizeValue(false));
  verb->add_flag_callback("--two-flushes", [options] { options->format.single_flush = false; },
                          "Commits flush the device twice, so that a mount never has to verify the last one");
  add_checksum_options(*verb, options->format.data_checksum, options->format.metadata_checksum, " (default: crc32c)");
  verb->add_option("--journal-size", options->journal_bytes, "At least 8M (0: from capacity)")
      ->transform(CLI::AsSizeValue(false));
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.format/1");
  verb->callback([options, &exit_code] {
    const std::vector<std::string>& labels = options->format.device_labels;
    if (!labels.empty() && labels.size() != options->format.devices.size())
      throw CLI::ValidationError("--device-labels", "needs one label for each device");
    for (const std::string& label : labels)
      if (label.size() > 63) throw CLI::ValidationError("--device-labels", "longer than 63 bytes");
    options->format.bucket_bytes = options->bucket_bytes;
    options->format.journal_bytes = options->journal_bytes;
    exit_code = format_verb(options->format, options->json);
  });
}

void add_set_option_verb(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    admin::OptionChanges changes;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand("set-option", "Change an option, for what is written from the next mount on");
  verb->add_option("DEV", options->devices, "All devices of the filesystem; not mounted")->required();
  add_checksum_options(*verb, options->changes.data_checksum, options->changes.metadata_checksum,
                       "; what is there keeps its own");
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.set-option/1");
  verb->callback([options, &exit_code] {
    if (!options->changes.data_checksum && !options->changes.metadata_checksum)
      throw CLI::RequiredError("--data-checksum or --metadata-checksum");
    const cowfs::Status done = admin::set_options(options->devices, options->changes);
    exit_code = done ? show_what_was_done(options->devices, "changed", "cowfs.set-option/1", options->json)
                     : report_error(options->devices, done.error());
  });
}

int show_super_verb(const std::string& device, bool json) {
  const auto shown = admin::show_superblock(device);
  if (!shown) return report_error(device, shown.error());
  if (json) {
    ordered_json object{{"schema", "cowfs.superblock/1"}, {"device", device}};
    for (const auto& [name, value] : shown->fields) object["superblock"][name] = value;
    object["notes"] = shown->notes;
    fmt::print("{}\n", dumped(object, 2));
    return exit_ok;
  }
  for (const auto& [name, value] : shown->fields) fmt::print("{:<22} {}\n", name, value);
  print_notes(shown->notes);
  return exit_ok;
}

u64 count_of(const admin::DeviceShown& device, std::string_view name) {
  for (const cowfs::Activity& activity : device.activities)
    if (activity.name == name) return activity.totals.count;
  return 0;
}

ordered_json to_json(const std::vector<admin::DeviceShown>& devices) {
  ordered_json array = ordered_json::array();
  for (const admin::DeviceShown& device : devices) {
    ordered_json counters = ordered_json::object();
    for (const cowfs::Activity& activity : device.activities)
      counters[activity.name] = {{"count", activity.totals.count}, {"bytes", activity.totals.bytes}};
    array.push_back({{"device", device.number},
                     {"path", device.path},
                     {"label", device.label},
                     {"state", device.state},
                     {"bytes", device.bytes},
                     {"counters", counters}});
  }
  return array;
}

void print_devices(const std::vector<admin::DeviceShown>& devices) {
  fmt::print("\n{:>6} {:>8} {:>12} {:>12} {:>12} {:>8} {:>8} {:>8}  {}\n", "device", "state", "size", "reads", "writes",
             "errors", "damaged", "repaired", "path");
  for (const admin::DeviceShown& device : devices) {
    fmt::print("{:>6} {:>8} {:>12} {:>12} {:>12} {:>8} {:>8} {:>8}  {}{}\n", device.number, device.state,
               size_text(device.bytes), count_of(device, "device_read"), count_of(device, "device_write"),
               count_of(device, "device_error"), count_of(device, "copy_damaged"), count_of(device, "copy_repaired"),
               device.path, device.label.empty() ? "" : fmt::format(" ({})", device.label));
  }
}

ordered_json to_json(const admin::Usage& usage) {
  ordered_json object{{"schema", "cowfs.usage/1"},
                      {"capacity_bytes", usage.capacity_bytes},
                      {"bucket_bytes", usage.bucket_bytes},
                      {"journal_bytes", usage.journal_bytes},
                      {"data_buckets", usage.data_buckets},
                      {"data_buckets_free", usage.data_buckets_free},
                      {"user_bytes", usage.user_bytes},
                      {"used_bytes", usage.used_bytes},
                      {"inodes", usage.inodes},
                      {"slices", ordered_json::array()},
                      {"devices", to_json(usage.devices)},
                      {"notes", usage.notes}};
  for (const admin::SliceUsage& slice : usage.slices) {
    object["slices"].push_back({{"slice", slice.slice},
                                {"inodes", slice.inodes},
                                {"buckets", slice.buckets},
                                {"buckets_empty", slice.buckets_empty},
                                {"data_bytes", slice.data_bytes},
                                {"metadata_bytes", slice.metadata_bytes},
                                {"metadata_buckets", slice.metadata_buckets}});
  }
  return object;
}

int usage_verb(const Devices& devices, bool json) {
  const auto usage = admin::usage(devices);
  if (!usage) return report_error(devices, usage.error());
  if (json) {
    fmt::print("{}\n", dumped(to_json(*usage), 2));
    return exit_ok;
  }
  fmt::print("capacity {}, journal {}, for users {}, used {}, {} inodes\n", size_text(usage->capacity_bytes),
             size_text(usage->journal_bytes), size_text(usage->user_bytes), size_text(usage->used_bytes),
             usage->inodes);
  fmt::print("{} data buckets of {}, {} not leased\n\n", usage->data_buckets, size_text(usage->bucket_bytes),
             usage->data_buckets_free);
  fmt::print("{:>5} {:>10} {:>8} {:>6} {:>12} {:>12} {:>17}\n", "slice", "inodes", "buckets", "empty", "data",
             "metadata", "metadata buckets");
  for (const admin::SliceUsage& slice : usage->slices) {
    fmt::print("{:>5} {:>10} {:>8} {:>6} {:>12} {:>12} {:>17}\n", slice.slice, slice.inodes, slice.buckets,
               slice.buckets_empty, size_text(slice.data_bytes), size_text(slice.metadata_bytes),
               slice.metadata_buckets);
  }
  print_devices(usage->devices);
  print_notes(usage->notes);
  return exit_ok;
}

int counters_verb(const Devices& devices, bool json) {
  const auto shown = admin::counters(devices);
  if (!shown) return report_error(devices, shown.error());
  ordered_json object{{"schema", "cowfs.counters/1"}, {"counters", ordered_json::object()}, {"devices", to_json(shown->devices)}, {"notes", shown->notes}};
  if (!json) {
    fmt::print("{:<16} {:>14} {:>18} {:>12} {:>12} {:>12} {:>12}\n", "", "count", "bytes", "timed", "p50 ns", "p99 ns",
               "p99.9 ns");
  }
  for (const cowfs::Activity& activity : shown->activities) {
    const cowfs::Totals& totals = activity.totals;
    const u64 p50 = totals.percentile_ns(0.5), p99 = totals.percentile_ns(0.99), p999 = totals.percentile_ns(0.999);
    if (!json) {
      fmt::print("{:<16} {:>14} {:>18} {:>12} {:>12} {:>12} {:>12}\n", activity.name, totals.count, totals.bytes,
                 totals.timed(), p50, p99, p999);
      continue;
    }
    ordered_json latencies = ordered_json::array();
    for (cowfs::u32 bucket = 0; bucket < cowfs::latency_buckets; ++bucket) {
      if (totals.latencies[bucket] == 0) continue;
      latencies.push_back({{"below_ns", cowfs::latency_bucket_end_ns(bucket)}, {"count", totals.latencies[bucket]}});
    }
    object["counters"][activity.name] = {{"count", totals.count},    {"bytes", totals.bytes},
                                         {"timed", totals.timed()},  {"latency_ns_p50", p50},
                                         {"latency_ns_p99", p99},    {"latency_ns_p999", p999},
                                         {"latencies", latencies}};
  }
  if (json) fmt::print("{}\n", dumped(object, 2));
  if (!json) print_devices(shown->devices);
  if (!json) print_notes(shown->notes);
  return exit_ok;
}

int list_verb(const Devices& devices, const admin::ListOptions& options, bool json) {
  const auto show = [json](const admin::Listed& line) {
    if (json) {
      const ordered_json object{
          {"slice", line.slice}, {"tree", line.tree}, {"text", line.text}, {"damaged", line.damaged}};
      fmt::print("{}\n", dumped(object, -1));
    } else {
      fmt::print("slice {} {}{}{}\n", line.slice, line.damaged ? "DAMAGED " : "",
                 line.tree.empty() || line.text.starts_with(line.tree) ? "" : line.tree + " ", line.text);
    }
  };
  const auto listed = admin::list(devices, options, show);
  if (!listed) return report_error(devices, listed.error());
  // Lines of the listing only go to standard output.
  for (const std::string& note : listed->notes) fmt::print(stderr, "note: {}\n", note);
  return listed->damaged == 0 ? exit_ok : exit_errors_found;
}

void add_list_verb(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    admin::ListOptions list;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand(
      "list",
      "Show keys or nodes of the trees, as of each slice's newest checkpoint; the journal's newer ones are not in it");
  verb->add_option("DEV", options->devices, "Block devices or image files")->required();
  verb->add_option("--slice", options->list.slice, "Only this slice");
  verb->add_option("--tree", options->list.tree,
                   "Only this tree: inodes, dirents, xattrs, extents, leases, alloc, backpointers or orphans");
  verb->add_flag("--nodes", options->list.nodes, "Nodes instead of keys");
  verb->add_flag("--json", options->json, "One JSON object a line");
  verb->callback([options, &exit_code] { exit_code = list_verb(options->devices, options->list, options->json); });
}

int list_journal_verb(const Devices& devices, bool json) {
  const auto journal = admin::list_journal(devices);
  if (!journal) return report_error(devices, journal.error());
  ordered_json object{{"schema", "cowfs.journal/1"},
                      {"last_epoch", journal->last_epoch},
                      {"oldest_needed_epoch", journal->oldest_needed_epoch},
                      {"session", journal->session},
                      {"entries", ordered_json::array()},
                      {"notes", journal->notes}};
  if (!json) {
    fmt::print("history to epoch {}, needed from {}, session {}, {} entries\n", journal->last_epoch,
               journal->oldest_needed_epoch, journal->session, journal->entries.size());
  }
  for (const admin::JournalEntryShown& entry : journal->entries) {
    if (json) {
      object["entries"].push_back({{"epoch", entry.epoch},
                                   {"stream", entry.stream},
                                   {"session", entry.session},
                                   {"sequence", entry.sequence},
                                   {"records", entry.records},
                                   {"bytes", entry.bytes},
                                   {"device", entry.device},
                                   {"block", entry.block}});
    } else {
      fmt::print("epoch {} stream {} session {} sequence {} records {} bytes {} at {}:{}\n", entry.epoch, entry.stream,
                 entry.session, entry.sequence, entry.records, entry.bytes, entry.device, entry.block);
    }
  }
  if (json) fmt::print("{}\n", dumped(object, 2));
  if (!json) print_notes(journal->notes);
  return exit_ok;
}

ordered_json to_json(const admin::CheckReport& report) {
  ordered_json object{
      {"schema", "cowfs.check/1"},         {"clean", report.clean()}, {"findings_total", report.findings_total},
      {"findings", ordered_json::array()}, {"notes", report.notes},   {"counted", report.counted}};
  for (const admin::Finding& finding : report.findings) {
    object["findings"].push_back({{"class", finding.name},
                                  {"slice", finding.slice},
                                  {"tree", finding.tree},
                                  {"where", finding.where},
                                  {"path", finding.path},
                                  {"what", finding.what}});
  }
  return object;
}

void print_finding(const admin::Finding& finding) {
  fmt::print("{}{}{}{}{}: {}\n", finding.name, finding.slice.empty() ? "" : " slice " + finding.slice,
             finding.tree.empty() ? "" : " tree " + finding.tree, finding.where.empty() ? "" : " " + finding.where,
             finding.path.empty() ? "" : " " + finding.path, finding.what);
}

std::function<void(const admin::CheckProgress&)> progress_shown(bool json) {
  if (json || isatty(STDERR_FILENO) == 0) return {};
  return [](const admin::CheckProgress& progress) {
    const std::string share =
        progress.total == 0 ? "" : fmt::format(" {}%", std::min<u64>(progress.done * 100 / progress.total, 100));
    fmt::print(stderr, "\r\x1b[K{}{}", progress.phase, share);
  };
}

int check_verb(const Devices& devices, bool data, bool json) {
  admin::CheckOptions options;
  options.data = data;
  options.progress = progress_shown(json);
  const auto report = admin::check(devices, options);
  if (options.progress) fmt::print(stderr, "\r\x1b[K");
  if (!report) return report_error(devices, report.error());
  if (json) {
    fmt::print("{}\n", dumped(to_json(*report), 2));
    return report->clean() ? exit_ok : exit_errors_found;
  }
  for (const admin::Finding& finding : report->findings) print_finding(finding);
  print_notes(report->notes);
  std::string counted;
  for (const auto& [what, count] : report->counted)
    counted += fmt::format("{}{} {}", counted.empty() ? "" : ", ", count, what);
  fmt::print("{}: {} ({})\n", fmt::join(devices, " "),
             report->clean() ? std::string("clean") : fmt::format("{} errors found", report->findings_total), counted);
  return report->clean() ? exit_ok : exit_errors_found;
}

int exit_code_of(const cowfs::repair::RepairReport& report) {
  if (report.found_nothing()) return exit_ok;
  return report.written && report.left_nothing() ? exit_repaired : exit_errors_found;
}

std::string repair_outcome(const cowfs::repair::RepairReport& report, bool dry_run) {
  if (report.found_nothing()) return "clean";
  const auto copies = std::count_if(report.repairs.begin(), report.repairs.end(),
                                    [](const auto& repair) { return repair.finding_class == "copy_damaged"; });
  std::string found = fmt::format("{} errors found", report.before.findings_total);
  if (copies > 0) found += fmt::format(" and {} damaged copies", copies);
  if (!report.refused.empty()) return fmt::format("{}, not repaired: {}", found, report.refused);
  if (report.repairs.empty()) return fmt::format("{} that cannot be repaired: damaged data", found);
  return fmt::format("{}, {} {}", found, dry_run ? "nothing written; a repair would leave" : "repaired; left are",
                     report.after.findings_total);
}

ordered_json to_json(const cowfs::repair::RepairReport& report, bool dry_run) {
  ordered_json object{{"schema", "cowfs.repair/1"},
                      {"clean", report.left_nothing() && (report.found_nothing() || report.written)},
                      {"dry_run", dry_run},
                      {"written", report.written},
                      {"refused", report.refused},
                      {"repairs", ordered_json::array()},
                      {"before", to_json(report.before)},
                      {"after", to_json(report.after)}};
  for (const cowfs::repair::Repair& repair : report.repairs) {
    object["repairs"].push_back(
        {{"class", repair.finding_class}, {"what", repair.what}, {"inode", repair.inode}, {"loss", repair.is_loss}});
  }
  return object;
}

int repair_verb(const Devices& devices, cowfs::repair::RepairOptions options, bool json) {
  options.progress = progress_shown(json);
  const auto report = cowfs::repair::repair(devices, options);
  if (options.progress) fmt::print(stderr, "\r\x1b[K");
  if (!report) return report_error(devices, report.error());
  if (json) {
    fmt::print("{}\n", dumped(to_json(*report, options.dry_run), 2));
    return exit_code_of(*report);
  }
  for (const admin::Finding& finding : report->before.findings) print_finding(finding);
  for (const cowfs::repair::Repair& repair : report->repairs) {
    fmt::print("{}{}: {}: {}\n", options.dry_run ? "would repair" : "repair", repair.is_loss ? " (loss)" : "",
               repair.finding_class, repair.what);
  }
  print_notes(report->before.notes);
  fmt::print("{}: {}\n", fmt::join(devices, " "), repair_outcome(*report, options.dry_run));
  return exit_code_of(*report);
}

void add_check_verb(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    bool no_data = false, json = false, classes = false, repair = false;
    cowfs::repair::RepairOptions repairs;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand(
      "check",
      "Verify everything, without writing: history that a crash left is replayed in memory. With --repair, make good "
      "what is "
      "found, in memory first, and write it when it is clean there; of several devices, look through all copies, too");
  verb->add_option("DEV", options->devices, "Block devices or image files, not mounted: all of the filesystem");
  verb->add_flag("--no-data", options->no_data, "Do not read file data; with --repair, do not look through copies either");
  verb->add_flag("--classes", options->classes, "Only list what can be found");
  CLI::Option* repair = verb->add_flag("--repair", options->repair, "Repair what is found");
  verb->add_flag("--dry-run", options->repairs.dry_run, "With --repair: say what would be done, and write nothing")
      ->needs(repair);
  verb->add_flag("--cut-journal", options->repairs.cut_journal,
                 "With --repair: where the journal is damaged, go on with what comes before; says which epochs that loses")
      ->needs(repair);
  verb->add_flag("--degraded", options->repairs.degraded,
                 "With --repair: also without devices that are missing or stale, while everything has a copy; nothing "
                 "is written to them")
      ->needs(repair);
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.check/1 or cowfs.repair/1");
  verb->callback([options, &exit_code] {
    if (options->classes) {
      for (const auto& shown : admin::finding_classes()) fmt::print("{:<24} {}\n", shown.name, shown.meaning);
      return;
    }
    if (options->devices.empty()) throw CLI::RequiredError("DEV");
    options->repairs.data = !options->no_data;
    exit_code = options->repair ? repair_verb(options->devices, options->repairs, options->json)
                                : check_verb(options->devices, !options->no_data, options->json);
  });
}

int corrupt_verb(const Devices& devices, const cowfs::repair::CorruptOptions& options) {
  const auto planted = cowfs::repair::corrupt(devices, options);
  if (!planted) return report_error(devices, planted.error());
  const std::string device = fmt::format("{}", fmt::join(devices, " "));
  if (!planted->impossible.empty()) {
    fmt::print(stderr, "cowfs: {}: {} was not planted: {}\n", device, options.finding_class, planted->impossible);
    return exit_bad_input;
  }
  fmt::print("{}: {}: {}\n", device, options.finding_class, planted->what);
  return exit_ok;
}

void add_debug_verbs(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    cowfs::repair::CorruptOptions corrupt;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* debug = program.add_subcommand("debug", "For trying cowfs itself");
  debug->require_subcommand(1);
  CLI::App* verb = debug->add_subcommand("corrupt", "Plant one damage that check names, on a sound image that is not mounted");
  verb->add_option("DEV", options->devices, "Image files: all of the filesystem")->required();
  verb->add_option("--what", options->corrupt.finding_class, "A class that check --classes lists")->required();
  verb->add_option("--seed", options->corrupt.seed, "Where");
  verb->add_option("--member", options->corrupt.member,
                   "Only on the device with this number: what has a good copy, or can be computed, is no error then");
  verb->add_flag("--force", options->corrupt.force, "Also on a block device");
  verb->callback([options, &exit_code] { exit_code = corrupt_verb(options->devices, options->corrupt); });
}

// A verb that takes `Named`, a device or all devices of a filesystem, and --json.
template <typename Named>
void add_simple_verb(CLI::App& program, int& exit_code, const char* name, const char* description, const char* schema,
                     int (*run)(const Named&, bool)) {
  struct Options {
    Named named;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand(name, description);
  constexpr bool is_one = std::is_same_v<Named, std::string>;
  verb->add_option("DEV", options->named, is_one ? "Block device or image file" : "Block devices or image files")->required();
  verb->add_flag("--json", options->json, fmt::format("As JSON, schema {}", schema));
  verb->callback([options, run, &exit_code] { exit_code = run(options->named, options->json); });
}

int run(int argument_count, char** arguments) {
  int exit_code = exit_ok;
  CLI::App program("Makes, shows, checks and repairs cowfs filesystems", "cowfs");
  program.require_subcommand(1);
  program.set_version_flag("--version", "cowfs 0.1.0");
  add_format_verb(program, exit_code);
  add_set_option_verb(program, exit_code);
  add_simple_verb(program, exit_code, "show-super", "Show the superblock of a device, and who else belongs to its filesystem",
                  "cowfs.superblock/1", show_super_verb);
  add_simple_verb(program, exit_code, "usage", "Show where the space went, as the next mount will find it",
                  "cowfs.usage/1", usage_verb);
  add_simple_verb(program, exit_code, "counters",
                  "Show how often everything was done since the filesystem was made, how long it took, and what each device did and failed to do",
                  "cowfs.counters/1", counters_verb);
  add_list_verb(program, exit_code);
  add_simple_verb(program, exit_code, "list-journal", "Show the journal entries that recovery needs", "cowfs.journal/1",
                  list_journal_verb);
  add_check_verb(program, exit_code);
  add_scrub_verb(program, exit_code);
  add_device_verbs(program, exit_code);
  add_debug_verbs(program, exit_code);
  program.footer(exit_codes_text);
  for (CLI::App* verb : program.get_subcommands({})) verb->footer(exit_codes_text);
  try {
    program.parse(argument_count, arguments);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? exit_ok : exit_bad_input;
  }
  return exit_code;
}

}  // namespace
}  // namespace cowbench::programs

int main(int argument_count, char** arguments) { return cowbench::programs::run(argument_count, arguments); }
