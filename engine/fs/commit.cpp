// Applying a change set. On one core it is plain code after its preparations. Across cores every participant prepares first
// (what is loaded then stays, and journal room is reserved); then all of them are held in one epoch while each applies, so
// a crash finds all of it or nothing.
#include <algorithm>

#include "engine/base/points.h"
#include "engine/fs/operations.h"

namespace cowfs::fs {

namespace {
constexpr u64 close_meanwhile_ns = 1'000'000;
}

Task<Status> Operations::run(ChangeSet& changes) {
  const CoreIndex me = runtime::this_reactor().core();
  std::vector<CoreIndex> others;
  const auto add = [&](InodeNumber inode) {
    const CoreIndex core = state_.core_of(inode);
    if (core != me && std::find(others.begin(), others.end(), core) == others.end()) others.push_back(core);
  };
  for (const NameChange& change : changes.names) add(change.directory);
  for (const InodeChange& change : changes.inodes) add(change.inode);
  changes.now_ns = runtime::this_reactor().wall_clock_ns();
  const Status taken_back = co_await take_back_names(changes);
  if (!taken_back) co_return taken_back;
  if (others.empty()) co_return co_await run_here(changes);
  others.push_back(me);
  co_return co_await run_across(changes, std::move(others));
}

Task<Status> Operations::run_here(ChangeSet& changes) {
  CoreState& here = state_.here();
  btree::NodesHeld held;
  while (true) {
    u64 bytes = 0;
    u16 slice_id = 0;
    slice::Missing missing;
    const Status prepared = here.prepare(changes, bytes, missing, slice_id);
    if (!prepared) co_return prepared;
    if (missing) {
      const Status loaded = co_await here.slice(slice_id).slice.load(missing, held);
      if (!loaded) co_return loaded;
      continue;
    }
    if (here.stream().try_reserve(bytes)) break;
    held.release();
    const Status reserved = co_await here.stream().reserve(bytes);
    if (!reserved) co_return reserved;
    here.stream().unreserve(bytes);
  }
  here.apply(changes);
  co_return Status{};
}

// On `core`: everything the changes touch here is resident and stays so while it is held, until the changes are applied or
// undone; journal room is reserved.
Task<Status> Operations::make_ready(CoreIndex core, const ChangeSet& changes, Prepared* prepared) {
  CoreState& here = state_.core(core);
  u64& bytes = prepared->journal_bytes;
  Status result;
  while (true) {
    prepared->nodes.begin(here.nodes());
    u16 slice_id = 0;
    slice::Missing missing;
    result = here.prepare(changes, bytes, missing, slice_id);
    if (!result) break;
    if (missing) {
      result = co_await here.slice(slice_id).slice.load(missing, prepared->nodes);
      if (!result) break;
      continue;
    }
    if (here.stream().try_reserve(bytes)) co_return Status{};
    result = co_await here.stream().reserve(bytes);
    if (!result) break;
    here.stream().unreserve(bytes);
  }
  prepared->nodes.release();
  co_return result;
}

Task<Status> Operations::undo_ready(CoreIndex core, Prepared* prepared) {
  state_.core(core).stream().unreserve(prepared->journal_bytes);
  prepared->nodes.release();
  co_return Status{};
}

// On all cores, or on none.
Task<Status> Operations::prepare_across(const ChangeSet& changes, const std::vector<CoreIndex>& cores,
                                        std::vector<Prepared>& prepared) {
  for (std::size_t count = 0; count < cores.size(); ++count) {
    const CoreIndex core = cores[count];
    Prepared* const here = &prepared[count];
    auto prepare = [this, core, &changes, here] { return make_ready(core, changes, here); };
    const Status ready = co_await state_.call(core, prepare);
    if (ready) continue;
    co_await undo_across(cores, prepared, count);
    co_return ready;
  }
  co_return Status{};
}

// On the first `count` cores.
Task<void> Operations::undo_across(const std::vector<CoreIndex>& cores, std::vector<Prepared>& prepared,
                                   std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const CoreIndex core = cores[i];
    Prepared* const here = &prepared[i];
    auto undo = [this, core, here] { return undo_ready(core, here); };
    const Status undone = co_await state_.call(core, undo);
    assert(undone.ok());
  }
}

// This core applies last: who reads that a directory was moved (directory_moves), which the core of its old name counts, finds
// its new parent in place.
Task<Status> Operations::run_across(ChangeSet& changes, std::vector<CoreIndex> cores) {
  std::vector<Prepared> prepared(cores.size());
  Status result = co_await prepare_across(changes, cores, prepared);
  if (result && forced(Point::change_undone)) {
    co_await undo_across(cores, prepared, cores.size());
    result = co_await prepare_across(changes, cores, prepared);
  }
  if (!result) co_return result;

  // Every participant in one epoch: the largest of theirs.
  std::vector<journal::EpochHold> holds(cores.size());
  Epoch epoch;
  for (std::size_t i = 0; i < cores.size();) {
    const CoreIndex core = cores[i];
    journal::EpochHold* hold = &holds[i];
    auto take = [this, core, epoch, hold] { return hold_at(core, epoch, hold); };
    const Epoch held = co_await runtime::on(core, std::move(take));
    if (held == epoch || i == 0) {
      epoch = held;
      ++i;
      if (i == 1 && forced(Point::hold_overtaken)) co_await close_meanwhile(epoch);
      continue;
    }
    reached(Point::epoch_raised);
    epoch = held;
    co_await drop_holds(cores, holds);
    i = 0;
  }
  for (std::size_t i = 0; i < cores.size(); ++i) {
    const CoreIndex core = cores[i];
    btree::NodesHeld* const held = &prepared[i].nodes;
    auto apply = [this, core, &changes, held] {
      state_.core(core).apply(changes);
      held->release();
    };
    co_await runtime::on(core, std::move(apply));
    if (i == 0 && forced(Point::half_applied)) co_await close_meanwhile(epoch);
  }
  co_await drop_holds(cores, holds);
  co_return Status{};
}

// Of the simulator: cores that do not hold `epoch` leave it.
Task<void> Operations::close_meanwhile(Epoch epoch) {
  state_.here().stream().want_commit(epoch);
  co_await runtime::sleep_until(runtime::this_reactor().now_ns() + close_meanwhile_ns);
}

Task<Epoch> Operations::hold_at(CoreIndex core, Epoch epoch, journal::EpochHold* hold) {
  journal::Stream& stream = state_.core(core).stream();
  if (epoch == Epoch{}) {
    *hold = co_await stream.hold_open();
  } else {
    *hold = co_await stream.hold_at_least(epoch);
  }
  co_return hold->epoch();
}

Task<void> Operations::drop_holds(const std::vector<CoreIndex>& cores, std::vector<journal::EpochHold>& holds) {
  for (std::size_t i = 0; i < cores.size(); ++i) {
    if (!holds[i].held()) continue;
    journal::EpochHold* hold = &holds[i];
    auto drop = [hold] { hold->release(); };
    co_await runtime::on(cores[i], std::move(drop));
  }
}

// Cores that remember a name which is about to change forget the whole directory first.
Task<Status> Operations::take_back_names(const ChangeSet& changes) {
  for (const NameChange& change : changes.names) {
    const InodeNumber directory = change.directory;
    if (state_.is_here(directory)) {
      const Inode* inode = state_.here().find_inode(directory);
      if (inode == nullptr || inode->remote_readers.none()) continue;
    }
    auto take = [this, directory] { return take_back_directory(directory); };
    const Status taken = co_await state_.call(state_.core_of(directory), take);
    if (!taken) co_return taken;
  }
  co_return Status{};
}

Task<Status> Operations::take_back_directory(InodeNumber directory) {
  Inode* inode = state_.here().find_inode(directory);
  assert(inode != nullptr && inode->lock.held());
  for (CoreIndex core = 0; core < state_.cores(); ++core) {
    if (!inode->remote_readers.test(core)) continue;
    reached(Point::remote_names_taken_back);
    FilesystemState& state = state_;
    auto forget = [&state, core, directory] { state.core(core).forget_remote(directory); };
    co_await runtime::on(core, std::move(forget));
  }
  inode->remote_readers.reset();
  co_return Status{};
}

}  // namespace cowfs::fs
