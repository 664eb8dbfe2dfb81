// A uniform choice among ready events makes every run look alike: batches always small, no core ever behind. So the
// seed also draws weights, once a run: one history has a slow core, another late messages, a third turns that end late
// and therefore large batches.
#include "engine/runtime/sim_reactor.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

#include "engine/base/assert.h"

namespace cowfs::runtime {

namespace {

constexpr u64 wall_clock_start_ns = 1'700'000'000'000'000'000;
constexpr u64 day_ns = 86'400'000'000'000;
constexpr u64 clock_jump_ns = 1'000'000;
constexpr u64 heaviest_weight_log2 = 4;

u64 draw_weight(Random& random) { return u64{1} << random.below(heaviest_weight_log2 + 1); }

Task<void> run_held(std::unique_ptr<std::function<Task<void>()>> function) {
  Task<void> task = (*function)();
  co_await task;
}

}  // namespace

namespace internal {

u64 SimReactor::wall_clock_ns() const {
  const u64 right = wall_clock_start_ns + now_ns_;
  if (!cores_of_.settings_.clock_jumps) return right;
  const u64 choices[] = {right, right - day_ns, right + day_ns, now_ns_, 0, 1ull << 63, ~0ull};
  Random random(cores_of_.settings_.seed ^ now_ns_ / clock_jump_ns);
  return choices[random.below(std::size(choices))];
}

void SimReactor::post(CoreIndex to, Message& message) {
  assert(current_reactor() == this && to < cores_);
  SimReactor& receiver = *cores_of_.reactors_[to];
  receiver.inboxes_[core_].push_back(&message);
  ++receiver.message_count_;
}

void SimReactor::at_turn_end(TurnHook& hook) {
  if (hook.armed) return;
  hook.armed = true;
  hooks_.push_back(&hook);
}

void SimReactor::submit(IoOperation&) {
  assertion_failed("simulated cores have no file descriptors; use SimDevice or MemoryDevice", __FILE__, __LINE__);
}

bool SimReactor::ready(SimEvent event) const {
  switch (event) {
    case SimEvent::coroutine:
      return !runnable_.empty();
    case SimEvent::message:
      return message_count_ > 0;
    case SimEvent::timer:
      return !timers_.empty() && timers_.next_deadline_ns() <= cores_of_.now_ns_;
    case SimEvent::turn_end:
      return !hooks_.empty();
  }
  return false;
}

bool SimReactor::anything_ready() const {
  return ready(SimEvent::coroutine) || ready(SimEvent::message) || ready(SimEvent::timer) || ready(SimEvent::turn_end);
}

u64 SimReactor::resume_one(Random& random, bool shuffle) {
  const u64 choice = shuffle ? random.below(runnable_.size()) : 0;
  std::swap(runnable_[choice], runnable_.front());
  const std::coroutine_handle<> coroutine = runnable_.front();
  runnable_.pop_front();
  coroutine.resume();
  return choice;
}

u64 SimReactor::deliver_one(Random& random) {
  u64 senders = 0;
  for (const auto& inbox : inboxes_) senders += !inbox.empty();
  u64 choice = random.below(senders);
  CoreIndex from = 0;
  while (inboxes_[from].empty() || choice-- > 0) ++from;
  Message& message = *inboxes_[from].front();
  inboxes_[from].pop_front();
  --message_count_;
  message.deliver(message);
  return from;
}

u64 SimReactor::fire_one() {
  Timer* timer = timers_.pop_due(now_ns_);
  const u64 deadline = timer->deadline_ns;
  timer->fire(*timer);
  return deadline;
}

u64 SimReactor::end_turn() {
  const auto hooks = std::exchange(hooks_, {});
  for (TurnHook* hook : hooks) {
    hook->armed = false;
    hook->call(*hook);
  }
  return hooks.size();
}

}  // namespace internal

using internal::SimEvent;
using internal::SimReactor;

SimCores::Enter::Enter(SimCores& cores, CoreIndex core) : before_(internal::running_reactor) {
  SimReactor& reactor = *cores.reactors_[core];
  reactor.set_now(cores.now_ns_);
  internal::running_reactor = &reactor;
}

SimCores::Enter::~Enter() { internal::running_reactor = before_; }

SimCores::SimCores(const SimSettings& settings)
    : settings_(settings), random_(settings.seed), pauses_(settings.cores) {
  assert(settings.cores > 0);
  for (CoreIndex core = 0; core < settings.cores; ++core) {
    reactors_.push_back(std::make_unique<SimReactor>(*this, core, settings.cores));
    core_weights_.push_back(draw_weight(random_));
  }
  for (u64& weight : event_weights_) weight = draw_weight(random_);
}

SimCores::~SimCores() = default;

void SimCores::trace(u64 fact) { trace_hash_ = std::rotl(trace_hash_ ^ fact, 29) * 0x9e3779b97f4a7c15; }

bool SimCores::step() {
  const CoreIndex core = choose_core();
  if (core == count()) return advance_clock();
  ++steps_;
  now_ns_ += settings_.step_ns;
  SimReactor& reactor = *reactors_[core];
  const SimEvent event = choose_event(reactor);
  const Enter entered{*this, core};
  u64 choice = 0;
  switch (event) {
    case SimEvent::coroutine:
      choice = reactor.resume_one(random_, settings_.shuffle_coroutines);
      break;
    case SimEvent::message:
      choice = reactor.deliver_one(random_);
      break;
    case SimEvent::timer:
      choice = reactor.fire_one();
      break;
    case SimEvent::turn_end:
      choice = reactor.end_turn();
      break;
  }
  if (!reactor.anything_ready()) ++pauses_[core];
  trace(u64{core} << 8 | static_cast<u64>(event));
  trace(choice);
  return true;
}

// Returns count() when no core has anything ready.
CoreIndex SimCores::choose_core() {
  ready_.clear();
  u64 weight = 0;
  for (CoreIndex core = 0; core < count(); ++core) {
    if (!reactors_[core]->anything_ready()) continue;
    ready_.push_back(core);
    weight += core_weights_[core];
  }
  if (ready_.empty()) return count();
  u64 choice = random_.below(weight);
  for (const CoreIndex core : ready_) {
    if (choice < core_weights_[core]) return core;
    choice -= core_weights_[core];
  }
  return ready_.back();
}

SimEvent SimCores::choose_event(const SimReactor& reactor) {
  u64 weight = 0;
  for (std::size_t event = 0; event < internal::sim_event_count; ++event) {
    if (reactor.ready(static_cast<SimEvent>(event))) weight += event_weights_[event];
  }
  u64 choice = random_.below(weight);
  for (std::size_t event = 0; event < internal::sim_event_count; ++event) {
    if (!reactor.ready(static_cast<SimEvent>(event))) continue;
    if (choice < event_weights_[event]) return static_cast<SimEvent>(event);
    choice -= event_weights_[event];
  }
  assertion_failed("a chosen core has something ready", __FILE__, __LINE__);
}

bool SimCores::advance_clock() {
  std::optional<u64> next;
  for (const auto& reactor : reactors_) {
    if (reactor->timers_.empty()) continue;
    const u64 deadline = reactor->timers_.next_deadline_ns();
    if (!next || deadline < *next) next = deadline;
  }
  if (!next) return false;
  now_ns_ = *next;
  return true;
}

void SimCores::settle() {
  const u64 steps_end = steps_ + settings_.steps_max;
  while (step()) {
    if (steps_ > steps_end) stuck();
  }
}

bool SimCores::step_until_done(CoreIndex core, std::coroutine_handle<> root) {
  assert(core < count());
  const u64 steps_end = steps_ + settings_.steps_max;
  reactors_[core]->schedule(root);
  while (!root.done()) {
    if (!step()) return false;
    if (steps_ > steps_end) stuck();
  }
  return true;
}

void SimCores::abandon(std::coroutine_handle<> root) {
  // Reachable for ever, so that leak checkers see that it is meant.
  static auto* const abandoned = new std::vector<std::coroutine_handle<>>;
  abandoned->push_back(root);
}

void SimCores::spawn_on(CoreIndex core, std::function<Task<void>()> function) {
  assert(core < count());
  SimReactor& reactor = *reactors_[core];
  auto held = std::make_unique<std::function<Task<void>()>>(std::move(function));
  const Enter entered{*this, core};
  reactor.gate_.spawn(run_held(std::move(held)));
}

void SimCores::stuck() const {
  std::fprintf(stderr,
               "simulation stuck: seed %" PRIu64 ", step %" PRIu64 ", virtual time %" PRIu64 " ns, trace %016" PRIx64
               "\n",
               seed(), steps(), now_ns(), trace_hash());
  assertion_failed("a simulated task can end", __FILE__, __LINE__);
}

}  // namespace cowfs::runtime
