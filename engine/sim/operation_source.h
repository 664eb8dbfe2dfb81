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

class RandomOperations final : public OperationSource {
 public:
  RandomOperations(u64 seed, u64 count, u64 file_bytes_max)
      : random_(seed), left_(count), file_bytes_max_(file_bytes_max) {}
  std::optional<Operation> next(const OperationView& view) override;

 private:
  Operation of_names(const OperationView& view);
  Operation of_file(const OperationView& view);
  Operation write(const OperationView& view, std::string path);
  std::string some_path(const OperationView& view);       // existing or not
  std::string some_directory(const OperationView& view);  // existing
  std::string some_file(const OperationView& view);       // held, or any path

  Random random_;
  u64 left_;
  const u64 file_bytes_max_;
};

}  // namespace cowfs::sim
