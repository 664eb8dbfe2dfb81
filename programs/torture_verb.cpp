#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <random>

#include "engine/admin/tools.h"
#include "harness/byte_size.h"
#include "harness/torture.h"
#include "programs/verb.h"

namespace cowbench::programs {
namespace {

using harness::Action;
using harness::Done;
using harness::Failure;
using harness::FailureKind;
using harness::u32;
using harness::u64;

struct TortureOptions {
  u32 rounds = 100, clients = 8, kill_ms = 1500;
  u64 seed = 0;
  std::string media = "file", size = "512M", directory, loadfile;
};

// Every finding up to a few, in words.
Action check_device(const std::string& device) {
  const auto report = cowfs::admin::check(device, {});
  if (!report) return Failure{FailureKind::failed, cowfs::to_text(report.error()), ""};
  if (report->clean()) return Done{};
  constexpr size_t shown_max = 5;
  std::string text = fmt::format("{} findings", report->findings_total);
  for (size_t at = 0; at < std::min(shown_max, report->findings.size()); ++at) {
    const cowfs::admin::Finding& finding = report->findings[at];
    text += fmt::format("; {}: {} {} {} {}", finding.name, finding.tree, finding.where, finding.path, finding.what);
  }
  return Failure{FailureKind::mismatch, text, ""};
}

void show(const harness::TortureRound& round, u32 rounds) {
  fmt::print("round {}/{}, seed {}: {}; {} operations, {} fsyncs answered, {} of {} compared, {} recoveries killed too, "
             "check clean\n",
             round.number, rounds, round.seed, round.settings, round.operations, round.fsyncs, round.files,
             harness::size_text(round.bytes), round.recoveries_killed);
  std::fflush(stdout);
}

int torture(TortureOptions options) {
  const auto program = load_program(options.loadfile);
  if (!program) return report_failure(program.failure());
  const auto size = harness::parse_size(options.size);
  if (!size) return report_failure({FailureKind::request, "--size: " + size.failure().what, size.failure().remedy});
  auto ledger = harness::Ledger::open();
  if (!ledger) return report_failure(ledger.failure());
  harness::undo_on_exit(**ledger);
  harness::TortureRequest request;
  request.program = &*program;
  request.rounds = options.rounds;
  request.clients = options.clients;
  request.kill_ms_max = options.kill_ms;
  request.seed = options.seed != 0 ? options.seed : std::random_device{}();
  request.media.size_bytes = *size;
  request.media.plain_image = options.media == "file";
  if (!options.directory.empty()) request.media.directory = options.directory;
  request.check = check_device;
  harness::TortureRound total;
  u32 lives = 0;
  request.progress = [&](const harness::TortureRound& round) {
    show(round, options.rounds);
    total.number = round.number;
    lives += round.lives;
    total.operations += round.operations;
    total.fsyncs += round.fsyncs;
    total.files += round.files;
    total.bytes += round.bytes;
    total.recoveries_killed += round.recoveries_killed;
  };
  const Action done = run_torture(request, **ledger);
  fmt::print("{} rounds, {} kills of clients and {} of recoveries, {} operations, {} fsyncs answered, {} files and {} compared\n",
             total.number, lives, total.recoveries_killed, total.operations, total.fsyncs, total.files,
             harness::size_text(total.bytes));
  if (done) return exit_ok;
  if (done.failure().kind == FailureKind::mismatch)
    fmt::print(stderr, "to repeat it: scripts/torture --rounds 1 --seed {} --clients {} --kill-ms {} --media {} --size {}{}\n",
               request.seed + total.number, options.clients, options.kill_ms, options.media, options.size,
               options.loadfile.empty() ? "" : " --loadfile " + options.loadfile);
  return report_failure(done.failure());
}

}  // namespace

void add_torture_verb(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<TortureOptions>();
  CLI::App* verb = program.add_subcommand(
      "torture", "Kill cowfs at random moments under load, mount it again, and verify every byte that was synced");
  verb->add_option("--rounds", options->rounds, "Fresh filesystems, each killed up to three times")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  verb->add_option("--seed", options->seed, "Of the first round; decides everything but timing (default: another each time)");
  verb->add_option("--clients", options->clients, "Simultaneous dbench clients")->capture_default_str()->check(CLI::Range(1, 256));
  verb->add_option("--kill-ms", options->kill_ms, "Kill after at most so many milliseconds of load")
      ->capture_default_str()
      ->check(CLI::Range(1, 600'000));
  verb->add_option("--media", options->media, "file: an image; loop: a loop device on one (root)")
      ->capture_default_str()
      ->check(CLI::IsMember({"file", "loop"}));
  verb->add_option("--size", options->size, "Of the image")->capture_default_str();
  verb->add_option("--directory", options->directory, "Where the image goes (default: /var/tmp/cowbench)");
  verb->add_option("-c,--loadfile", options->loadfile, "The loadfile (default: client.txt of the package dbench)");
  verb->callback([options, &exit_code] { exit_code = torture(*options); });
}

}  // namespace cowbench::programs
