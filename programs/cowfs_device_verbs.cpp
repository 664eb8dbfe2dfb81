// The verbs of a filesystem's devices: scrub, and `device` with all its kinds of change.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>

#include "engine/admin/device_change.h"
#include "engine/admin/members.h"
#include "engine/engine.h"
#include "programs/cowfs_verb.h"

namespace cowbench::programs {

using cowfs::u16;
using cowfs::u64;
namespace admin = cowfs::admin;

namespace {

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

}  // namespace

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

namespace {

admin::ChunksDone shown(const char* what, bool json) {
  if (json || isatty(STDERR_FILENO) == 0) return {};
  return [what](u64 done, u64 total) {
    fmt::print(stderr, "\r\x1b[K{} of {} {}{}", done, total, what, done == total ? "\n" : "");
  };
}
admin::ChunksDone chunks_shown(bool json) { return shown("chunks", json); }
admin::ChangeProgress change_shown(bool json) {
  return {.emptied = shown("buckets of the part that goes are empty", json), .moved = chunks_shown(json)};
}

int print_done(const std::string& device, const std::string& done, bool json) {
  if (json) fmt::print("{}\n", dumped({{"schema", "cowfs.device/1"}, {"device", device}, {"done", done}}, 2));
  else fmt::print("{}: {}\n", device, done);
  return exit_ok;
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

using cowfs::DeviceChange;

int device_change_verb(const Devices& devices, const DeviceChange& change, const std::string& added, bool force, bool json,
                       const char* done_text) {
  const cowfs::Status done = admin::change_devices(devices, change, added, force, change_shown(json));
  if (!done) {
    Devices all = devices;
    if (!added.empty()) all.push_back(added);
    const int exit_code = report_error(all, done.error());
    if (done.error().code == cowfs::Code::space_still_needed) {
      fmt::print(stderr, "cowfs: {} too much\n", size_text(done.error().value));
      return exit_bad_input;
    }
    if (done.error().code != cowfs::Code::pool_chunks_unplaced) return exit_code;
    if (change.kind != DeviceChange::Kind::label) fmt::print(stderr, "cowfs: room for it comes with: cowfs device add --spare\n");
    return exit_bad_input;
  }
  const std::string is_cut =
      fmt::format("is used up to byte {}: what lies behind may be cut off", change.capacity_bytes.value_or(0));
  return print_done(added.empty() ? fmt::format("member {}", change.member) : added,
                    change.capacity_bytes ? is_cut : done_text, json);
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
    {"set-label", DeviceChange::Kind::label,
     "Say what a device fails together with; copies are on devices with different labels", "has the label", true},
    {"add", DeviceChange::Kind::add, "Take a new device in, so that there is more space", "belongs to the filesystem",
     true},
    {"evacuate", DeviceChange::Kind::evacuate,
     "Move all that is on a device to room that others have; where they have too little, the space becomes smaller",
     "is empty", false},
    {"remove", DeviceChange::Kind::remove, "Evacuate a device and let it go",
     "does not belong to the filesystem any more", false},
    {"resize", DeviceChange::Kind::resize,
     "Use room on a device that is not used: it has become larger, or was a spare. With --size use no more of it than "
     "that, and move away what lies behind",
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
  const bool is_add = verb.kind == DeviceChange::Kind::add, is_resize = verb.kind == DeviceChange::Kind::resize;
  sub->add_option("DEV", options->devices, is_add ? "The filesystem's devices" : "The filesystem's devices, all that there are")->required();
  if (is_add) {
    sub->add_option("--with", options->added, "The new one; what it holds is lost")->required();
    sub->add_flag("--spare", options->spare, "Only as room for what is evacuated; resize uses it later");
    sub->add_flag("--force", options->force, "Also when the new one carries a filesystem or another signature");
  } else {
    sub->add_option("--member", options->change.member, "Its number, as show-super lists them")->required(!is_resize);
  }
  if (is_resize)
    sub->add_option("--size", options->change.capacity_bytes,
                    "How much of the device to use: 1300M. The rest may be cut off then")
        ->transform(CLI::AsSizeValue(false));
  if (verb.takes_label) {
    CLI::Option* label = sub->add_option("--label", options->change.label, "What it fails together with, at most 63 bytes");
    label->check([](const std::string& text) { return text.size() < 64 ? "" : "longer than 63 bytes"; });
    if (!is_add) label->required();
  }
  sub->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  sub->callback([options, sub, is_resize, done = verb.done, &exit_code] {
    if (is_resize && options->devices.size() > 1 && sub->count("--member") == 0) throw CLI::RequiredError("--member");
    if (options->spare) options->change.kind = DeviceChange::Kind::spare;
    exit_code = device_change_verb(options->devices, options->change, options->added, options->force, options->json, done);
  });
}

void add_set_state_verb(CLI::App& device, int& exit_code) {
  struct Options {
    Devices devices;
    DeviceChange change;
    std::string state;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = device.add_subcommand("set-state", "Let a device count (current), which brings it up to date, or not (stale)");
  verb->add_option("DEV", options->devices, "The filesystem's devices")->required();
  verb->add_option("--member", options->change.member, "Its number, as show-super lists them")->required();
  verb->add_option("--state", options->state, "current or stale")->required()->check(CLI::IsMember({"current", "stale"}));
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  verb->callback([options, &exit_code] {
    options->change.kind = options->state == "current" ? DeviceChange::Kind::online : DeviceChange::Kind::offline;
    exit_code = device_change_verb(options->devices, options->change, "", false, options->json, options->state.c_str());
  });
}

void add_online_verb(CLI::App& device, int& exit_code) {
  struct Options {
    Devices devices;
    bool json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = device.add_subcommand("online", "Bring stale devices up to date, so that they count again");
  verb->add_option("DEV", options->devices, "The filesystem's devices")->required();
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  verb->callback([options, &exit_code] { exit_code = device_online_verb(options->devices, options->json); });
}

void add_replace_verb(CLI::App& device, int& exit_code) {
  struct Options {
    Devices devices;
    u16 number = 0;
    std::string replacement;
    bool force = false, json = false;
  };
  const auto options = std::make_shared<Options>();
  CLI::App* verb = device.add_subcommand("replace", "Put another device in the place of one that is missing or stale");
  verb->add_option("DEV", options->devices, "The filesystem's other devices")->required();
  verb->add_option("--member", options->number, "The number that it had, as show-super lists them")->required();
  verb->add_option("--with", options->replacement, "The new one; what it holds is lost")->required();
  verb->add_flag("--force", options->force, "Also when the new one carries a filesystem or another signature");
  verb->add_flag("--json", options->json, "As JSON, schema cowfs.device/1");
  verb->callback([options, &exit_code] {
    const cowfs::Status done = admin::replace_device(options->devices, options->number, options->replacement, options->force,
                                                     chunks_shown(options->json));
    Devices all = options->devices;
    all.push_back(options->replacement);
    exit_code = done ? print_done(options->replacement, fmt::format("is member {}", options->number), options->json)
                     : report_error(all, done.error());
  });
}

}  // namespace

void add_device_verbs(CLI::App& program, int& exit_code) {
  CLI::App* device = program.add_subcommand("device", "The devices of a filesystem that is not mounted");
  device->require_subcommand(1);
  for (const ChangeVerb& verb : change_verbs) add_change_verb(*device, verb, exit_code);
  add_set_state_verb(*device, exit_code);
  add_online_verb(*device, exit_code);
  add_replace_verb(*device, exit_code);
}

}  // namespace cowbench::programs
