#include "engine/runtime/cores.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <system_error>

#include "engine/base/assert.h"
#include "engine/runtime/topology.h"

namespace cowfs::runtime {

namespace internal {

// The kernel's own wait on a word, and not std::atomic::wait: the waker must not touch the word after the store, since
// the waiter's stack may be gone. Waking an address that nobody waits on, or that means something else by now, does no
// harm.
void Parking::wait() {
  while (open_.load(std::memory_order_acquire) == 0)
    ::syscall(SYS_futex, &open_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
}

void Parking::open() {
  std::atomic<u32>* const word = &open_;
  word->store(1, std::memory_order_release);
  ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

namespace {

struct SpawnMessage : Message {
  UringReactor* reactor = nullptr;
  std::function<Task<void>()> function;
};

// Keeps what the function captured alive as long as its task.
Task<void> run_spawned(std::unique_ptr<SpawnMessage> message) {
  Task<void> task = message->function();
  co_await task;
}

}  // namespace
}  // namespace internal

Result<std::unique_ptr<Cores>> Cores::start(const CoresSettings& settings) {
  const std::vector<u32> processors = settings.processors.empty() ? allowed_processors() : settings.processors;
  const u16 count = settings.cores != 0 ? settings.cores : static_cast<u16>(processors.size());
  std::unique_ptr<Cores> cores{new Cores(count)};
  for (CoreIndex core = 0; core < count; ++core) {
    cores->reactors_.push_back(std::make_unique<UringReactor>(core, cores->fabric_, settings.reactor));
  }
  for (CoreIndex core = 0; core < count; ++core) {
    const Status started = cores->start_thread(core, settings, processors);
    if (started.ok()) continue;
    cores->abandon();
    return started.error();
  }
  cores->begin_.open();
  return cores;
}

// Returns when the thread has its ring open, so that nobody ever sends to a ring that is not there.
Status Cores::start_thread(CoreIndex core, const CoresSettings& settings, const std::vector<u32>& processors) {
  Status opened;
  internal::Parking ready;
  UringReactor& reactor = *reactors_[core];
  try {
    threads_.emplace_back([this, &settings, &processors, &opened, &ready, &reactor] {
      if (settings.pin) bind_this_thread(processors[reactor.core() % processors.size()]);
      opened = reactor.open();
      ready.open();
      begin_.wait();
      if (!abandoned_.load(std::memory_order_acquire)) reactor.loop();
    });
  } catch (const std::system_error& error) {
    return Error{Code::runtime_thread_unavailable, static_cast<u64>(error.code().value())};
  }
  ready.wait();
  return opened;
}

void Cores::abandon() {
  abandoned_.store(true, std::memory_order_release);
  begin_.open();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Cores::~Cores() { stop(); }

void Cores::post(CoreIndex core, Message& message) {
  assert(core < reactors_.size() && !threads_.empty());
  assert(current_reactor() == nullptr);  // a core that waits for itself, or for a core that waits for it, never wakes
  reactors_[core]->post_foreign(message);
}

void Cores::spawn_on(CoreIndex core, std::function<Task<void>()> function) {
  assert(core < reactors_.size());
  spawned_.fetch_add(1);
  auto message = std::make_unique<internal::SpawnMessage>();
  message->reactor = reactors_[core].get();
  message->function = std::move(function);
  message->deliver = [](Message& delivered) {
    std::unique_ptr<internal::SpawnMessage> owned{static_cast<internal::SpawnMessage*>(&delivered)};
    Gate& gate = owned->reactor->gate();
    gate.spawn(internal::run_spawned(std::move(owned)));
  };
  reactors_[core]->post_foreign(*message.release());
}

void Cores::stop() {
  if (threads_.empty()) return;
  // A spawned task may spawn another on a core that was found idle before.
  u64 spawned_before = 0;
  do {
    spawned_before = spawned_.load();
    for (const auto& reactor : reactors_) run(reactor->core(), [&reactor] { return reactor->gate().drained(); });
  } while (spawned_.load() != spawned_before);
  for (const auto& reactor : reactors_) reactor->stop();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace cowfs::runtime
