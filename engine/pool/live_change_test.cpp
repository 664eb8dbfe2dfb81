// A pool that clients on several cores use, without a filesystem, while its members come, go, fail or lose power: each block holds what
// was written to it last, whichever shards or copies it is read from.
#include "engine/pool/live_change.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "engine/base/points.h"
#include "engine/device/aligned_buffer.h"
#include "engine/device/sim_device.h"
#include "engine/pool/assemble.h"
#include "engine/pool/plan.h"
#include "engine/runtime/sim_reactor.h"

namespace cowfs::pool {
namespace {

using device::AlignedBuffer;
using device::SimDevice;
using runtime::CoreIndex;

constexpr u64 bucket_blocks = 128;
constexpr u64 bucket_bytes = bucket_blocks * block_bytes;
constexpr u64 device_bytes = 40 * mib;
constexpr CoreIndex cores = 2;
constexpr u32 unknown = ~0u;
constexpr u64 pause_ns_max = 200'000;  // of a client

struct Shape {
  const char* name;
  u64 members;
  Redundancy redundancy;
  bool may_lose_one() const { return redundancy.is_striped() || redundancy.copies > 1; }
};

const Shape shapes[] = {{"1 copy", 2, {.copies = 1}},
                        {"2 copies", 4, {.copies = 2}},
                        {"2+1", 3, {.copies = 2, .data_shards = 2, .parity_shards = 1}},
                        {"3+2", 6, {.copies = 3, .data_shards = 3, .parity_shards = 2}}};

// Versions are numbered in the order of all writes; a block says in each word of which it is, and which block.
void fill(u64 block, u32 version, std::byte* into) {
  const u64 word = version == 0 ? 0 : block << 32 | version;
  for (u64 at = 0; at < block_bytes; at += sizeof word) std::memcpy(into + at, &word, sizeof word);
}

bool is_between(u64 block, u32 oldest, u32 newest, const std::byte* content) {
  for (u64 at = 0; at < block_bytes; at += sizeof(u64)) {
    u64 word;
    std::memcpy(&word, content + at, sizeof word);
    const u64 version = word & 0xffffffff;
    if (version < oldest || version > newest || (word != 0 && word >> 32 != block)) return false;
  }
  return true;
}

// Of each block.
struct Versions {
  std::vector<u32> begun, ended, flushed;  // the newest one that was
  u32 newest = 0;

  void grow(u64 blocks) {
    for (auto* all : {&begun, &ended, &flushed})
      if (all->size() < blocks) all->resize(blocks, unknown);
  }
};

struct Blocks {
  u64 from = 0, to = 0;
  u64 bytes() const { return (to - from) * block_bytes; }
};

class Use {
 public:
  Use(const Shape& shape, u64 seed) : random_(seed), cores_({.cores = cores, .seed = seed}) {
    std::vector<NewMember> members;
    for (u64 i = 0; i < shape.members; ++i) {
      add_device();
      members.push_back({uuid_of(i), "", device_bytes / block_bytes});
    }
    const u64 usable = device_bytes * shape.members * std::max<u64>(shape.redundancy.data_shards, 1) /
                       shape.redundancy.members_needed();
    format::Superblock superblock = geometry(usable);
    Redundancy redundancy = shape.redundancy;
    redundancy.copied_buckets = superblock.first_data_bucket;
    Result<format::PoolMap> map = plan(members, redundancy, bucket_blocks);
    EXPECT_TRUE(map.ok());
    superblock = geometry(map->buckets(bucket_blocks) * bucket_bytes + block_bytes);
    map->filesystem = format::filesystem_id(superblock);
    map->sequence = map->session = 1;
    cores_.run(0, [&] { return make(superblock, *map); });
    versions_.begun.resize(blocks());
    versions_.ended = versions_.flushed = versions_.begun;
  }
  ~Use() {
    pool_.reset();
    cores_.settle();
  }

  // Until `changes` have been made, or refused.
  void run(u64 changes) {
    for (CoreIndex core = 0; core < cores; ++core) cores_.spawn_on(core, [this, core] { return be_client(core); });
    cores_.run(0, [this, changes] { return change_members(changes); });
    for (CoreIndex core = 0; core < cores; ++core) cores_.run(core, [this, core] { return clients_[core].drained(); });
    EXPECT_GT(operations_, 20u);
  }
  // Where it lies, and from another choice of shards, or copies, for each bucket; or, of what is degraded, from what there is.
  void expect_exact(bool is_degraded) {
    cores_.run(0, [this, is_degraded] { return verify(is_degraded); });
  }

  // A device fails at a request.
  void fail_one() {
    cores_.run(0, [this] { return limit_time(); });
    const u64 at = 1 + random_.below(4000);
    const bool hangs = random_.one_in(2);
    devices_[random_.below(devices_.size())]->set_faults({.hang_at = hangs ? at : 0, .vanish_at = hangs ? 0 : at});
    is_faulty_ = true;
  }
  void end_time_limit() {
    for (CoreIndex core = 0; core < cores; ++core) cores_.run(core, [this] { return pool_->end_time_limit(); });
  }

  // The power of all goes at a request of one, or a few requests after chunks have moved.
  void cut_power(PointRecord& points) {
    is_cut_ = true;
    cut_random_ = Random(random_.next());
    watch_.use = this;
    watch_.times = random_.one_in(4) ? 0 : 1 + random_.below(12);
    if (watch_.times == 0) cut_soon(6000);
    points.set_observer(&watch_);
  }
  // What is left is mounted, and holds what was flushed, or what was written since.
  void expect_flushed() {
    for (const auto& device : devices_)
      if (!device->power_is_cut()) device->power_cut();
    std::vector<std::unique_ptr<SimDevice>> left;
    std::vector<device::Device*> named;
    for (const auto& device : devices_) {
      left.push_back(std::make_unique<SimDevice>(device->crash_image(random_), device::SimDeviceSettings{}));
      named.push_back(left.back().get());
    }
    Result<Assembled> found = cores_.run(0, [&] { return assemble(named, {.degraded = true}); });
    while (!found && found.error().place.device < named.size()) {  // one that is new, or has gone
      named.erase(named.begin() + found.error().place.device);
      found = cores_.run(0, [&] { return assemble(named, {.degraded = true}); });
    }
    ASSERT_TRUE(found.ok()) << to_text(found.error());
    cores_.run(0, [&] { return verify_flushed(found->pool.get()); });
    found->pool.reset();
    cores_.settle();
  }

 private:
  struct Watch final : PointObserver {
    void fired(Point point) override {
      if (point == Point::pool_chunk_moved && times > 0 && --times == 0) use->cut_soon(10);
    }
    Use* use = nullptr;
    u64 times = 0;
  };

  static format::Uuid uuid_of(u64 device) { return {static_cast<u8>(device + 1), 5}; }
  static format::Superblock geometry(u64 bytes) {
    format::Superblock superblock{};
    superblock.uuid = {1, 2, 3, 4, 5, 6, 7, 8};
    superblock.device_uuid = uuid_of(0);
    superblock.features_required = format::feature_pool;
    superblock.device_count = 1;
    const Status planned = format::plan_geometry(
        {.capacity = {bytes}, .bucket_bytes = bucket_bytes, .slices = 1, .journal_bytes = mib}, superblock);
    EXPECT_TRUE(planned.ok()) << to_text(planned.error());
    return superblock;
  }
  SimDevice& add_device() {
    const device::SimDeviceSettings settings{.seed = random_.next()};
    return *devices_.emplace_back(std::make_unique<SimDevice>(Bytes{device_bytes}, settings));
  }
  void cut_soon(u64 requests_max) {
    for (const auto& device : devices_) device->set_power_observer([this] { cut_all(); });
    SimDevice& device = *devices_[cut_random_.below(devices_.size())];
    device.set_faults({.power_cut_at = 1 + cut_random_.below(requests_max)});
  }
  void cut_all() {
    for (const auto& device : devices_)
      if (!device->power_is_cut()) device->power_cut();
  }

  Task<void> make(format::Superblock superblock, format::PoolMap map) {
    std::vector<device::Device*> members;
    for (const auto& device : devices_) members.push_back(device.get());
    pool_ = std::make_unique<Pool>(superblock, std::move(map), members, false);
    const Status published = co_await pool_->publish();
    EXPECT_TRUE(published.ok());
  }
  Task<void> limit_time() {
    pool_->set_time_limit(100'000'000, [](const Error& error) { ADD_FAILURE() << to_text(error); });
    co_return;
  }

  u64 blocks() const { return pool_->capacity().value / block_bytes; }
  u64 copied_blocks() const {
    return pool_->map().is_striped() ? pool_->map().copied_buckets() * bucket_blocks : blocks();
  }

  Task<void> be_client(CoreIndex core) {
    clients_[core].spawn(use(core));
    co_return;
  }
  Task<void> use(CoreIndex core) {
    Random random(cores_.seed() * 7 + core);
    while (!is_stopped_) {
      versions_.grow(blocks());
      const Blocks drawn = draw(core, random);
      const u64 kind = random.below(9) + (core == 0 ? 0 : 2);  // flushes are core 0's
      const Status done = co_await perform(kind, drawn);
      ++operations_;
      if (!done && is_cut_) break;
      EXPECT_TRUE(done.ok()) << "kind " << kind << ", blocks " << drawn.from << " to " << drawn.to << ": "
                             << to_text(done.error());
      if (!done) break;
      co_await runtime::sleep_until(runtime::this_reactor().now_ns() + random.below(pause_ns_max));
    }
  }

  // Of one bucket, each of which only one client uses; in stripes whole ones. Or what begins some buckets before the stripes.
  Blocks draw(CoreIndex core, Random& random) const {
    const u64 buckets = blocks() / bucket_blocks, copied = copied_blocks() / bucket_blocks;
    if (core == 0 && copied < buckets && random.one_in(6))
      return {(copied - 1) * bucket_blocks - 1 - random.below(bucket_blocks),
              copied * bucket_blocks + pool_->stripe_blocks()};
    u64 bucket = draw_bucket(random);
    while ((bucket <= copied && copied < buckets ? 0 : bucket % cores) != core) bucket = draw_bucket(random);
    const u64 stripe = bucket < copied ? 1 : pool_->stripe_blocks();
    const u64 stripes = (bucket_blocks + stripe - 1) / stripe;
    const u64 first = random.below(stripes), count = 1 + random.below(std::min<u64>(stripes - first, 6));
    return {bucket * bucket_blocks + first * stripe,
            bucket * bucket_blocks + std::min(bucket_blocks, (first + count) * stripe)};
  }

  // Every other time one that moves.
  u64 draw_bucket(Random& random) const {
    const Pool::Movings& moving = pool_->moving();
    if (moving.empty() || random.one_in(2)) return random.below(blocks() / bucket_blocks);
    const format::PoolPart part = moving[random.below(moving.size())].part;
    if (!part.is_shard) return pool_->space_offset(part.group, random.below(pool_->map().chunk_buckets)) / bucket_bytes;
    const StripeLayout& layout = pool_->stripes().layout();
    return layout.space_offset(part.group, random.below(layout.buckets_per_set())) / bucket_bytes;
  }

  Task<Status> perform(u64 kind, Blocks range) {
    const bool is_striped = range.from >= copied_blocks();
    if (kind <= 1) return flush();
    if (kind == 2 && is_striped && !is_cut_) return discard(range);
    if (kind == 3 && is_striped) return heal(range);
    if (kind == 4 && is_striped && !is_cut_) return scrub(range);
    if (kind <= 6) return read(range);
    return write(range);
  }

  Task<Status> write(Blocks range) {
    AlignedBuffer data(range.bytes());
    const u32 version = ++versions_.newest;
    for (u64 block = range.from; block < range.to; ++block) {
      fill(block, version, data.data() + (block - range.from) * block_bytes);
      versions_.begun[block] = version;
    }
    const Status written = co_await pool_->write(range.from * block_bytes, data.span());
    for (u64 block = range.from; block < range.to && written; ++block) versions_.ended[block] = version;
    co_return written;
  }
  Task<Status> read(Blocks range) {
    AlignedBuffer data(range.bytes());
    const Status done = co_await pool_->read(range.from * block_bytes, data.span());
    if (done) expect_latest(range, data.data(), "in use");
    co_return done;
  }
  Task<Status> flush() {
    const std::vector<u32> ended = versions_.ended;
    const Status flushed = co_await pool_->flush();
    for (u64 block = 0; block < ended.size() && flushed; ++block)
      if (versions_.flushed[block] == unknown || (ended[block] != unknown && ended[block] > versions_.flushed[block]))
        versions_.flushed[block] = ended[block];
    co_return flushed;
  }
  Task<Status> discard(Blocks range) {
    for (u64 block = range.from; block < range.to; ++block) versions_.begun[block] = unknown;
    co_return co_await pool_->discard(range.from * block_bytes, range.bytes());
  }
  // A block, with what it holds.
  Task<Status> heal(Blocks range) {
    if (versions_.begun[range.from] == unknown) co_return Status{};
    AlignedBuffer data(block_bytes);
    fill(range.from, versions_.begun[range.from], data.data());
    const Status healed = co_await pool_->write(range.from * block_bytes, data.span(), false, 1);
    co_return is_faulty_ ? Status{} : healed;
  }
  // The bucket.
  Task<Status> scrub(Blocks range) {
    const u64 first = range.from / bucket_blocks * bucket_blocks;
    for (u64 block = first; block < first + bucket_blocks; ++block)
      if (versions_.begun[block] == unknown) co_return Status{};
    const auto check = [this](u64 offset, ByteSpan content) {
      const u64 block = offset / block_bytes;
      const bool is_right = is_between(block, versions_.begun[block], versions_.begun[block], content.data());
      return is_right ? Status{} : Status{Error{Code::device_io_failed, block}};
    };
    const device::Device::StripesSeen seen =
        co_await pool_->scrub_stripes(first * block_bytes, bucket_bytes, check, true);
    EXPECT_TRUE(is_faulty_ || seen.suspects.empty()) << first;
    EXPECT_TRUE(is_faulty_ || seen.wrong_parity.empty()) << first;
    co_return Status{};
  }

  void expect_latest(Blocks range, const std::byte* data, const char* what) {
    for (u64 block = range.from; block < range.to; ++block) {
      const u32 version = versions_.begun[block];
      const bool is_right =
          version == unknown || is_between(block, version, version, data + (block - range.from) * block_bytes);
      EXPECT_TRUE(is_right) << "block " << block << ", " << what;
      if (!is_right) return;
    }
  }

  Task<void> change_members(u64 changes) {
    device::BackgroundReader reader([this] { return operations_; }, 0);
    for (u64 i = 0; i < changes && !devices_.front()->power_is_cut(); ++i) {
      const Status done = co_await change(reader);
      EXPECT_TRUE(done.ok() || is_faulty_ || is_cut_) << to_text(done.error());
    }
    is_stopped_ = true;
  }
  // Room for others comes first.
  Task<Status> change(device::BackgroundReader& reader) {
    LiveChange live(*pool_, reader, {});
    format::PoolMap map = pool_->map();
    const u64 kind = random_.below(4);
    const u16 member = static_cast<u16>(random_.below(map.members.size()));
    Result<Change> planned = moved_off(map, member, 0);
    if (!planned || kind == 0) {
      map.members.push_back(
          member_of_size(map, uuid_of(devices_.size()), "", device_bytes / block_bytes, bucket_blocks));
      SimDevice& fresh = add_device();
      if (watch_.use != nullptr) fresh.set_power_observer([this] { cut_all(); });
      Change taken = random_.one_in(2) ? extended(map) : Change{map, {}};
      co_return co_await live.carry_out(std::move(taken), &fresh);
    }
    if (kind == 1) co_return co_await live.carry_out(extended(map), nullptr);
    const Status emptied = co_await live.carry_out(std::move(*planned), nullptr);
    if (!emptied || kind == 2) co_return emptied;
    device::Device* const leaves = pool_->member(member);
    const Status gone = co_await pool_->let_go(member);
    if (!gone) co_return gone;
    co_return co_await forget_superblocks(*leaves);
  }

  Task<void> verify(bool is_degraded) {
    AlignedBuffer data(bucket_bytes);
    versions_.grow(blocks());
    for (u64 block = 0; block < blocks(); block += bucket_blocks) {
      const bool is_striped = block >= copied_blocks();
      const u16 readings = is_striped ? static_cast<u16>(1 + pool_->reconstructions()) : pool_->copies();
      for (u16 turn = 0; turn < (is_degraded ? 1 : 2); ++turn) {
        const u16 reading = static_cast<u16>(is_degraded ? 0 : 1 + (turn * (block / bucket_blocks)) % readings);
        const Status done = co_await pool_->read(block * block_bytes, data.span(), reading);
        EXPECT_TRUE(done.ok()) << to_text(done.error());
        expect_latest({block, block + bucket_blocks}, data.data(), ("reading " + std::to_string(reading)).c_str());
      }
    }
  }
  Task<void> verify_flushed(Pool* found) {
    AlignedBuffer data(bucket_bytes);
    versions_.grow(found->capacity().value / block_bytes);
    for (u64 block = 0; block < found->capacity().value / block_bytes; ++block) {
      if (block % bucket_blocks == 0) {
        const Status done = co_await found->read(block * block_bytes, data.span());
        EXPECT_TRUE(done.ok()) << to_text(done.error());
      }
      const u32 flushed = versions_.flushed[block], begun = versions_.begun[block];
      if (flushed == unknown) continue;
      const bool is_right = is_between(block, flushed, begun, data.data() + block % bucket_blocks * block_bytes);
      EXPECT_TRUE(is_right) << "block " << block << ", flushed " << flushed << ", begun " << begun;
      if (!is_right) co_return;
    }
  }

  Random random_;
  Random cut_random_{1};
  runtime::SimCores cores_;
  std::vector<std::unique_ptr<SimDevice>> devices_;
  std::unique_ptr<Pool> pool_;
  runtime::Gate clients_[cores];
  Versions versions_;
  Watch watch_;
  u64 operations_ = 0;
  bool is_stopped_ = false, is_faulty_ = false, is_cut_ = false;
};

constexpr u64 seeds = 3;

TEST(PoolInUse, each_block_is_what_was_written_last_while_members_come_and_go) {
  for (const Shape& shape : shapes) {
    for (u64 seed = 1; seed <= seeds; ++seed) {
      SCOPED_TRACE(std::string(shape.name) + ", seed " + std::to_string(seed));
      Use use(shape, seed);
      use.run(3);
      use.expect_exact(false);
      if (HasFailure()) return;
    }
  }
}

TEST(PoolInUse, a_member_that_fails_meanwhile_is_not_noticed) {
  for (const Shape& shape : shapes) {
    for (u64 seed = 1; seed <= seeds && shape.may_lose_one(); ++seed) {
      SCOPED_TRACE(std::string(shape.name) + ", seed " + std::to_string(seed));
      Use use(shape, seed);
      use.fail_one();
      use.run(3);
      use.end_time_limit();
      use.expect_exact(true);
      if (HasFailure()) return;
    }
  }
}

TEST(PoolInUse, what_was_flushed_survives_a_power_cut_in_the_middle_of_a_change) {
  for (const Shape& shape : shapes) {
    for (u64 seed = 1; seed <= 5 * seeds; ++seed) {
      SCOPED_TRACE(std::string(shape.name) + ", seed " + std::to_string(seed));
      PointRecord points(seed);
      Use use(shape, seed);
      use.cut_power(points);
      use.run(3);
      points.set_observer(nullptr);
      use.expect_flushed();
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace cowfs::pool
