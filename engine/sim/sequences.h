// Every short sequence of operations on a small tree that lies in two slices, with an fsync or a sync or nothing after
// each: bounded and exhaustive, after the idea of ACE (Mohan et al., OSDI 2018).
#pragma once
#include "engine/sim/explorer.h"
#include "engine/sim/operation.h"

namespace cowfs::sim {

// How many sequences of `length` operations there are, and one of them; those that begin alike follow one another.
u64 sequence_count(unsigned length);
Operations sequence(unsigned length, u64 index);

// Runs sequences on the small tree, each with all its power cuts.
class SequenceRunner {
 public:
  SequenceRunner(const ExplorerSettings& settings, bool single_flush);

  // `seed`: of the time that everything takes. Sequences that begin alike and have the same pass the same crash states at first,
  // which are recovered only once. False when something was wrong; problems() then say what, and the sequence is in them.
  bool run(const Operations& operations, u64 seed);
  const ExplorerCounts& counts() const { return explorer_.counts(); }
  u64 sequences() const { return sequences_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  Explorer explorer_;
  const Image image_;
  u64 sequences_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace cowfs::sim
