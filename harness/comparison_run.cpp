#include "harness/comparison_run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "engine/base/random.h"
#include "harness/byte_size.h"
#include "results/summary.h"

namespace cowbench::harness {
namespace {

// Our clients on a kernel filesystem must reach this share of the real program's throughput, or they handicap a side.
constexpr double calibration_floor = 0.95;
constexpr double null_seconds_max = 2;  // for what the generator costs; it varies little

std::string phase_text(RunProgress::Phase phase) {
  switch (phase) {
    case RunProgress::Phase::warmup: return "warm-up";
    case RunProgress::Phase::measure: return "measure";
    case RunProgress::Phase::cleanup: return "delete";
  }
  return "?";
}

class ComparisonRun : public RoundExecutor {
 public:
  ComparisonRun(const MeasureRequest& request, Ledger& ledger, TimeLeft& time_left, results::Record& record)
      : request_(request), workload_(*request.workload), ledger_(ledger), time_left_(time_left), record_(record) {}

  Action run_on(const MediaRequest& medium) {
    describe(medium);
    const Action done = execute(medium);
    collect();
    const Action lifted = lift_memory_limit();
    const Action detached = detach();
    return !done ? done : lifted ? detached : lifted;
  }

  Outcome<double> run(u32 target, u32 round) override {
    Entrant& entrant = entrants_[target];
    position_ = round == round_ ? position_ + 1 : 0;
    round_ = round;
    auto measured = measure(entrant, round);
    if (!measured) return measured.failure();
    if (entrant.served_by_kernel() && round < request_.calibration_rounds && workload_.reference_obstacle().empty())
      if (const Action calibrated = calibrate(entrant); !calibrated) return calibrated.failure();
    return *measured;
  }

  double elapsed_seconds() override { return static_cast<double>(monotonic_ns() - began_ns_) / 1e9; }

 private:
  // The image, then the directory that was made for it: another load of this run makes them again.
  Action detach() {
    const Action detached = media_ ? media_->detach() : Action(Done{});
    if (!detached || !image_directory_) return detached;
    return ledger_.undo_now(*image_directory_);
  }

  void describe(const MediaRequest& medium) {
    comparison_.media = to_text(medium.kind);
    comparison_.workload = workload_.name() + remark_of(request_.during);
    comparison_.clients = workload_.clients();
    comparison_.rounds = request_.rounds.value_or(0);
    comparison_.seconds = workload_.seconds();
    comparison_.warmup_seconds = warmup_seconds(round_for(""));
    comparison_.cache_bytes = request_.cache_bytes.value_or(workload_.default_cache_bytes());
    comparison_.payload = workload_.payload();
  }

  Action execute(const MediaRequest& medium) {
    if (keep_of(request_) == Keep::made)
      if (const Action made = make_private_directory(request_.keep); !made) return made;
    std::vector<Entrant> wanted = entrants_of(request_);
    if (std::ranges::any_of(wanted, &Entrant::needs_media)) {
      if (const Action attached = attach(medium); !attached) return attached;
    } else {
      comparison_.media = wanted.front().kind() == TargetKind::path ? "path" : "none";
      comparison_.device = request_.targets.front().text;
    }
    limit_memory();
    for (Entrant& entrant : wanted) {
      if (const Action created = entrant.create(request_, ledger_, media_ ? &*media_ : nullptr, limit_ ? &*limit_ : nullptr);
          !created)
        comparison_.skipped.push_back({entrant.label(), to_text(created.failure()) + loop_trouble_});
      else
        entrants_.push_back(std::move(entrant));
    }
    if (entrants_.empty())
      return Failure{FailureKind::failed, "no target is left to run: " + comparison_.skipped.front().reason, ""};
    began_ns_ = monotonic_ns();
    if (request_.calibration_rounds > 0)
      if (const Action cost = measure_generator(); !cost) return cost;
    RoundsRequest rounds;
    rounds.targets = static_cast<u32>(entrants_.size());
    rounds.seed = request_.seed;
    rounds.stop.rounds = request_.rounds;
    rounds.stop.budget_seconds = request_.budget_seconds;
    auto report = run_rounds(rounds, *this);
    if (!report) return report.failure();
    comparison_.rounds = report->orders.size();
    return Done{};
  }

  // Where that cannot be had the comparison goes on, and the record says why.
  void limit_memory() {
    const auto budget = kernel_memory_budget(request_);
    if (!budget) return;
    const auto controller = find_memory_controller();
    if (!controller) return note_no_limit(controller.failure());
    const MemoryLimit limit{*budget, *controller, memory_group_path(*controller)};
    const Made made{MadeKind::memory_group, limit.path};
    const Action done =
        ledger_.make(made, [&] { return make_memory_group(limit.controller, limit.path, budget->total_bytes()); });
    if (!done) return note_no_limit(done.failure());
    limit_ = limit;
    comparison_.kernel_memory_bytes = budget->total_bytes();
    comparison_.kernel_memory_note = to_text(limit);
  }

  void note_no_limit(const Failure& failure) {
    comparison_.kernel_memory_note = to_text(failure);
    const std::string caveat = "cowfs's page cache has the stated budget, while kernel targets use the machine's without a "
                               "limit: " + to_text(failure);
    if (std::ranges::count(record_.caveats, caveat) == 0) record_.caveats.push_back(caveat);
  }

  Action lift_memory_limit() {
    if (!limit_) return Done{};
    return ledger_.undo_now({MadeKind::memory_group, limit_->path});
  }

  // Without root, or where loop devices cannot be had, cowfs still runs on the image itself.
  Action attach(const MediaRequest& medium) {
    const auto progress = [&](double share) {
      show("", fmt::format("write the medium through, {:.0f}%", 20 * std::floor(5 * share)), {});
    };
    auto media = Media::attach(ledger_, medium, progress);
    const bool may_do_without = medium.kind != MediaKind::device && !media &&
                                (media.failure().kind == FailureKind::missing || media.failure().kind == FailureKind::failed);
    if (may_do_without) {
      loop_trouble_ = ": " + to_text(media.failure());
      auto image = plain(medium);
      if (!image) return image.failure();
      media = Media::attach(ledger_, *image, progress);
    }
    if (!media) return media.failure();
    media_.emplace(std::move(*media));
    comparison_.device = media_->label();
    comparison_.size_bytes = media_->identity().size_bytes;
    record_.environment.devices.push_back(to_record(*media_));
    return Done{};
  }

  Outcome<double> measure(Entrant& entrant, u32 round) {
    const u64 seed = cowfs::Random(request_.seed + round).next() >> 1;
    time_left_.begin();
    show(entrant.label(), "prepare", {});
    if (const Action prepared = entrant.prepare(); !prepared) return prepared.failure();
    const Verification* verification = entrant.kind() == TargetKind::null ? nullptr : workload_.verification();
    const auto when = verification == nullptr ? Verification::When::never : verification->when();
    auto measured = when == Verification::When::instead ? entrant.verify(*verification, verify_round(entrant))
                                                        : entrant.run(workload_, round_for(entrant.label()), seed);
    std::optional<FinishReport> synced;  // before anything was read back
    if (measured && when == Verification::When::after_round) {
      const auto verified = remount_and_verify(entrant, *verification, synced);
      if (verified) measured->add_verification(*verified);
      else measured = verified.failure();
    }
    auto finished = entrant.finish();
    if (measured && finished && verification != nullptr && when == Verification::When::never) verification->settle();
    if (finished && synced) finished = *synced;
    if (!measured) return with_target(entrant, measured.failure());
    if (!finished) return with_target(entrant, finished.failure());
    results::Round record = to_record(*measured, round, position_, seed);
    record.metrics.merge(workload_.metrics(*measured));
    entrant.keep(*measured, *finished, std::move(record));
    time_left_.done();
    update_standings();
    return measured->throughput_mb_s;
  }

  Outcome<RoundResult> remount_and_verify(Entrant& entrant, const Verification& verification,
                                          std::optional<FinishReport>& synced) {
    show(entrant.label(), "mount again", {});
    const auto remounted = entrant.remount();
    if (!remounted) return remounted.failure();
    synced = *remounted;
    verification.settle();
    return entrant.verify(verification, verify_round(entrant));
  }

  RoundRequest verify_round(const Entrant& entrant) {
    RoundRequest round = round_for(entrant.label());
    round.during.clear();
    round.progress = [this, label = entrant.label()](const RunProgress& progress) { show(label, "verify", progress); };
    return round;
  }

  static Failure with_target(const Entrant& entrant, Failure failure) {
    failure.what = entrant.label() + ": " + failure.what;
    return failure;
  }

  RoundRequest round_for(const std::string& label) {
    RoundRequest round;
    round.clients = workload_.clients();
    round.seconds = workload_.seconds();
    round.warmup_seconds = workload_.warmup_seconds();
    round.pins = request_.pins;
    round.during = request_.during;
    round.progress = [this, label](const RunProgress& progress) {
      const bool moving = progress.phase != RunProgress::Phase::cleanup;
      show(label, phase_text(progress.phase), moving ? std::optional(progress) : std::nullopt);
    };
    return round;
  }

  Action calibrate(Entrant& entrant) {
    time_left_.begin();
    const std::string title = workload_.reference() + " on " + entrant.label();
    show(title, "prepare", {});
    if (Action prepared = entrant.prepare(); !prepared) return prepared;
    show(title, "measure", {});
    const auto reference_mb_s = entrant.run_reference(workload_, request_.pins.cpus());
    const auto finished = entrant.finish();
    if (!finished) return finished.failure();
    // A program that is missing or refuses leaves the row out, and says so, but does not spoil the comparison.
    if (!reference_mb_s) {
      add_top_caveat(fmt::format("{}, {}, did not run, so nothing shows that our generator loads it alike: {}", title,
                                 comparison_.media, to_text(reference_mb_s.failure())));
    } else {
      entrant.keep_reference(*reference_mb_s);
    }
    time_left_.done();
    return Done{};
  }

  Action measure_generator() {
    time_left_.begin();
    RoundRequest round = round_for("null");
    round.seconds = std::min(round.seconds, null_seconds_max);
    round.warmup_seconds = 0;
    auto measured = workload_.run_on_nothing(std::move(round), request_.seed);
    time_left_.done();
    if (!measured) return measured.failure();
    const double busy_seconds = measured->client_user_seconds + measured->client_system_seconds;
    results::CalibrationRow row;
    row.target = "null";
    row.reference = "cowbench";
    row.throughput_mb_s_rounds = {measured->throughput_mb_s};
    row.throughput_mb_s = measured->throughput_mb_s;
    if (measured->operations > 0) row.ns_per_operation = busy_seconds * 1e9 / static_cast<double>(measured->operations);
    row.note = "what generating the load costs, without a filesystem";
    comparison_.calibration.push_back(std::move(row));
    return Done{};
  }

  void collect() {
    for (const Entrant& entrant : entrants_) {
      comparison_.results.push_back(entrant.result(workload_));
      if (!entrant.mount_facts().empty())
        record_.environment.mounts.push_back(entrant.label() + ": " + entrant.mount_facts());
    }
    std::erase_if(comparison_.results, [](const auto& result) { return result.rounds.empty(); });
    results::summarise(comparison_);
    for (const results::TargetResult& result : comparison_.results)
      if (const auto blocks = result.metrics.find("verify_mismatches"); blocks != result.metrics.end() && blocks->second.max > 0)
        add_top_caveat(fmt::format("{}, {}: blocks that were read back are not what was written; its figures are worth nothing",
                                   result.target, comparison_.media));
    for (const Entrant& entrant : entrants_) {
      if (entrant.reference().empty()) continue;
      const auto ours = std::ranges::find(comparison_.results, entrant.label(), &results::TargetResult::target);
      auto row = results::calibrate(*ours, workload_.reference(), entrant.reference(), calibration_floor);
      add_top_caveat(results::calibration_caveat(row, comparison_.media));
      comparison_.calibration.push_back(std::move(row));
    }
    record_.comparisons.push_back(std::move(comparison_));
  }

  // Before all others: it may void the figures.
  void add_top_caveat(std::string caveat) {
    if (!caveat.empty()) record_.caveats.insert(record_.caveats.begin(), std::move(caveat));
  }

  void update_standings() {
    if (!request_.progress) return;
    results::Comparison ended;
    for (const Entrant& entrant : entrants_) {
      if (entrant.rounds().empty()) continue;
      results::TargetResult& result = ended.results.emplace_back();
      result.target = entrant.label();
      result.subject = entrant.kind() == TargetKind::cowfs;
      result.rounds = entrant.rounds();
    }
    results::summarise(ended);
    standings_ = results::standings(ended);
    speed_unit_ = results::main_metric(ended) == "ops_s" ? "ops/s" : "MB/s";
  }

  std::optional<double> seconds_left() {
    if (request_.rounds || began_ns_ == 0) return time_left_.seconds();
    return std::max(0.0, request_.budget_seconds - elapsed_seconds());
  }

  void show(const std::string& target, std::string phase, const std::optional<RunProgress>& moving) {
    if (!request_.progress) return;
    results::Progress progress;
    progress.comparison = fmt::format("{}, {} client{}", comparison_.media, workload_.clients(), workload_.clients() == 1 ? "" : "s");
    progress.round = round_ == no_round ? 0 : round_ + 1;
    progress.rounds = request_.rounds.value_or(0);
    progress.target = target;
    progress.phase = std::move(phase);
    if (moving) {
      progress.throughput_mb_s = moving->throughput_mb_s;
      progress.ops_s = moving->ops_s;
      progress.latency_p99_ns = moving->latency_p99_ns;
      progress.device_write_mb_s = moving->device_write_mb_s;
      progress.device_read_mb_s = moving->device_read_mb_s;
    }
    progress.seconds_left = seconds_left();
    progress.standings = standings_;
    progress.speed_unit = speed_unit_;
    if (!request_.rounds) progress.half_width_wanted = StopRule{}.half_width_target;
    request_.progress(progress);
  }

  // Next to a directory that is a target too, if there is one: both then stand on the same disk.
  Outcome<MediaRequest> plain(const MediaRequest& medium) {
    MediaRequest request = medium;
    request.plain_image = true;
    if (medium.keep != Keep::nothing) return request;
    request.directory = plain_image_directory(request_, medium.kind);
    const Made directory{MadeKind::directory, request.directory};
    const Action made = ledger_.make(directory, [&] { return make_private_directory(request.directory); });
    if (!made) return made.failure();
    image_directory_ = directory;
    return request;
  }

  static constexpr u32 no_round = ~0u;

  const MeasureRequest& request_;
  const Workload& workload_;
  Ledger& ledger_;
  TimeLeft& time_left_;
  results::Record& record_;
  results::Comparison comparison_;
  std::optional<Media> media_;
  std::optional<Made> image_directory_;  // when it is not that of all media
  std::optional<MemoryLimit> limit_;
  std::string loop_trouble_;  // ": why there is no loop device"
  std::vector<Entrant> entrants_;
  std::vector<results::Standing> standings_;
  std::string speed_unit_;
  u64 began_ns_ = 0;
  u32 round_ = no_round;
  u64 position_ = 0;
};

}  // namespace

std::string plain_image_directory(const MeasureRequest& request, MediaKind kind) {
  std::string parent = kind == MediaKind::ram ? "/dev/shm" : "/var/tmp";
  const auto path = std::ranges::find(request.targets, TargetKind::path, &TargetName::kind);
  if (kind == MediaKind::disk && path != request.targets.end())
    parent = std::filesystem::absolute(path->argument).lexically_normal();
  return fmt::format("{}/cowbench-image-{}-{}", parent, to_text(kind), getpid());
}

void TimeLeft::done() {
  measured_seconds_ += static_cast<double>(monotonic_ns() - began_ns_) / 1e9;
  ++done_;
}

std::optional<double> TimeLeft::seconds() const {
  if (expected_ <= done_) return {};
  const double each = done_ == 0 ? nominal_seconds_ : measured_seconds_ / done_;
  const double running = began_ns_ == 0 ? 0 : static_cast<double>(monotonic_ns() - began_ns_) / 1e9;
  return std::max(0.0, each * (expected_ - done_) - std::min(running, each));
}

Action run_comparison(const MeasureRequest& request, const MediaRequest& media, Ledger& ledger, TimeLeft& time_left,
                      results::Record& record) {
  ComparisonRun run(request, ledger, time_left, record);
  return run.run_on(media);
}

}  // namespace cowbench::harness
