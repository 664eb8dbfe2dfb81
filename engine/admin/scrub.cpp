// First what a mount needs: superblocks, journal, and each slice's checkpoint. Then data, bucket by bucket in the order of the
// space, some at a time; each is looked through on the core that owns its slice. Data that moves or is written meanwhile was
// verified, or is new. The number of the next bucket is all that the next scrub has to know.
#include "engine/admin/scrub.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>

#include "engine/data/scrub.h"
#include "engine/journal/scrub.h"
#include "engine/pool/scrub.h"
#include "engine/runtime/on.h"
#include "engine/slice/scrub.h"

namespace cowfs::admin {

namespace {

using device::ScrubFindings;
using format::BucketId;
using format::TreeId;

constexpr int buckets_at_once = 8;
constexpr u64 position_kept_every_ns = 10'000'000'000;
constexpr u64 ns_per_second = 1'000'000'000;
constexpr std::size_t path_depth_max = 4096;

class Scrub {
 public:
  Scrub(fs::FilesystemState& state, pool::Assembled& assembled, ScrubOptions options)
      : state_(state),
        assembled_(assembled),
        options_(std::move(options)),
        reader_([this] { return state_.operations(); }, options_.bytes_per_second),
        began_ns_(runtime::this_reactor().now_ns()) {}

  Task<Result<ScrubReport>> run() {
    co_await list_buckets();
    Status done = co_await scrub_superblocks();
    if (done) done = co_await scrub_journal();
    if (done) done = co_await scrub_checkpoints();
    if (done) done = co_await scrub_data();
    if (!done) co_return done.error();
    report_.finished = !stopped_;
    state_.set_scrub_position(stopped_ ? position() : 0);
    co_await keep_position();
    co_await find_paths();
    co_return std::move(report_);
  }

 private:
  struct Bucket {
    u64 id;
    u16 slice;
    bool operator<(const Bucket& other) const { return id < other.id; }
  };

  // What holds data now; what is written later need not be looked through.
  Task<void> list_buckets() {
    for (runtime::CoreIndex core = 0; core < state_.cores(); ++core) {
      auto list = [this, core] { return list_buckets_of(core); };
      co_await runtime::on(core, std::move(list));
    }
    std::sort(buckets_.begin(), buckets_.end());
    const device::Device& device = *assembled_.device;
    total_bytes_ *= device.copies_at(device.capacity().value - block_bytes);
    total_bytes_ += total_bytes_ / device.stripe_blocks() * device.parity_blocks();
    if (options_.from_start) co_return;
    const Bucket from{state_.scrub_position(), 0};
    next_ = static_cast<std::size_t>(std::lower_bound(buckets_.begin(), buckets_.end(), from) - buckets_.begin());
  }

  Task<void> list_buckets_of(runtime::CoreIndex core) {
    state_.core(core).each_slice([this](fs::SliceState& slice) {
      total_bytes_ += slice.slice.metadata().live_blocks() * block_bytes;
      slice.slice.buckets().each([this, &slice](const space::Bucket& bucket) {
        if (bucket.live_blocks == 0) return;
        buckets_.push_back({bucket.id.value, slice.slice.id()});
        if (bucket.id.value >= state_.scrub_position() || options_.from_start) total_bytes_ += bucket.live_blocks * block_bytes;
      });
    });
    co_return;
  }

  Task<Status> scrub_superblocks() {
    ScrubFindings findings;
    const Status done = co_await pool::scrub_superblocks(assembled_, findings);
    take(std::move(findings));
    co_return done;
  }

  Task<Status> scrub_journal() {
    ScrubFindings findings;
    const Result<Epoch> damaged = co_await journal::scrub(*assembled_.device, state_.journal(), reader_, findings);
    take(std::move(findings));
    if (!damaged) co_return damaged.error();
    if (damaged->value == 0) co_return Status{};
    // A checkpoint makes the entries needless; what they say is in memory.
    for (runtime::CoreIndex core = 0; core < state_.cores(); ++core) {
      auto checkpoint = [this, core] { return state_.core(core).checkpoint_all(); };
      const Status done = co_await runtime::on(core, std::move(checkpoint));
      if (!done) co_return done;
    }
    journal::Stream& stream = state_.core(0).stream();
    co_return co_await stream.commit(stream.current());
  }

  Task<Status> scrub_checkpoints() {
    for (u16 slice = 0; slice < state_.superblock().slices && tell(); ++slice) {
      ScrubFindings findings;
      auto scrub = [this, slice, &findings] { return scrub_checkpoint(slice, &findings); };
      const Status done = co_await runtime::on(state_.core_of_slice(slice), std::move(scrub));
      take(std::move(findings));
      if (!done) co_return done;
    }
    co_return Status{};
  }

  Task<Status> scrub_checkpoint(u16 slice, ScrubFindings* findings) {
    co_return co_await slice::scrub_checkpoint(state_.here().slice(slice).slice, reader_, *findings);
  }

  Task<Status> scrub_data() {
    kept_ns_ = runtime::this_reactor().now_ns();
    runtime::Gate gate;
    for (int worker = 0; worker < buckets_at_once; ++worker) gate.spawn(work());
    co_await gate.drained();
    co_return failure_;
  }

  Task<void> work() {
    while (failure_ && next_ < buckets_.size() && tell()) {
      const Bucket bucket = buckets_[next_++];
      under_way_.push_back(bucket.id);
      ScrubFindings findings;
      auto scrub = [this, bucket, &findings] { return scrub_bucket(bucket, &findings); };
      const Status done = co_await runtime::on(state_.core_of_slice(bucket.slice), std::move(scrub));
      std::erase(under_way_, bucket.id);
      take(std::move(findings));
      if (!done) failure_ = done;
      ++report_.buckets;
      state_.core(0).activity(format::Activity::scrub).count();
      const u64 now_ns = runtime::this_reactor().now_ns();
      if (now_ns < kept_ns_ + position_kept_every_ns) continue;
      kept_ns_ = now_ns;
      state_.set_scrub_position(position());
      co_await keep_position();
    }
  }

  Task<Status> scrub_bucket(Bucket bucket, ScrubFindings* findings) {
    fs::SliceState& slice = state_.here().slice(bucket.slice);
    co_return co_await data::scrub_bucket(slice.data, slice.copygc, BucketId{bucket.id}, reader_, *findings);
  }

  // Everything before it was looked through.
  u64 position() const {
    u64 first = next_ < buckets_.size() ? buckets_[next_].id : 0;
    for (const u64 id : under_way_) first = first == 0 ? id : std::min(first, id);
    return first;
  }

  // A crash forgets it, as it forgets counters; an error is one that everybody hears of.
  Task<void> keep_position() { (void)co_await state_.store_counters(true); }

  // False: it is to stop.
  bool tell() {
    if (stopped_ || !options_.progress) return !stopped_;
    ScrubProgress progress{.bytes_done = report_.bytes, .bytes_total = std::max(total_bytes_, report_.bytes)};
    progress.damaged = report_.damaged;
    progress.lost = report_.lost;
    const u64 took_ns = runtime::this_reactor().now_ns() - began_ns_;
    if (report_.bytes > 0)
      progress.seconds_left = static_cast<u64>(static_cast<double>(progress.bytes_total - report_.bytes) /
                                               static_cast<double>(report_.bytes) * static_cast<double>(took_ns) / ns_per_second);
    stopped_ = !options_.progress(progress);
    return !stopped_;
  }

  void take(ScrubFindings findings) {
    report_.bytes += findings.bytes;
    state_.core(0).activity(format::Activity::scrub).add_bytes(findings.bytes);
    for (const device::ScrubDamage& damage : findings.damage) {
      ++report_.damaged;
      report_.repaired += damage.repaired;
      report_.lost += damage.lost;
      if (report_.findings.size() == ScrubReport::findings_max) continue;
      ScrubFinding& finding = report_.findings.emplace_back();
      finding.what = damage.what;
      finding.bucket = damage.offset_bytes / (state_.superblock().bucket_blocks * block_bytes);
      finding.bytes = damage.bytes;
      finding.inode = damage.inode;
      finding.file_offset_bytes = damage.file_offset_bytes;
      finding.lost = damage.lost;
      finding.repaired = damage.repaired;
      for (const device::BadPlace& bad : damage.bad)
        finding.copies.push_back({bad.member, bad.offset_bytes, to_text(bad.error)});
    }
  }

  // Names of inodes: the directory, and the name there. Only when something is lost: every name is looked at once for each
  // level of directories above it.
  struct Name {
    u64 directory = 0;
    std::string name;
  };
  using Names = absl::flat_hash_map<u64, Name>;

  Task<void> find_paths() {
    Names names;
    for (const ScrubFinding& finding : report_.findings)
      if (finding.lost && finding.inode != 0) names.try_emplace(finding.inode);
    for (std::size_t known = 0, depth = 0; known < names.size() && depth < path_depth_max; ++depth) {
      known = names.size();
      for (u16 slice = 0; slice < state_.superblock().slices; ++slice) {
        auto find = [this, slice, &names] { return find_names(slice, &names); };
        co_await runtime::on(state_.core_of_slice(slice), std::move(find));
      }
      std::vector<u64> above;
      for (const auto& [inode, name] : names)
        if (name.directory > format::root_inode) above.push_back(name.directory);
      for (const u64 directory : above) names.try_emplace(directory);
    }
    for (ScrubFinding& finding : report_.findings)
      if (finding.lost) finding.path = path_of(names, finding.inode);
  }

  Task<void> find_names(u16 id, Names* names) {
    slice::Slice& slice = state_.here().slice(id).slice;
    format::Key from = format::key_min;
    while (true) {
      btree::Cursor at = slice.tree(TreeId::dirents).seek(from);
      for (; at.valid(); at.next()) {
        format::DirentChain chain(at.value());
        format::Dirent entry;
        while (chain.next(entry)) {
          const auto wanted = names->find(entry.inode);
          if (wanted != names->end()) wanted->second = {at.key().inode, std::string(entry.name)};
        }
      }
      if (at.state() != btree::Cursor::State::missing) co_return;
      from = at.resume_key();
      btree::NodesHeld held;
      const Status loaded = co_await slice.load({TreeId::dirents, at.missing()}, held);
      if (!loaded) co_return;
    }
  }

  static std::string path_of(const Names& names, u64 inode) {
    std::string path;
    for (std::size_t depth = 0; depth < path_depth_max && inode != format::root_inode; ++depth) {
      const auto name = names.find(inode);
      if (name == names.end() || name->second.directory == 0) return path.empty() ? path : "..." + path;
      path.insert(0, "/" + name->second.name);
      inode = name->second.directory;
    }
    return path;
  }

  fs::FilesystemState& state_;
  pool::Assembled& assembled_;
  const ScrubOptions options_;
  device::BackgroundReader reader_;
  const u64 began_ns_;
  u64 kept_ns_ = 0;  // when the position was kept
  u64 total_bytes_ = 0;
  std::vector<Bucket> buckets_;  // of data, in order
  std::size_t next_ = 0;
  std::vector<u64> under_way_;
  bool stopped_ = false;
  Status failure_;
  ScrubReport report_;
};

}  // namespace

Task<Result<ScrubReport>> scrub(fs::FilesystemState& state, pool::Assembled& assembled, ScrubOptions options) {
  if (state.settings().read_only) co_return Error{Code::read_only_filesystem};
  if (!state.scrub_lock().try_acquire()) co_return Error{Code::scrub_under_way};
  const runtime::MutexHold hold(state.scrub_lock());
  Scrub scrub(state, assembled, std::move(options));
  co_return co_await scrub.run();
}

}  // namespace cowfs::admin
