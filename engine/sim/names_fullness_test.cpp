// A filesystem that is full of metadata: who asks for more gets ENOSPC, nothing waits for ever, and what was accepted stays.
#include <fcntl.h>

#include <cerrno>

#include "engine/runtime/on.h"
#include "engine/sim/scenario.h"
#include "engine/sim/seeds_test_internal.h"

namespace cowfs::sim {
namespace {

enum class Kind : u64 { symlinks, files, attributes, links, count };

constexpr u64 text_bytes = 1000;
constexpr u64 accepted_bytes = 256 * kib;
constexpr u64 links_per_inode = 10'000;
constexpr u64 steps_max = 200'000'000;  // who waits for ever does not wait for ever

std::string directory_of(u64 core) { return "/d" + std::to_string(core); }

// Long, so that few of them fill a filesystem.
std::string path_of(u64 core, u64 number) {
  std::string name = std::to_string(number) + "-";
  name.resize(200, 'n');
  return directory_of(core) + "/" + name;
}

std::string text_of(u64 core, u64 number) {
  Random random(core * 1000003 + number);
  std::string text(text_bytes, ' ');
  for (char& byte : text) byte = static_cast<char>('a' + random.below(26));
  return text;
}

ByteSpan span_of(const std::string& text) { return {reinterpret_cast<const std::byte*>(text.data()), text.size()}; }
MutableByteSpan space_in(std::string& text) { return {reinterpret_cast<std::byte*>(text.data()), text.size()}; }

// Each core has a directory, and adds to it what is metadata alone.
class Namer {
 public:
  Namer(SimulatedFilesystem& filesystem, Kind kind) : filesystem_(&filesystem), kind_(kind) {}
  void use(SimulatedFilesystem& filesystem) { filesystem_ = &filesystem; }

  u64 count() const {
    u64 sum = 0;
    for (const auto& one : names_) sum += one.size();
    return sum;
  }

  Task<void> make_directories() {
    names_.resize(filesystem_->core_count());
    for (u64 core = 0; core < names_.size(); ++core) {
      const std::string path = directory_of(core);
      const auto at = static_cast<runtime::CoreIndex>(core);
      auto make = [this, &path] { return operations().mkdir(path, 0755); };
      const Status made = co_await runtime::on(at, std::move(make));
      EXPECT_TRUE(made.ok()) << to_text(made.error());
    }
  }

  // Data that was written and is in nobody's way, but not on the medium.
  Task<void> write_data() {
    const Result<FileHandle> handle = co_await operations().open("/accepted", O_RDWR | O_CREAT, 0644);
    EXPECT_TRUE(handle.ok());
    std::string data;
    for (u64 i = 0; data.size() < accepted_bytes; ++i) data += text_of(~0ull, i);
    data.resize(accepted_bytes);
    data_ = data;
    const ByteSpan bytes = span_of(data);
    const Result<u64> written = co_await operations().write(*handle, 0, bytes);
    EXPECT_EQ(written.ok() ? *written : 0, accepted_bytes);
    EXPECT_TRUE((co_await operations().close(*handle)).ok());
  }

  // On all cores at once, until there is no space.
  Task<void> fill() {
    runtime::Gate gate;
    for (u64 core = 0; core < names_.size(); ++core) gate.spawn(on_core(core, &Namer::fill_one));
    co_await gate.drained();
  }

  // What is there goes, but for one in so many; in the order of names or across it.
  Task<void> remove(u64 kept_one_in, Random* random) {
    kept_one_in_ = kept_one_in;
    for (auto& names : names_) {
      if (!random->one_in(2)) continue;
      for (std::size_t i = names.size(); i > 1; --i) std::swap(names[i - 1], names[random->below(i)]);
    }
    runtime::Gate gate;
    for (u64 core = 0; core < names_.size(); ++core) gate.spawn(on_core(core, &Namer::remove_one));
    co_await gate.drained();
  }

  Task<void> sync() {
    const Status synced = co_await operations().sync();
    EXPECT_TRUE(synced.ok()) << to_text(synced.error());
  }

  Task<void> check() {
    for (u64 core = 0; core < names_.size(); ++core) {
      for (u64 number : names_[core]) {
        const Status same = co_await look(core, number);
        EXPECT_TRUE(same.ok()) << "core " << core << " number " << number << ": " << to_text(same.error());
        if (!same) co_return;
      }
    }
    if (data_.empty()) co_return;
    const Result<FileHandle> handle = co_await operations().open("/accepted", O_RDONLY, 0);
    EXPECT_TRUE(handle.ok());
    if (!handle) co_return;
    std::string got(accepted_bytes, ' ');
    const MutableByteSpan into = space_in(got);
    const Result<u64> read = co_await operations().read(*handle, 0, into);
    EXPECT_EQ(read.ok() ? *read : 0, accepted_bytes);
    EXPECT_TRUE(got == data_);
    EXPECT_TRUE((co_await operations().close(*handle)).ok());
  }

 private:
  fs::Operations& operations() { return filesystem_->operations(); }

  using Step = Task<Status> (Namer::*)(u64 core);
  Task<void> on_core(u64 core, Step step) {
    auto run = [this, core, step] { return (this->*step)(core); };
    const auto at = static_cast<runtime::CoreIndex>(core % filesystem_->core_count());
    const Status done = co_await runtime::on(at, std::move(run));
    EXPECT_TRUE(done.ok()) << to_text(done.error());
  }

  Task<Status> fill_one(u64 core) {
    for (int refusals = 0; refusals < 3;) {
      const u64 number = next_++;
      const Status made = co_await make(core, number);
      if (made) {
        names_[core].push_back(number);
        continue;
      }
      if (to_errno(made.error().code) != ENOSPC) co_return made;
      ++refusals;
    }
    co_return Status{};
  }

  Task<Status> make(u64 core, u64 number) {
    const std::string path = path_of(core, number);
    const std::string text = text_of(core, number);
    if (kind_ == Kind::symlinks) co_return co_await operations().symlink(text, path);
    const u64 others = names_[core].size();
    if (kind_ == Kind::links && others % links_per_inode != 0) {
      const std::string first = path_of(core, names_[core][others - others % links_per_inode]);
      co_return co_await operations().link(first, path);
    }
    const Status made = co_await operations().make_node(path, 0644, 0);
    if (!made || kind_ != Kind::attributes) co_return made;
    const ByteSpan bytes = span_of(text);
    const Status set = co_await operations().set_xattr(path, "user.text", bytes);
    if (set) co_return set;
    const Status removed = co_await operations().unlink(path);
    co_return removed ? set : removed;
  }

  Task<Status> look(u64 core, u64 number) {
    const std::string path = path_of(core, number);
    const std::string text = text_of(core, number);
    const Result<Attributes> there = co_await operations().stat(path, false);
    if (!there) co_return there.error();
    std::string got = text;
    if (kind_ == Kind::symlinks) {
      const Result<std::string> target = co_await operations().read_link(path);
      if (!target) co_return target.error();
      got = *target;
    }
    if (kind_ == Kind::attributes) {
      got.assign(text_bytes, ' ');
      const MutableByteSpan into = space_in(got);
      const Result<u64> value = co_await operations().get_xattr(path, "user.text", into);
      if (!value) co_return value.error();
    }
    EXPECT_TRUE(got == text) << path;
    co_return Status{};
  }

  Task<Status> remove_one(u64 core) {
    std::vector<u64> kept;
    for (u64 i = 0; i < names_[core].size(); ++i) {
      const u64 number = names_[core][i];
      if (kept_one_in_ > 0 && i % kept_one_in_ == 0) {
        kept.push_back(number);
        continue;
      }
      const std::string path = path_of(core, number);
      const Status removed = co_await operations().unlink(path);
      if (!removed) co_return removed;
    }
    names_[core] = std::move(kept);
    co_return Status{};
  }

  SimulatedFilesystem* filesystem_;
  Kind kind_;
  std::vector<std::vector<u64>> names_;
  u64 next_ = 0;
  u64 kept_one_in_ = 0;
  std::string data_;
};

// A file as long as there is space; the others are for names.
Task<void> fill_with_data(fs::Operations* operations, u64 kept_free_bytes) {
  const Result<FileHandle> handle = co_await operations->open("/data", O_RDWR | O_CREAT, 0644);
  EXPECT_TRUE(handle.ok());
  if (!handle) co_return;
  const std::string data(128 * kib, 'd');
  const ByteSpan bytes = span_of(data);
  u64 there = 0;
  while (true) {
    const Result<u64> written = co_await operations->write(*handle, there, bytes);
    if (!written) {
      EXPECT_EQ(to_errno(written.error().code), ENOSPC) << to_text(written.error());
      break;
    }
    there += *written;
  }
  EXPECT_TRUE((co_await operations->truncate(*handle, there - std::min(there, kept_free_bytes))).ok());
  EXPECT_TRUE((co_await operations->fsync(*handle)).ok());
  EXPECT_TRUE((co_await operations->close(*handle)).ok());
}

FormatSettings random_format(u64 seed) {
  Random random(seed * 7919);
  FormatSettings format{.slices = static_cast<u16>(1 << random.below(3)), .seed = seed};
  format.region_bytes = random.one_in(2) ? 64 * mib : 256 * kib;
  // Most of it is journal: that asks for no checkpoint.
  format.journal_bytes = format.slices == 1 && random.one_in(2) ? 36 * mib : random.one_in(2) ? 24 * mib : 8 * mib;
  return format;
}

std::unique_ptr<SimulatedFilesystem> mount(const Image& image, MountSettings settings) {
  settings.steps_max = steps_max;
  auto filesystem = std::make_unique<SimulatedFilesystem>(image, settings);
  const Status mounted = filesystem->mount();
  EXPECT_TRUE(mounted.ok()) << to_text(mounted.error());
  return filesystem;
}

void fill_empty_and_fill(u64 seed) {
  Random random(seed);
  const Kind kind = static_cast<Kind>(seed % static_cast<u64>(Kind::count));
  MountSettings settings = random_settings(random);
  auto filesystem = mount(make_filesystem(random_format(seed)), settings);
  Namer namer(*filesystem, kind);
  filesystem->run(0, [&] { return namer.make_directories(); });
  const bool beside_data = random.one_in(3);
  const u64 for_names = random.below(3) * mib;
  if (beside_data) filesystem->run(0, [&] { return fill_with_data(&filesystem->operations(), for_names); });
  if (!beside_data) filesystem->run(0, [&] { return namer.write_data(); });
  u64 most = 0;
  for (int round = 0; round < 3 && !testing::Test::HasFailure(); ++round) {
    filesystem->run(0, [&] { return namer.fill(); });
    if (round == 0) most = namer.count();
    EXPECT_GE(namer.count() * 2, most);  // leaves and buckets are less full than the first time
    filesystem->run(0, [&] { return namer.sync(); });
    Image image;
    if (random.one_in(2)) {
      const Status closed = filesystem->close();
      EXPECT_TRUE(closed.ok()) << to_text(closed.error());
      image = filesystem->device().image();
      expect_sound(image);
    } else {
      image = filesystem->device().crash_image_all_lost();
    }
    settings = random_settings(random);
    filesystem = mount(image, settings);
    namer.use(*filesystem);
    filesystem->run(0, [&] { return namer.check(); });
    const u64 kept_one_in = round == 0 ? 0 : 2 + random.below(20);
    filesystem->run(0, [&] { return namer.remove(kept_one_in, &random); });
    if (random.one_in(2)) filesystem->run(0, [&] { return namer.sync(); });
  }
  filesystem->run(0, [&] { return namer.check(); });
  const Status closed = filesystem->close();
  EXPECT_TRUE(closed.ok()) << to_text(closed.error());
  expect_sound(filesystem->device().image());
}

// Names made more nodes dirty than a checkpoint found buckets for. None was written any more, the journal stayed full, and everybody
// waited for ever.
TEST(Fullness, names_alone_meet_the_end_of_space) {
  for (u64 seed : seeds(6)) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    fill_empty_and_fill(seed);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace cowfs::sim
