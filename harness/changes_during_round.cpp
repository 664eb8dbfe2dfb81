#include "harness/changes_during_round.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "harness/byte_size.h"
#include "harness/command.h"
#include "harness/cowfs_mount.h"

namespace cowbench::harness {
namespace {

using DeviceKind = cowfs::DeviceChange::Kind;
using Kind = ChangeDuringRound::Kind;

constexpr u64 poll_ns = 1'000'000;

enum class Word { none, label, path, path_or_none };

struct Form {
  std::string_view verb;
  Kind kind;
  DeviceKind change;
  bool takes_member;
  Word word;
};
constexpr Form forms[] = {
    {"offline", Kind::change, DeviceKind::offline, true, Word::none},
    {"online", Kind::change, DeviceKind::online, true, Word::path_or_none},
    {"replace", Kind::replace, DeviceKind::online, true, Word::path},
    {"add", Kind::change, DeviceKind::add, false, Word::path},
    {"add-spare", Kind::change, DeviceKind::spare, false, Word::path},
    {"evacuate", Kind::change, DeviceKind::evacuate, true, Word::none},
    {"remove", Kind::change, DeviceKind::remove, true, Word::none},
    {"resize", Kind::change, DeviceKind::resize, true, Word::none},
    {"set-label", Kind::change, DeviceKind::label, true, Word::label},
    {"scrub", Kind::scrub, DeviceKind::online, false, Word::none},
};

std::string_view shown(Word word) {
  switch (word) {
    case Word::none: return "";
    case Word::label: return " LABEL";
    case Word::path: return " PATH";
    case Word::path_or_none: return " [PATH]";
  }
  return "";
}

std::string shown(const Form& form) { return fmt::format("{}{}{}", form.verb, form.takes_member ? " N" : "", shown(form.word)); }

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t at = text.find_first_not_of(' '); at != text.npos; at = text.find_first_not_of(' ', at)) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool takes(const Form& form, std::size_t words) {
  const std::size_t least = (form.takes_member ? 1 : 0) + (form.word == Word::label || form.word == Word::path ? 1 : 0);
  return words == least || (form.word == Word::path_or_none && words == least + 1);
}

}  // namespace

std::string known_changes_during_round() {
  std::string all;
  for (const Form& form : forms) all += (all.empty() ? "" : ", ") + shown(form);
  return all;
}

Outcome<ChangeDuringRound> parse_change_during_round(std::string_view text) {
  const auto wrong = [&](const std::string& why) {
    return Failure{FailureKind::request, fmt::format("--during '{}': {}", text, why),
                   fmt::format("write a time in seconds and one of: {}", known_changes_during_round())};
  };
  const std::vector<std::string_view> words = words_of(text);
  ChangeDuringRound change;
  if (words.size() < 2) return wrong("a time and what is done then");
  if (!read_number(words[0], change.at_seconds) || !std::isfinite(change.at_seconds) || change.at_seconds < 0)
    return wrong(fmt::format("'{}' is no time", words[0]));
  const auto form = std::ranges::find(forms, words[1], &Form::verb);
  if (form == std::end(forms)) return wrong(fmt::format("'{}' is nothing that is done to devices while they are used", words[1]));
  if (!takes(*form, words.size() - 2)) return wrong("it is " + shown(*form));
  if (form->takes_member && !read_number(words[2], change.change.member))
    return wrong(fmt::format("'{}' is no number of a device", words[2]));
  change.kind = form->kind;
  change.change.kind = form->change;
  if (form->word == Word::label) change.change.label = words.back();
  else if (words.size() > (form->takes_member ? 3u : 2u)) change.path = words.back();
  change.text = text.substr(static_cast<std::size_t>(words[1].data() - text.data()));
  return change;
}

std::string to_text(const ChangeDuringRound& change) { return fmt::format("{} s: {}", change.at_seconds, change.text); }

std::string remark_of(const std::vector<ChangeDuringRound>& changes) {
  std::string remark;
  for (const ChangeDuringRound& change : changes) remark += (remark.empty() ? ", during it " : ", ") + to_text(change);
  return remark;
}

void ChangesOfRound::begin() {
  began_ns_ = monotonic_ns();
  running_ = true;
  filesystem_.start(0, [this] { return run(); });
}

Action ChangesOfRound::end() {
  window_ends();
  running_.wait(true);
  return outcome_;
}

bool ChangesOfRound::goes_on() const { return !interrupted(); }

cowfs::Task<void> ChangesOfRound::run() {
  const auto seconds = [this] { return static_cast<double>(monotonic_ns() - began_ns_) / 1e9; };
  for (const ChangeDuringRound& change : changes_) {
    while (seconds() < change.at_seconds && !window_ended_.load(std::memory_order_relaxed)) co_await sleep_for(poll_ns);
    if (seconds() < change.at_seconds) {
      outcome_ = Failure{FailureKind::request, fmt::format("--during {}: the load had ended by then", to_text(change)), "let it run for longer"};
      break;
    }
    const double began = seconds();
    const cowfs::Status done = co_await make(change);
    remarks_.push_back(fmt::format("{:.1f} s: {}, took {:.2f} s", began, change.text, seconds() - began));
    if (done) continue;
    outcome_ = Failure{goes_on() ? FailureKind::failed : FailureKind::interrupted,
                       fmt::format("--during {}: {}", to_text(change), cowfs::to_text(done.error())), ""};
    break;
  }
  running_ = false;
  running_.notify_all();
}

cowfs::Task<cowfs::Status> ChangesOfRound::make(const ChangeDuringRound& change) {
  if (change.kind == Kind::scrub) {
    cowfs::ScrubOptions options;
    options.from_start = true;
    options.progress = [this](const cowfs::ScrubProgress&) { return goes_on(); };
    const auto report = co_await filesystem_.scrub(std::move(options));
    if (!report) co_return report.error();
    remarks_.push_back(fmt::format("scrubbed {}: {} damaged, {} repaired, {} lost", size_text(report->bytes), report->damaged,
                                   report->repaired, report->lost));
    co_return cowfs::Status{};
  }
  cowfs::DeviceWork work;
  work.path = change.path;
  work.progress = [this](u64, u64) { return goes_on(); };
  if (change.kind == Kind::replace) co_return co_await filesystem_.replace_device(change.change.member, std::move(work));
  co_return co_await filesystem_.change_device(change.change, std::move(work));
}

}  // namespace cowbench::harness
