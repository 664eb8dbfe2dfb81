#include "tune/micro.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <memory>
#include <numeric>

#include "engine/base/random.h"
#include "engine/codec/checksum.h"
#include "engine/codec/erasure_code.h"

namespace cowbench::tune {
namespace {

using cowfs::block_bytes;
using cowfs::ChecksumKind;
using cowfs::kib;
namespace codec = cowfs::codec;

constexpr const char* copied = "copy with checksum";
constexpr const char* encoded = "encode";
constexpr u64 counting_checksum_bytes = 4 * kib, counting_shard_bytes = 64 * kib;

// Random bytes from a page on, shared by all candidates.
class Memory {
 public:
  explicit Memory(u64 bytes) : bytes_(bytes), memory_(bytes + block_bytes) {
    cowfs::Random random(1);
    for (std::size_t at = 0; at + sizeof(u64) <= memory_.size(); at += sizeof(u64)) {
      const u64 word = random.next();
      std::memcpy(memory_.data() + at, &word, sizeof word);
    }
  }
  std::byte* first() {
    return reinterpret_cast<std::byte*>(cowfs::round_up(reinterpret_cast<u64>(memory_.data()), block_bytes));
  }
  u64 bytes() const { return bytes_; }

 private:
  u64 bytes_;
  std::vector<std::byte> memory_;
};

// Hands out pieces of a memory: always the first, or each in turn.
class Pieces {
 public:
  Pieces(Memory& memory, u64 bytes, Cache cache)
      : first_(memory.first()),
        bytes_(bytes),
        count_(cache == Cache::hot ? 1 : std::max<u64>(1, memory.bytes() / bytes)) {}
  std::byte* next() {
    std::byte* const piece = first_ + at_ * bytes_;
    at_ = at_ + 1 < count_ ? at_ + 1 : 0;
    return piece;
  }

 private:
  std::byte* first_;
  u64 bytes_, count_, at_ = 0;
};

// Of this thread on its core, so that others who want the core do not count.
double thread_ns() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

double nanoseconds_of(const std::function<void()>& run, u64 times) {
  const double begin = thread_ns();
  for (u64 i = 0; i < times; ++i) run();
  return thread_ns() - begin;
}

// How often it runs in `milliseconds`, at least once; also warms it up.
u64 times_within(const Candidate& candidate, double milliseconds) {
  const double wanted_ns = milliseconds * 1e6;
  for (u64 times = 1;; times *= 4) {
    const double taken_ns = nanoseconds_of(candidate.run, times);
    if (taken_ns >= wanted_ns / 8)
      return std::max<u64>(1, static_cast<u64>(static_cast<double>(times) * wanted_ns / taken_ns));
  }
}

std::vector<Measured> measure(std::vector<Candidate> candidates, const MicroRequest& request) {
  std::vector<Measured> measured;
  std::vector<u64> times;
  for (Candidate& candidate : candidates) {
    times.push_back(times_within(candidate, request.milliseconds));
    measured.push_back({.candidate = std::move(candidate), .gb_s_rounds = {}});
  }
  std::vector<std::size_t> order(measured.size());
  std::iota(order.begin(), order.end(), 0);
  cowfs::Random random(request.seed);
  for (u32 round = 0; round < request.rounds; ++round) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    for (const std::size_t i : order) {
      const Candidate& candidate = measured[i].candidate;
      const double taken_ns = nanoseconds_of(candidate.run, times[i]);
      measured[i].gb_s_rounds.push_back(static_cast<double>(candidate.data_bytes * times[i]) / taken_ns);
    }
  }
  for (Measured& one : measured) one.gb_s = results::median(one.gb_s_rounds);
  return measured;
}

void add_checksum(std::vector<Candidate>& all, ChecksumKind kind, const codec::ChecksumKernel& kernel, bool chosen,
                  u64 bytes, Cache cache, Memory& source, Memory& target) {
  Candidate candidate{.setting = std::string(name(kind)),
                      .task = "checksum",
                      .kernel = kernel.name,
                      .needs = codec::to_text(kernel.needs),
                      .bytes = bytes,
                      .cache = cache,
                      .chosen = chosen,
                      .data_bytes = bytes,
                      .run = {}};
  const auto from = std::make_shared<Pieces>(source, bytes, cache);
  if (kind != ChecksumKind::none) {
    candidate.run = [from, bytes, &kernel] {
      volatile u64 kept = kernel.checksum({from->next(), bytes});
      static_cast<void>(kept);
    };
    all.push_back(candidate);
  }
  const auto to = std::make_shared<Pieces>(target, bytes, cache);
  const auto checksums = std::make_shared<std::vector<std::byte>>(bytes / block_bytes * codec::checksum_bytes_max);
  candidate.task = copied;
  candidate.run = [from, to, checksums, bytes, &kernel] {
    kernel.copy_blocks(to->next(), from->next(), bytes / block_bytes, checksums->data());
  };
  all.push_back(std::move(candidate));
}

struct Code {
  u32 data, parity;
};

void add_erasure_code(std::vector<Candidate>& all, const Code& shape, u32 lost, const codec::kernel::Combine& kernel,
                      u64 bytes, Cache cache, Memory& memory) {
  const u32 shards = shape.data + shape.parity;
  const codec::ErasureCode code(shape.data, shape.parity);
  const auto combination =
      std::make_shared<codec::Combination>(lost == 0 ? code.encoding() : code.recovery((1u << lost) - 1).combination());
  // Encoding writes the last shards; recovery of the first ones reads as many behind them.
  const u32 first_source = lost, first_output = lost == 0 ? shape.data : 0;
  const auto stripes = std::make_shared<Pieces>(memory, shards * bytes, cache);
  const auto pointers = std::make_shared<std::vector<std::byte*>>(shards);
  const auto place = [stripes, pointers, bytes] {
    std::byte* const stripe = stripes->next();
    for (std::size_t i = 0; i < pointers->size(); ++i) (*pointers)[i] = stripe + i * bytes;
  };
  place();
  if (!kernel.suits(*combination, pointers->data() + first_source, pointers->data() + first_output, bytes)) return;
  const bool first_that_suits = std::ranges::none_of(all, [&](const Candidate& other) {
    return other.chosen && other.setting == fmt::format("{}+{}", shape.data, shape.parity) && other.bytes == bytes &&
           other.cache == cache && other.task == (lost == 0 ? encoded : fmt::format("recover {}", lost));
  });
  all.push_back({.setting = fmt::format("{}+{}", shape.data, shape.parity),
                 .task = lost == 0 ? encoded : fmt::format("recover {}", lost),
                 .kernel = kernel.name,
                 .needs = codec::to_text(kernel.needs),
                 .bytes = bytes,
                 .cache = cache,
                 .chosen = first_that_suits && codec::cpu_features().has(kernel.needs),
                 .data_bytes = shape.data * bytes,
                 .run = [=, &kernel] {
                   place();
                   kernel.run(*combination, pointers->data() + first_source, pointers->data() + first_output, bytes);
                 }});
}

bool counts(const Candidate& candidate) {
  const bool size = candidate.bytes == (candidate.task == copied ? counting_checksum_bytes : counting_shard_bytes);
  return candidate.cache == Cache::hot && size && (candidate.task == copied || candidate.task == encoded);
}

bool is_none(const Candidate& candidate) { return candidate.setting == name(ChecksumKind::none); }

// In each round, of what none takes, too.
std::vector<double> extra_ns(const Measured& one, const Measured* none) {
  std::vector<double> extra;
  const double bytes = static_cast<double>(block_bytes);
  for (std::size_t round = 0; round < one.gb_s_rounds.size(); ++round)
    extra.push_back(bytes / one.gb_s_rounds[round] - (none != nullptr ? bytes / none->gb_s_rounds[round] : 0));
  return extra;
}

}  // namespace

std::vector<Measured> measure_checksums(const MicroRequest& request) {
  Memory source(request.cold_bytes), target(request.cold_bytes);
  std::vector<Candidate> candidates;
  for (const ChecksumKind kind : cowfs::checksum_kinds) {
    bool found = false;
    for (const codec::ChecksumKernel& kernel : codec::checksum_kernels(kind)) {
      if (!codec::native_cpu_features().has(kernel.needs)) continue;
      const bool chosen = !found && codec::cpu_features().has(kernel.needs);
      found = found || chosen;
      for (const u64 bytes : {4 * kib, 16 * kib, 64 * kib})
        for (const Cache cache : {Cache::hot, Cache::cold})
          add_checksum(candidates, kind, kernel, chosen, bytes, cache, source, target);
    }
  }
  return measure(std::move(candidates), request);
}

std::vector<Measured> measure_erasure_codes(const MicroRequest& request) {
  Memory memory(request.cold_bytes);
  std::vector<Candidate> candidates;
  for (const codec::kernel::Combine& kernel : codec::kernel::combine_kernels()) {
    if (!codec::native_cpu_features().has(kernel.needs)) continue;
    for (const Code& code : {Code{4, 1}, Code{4, 2}, Code{8, 2}, Code{10, 4}})
      for (const u64 bytes : {4 * kib, 64 * kib})
        for (const Cache cache : {Cache::hot, Cache::cold})
          for (const u32 lost : {0u, code.parity})
            add_erasure_code(candidates, code, lost, kernel, bytes, cache, memory);
  }
  std::ranges::stable_sort(candidates, {}, &Candidate::setting);
  return measure(std::move(candidates), request);
}

std::vector<Cost> costs(const std::vector<Measured>& measured) {
  const Measured* none = nullptr;
  for (const Measured& one : measured)
    if (counts(one.candidate) && is_none(one.candidate)) none = &one;
  std::vector<Cost> all;
  for (const Measured& one : measured) {
    if (!counts(one.candidate) || !one.candidate.chosen || is_none(one.candidate)) continue;
    const Measured* rival = nullptr;
    for (const Measured& other : measured) {
      const bool same = counts(other.candidate) && other.candidate.setting == one.candidate.setting && &other != &one;
      if (same && (rival == nullptr || other.gb_s > rival->gb_s)) rival = &other;
    }
    Cost cost{&one, results::hodges_lehmann(extra_ns(one, none)), {}};
    if (rival != nullptr)
      cost.speed = results::paired_ratio(one.gb_s_rounds, rival->gb_s_rounds, results::Direction::higher_is_better);
    all.push_back(std::move(cost));
  }
  std::ranges::stable_sort(all, {}, [](const Cost& cost) { return cost.ns_for_4_kib.value; });
  return all;
}

}  // namespace cowbench::tune
