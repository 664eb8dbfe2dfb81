// What a mount reads before any tree: the newest commit, the chains of entries it names, and their records in order.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/journal/bucket_feed.h"

namespace cowfs::journal {

struct HistoryEntry {
  format::EntryPointer pointer;
  u32 stream = 0;
  u32 session = 0;
  u32 records = 0;
  u64 sequence = 0;
  u64 slices = 0;  // of its records: bit slice_bit() of each
  Epoch epoch() const { return {pointer.epoch}; }
};
constexpr u64 slice_bit(u16 slice) { return 1ull << slice % 64; }

// A record of the leases tree: who owns which bucket is asked before anything else of history can be replayed.
struct LeaseRecord {
  Epoch epoch;
  u32 stream = 0;
  u64 sequence = 0;
  u16 slice = 0;
  format::UpdateKind kind = format::UpdateKind::upsert;
  format::Key key;
  std::vector<std::byte> value;

  format::Record record() const { return {slice, format::TreeId::leases, kind, key, value}; }
};

// All that is durable and still needed.
struct History {
  JournalLayout layout;
  Epoch last;                         // the committed epoch: the filesystem's state is history up to and including it
  Epoch next;                         // the first epoch that a new session may use
  Epoch refused;                      // a commit after `last` that was cut short by a power cut: see retire(). 0: none
  Epoch oldest_needed;                // entries of epochs before it are in no list below
  u32 session = 0;                    // newest that wrote a commit block
  std::vector<HistoryEntry> entries;  // ordered by epoch, then stream, then sequence
  std::vector<LeaseRecord> leases;    // in the same order; those of the entries
  std::vector<format::EntryPointer> tails;  // newest entry of each chain

  // The buckets of the entries, in the order in which a reader wants them.
  std::vector<u64> buckets() const;
  // The entries with records of any of these slices, and nothing else of it.
  History part(u64 slices) const;
};

// Finds the newest commit and walks its chains back to oldest_needed, on all cores. Reads only, but for copies that are
// wrong, or that miss what the newest commit stands for: a device that may heal gets the good ones.
// Errors: of the device; journal_no_commit (no valid commit block); journal_commit_damaged (the newest one);
// journal_chain_broken (an entry that was acknowledged does not verify; place says where).
Task<Result<History>> read_history(device::Device& device, const format::Superblock& superblock);

// Before anything is written after a crash: a durable commit block says that history ends before the epoch that
// read_history refused. Otherwise it might become whole after all, when the same program writes the same data to the
// same places. On a device with several copies also when none was refused: then all of them know where history ends.
// Errors: of the device.
Task<Status> retire(History& history, device::Device& device);

// Reads the entries of a history in order, on the core of its feed.
class ReplayReader {
 public:
  // `history` and `feed`, made of history.buckets(), outlive it.
  ReplayReader(const History& history, BucketFeed& feed) : history_(history), feed_(feed) {}
  ~ReplayReader();

  // Moves to the next entry; false after the last. Errors: of the device; journal_entry_*: it no longer verifies.
  Task<Result<bool>> next();
  Epoch epoch() const { return epoch_; }
  // The entry's records; their values are valid until the next call of next().
  format::RecordReader records() const { return format::RecordReader(entry_); }

 private:
  // The bucket that a stream has come to.
  struct Window {
    ByteSpan bytes;
    u64 bucket = 0;
    bool held = false;
  };
  Task<Status> move(Window& window, u64 bucket);
  void let_go(Window& window);

  const History& history_;
  BucketFeed& feed_;
  device::AlignedBuffer other_copy_;  // of an entry that is wrong in its window
  std::size_t position_ = 0;
  Epoch epoch_;
  ByteSpan entry_;
  std::vector<Window> windows_;
};

using RecordVisitor = std::function<Status(Epoch epoch, const format::Record& record)>;

// Shows every record to `visitor`, in order, until it answers an error. For visitors that have to await: ReplayReader.
Task<Status> replay(const History& history, device::Device& device, RecordVisitor visitor);

// One line for the history and one for each entry.
std::string to_text(const History& history);

}  // namespace cowfs::journal
