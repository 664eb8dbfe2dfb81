// A client of the simulated filesystem: random operations on names and files of its own, each also done on the model
// and compared. Clients share directories but no names, so what each of them must see does not depend on the others.
//
// It keeps what a crash may leave of its names: every state since the last one that is known to be durable.
#pragma once
#include <deque>
#include <functional>

#include "engine/base/random.h"
#include "engine/fs/operations.h"
#include "engine/sim/model.h"
#include "engine/sim/tree_walk.h"

namespace cowfs::sim {

struct ClientSettings {
  unsigned id = 0;
  u64 seed = 1;
  u64 file_bytes_max = 900 * kib;
  bool errors_expected = false;  // of the device: the client stops at the first
};

class Client {
 public:
  Client(Model& model, const ClientSettings& settings);

  // Makes its directories and makes that durable.
  Task<void> set_up(fs::Operations* operations);
  // So many random operations; all handles are closed at the end.
  Task<void> run(fs::Operations* operations, u64 count);

  const std::vector<std::string>& problems() const { return problems_; }
  // Called after each fsync that was acknowledged.
  void set_observer(std::function<void()> observer) { observer_ = std::move(observer); }

  // What is exactly there after everything was written.
  void check_exact(const TreeFound& found, std::vector<std::string>& problems) const;
  // What may be there after a crash.
  void check_after_crash(const TreeFound& found, std::vector<std::string>& problems) const;

 private:
  struct Handle {
    FileHandle handle;
    NodePointer node;
    bool direct = false;
    std::string path;  // it was opened by
  };

  Task<void> one_operation();
  Task<void> change_names();
  Task<void> open_file();
  Task<void> make_file(std::string path);
  Task<void> write_file(Handle* file);
  Task<void> read_file(Handle* file);
  Task<void> resize_file(Handle* file);
  Task<void> punch_file(Handle* file);
  Task<void> sync_file(Handle* file);
  Task<void> stat_file(Handle* file);
  Task<void> sync_directory();
  Task<void> sync_all();
  Task<void> close_file(std::size_t index);
  Task<void> learn_inode(std::string path);

  std::string some_path();       // existing or not
  std::string some_directory();  // existing
  std::string new_name();
  Model::Listing own_names() const;
  bool is_own(const std::string& path) const;
  void names_changed();
  void now_durable(u64 operation);
  bool matches(const Model::Listing& state, const TreeFound& found) const;
  void check_content(const Node& node, const std::string& path, const std::string& content,
                     std::vector<std::string>& problems) const;
  // Stops the client when the engine's answer is not the expected errno, and at an expected device error.
  void compare(std::string_view what, const std::string& path, int expected, const Status& got);
  void problem(const std::string& text);
  bool is_device_error(const Error& error) const;

  Model& model_;
  const ClientSettings settings_;
  Random random_;
  fs::Operations* operations_ = nullptr;
  std::string home_;
  std::string shared_prefix_;
  u64 operation_ = 0;
  std::deque<Model::Listing> states_;  // newest last
  u64 first_state_ = 0;                // operation number of the oldest
  std::vector<std::unique_ptr<Handle>> handles_;
  std::map<u64, NodePointer> nodes_;  // by inode, also of removed files
  bool stopped_ = false;
  std::vector<std::string> problems_;
  std::function<void()> observer_;
};

}  // namespace cowfs::sim
