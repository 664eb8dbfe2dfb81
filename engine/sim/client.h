// A client of the simulated filesystem: operations on names and files of its own, each also done on the model and
// compared. Clients share directories but no names, so what each of them must see does not depend on the others.
#pragma once
#include <functional>

#include "engine/fs/operations.h"
#include "engine/sim/expectation.h"
#include "engine/sim/operation_source.h"

namespace cowfs::sim {

class Client {
 public:
  Client(Model& model, const ClientSettings& settings);

  // Performs what `source` says to its end; all handles are closed then.
  Task<void> run(fs::Operations* operations, OperationSource* source);

  const Expectation& expectation() const { return expectation_; }
  // What it did in the last run.
  const Operations& performed() const { return performed_; }
  const std::vector<std::string>& problems() const { return problems_; }
  // There was no space for something, of which a part may be done all the same; it did nothing since.
  bool was_refused() const { return refused_; }
  // Called after each fsync that was acknowledged.
  void set_observer(std::function<void()> observer) { observer_ = std::move(observer); }
  // Called with each operation before it is done.
  void set_watch(std::function<void(const Operation&)> watch) { watch_ = std::move(watch); }

 private:
  struct Handle {
    FileHandle handle;
    NodePointer node;
    bool direct = false;
    bool held = false;
  };

  Task<void> perform(Operation operation);
  Task<void> change_names(Operation operation);
  Task<Status> change_engine_names(Operation operation);
  Task<void> create(Operation operation);
  Task<void> learn_inode(std::string path);
  // Null when it could not be opened, as expected or not.
  Task<std::unique_ptr<Handle>> open(Operation operation);
  Task<void> close(std::unique_ptr<Handle> file);
  Task<void> hold(Operation operation);
  Task<void> on_file(Operation operation);
  Task<void> use(Operation operation, Handle* file);
  Task<void> write(Operation operation, Handle* file);
  Task<void> read(Operation operation, Handle* file);
  Task<void> resize(Operation operation, Handle* file);
  Task<void> fsync(Operation operation, Handle* file);
  Task<void> stat(Operation operation, Handle* file);
  Task<void> sync();
  OperationView view() const;

  // Stops the client when the engine's answer is not the expected errno, and at an expected device error.
  void compare(const Operation& operation, int expected, const Status& got);
  void problem(const Operation& operation, const std::string& text);
  bool is_expected_failure(const Operation& operation, const Error& error) const;

  Model& model_;
  const ClientSettings settings_;
  Expectation expectation_;
  fs::Operations* operations_ = nullptr;
  std::map<std::string, std::unique_ptr<Handle>> held_;
  Operations performed_;
  bool stopped_ = false;
  bool refused_ = false;
  std::vector<std::string> problems_;
  std::function<void()> observer_;
  std::function<void(const Operation&)> watch_;
};

}  // namespace cowfs::sim
