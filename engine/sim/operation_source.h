// Where a client's operations come from: drawn from a seed, or a list.
#pragma once
#include "engine/base/random.h"
#include "engine/sim/model.h"
#include "engine/sim/operation.h"

namespace cowfs::sim {

// What a source may look at when it chooses.
struct OperationView {
  const Model& model;
  const Model::Listing names;  // of the client
  const std::string& home;
  const std::string& shared_prefix;
  std::vector<std::string> held;  // paths
};

class OperationSource {
 public:
  virtual ~OperationSource() = default;
  virtual std::optional<Operation> next(const OperationView& view) = 0;
};

class OperationList final : public OperationSource {
 public:
  explicit OperationList(Operations operations) : operations_(std::move(operations)) {}
  std::optional<Operation> next(const OperationView&) override {
    if (at_ == operations_.size()) return std::nullopt;
    return operations_[at_++];
  }

 private:
  const Operations operations_;
  std::size_t at_ = 0;
};

// What a client does most.
enum class Load : u8 {
  mixed,     // a little of everything on few names, so that operations meet
  names,     // many names and long symlinks, made and removed by turns
  moves,     // directories, and names that move between them
  one_file,  // reads and writes of one file, through the cache and past it
  large,     // sparse files, truncated, and removed while they are open
  full,      // files until all of `data_bytes_max` is used, which is then overwritten for ever
};

struct LoadSettings {
  Load kind = Load::mixed;
  u64 file_bytes_max = 900 * kib;
  u64 data_bytes_max = 0;
};

class RandomOperations final : public OperationSource {
 public:
  RandomOperations(u64 seed, u64 count, const LoadSettings& load) : random_(seed), left_(count), load_(load) {}
  std::optional<Operation> next(const OperationView& view) override;

 private:
  Operation mixed(const OperationView& view);
  Operation with_names(const OperationView& view);
  Operation with_one_file(const OperationView& view);
  Operation with_large_files(const OperationView& view);
  Operation on_full_device(const OperationView& view);
  Operation of_names(const OperationView& view);
  Operation of_file(const OperationView& view);
  Operation write(const OperationView& view, std::string path);
  std::string some_path(const OperationView& view);       // existing or not
  std::string some_directory(const OperationView& view);  // existing
  std::string some_file(const OperationView& view);       // held, or any path

  Random random_;
  u64 left_;
  const LoadSettings load_;
};

}  // namespace cowfs::sim
