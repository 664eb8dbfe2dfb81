// The names and shapes are bcachefs's (fs/debug/tests.rs): keys (0, offset, live), values of 8 bytes, one thread.
// Each also runs on absl::btree_map with the same keys. COWBENCH_KEYS sets the number of keys; COWBENCH_TINY=1 makes
// it small. One iteration is one pass over all keys; items are keys. bytes_a_key is what the images (or nodes) take.
#include <absl/container/btree_map.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "engine/base/random.h"
#include "engine/btree/tree.h"

namespace cowfs::btree {
namespace {

u64 key_count() {
  if (const char* keys = std::getenv("COWBENCH_KEYS")) return std::strtoull(keys, nullptr, 10);
  return std::getenv("COWBENCH_TINY") != nullptr ? 10'000 : 1'000'000;
}

constexpr u64 insert_batch = 8;  // of rand_insert_multi
constexpr u64 seed = 1;

Key key_at(u64 offset) { return {0, offset, format::snapshot_live}; }

// The two containers behind the same few calls.
class CowTree {
 public:
  void put(u64 offset) { tree_.upsert(key_at(offset), bytes_of(offset)); }
  u64 peek(u64 offset) {
    const Cursor at = tree_.seek(key_at(offset));
    return at.valid() ? static_cast<u64>(at.value()[0]) : 0;
  }
  void peek_and_put(u64 offset) {
    const Cursor at = tree_.seek(key_at(offset));
    if (at.valid()) tree_.upsert(at.key(), bytes_of(offset));
  }
  void erase(u64 offset) { benchmark::DoNotOptimize(tree_.erase(key_at(offset))); }
  u64 sum() {
    u64 total = 0;
    for (Cursor at = tree_.seek(format::key_min); at.valid(); at.next()) total += static_cast<u64>(at.value()[0]);
    return total;
  }
  // Values are changed key by key, as a commit does it.
  void overwrite_all() {
    for (Cursor at = tree_.seek(format::key_min); at.valid(); at.next()) {
      const u64 value = at.key().offset + 1;
      tree_.upsert(at.key(), bytes_of(value));
    }
  }
  void erase_all() {
    for (Cursor at = tree_.seek(format::key_min); at.valid(); at = tree_.seek(format::key_min)) tree_.erase(at.key());
  }
  u64 bytes() const { return cache_.resident_bytes().value; }

 private:
  NodePool pool_{Bytes{64 * gib}};
  NodeCache cache_{{}, pool_};
  Tree tree_{cache_, format::TreeId::xattrs};
};

template <typename T>
struct CountingAllocator {
  using value_type = T;
  explicit CountingAllocator(u64* used) : used_bytes(used) {}
  template <typename U>
  CountingAllocator(const CountingAllocator<U>& other) : used_bytes(other.used_bytes) {}
  T* allocate(std::size_t count) {
    *used_bytes += count * sizeof(T);
    return std::allocator<T>{}.allocate(count);
  }
  void deallocate(T* memory, std::size_t count) {
    *used_bytes -= count * sizeof(T);
    std::allocator<T>{}.deallocate(memory, count);
  }
  bool operator==(const CountingAllocator& other) const { return used_bytes == other.used_bytes; }
  u64* used_bytes;
};

class AbslMap {
 public:
  void put(u64 offset) { map_[key_at(offset)] = offset; }
  u64 peek(u64 offset) {
    const auto at = map_.lower_bound(key_at(offset));
    return at != map_.end() ? at->second : 0;
  }
  void peek_and_put(u64 offset) {
    const auto at = map_.lower_bound(key_at(offset));
    if (at != map_.end()) at->second = offset;
  }
  void erase(u64 offset) { benchmark::DoNotOptimize(map_.erase(key_at(offset))); }
  u64 sum() {
    u64 total = 0;
    for (const auto& [key, value] : map_) total += value;
    return total;
  }
  void overwrite_all() {
    for (auto& [key, value] : map_) value = key.offset + 1;
  }
  void erase_all() {
    while (!map_.empty()) map_.erase(map_.begin());
  }
  u64 bytes() const { return *used_bytes_; }

 private:
  using Pair = std::pair<const Key, u64>;
  std::unique_ptr<u64> used_bytes_ = std::make_unique<u64>(0);
  absl::btree_map<Key, u64, std::less<Key>, CountingAllocator<Pair>> map_{CountingAllocator<Pair>(used_bytes_.get())};
};

template <typename Container>
std::unique_ptr<Container> filled_randomly() {
  auto container = std::make_unique<Container>();
  Random random(seed);
  for (u64 left = key_count(); left > 0; --left) container->put(random.next());
  return container;
}

template <typename Container>
std::unique_ptr<Container> filled_in_order() {
  auto container = std::make_unique<Container>();
  for (u64 offset = 0; offset < key_count(); ++offset) container->put(offset);
  return container;
}

void report(benchmark::State& state, u64 bytes) {
  state.SetItemsProcessed(static_cast<i64>(state.iterations() * key_count()));
  if (bytes != 0) state.counters["bytes_a_key"] = static_cast<double>(bytes) / static_cast<double>(key_count());
}

// Runs `change` on a container that `fill` makes anew for every iteration, outside the time.
template <typename Container, typename Fill, typename Change>
void run_fresh(benchmark::State& state, Fill fill, Change change) {
  u64 bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto container = fill();
    state.ResumeTiming();
    change(*container);
    state.PauseTiming();
    bytes = container->bytes();
    container.reset();
    state.ResumeTiming();
  }
  report(state, bytes);
}

template <typename Container, typename Fill, typename Use>
void run_filled(benchmark::State& state, Fill fill, Use use) {
  auto container = fill();
  for (auto _ : state) use(*container);
  report(state, 0);
}

template <typename Container>
void rand_insert(benchmark::State& state) {
  run_fresh<Container>(state, std::make_unique<Container>, [](Container& container) {
    Random random(seed);
    for (u64 left = key_count(); left > 0; --left) container.put(random.next());
  });
}

// Eight inserts a commit: the keys of a commit are sorted first, as a transaction does it.
template <typename Container>
void rand_insert_multi(benchmark::State& state) {
  run_fresh<Container>(state, std::make_unique<Container>, [](Container& container) {
    Random random(seed);
    for (u64 left = key_count() / insert_batch; left > 0; --left) {
      std::array<u64, insert_batch> batch;
      for (u64& offset : batch) offset = random.next();
      std::sort(batch.begin(), batch.end());
      for (const u64 offset : batch) container.put(offset);
    }
  });
}

template <typename Container>
void rand_lookup(benchmark::State& state) {
  run_filled<Container>(state, filled_randomly<Container>, [](Container& container) {
    Random random(seed + 1);
    u64 sum = 0;
    for (u64 left = key_count(); left > 0; --left) sum += container.peek(random.next());
    benchmark::DoNotOptimize(sum);
  });
}

template <typename Container>
void rand_mixed(benchmark::State& state) {
  run_filled<Container>(state, filled_randomly<Container>, [](Container& container) {
    Random random(seed + 1);
    u64 sum = 0;
    for (u64 left = key_count(); left > 0; --left) {
      if (left % 4 == 0) container.peek_and_put(random.next());
      else sum += container.peek(random.next());
    }
    benchmark::DoNotOptimize(sum);
  });
}

template <typename Container>
void rand_delete(benchmark::State& state) {
  run_fresh<Container>(state, filled_randomly<Container>, [](Container& container) {
    Random random(seed + 1);
    for (u64 left = key_count(); left > 0; --left) container.erase(random.next());
  });
}

template <typename Container>
void seq_insert(benchmark::State& state) {
  run_fresh<Container>(state, std::make_unique<Container>, [](Container& container) {
    for (u64 offset = 0; offset < key_count(); ++offset) container.put(offset);
  });
}

template <typename Container>
void seq_lookup(benchmark::State& state) {
  run_filled<Container>(state, filled_in_order<Container>,
                        [](Container& container) { benchmark::DoNotOptimize(container.sum()); });
}

template <typename Container>
void seq_overwrite(benchmark::State& state) {
  run_filled<Container>(state, filled_in_order<Container>, [](Container& container) { container.overwrite_all(); });
}

template <typename Container>
void seq_delete(benchmark::State& state) {
  run_fresh<Container>(state, filled_in_order<Container>, [](Container& container) { container.erase_all(); });
}

#define COWFS_COMPARE(name)                                         \
  BENCHMARK(name<CowTree>)->Unit(benchmark::kMillisecond);          \
  BENCHMARK(name<AbslMap>)->Unit(benchmark::kMillisecond)

COWFS_COMPARE(rand_insert);
COWFS_COMPARE(rand_insert_multi);
COWFS_COMPARE(rand_lookup);
COWFS_COMPARE(rand_mixed);
COWFS_COMPARE(rand_delete);
COWFS_COMPARE(seq_insert);
COWFS_COMPARE(seq_lookup);
COWFS_COMPARE(seq_overwrite);
COWFS_COMPARE(seq_delete);

}  // namespace
}  // namespace cowfs::btree
