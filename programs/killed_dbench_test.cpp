// dbench's load on cowfs, killed: a process whose clients execute a loadfile, verifying what they read, gets SIGKILL at any moment.
// What it left is held to every promise, to the byte. Each call that changes something, or that is an fsync, is noted in memory that
// outlives the process, before it is made and again when it was answered; the judge reads the notes. Many rounds: scripts/torture.
#include <fcntl.h>

#include <array>
#include <chrono>
#include <cstring>
#include <unordered_map>

#include "engine/admin/killed_process.h"
#include "harness/cowfs_target.h"
#include "harness/dbench_client.h"

namespace cowbench {
namespace {

using cowfs::FileHandle;
using cowfs::Filesystem;
using cowfs::i64;
using cowfs::Status;
using cowfs::Task;
using cowfs::u32;
using cowfs::u64;
using cowfs::admin::FoundTree;
using cowfs::admin::SurvivalModel;
using cowfs::admin::TestImage;
using cowfs::admin::Worker;
using harness::ClientOptions;
using harness::DbenchClient;
using workloads::PayloadKind;
using workloads::Program;

constexpr u32 clients = 6;
constexpr u64 notes_max = 1 << 17;     // of a client in one life
constexpr u64 notes_at_once_max = 4096;  // of one operation: a tree that is deleted
constexpr std::size_t path_bytes = 104;

enum class Call : cowfs::u8 { open, write, fsync, mkdir, rmdir, unlink, rename };

struct Note {
  Call call;
  int flags;    // open
  i64 handle;   // write, fsync: the file; open: what it returned
  i64 result;
  u64 offset, bytes, stream;  // write
  char path[path_bytes], to[path_bytes];
};

// Of one client.
struct Notebook {
  std::atomic<u64> begun, answered;
  Note notes[notes_max];

  Note& begin(Call call) {
    Note& note = notes[begun];
    note.call = call;
    return note;
  }
  Note& begin(Call call, const std::string& path, const std::string& to = {}) {
    Note& note = begin(call);
    assert(path.size() < path_bytes && to.size() < path_bytes);
    std::strcpy(note.path, path.c_str());
    std::strcpy(note.to, to.c_str());
    return note;
  }
  void made() { ++begun; }
  i64 answer(Note& note, i64 result) {
    note.result = result;
    ++answered;
    return result;
  }
};

struct Notes {
  Worker worker;
  Notebook of[clients];
};

// Cowfs as a workload sees it, with a notebook.
class NotingTarget : public harness::CowfsTarget<harness::NoCharge> {
  using Cowfs = harness::CowfsTarget<harness::NoCharge>;
  template <typename T>
  using Task = cowfs::Task<T>;

 public:
  NotingTarget(Filesystem& filesystem, Notebook& notebook, u64 seed, u32 client)
      : Cowfs(filesystem, false), notebook_(notebook), seed_(seed), client_(client) {}

  void begin(const workloads::Op& op) { path_ = op.path; }

  Task<i64> open(const std::string& path, int flags, u32 mode) {
    Note& note = notebook_.begin(Call::open, path);
    note.flags = flags;
    notebook_.made();
    note.handle = co_await Cowfs::open(path, flags, mode);
    opened_as_[note.handle] = path_;
    co_return notebook_.answer(note, note.handle);
  }
  Task<i64> pwrite(i64 handle, cowfs::ByteSpan from, u64 offset) {
    Note& note = notebook_.begin(Call::write);
    note.handle = handle;
    note.offset = offset;
    note.bytes = from.size();
    note.stream = workloads::payload_stream(seed_, client_, opened_as_.at(handle), ++version_);
    return noted(note, [this, handle, from, offset] { return Cowfs::pwrite(handle, from, offset); });
  }
  Task<i64> fsync(i64 handle) {
    Note& note = notebook_.begin(Call::fsync);
    note.handle = handle;
    return noted(note, [this, handle] { return Cowfs::fsync(handle); });
  }
  Task<i64> unlink(const std::string& path) {
    return noted(notebook_.begin(Call::unlink, path), [this, &path] { return Cowfs::unlink(path); });
  }
  Task<i64> rename(const std::string& from, const std::string& to) {
    return noted(notebook_.begin(Call::rename, from, to), [this, &from, &to] { return Cowfs::rename(from, to); });
  }
  Task<i64> mkdir(const std::string& path, u32 mode) {
    return noted(notebook_.begin(Call::mkdir, path), [this, &path, mode] { return Cowfs::mkdir(path, mode); });
  }
  Task<i64> rmdir(const std::string& path) {
    return noted(notebook_.begin(Call::rmdir, path), [this, &path] { return Cowfs::rmdir(path); });
  }

 private:
  template <typename Make>
  Task<i64> noted(Note& note, Make make) {
    notebook_.made();
    const i64 result = co_await make();
    co_return notebook_.answer(note, result);
  }

  Notebook& notebook_;
  const u64 seed_;
  const u32 client_;
  u32 path_ = 0;                           // of the loadfile, that the operation names
  std::unordered_map<i64, u32> opened_as_;  // by handle
  u64 version_ = 0;                        // of writes: the client counts them alike
};

// As fast as it goes, until the notebook is full.
struct Host {
  const Notebook& notebook;

  u64 now_ns() const { return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch().count()); }
  bool stop_requested() const { return notebook.begun + notes_at_once_max > notes_max; }
  void record(workloads::OpKind, u64, u64, u64) {}
  void late(u64) {}
  void pass_done(u64) {}
  harness::Ready<void> sleep(u64) { return {}; }
  auto turn() { return cowfs::runtime::yield_to_all(); }
};

std::string directory_of(u64 life) { return "/life" + std::to_string(life); }
std::string home_of(u64 life, u32 client) { return directory_of(life) + "/clients/client" + std::to_string(client); }

Task<void> live(Filesystem* filesystem, Notes* notes, const Program* program, ClientOptions options) {
  Notebook& notebook = notes->of[options.client];
  NotingTarget target(*filesystem, notebook, options.seed, options.client);
  Host host{notebook};
  const auto client = std::make_unique<DbenchClient<NotingTarget, Host>>(*program, options, target, host);
  const harness::ClientOutcome outcome = co_await client->run();
  if (outcome.failed) notes->worker.give_up(outcome.message);
}

Task<void> make_directory(Filesystem* filesystem, Notes* notes, std::string path) {
  const Status made = co_await filesystem->mkdir(path, 0755);
  if (!made) notes->worker.give_up(path + ": " + to_text(made.error()));
}

const Program& client_load() {
  static const workloads::LoadfileResult read = workloads::read_loadfile(COWBENCH_CLIENT_LOAD);
  const Program* program = std::get_if<Program>(&read);
  if (program == nullptr) throw std::runtime_error(std::get<workloads::LoadfileError>(read).to_text());
  return *program;
}

// What the notes of one client say that it left: the call that was under way may have been done, and was not answered.
class Retelling {
 public:
  Retelling(const Notebook& notebook, std::string home) : home_(std::move(home)) {
    for (u64 number = 0; number < notebook.begun; ++number) {
      const Note& note = notebook.notes[number];
      const bool answered = number < notebook.answered;
      if (answered ? note.result >= 0 : may_succeed(note)) tell(note, answered);
    }
  }
  const SurvivalModel& model() const { return model_; }

 private:
  bool is_mine(const std::string& path) const { return path == home_ || path.starts_with(home_ + "/"); }
  bool may_be_made(const std::string& path) const {
    const std::string parent = path.substr(0, path.rfind('/'));
    return !model_.find(path) && (path == home_ || model_.find(parent));
  }
  bool may_succeed(const Note& note) const {
    switch (note.call) {
      case Call::open:
        return model_.find(note.path) ? !model_.find(note.path)->directory() : may_be_made(note.path);
      case Call::mkdir:
        return may_be_made(note.path);
      case Call::rmdir:
      case Call::unlink:
      case Call::rename:
        return model_.find(note.path) != nullptr;
      case Call::write:
        return true;
      case Call::fsync:
        return false;
    }
    return false;
  }

  void tell(const Note& note, bool answered) {
    const bool is_of_a_file = note.call == Call::write || note.call == Call::fsync;
    if (is_of_a_file ? files_[note.handle] == nullptr : !is_mine(note.path)) return;
    switch (note.call) {
      case Call::open:
        return tell_open(note, answered);
      case Call::write:
        return tell_write(note, answered ? static_cast<u64>(note.result) : note.bytes);
      case Call::fsync:
        return model_.synced(files_[note.handle]);
      case Call::mkdir:
        return model_.make_directory(note.path);
      case Call::rmdir:
      case Call::unlink:
        return model_.remove(note.path);
      case Call::rename:
        return model_.rename(note.path, note.to);
    }
  }
  void tell_open(const Note& note, bool answered) {
    SurvivalModel::File file = model_.find(note.path);
    if (file == nullptr) {
      if ((note.flags & O_CREAT) != 0) file = model_.create(note.path);
    } else if ((note.flags & O_TRUNC) != 0) {
      model_.truncate(file);
    }
    if (answered) files_[note.handle] = file;
  }
  void tell_write(const Note& note, u64 bytes) {
    std::string data(bytes, '\0');
    workloads::fill_payload(PayloadKind::random, note.stream, note.offset, std::as_writable_bytes(std::span<char>(data)));
    model_.write(files_[note.handle], note.offset, data);
  }

  const std::string home_;
  SurvivalModel model_;
  std::unordered_map<i64, SurvivalModel::File> files_;  // by handle
};

struct DbenchLoad {
  using Memory = Notes;
  static constexpr u64 image_bytes = 2 * cowfs::gib;
  static constexpr u64 us_max = 400'000;

  [[noreturn]] static void work(const TestImage& image, Notes* notes, u64 seed, u64 life) {
    auto mounted = cowfs::admin::mount_image(image, false);
    if (!mounted) notes->worker.give_up("mount: " + to_text(mounted.error()));
    Filesystem* filesystem = mounted->get();
    const std::string directory = directory_of(life);
    filesystem->run(0, [&] { return make_directory(filesystem, notes, directory); });
    const Program* program = &client_load();
    notes->worker.mounted.store(true);
    for (u32 client = 0; client < clients; ++client) {
      const ClientOptions options{
          .client = client, .directory = directory, .payload = PayloadKind::random, .seed = seed, .verify = true};
      filesystem->start(client % filesystem->cores(),
                        [filesystem, notes, program, options] { return live(filesystem, notes, program, options); });
    }
    while (true) ::pause();
  }

  static FoundTree judge(const Notes& notes, u64, u64 life, const FoundTree& found) {
    FoundTree judged = cowfs::admin::part_of(found, directory_of(life));
    for (u32 client = 0; client < clients; ++client) {
      const std::string home = home_of(life, client);
      const Notebook& notebook = notes.of[client];
      EXPECT_EQ(Retelling(notebook, home).model().objection(cowfs::admin::part_of(found, home)), "")
          << home << ", " << notebook.begun << " calls begun, " << notebook.answered << " answered";
    }
    return judged;
  }

  static u64 answered(const Notes& notes) {
    u64 sum = 0;
    for (const Notebook& notebook : notes.of) sum += notebook.answered;
    return sum;
  }
};

TEST(Killed, every_promise_is_kept_under_the_load_of_dbench) {
  client_load();
  cowfs::admin::torture<DbenchLoad>(1);
}

}  // namespace
}  // namespace cowbench
