// cowfs: makes, shows, checks and repairs filesystems. Each verb parses, calls one function of the engine, and prints.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/admin/change_options.h"
#include "engine/admin/device_change.h"
#include "engine/admin/members.h"
#include "engine/admin/tools.h"
#include "engine/engine.h"
#include "engine/repair/corrupt.h"
#include "engine/repair/repair.h"

namespace cowbench::programs {
namespace {

using cowfs::ChecksumKind;
using cowfs::u16;
using cowfs::u64;
using nlohmann::ordered_json;
namespace admin = cowfs::admin;

enum ExitCode : int { exit_ok = 0, exit_errors_found = 1, exit_bad_input = 2, exit_repaired = 3 };
constexpr const char* exit_codes_text =
    "Exit status: 0 ok, for check and scrub: clean; 1 errors found on the device and left, or reading or writing it failed;\n"
    "3 check --repair or scrub found errors, and none is left;\n"
    "2 bad usage, or a device that is no intact cowfs device to begin with: missing, in use, too small, read-only,\n"
    "cut off, another format or version. --json prints one object; list prints one a line.";

using Devices = std::vector<std::string>;

// Which of them it is about; all, when that is not known.
std::string named(const Devices& devices, const cowfs::Error& error) {
  if (error.place.device < devices.size() && devices.size() > 1) return devices[error.place.device];
  return fmt::format("{}", fmt::join(devices, " "));
}

// Of the device, for the user; 1 when something on it is damaged behind its superblock, 2 when it cannot be used at all.
int report_error(const std::string& device, const cowfs::Error& error) {
  using cowfs::Code;
  const std::string reason =
      error.code == Code::device_open_failed ? fmt::format(": {}", std::strerror(static_cast<int>(error.value))) : "";
  fmt::print(stderr, "cowfs: {}: {}{}\n", device, to_text(error), reason);
  const bool unusable = error.code == Code::superblock_magic_mismatch || error.code == Code::device_truncated ||
                        error.code == Code::device_open_failed || error_class(error.code) == cowfs::ErrorClass::request;
  return unusable ? exit_bad_input : exit_errors_found;
}

int report_error(const Devices& devices, const cowfs::Error& error) { return report_error(named(devices, error), error); }

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print("note: {}\n", note);
}

// Damaged names may be any bytes; JSON may not.
std::string dumped(const ordered_json& object, int indent) {
  return object.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
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

std::string size_text(u64 bytes) {
  if (bytes >= 10 * cowfs::gib) return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / cowfs::gib);
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / cowfs::mib);
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
  if (!report.refused.empty()) return fmt::format("{} errors found, not repaired: {}", report.before.findings_total, report.refused);
  if (report.repairs.empty()) return fmt::format("{} errors found that cannot be repaired: damaged data", report.before.findings_total);
  return fmt::format("{} errors found, {} {}", report.before.findings_total,
                     dry_run ? "nothing written; a repair would leave" : "repaired; left are", report.after.findings_total);
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

int repair_verb(const std::string& device, cowfs::repair::RepairOptions options, bool json) {
  options.progress = progress_shown(json);
  const auto report = cowfs::repair::repair(device, options);
  if (options.progress) fmt::print(stderr, "\r\x1b[K");
  if (!report) return report_error(device, report.error());
  if (json) {
    fmt::print("{}\n", dumped(to_json(*report, options.dry_run), 2));
    return exit_code_of(*report);
  }
  for (const admin::Finding& finding : report->before.findings) print_finding(finding);
  for (const cowfs::repair::Repair& repair : report->repairs) {
    fmt::print("{}{}: {}: {}\n", options.dry_run ? "would repair" : "repair", repair.is_loss ? " (loss)" : "",
               repair.finding_class, repair.what);
  }
  fmt::print("{}: {}\n", device, repair_outcome(*report, options.dry_run));
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
      "Verify everything, without writing: history that a crash left is replayed in memory. With --repair, make good what is "
      "found, in memory first, and write it when it is clean there");
  verb->add_option("DEV", options->devices, "Block devices or image files, not mounted; --repair takes one");
  verb->add_flag("--no-data", options->no_data, "Do not read file data");
  verb->add_flag("--classes", options->classes, "Only list what can be found");
  CLI::Option* repair = verb->add_flag("--repair", options->repair, "Repair what is found");
  verb->add_flag("--dry-run", options->repairs.dry_run, "With --repair: say what would be done, and write nothing")
      ->needs(repair);
  verb->add_flag("--cut-journal", options->repairs.cut_journal,
                 "With --repair: where the journal is damaged, go on with what comes before; says which epochs that loses")
      ->needs(repair);
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.check/1 or cowfs.repair/1");
  verb->callback([options, &exit_code] {
    if (options->classes) {
      for (const auto& shown : admin::finding_classes()) fmt::print("{:<24} {}\n", shown.name, shown.meaning);
      return;
    }
    if (options->devices.empty()) throw CLI::RequiredError("DEV");
    if (options->repair && options->devices.size() > 1) throw CLI::ValidationError("--repair", "takes one device");
    options->repairs.data = !options->no_data;
    exit_code = options->repair ? repair_verb(options->devices.front(), options->repairs, options->json)
                                : check_verb(options->devices, !options->no_data, options->json);
  });
}

int corrupt_verb(const std::string& device, const cowfs::repair::CorruptOptions& options) {
  const auto planted = cowfs::repair::corrupt(device, options);
  if (!planted) return report_error(device, planted.error());
  if (!planted->impossible.empty()) {
    fmt::print(stderr, "cowfs: {}: {} was not planted: {}\n", device, options.finding_class, planted->impossible);
    return exit_bad_input;
  }
  fmt::print("{}: {}: {}\n", device, options.finding_class, planted->what);
  return exit_ok;
}

void add_debug_verbs(CLI::App& program, int& exit_code) {
  struct Options {
    std::string device;
    cowfs::repair::CorruptOptions corrupt;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* debug = program.add_subcommand("debug", "For trying cowfs itself");
  debug->require_subcommand(1);
  CLI::App* verb = debug->add_subcommand("corrupt", "Plant one damage that check names, on a sound image that is not mounted");
  verb->add_option("DEV", options->device, "Image file")->required();
  verb->add_option("--what", options->corrupt.finding_class, "A class that check --classes lists")->required();
  verb->add_option("--seed", options->corrupt.seed, "Where");
  verb->add_flag("--force", options->corrupt.force, "Also on a block device");
  verb->callback([options, &exit_code] { exit_code = corrupt_verb(options->device, options->corrupt); });
}

ordered_json to_json(const cowfs::ScrubReport& report) {
  ordered_json object{{"schema", "cowfs.scrub/1"},         {"finished", report.finished}, {"bytes", report.bytes},
                      {"buckets", report.buckets},         {"damaged", report.damaged},   {"repaired", report.repaired},
                      {"lost", report.lost},               {"findings", ordered_json::array()}};
  for (const cowfs::ScrubFinding& finding : report.findings) {
    ordered_json copies = ordered_json::array();
    for (const auto& copy : finding.copies)
      copies.push_back({{"device", copy.device}, {"offset_bytes", copy.offset_bytes}, {"error", copy.error}});
    object["findings"].push_back({{"what", finding.what},
                                  {"bucket", finding.bucket},
                                  {"bytes", finding.bytes},
                                  {"inode", finding.inode},
                                  {"path", finding.path},
                                  {"file_offset_bytes", finding.file_offset_bytes},
                                  {"lost", finding.lost},
                                  {"repaired", finding.repaired},
                                  {"copies", copies}});
  }
  return object;
}

void print_finding(const cowfs::ScrubFinding& finding) {
  fmt::print("{}: {} in bucket {}", finding.lost ? "lost" : finding.repaired ? "repaired" : "damaged", finding.what, finding.bucket);
  if (finding.inode != 0)
    fmt::print(", {} from byte {}, {} bytes", finding.path.empty() ? fmt::format("inode {:#x}", finding.inode) : finding.path,
               finding.file_offset_bytes, finding.bytes);
  for (const auto& copy : finding.copies)
    fmt::print("; device {} at byte {}: {}", copy.device, copy.offset_bytes, copy.error);
  fmt::print("\n");
}

std::atomic<bool> scrub_interrupted{false};

int scrub_verb(const Devices& devices, bool degraded, cowfs::ScrubOptions options, bool json) {
  const bool shows = !json && isatty(STDERR_FILENO) != 0;
  std::signal(SIGINT, [](int) { scrub_interrupted = true; });
  std::signal(SIGTERM, [](int) { scrub_interrupted = true; });
  options.progress = [shows](const cowfs::ScrubProgress& progress) {
    if (shows)
      fmt::print(stderr, "\r\x1b[K{}% of {}, {} s left, {} damaged, {} lost",
                 progress.bytes_done * 100 / std::max<u64>(progress.bytes_total, 1), size_text(progress.bytes_total),
                 progress.seconds_left, progress.damaged, progress.lost);
    return !scrub_interrupted;
  };
  const auto report = admin::scrub_devices(devices, degraded, options);
  if (shows) fmt::print(stderr, "\r\x1b[K");
  if (!report) return report_error(devices, report.error());
  const int exit_code = report->lost > 0 || report->repaired < report->damaged ? exit_errors_found
                        : report->damaged > 0                                   ? exit_repaired
                                                                                : exit_ok;
  if (json) {
    fmt::print("{}\n", dumped(to_json(*report), 2));
    return exit_code;
  }
  for (const cowfs::ScrubFinding& finding : report->findings) print_finding(finding);
  fmt::print("{}: {}: {} read, {} damaged, {} repaired, {} lost\n", fmt::join(devices, " "),
             report->finished ? "scrubbed" : "stopped, the next scrub goes on here", size_text(report->bytes), report->damaged,
             report->repaired, report->lost);
  return exit_code;
}

void add_scrub_verb(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    cowfs::ScrubOptions scrub;
    bool degraded = false, json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = program.add_subcommand(
      "scrub", "Read all copies of everything in use, and overwrite those that are damaged with a good one. Interrupted, it goes on "
               "where it was the next time");
  verb->add_option("DEV", options->devices, "The filesystem's devices, not mounted")->required();
  verb->add_option("--rate", options->scrub.bytes_per_second, "Bytes a second at most, of all devices together (0: as they can)")
      ->transform(CLI::AsSizeValue(false));
  verb->add_flag("--from-start", options->scrub.from_start, "Not where the last one was interrupted");
  verb->add_flag("--degraded", options->degraded, "Also without devices that are missing or stale");
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.scrub/1");
  verb->callback([options, &exit_code] {
    exit_code = scrub_verb(options->devices, options->degraded, options->scrub, options->json);
  });
}

admin::ChunksDone chunks_shown(bool json) {
  if (json || isatty(STDERR_FILENO) == 0) return {};
  return [](u64 done, u64 total) { fmt::print(stderr, "\r\x1b[K{} of {} chunks{}", done, total, done == total ? "\n" : ""); };
}

int device_online_verb(const Devices& devices, bool json) {
  const auto refilled = admin::bring_up_to_date(devices, chunks_shown(json));
  if (!refilled) return report_error(devices, refilled.error());
  if (json) fmt::print("{}\n", dumped({{"schema", "cowfs.device/1"}, {"brought_up_to_date", *refilled}}, 2));
  if (!json && refilled->empty()) fmt::print("all devices count\n");
  for (const u16 number : *refilled)
    if (!json) fmt::print("member {}: brought up to date, counts again\n", number);
  return exit_ok;
}

using DeviceChange = admin::DeviceChange;

int device_change_verb(const Devices& devices, const DeviceChange& change, const std::string& added, bool force, bool json,
                       const char* done_text) {
  const cowfs::Status done = admin::change_devices(devices, change, added, force, chunks_shown(json));
  if (!done) {
    Devices all = devices;
    if (!added.empty()) all.push_back(added);
    const int exit_code = report_error(all, done.error());
    if (done.error().code != cowfs::Code::pool_chunks_unplaced) return exit_code;
    if (change.kind != DeviceChange::Kind::label) fmt::print(stderr, "cowfs: room for it comes with: cowfs device add --spare\n");
    return exit_bad_input;
  }
  if (json) {
    fmt::print("{}\n", dumped({{"schema", "cowfs.device/1"}, {"done", done_text}}, 2));
  } else {
    fmt::print("{}: {}\n", added.empty() ? fmt::format("member {}", change.member) : added, done_text);
  }
  return exit_ok;
}

// One verb for each kind of change; which options it has.
struct ChangeVerb {
  const char* name;
  DeviceChange::Kind kind;
  const char* description;
  const char* done;
  bool takes_label;
};
constexpr ChangeVerb change_verbs[] = {
    {"offline", DeviceChange::Kind::offline, "Let a device not count any more, while everything has another copy",
     "does not count any more", false},
    {"set-label", DeviceChange::Kind::label, "Say what a device fails together with; copies are on devices with different labels",
     "has the label", true},
    {"add", DeviceChange::Kind::add, "Take a new device in, so that there is more space", "belongs to the filesystem", true},
    {"evacuate", DeviceChange::Kind::evacuate, "Move all that is on a device to room that others have", "is empty", false},
    {"remove", DeviceChange::Kind::remove, "Evacuate a device and let it go", "does not belong to the filesystem any more", false},
    {"resize", DeviceChange::Kind::resize, "Use room on a device that is not used: it has become larger, or was a spare",
     "is used to its end", false},
};

void add_change_verb(CLI::App& device, const ChangeVerb& verb, int& exit_code) {
  struct Options {
    Devices devices;
    DeviceChange change;
    std::string added;
    bool spare = false, force = false, json = false;
  };
  const auto options = std::make_shared<Options>();
  options->change.kind = verb.kind;
  CLI::App* sub = device.add_subcommand(verb.name, verb.description);
  const bool is_add = verb.kind == DeviceChange::Kind::add;
  sub->add_option("DEV", options->devices, is_add ? "The filesystem's devices" : "The filesystem's devices, all that there are")->required();
  if (is_add) {
    sub->add_option("--with", options->added, "The new one; what it holds is lost")->required();
    sub->add_flag("--spare", options->spare, "Only as room for what is evacuated; resize uses it later");
    sub->add_flag("--force", options->force, "Also when the new one carries a filesystem or another signature");
  } else {
    sub->add_option("--member", options->change.member, "Its number, as show-super lists them")->required();
  }
  if (verb.takes_label) {
    CLI::Option* label = sub->add_option("--label", options->change.label, "What it fails together with, at most 63 bytes");
    label->check([](const std::string& text) { return text.size() < 64 ? "" : "longer than 63 bytes"; });
    if (!is_add) label->required();
  }
  sub->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  sub->callback([options, done = verb.done, &exit_code] {
    if (options->spare) options->change.kind = DeviceChange::Kind::spare;
    exit_code = device_change_verb(options->devices, options->change, options->added, options->force, options->json, done);
  });
}

void add_set_state_verb(CLI::App& device, int& exit_code) {
  struct Options {
    Devices devices;
    DeviceChange change;
    std::string state;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = device.add_subcommand("set-state", "Let a device count (current), which brings it up to date, or not (stale)");
  verb->add_option("DEV", options->devices, "The filesystem's devices")->required();
  verb->add_option("--member", options->change.member, "Its number, as show-super lists them")->required();
  verb->add_option("--state", options->state, "current or stale")->required()->check(CLI::IsMember({"current", "stale"}));
  verb->callback([options, &exit_code] {
    options->change.kind = options->state == "current" ? DeviceChange::Kind::online : DeviceChange::Kind::offline;
    exit_code = device_change_verb(options->devices, options->change, "", false, false, options->state.c_str());
  });
}

void add_device_verbs(CLI::App& program, int& exit_code) {
  struct Options {
    Devices devices;
    u16 number = 0;
    std::string replacement;
    bool force = false, json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* device = program.add_subcommand("device", "The devices of a filesystem that is not mounted");
  device->require_subcommand(1);
  for (const ChangeVerb& verb : change_verbs) add_change_verb(*device, verb, exit_code);
  add_set_state_verb(*device, exit_code);
  CLI::App* online = device->add_subcommand("online", "Bring stale devices up to date, so that they count again");
  online->add_option("DEV", options->devices, "The filesystem's devices")->required();
  online->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  online->callback([options, &exit_code] { exit_code = device_online_verb(options->devices, options->json); });
  CLI::App* replace = device->add_subcommand("replace", "Put another device in the place of one that is missing or stale");
  replace->add_option("DEV", options->devices, "The filesystem's other devices")->required();
  replace->add_option("--member", options->number, "The number that it had, as show-super lists them")->required();
  replace->add_option("--with", options->replacement, "The new one; what it holds is lost")->required();
  replace->add_flag("--force", options->force, "Also when the new one carries a filesystem or another signature");
  replace->callback([options, &exit_code] {
    const cowfs::Status done = admin::replace_device(options->devices, options->number, options->replacement, options->force,
                                                     chunks_shown(false));
    Devices all = options->devices;
    all.push_back(options->replacement);
    if (done) fmt::print("{}: member {}\n", options->replacement, options->number);
    exit_code = done ? exit_ok : report_error(all, done.error());
  });
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
