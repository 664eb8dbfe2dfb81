// Every entry says itself where it belongs, so all of them are found by looking through the journal. Which of them were
// committed, the chains tell that begin at the commit blocks. A missing entry ends the history before its epoch; the one
// before it in its stream is found by its sequence number, since a session writes them without a gap.
#include "engine/repair/readable_history_internal.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "engine/device/aligned_buffer.h"

namespace cowfs::repair {

using format::EntryHeader;
using format::EntryPointer;
using journal::History;
using journal::HistoryEntry;
using journal::JournalLayout;
using runtime::Task;

namespace {

struct EntryFound {
  HistoryEntry entry;
  EntryPointer previous;
};

struct JournalScan {
  std::vector<journal::Commit> commits;  // valid ones, newest first
  absl::flat_hash_map<u64, EntryFound> entries;  // by address
  absl::flat_hash_map<u64, u64> by_sequence;     // the chain's hash and the sequence -> address
};

u64 place_in_chain(u32 stream, u32 session, u64 sequence) {
  return (u64{stream} << 32 | session) * 0x9e3779b97f4a7c15 + sequence;
}

void scan_bucket(const JournalLayout& layout, u64 bucket, ByteSpan raw, JournalScan& scan) {
  for (u64 block = 0; block < layout.bucket_blocks;) {
    const ByteSpan here = raw.subspan(block * block_bytes);
    EntryHeader header;
    std::memcpy(&header, here.data(), sizeof header);
    const u64 address = layout.address(bucket, block).value;
    const EntryPointer pointer{address, header.epoch, format::seal_mark(header.checksum), header.bytes};
    const bool is_entry = header.magic == format::entry_magic && header.address == address && header.bytes <= here.size() &&
                          format::validate_entry(here, layout.filesystem, pointer).ok();
    if (!is_entry) {
      ++block;
      continue;
    }
    const HistoryEntry entry{pointer, header.stream, header.session, header.records, header.sequence, ~0ull};
    const auto [known, is_new] = scan.entries.try_emplace(address);
    // One copy may hold what was there before.
    if (is_new || known->second.entry.epoch() < entry.epoch()) known->second = {entry, header.previous};
    block += (header.bytes + block_bytes - 1) / block_bytes;
  }
}

Task<void> scan_journal(device::Device& device, const JournalLayout& layout, JournalScan& scan) {
  device::AlignedBuffer bucket(layout.bucket_bytes());
  for (u64 number = 0; number < layout.buckets; ++number) {
    for (u8 copy = 1; copy <= device.copies(); ++copy) {
      const Status read = co_await device.read(layout.bucket_block(number) * block_bytes, bucket.span(), copy);
      if (read) scan_bucket(layout, number, bucket.span(), scan);  // otherwise what is in it counts as missing
    }
  }
  for (const auto& [address, found] : scan.entries)
    scan.by_sequence[place_in_chain(found.entry.stream, found.entry.session, found.entry.sequence)] = address;
}

// Follows the chains of all commits; answers the oldest epoch of which an entry is missing.
u64 follow_chains(const JournalScan& scan, u64 oldest_needed, absl::flat_hash_set<u64>& reached) {
  u64 missing = ~0ull;
  for (const journal::Commit& commit : scan.commits) {
    for (EntryPointer pointer : commit.tails) {
      const EntryFound* newer = nullptr;
      while (pointer.address != 0 && pointer.epoch >= oldest_needed) {
        auto found = scan.entries.find(pointer.address);
        const bool is_there = found != scan.entries.end() && found->second.entry.pointer.checksum == pointer.checksum &&
                              found->second.entry.pointer.epoch == pointer.epoch;
        if (!is_there) {
          missing = std::min<u64>(missing, pointer.epoch);
          if (newer == nullptr || newer->entry.sequence < 2) break;
          const auto before = scan.by_sequence.find(
              place_in_chain(newer->entry.stream, newer->entry.session, newer->entry.sequence - 2));
          if (before == scan.by_sequence.end()) break;
          found = scan.entries.find(before->second);
        }
        if (!reached.insert(found->first).second) break;
        newer = &found->second;
        pointer = newer->previous;
      }
    }
  }
  return missing;
}

}  // namespace

Task<History> readable_history(device::Device& device, const format::Superblock& superblock,
                                       std::vector<Repair>& repairs) {
  History history;
  history.layout = JournalLayout::of(superblock);
  JournalScan scan;
  journal::CommitRing ring(device, history.layout);
  scan.commits = co_await ring.read_valid();
  co_await scan_journal(device, history.layout, scan);
  u64 newest = 0;
  for (const auto& [address, found] : scan.entries) newest = std::max<u64>(newest, found.entry.pointer.epoch);
  if (scan.commits.empty()) {
    history.next = {newest + 1};
    repairs.push_back({"journal_damaged",
                       "no commit block is left: each slice is as of its newest checkpoint, what came after it is lost", 0,
                       true});
    co_return history;
  }
  const journal::Commit& last = scan.commits.front();
  history.oldest_needed = last.oldest_needed;
  history.session = last.session;
  history.next = {std::max(newest, last.epoch.value) + 1};
  absl::flat_hash_set<u64> reached;
  const u64 missing = follow_chains(scan, last.oldest_needed.value, reached);
  history.last = {std::min(last.epoch.value, missing - 1)};
  for (const u64 address : reached) {
    const HistoryEntry& entry = scan.entries.at(address).entry;
    if (entry.epoch() <= history.last) history.entries.push_back(entry);
  }
  std::sort(history.entries.begin(), history.entries.end(), [](const HistoryEntry& a, const HistoryEntry& b) {
    return std::tuple(a.epoch(), a.stream, a.sequence) < std::tuple(b.epoch(), b.stream, b.sequence);
  });
  repairs.push_back({"journal_damaged",
                     fmt::format("the journal is cut: changes of the epochs {} to {} are lost, unless a checkpoint holds them",
                                 history.last.value + 1, std::max(newest, last.epoch.value)),
                     0, true});
  co_return history;
}

}  // namespace cowfs::repair
