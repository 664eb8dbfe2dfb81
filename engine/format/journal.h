// Journal entries, commit blocks and slice headers: everything that recovery reads before any tree.
#pragma once
#include <string>

#include "engine/base/result.h"
#include "engine/format/node.h"
#include "engine/format/superblock.h"

namespace cowfs::format {

constexpr u32 entry_magic = 0x4a574f43;         // "COWJ"
constexpr u32 commit_magic = 0x43574f43;        // "COWC"
constexpr u32 slice_header_magic = 0x48574f43;  // "COWH"

// Names one journal entry exactly.
struct EntryPointer {  // 24 bytes
  le64 address;        // 0: none
  le64 epoch;
  le32 checksum;       // the low half of the entry's
  le32 bytes;          // header and records, before padding to whole blocks
};
static_assert(sizeof(EntryPointer) == 24);

// A stream's entries form a chain backwards; an entry lies within one journal bucket.
struct EntryHeader {   // 88 bytes, then records
  le64 checksum;       // of every byte after it, up to `bytes`: see seal.h
  le32 magic;
  le64 filesystem;
  le64 address;        // of itself
  le64 epoch;          // every record belongs to it
  le32 bytes;
  le32 records;
  le32 stream;         // core that wrote it
  le32 session;        // counts mounts
  EntryPointer previous;
  le64 sequence;       // of this entry in its stream
  u8 checksum_kind;    // ChecksumKind
  u8 reserved[3];
};
static_assert(sizeof(EntryHeader) == 88);

enum class UpdateKind : u8 { upsert = 1, erase = 2 };

struct RecordHeader {  // 28 bytes, then the value (upsert)
  le16 slice;
  u8 tree;             // TreeId, primary only
  u8 kind;             // UpdateKind
  le16 value_bytes;
  le16 reserved;
  PackedKey key;
};
static_assert(sizeof(RecordHeader) == 28);

// The newest valid commit block says what history is.
struct CommitBlock {   // 64 bytes, then `streams` EntryPointers
  le64 checksum;       // of every byte after it, up to `bytes`: see seal.h
  le32 magic;
  le64 filesystem;
  le64 epoch;          // durable with everything before it; slot = epoch % commit_slots
  le64 oldest_needed;  // entries of epochs before it are not needed by any slice
  le32 bytes;
  le32 streams;        // newest entry of each stream that recovery may need, older sessions' included
  le32 session;
  le64 previous;       // single flush: epoch committed before; what later ones name may be missing. 0: all was flushed
  u8 checksum_kind;    // ChecksumKind
  u8 reserved[7];
};
static_assert(sizeof(CommitBlock) == 64);
constexpr u64 epoch_max = 1ull << 62;  // nobody gets there; numbers behind it would overflow
constexpr u32 commit_streams_max = (commit_slot_blocks * block_bytes - sizeof(CommitBlock)) / sizeof(EntryPointer);

// One bucket of a slice's metadata.
struct MetadataBucket {  // 16 bytes
  le64 bucket;           // BucketId
  le32 live_blocks;
  le32 filled_blocks;    // appended so far
};
static_assert(sizeof(MetadataBucket) == 16);

// A slice's checkpoint. Written to one of two places in turn; valid once `publish_epoch` is committed.
struct SliceHeader {       // 4096 bytes
  le64 checksum;           // of every byte after it: see seal.h
  le32 magic;
  le64 filesystem;
  le32 slice;
  le32 space_buckets;      // MetadataBuckets in the space list
  le64 sequence;           // place = sequence % 2
  le64 checkpoint_epoch;   // the trees hold all history up to and including it
  le64 publish_epoch;
  le64 next_inode;         // counter
  le64 data_blocks;        // live, in all data buckets: accounting
  le64 inodes;             // accounting
  NodePointer roots[16];   // by TreeId
  u8 levels[16];           // of each root
  le64 space_list_address; // of space_buckets MetadataBuckets, contiguous; 0: none
  le64 space_list_checksum;  // of checksum_kind, too
  u8 checksum_kind;        // ChecksumKind
  u8 reserved[4096 - 76 - 16 * 24 - 16 - 17];
};
static_assert(sizeof(SliceHeader) == 4096);

// Each of these checks magic, identity, bounds and checksum and, for entries and commit blocks, every record's bounds
// (values themselves: validate_value). An entry's `raw` holds at least expected.bytes or is refused.
// Errors are class corrupt: journal_entry_*, commit_block_*, slice_header_*.
Status validate_entry(ByteSpan raw, u64 filesystem, const EntryPointer& expected);
Status validate_commit(ByteSpan raw, u64 filesystem);
Status validate_slice_header(const SliceHeader& header, u64 filesystem, u16 slice);

// True when a damaged header is one that `valid` replaced. Two fields say so: one damaged one cannot pretend it. A header's
// content lies within one sector, so a power cut does not tear it.
bool is_superseded(const SliceHeader& damaged, const SliceHeader& valid);

// Set the magic and the checksum, of the kind that the structure names. An entry is its header and records exactly; a commit block's `raw` may be longer.
void seal_entry(MutableByteSpan raw);
void seal_commit(MutableByteSpan raw);
void seal_slice_header(SliceHeader& header);

// A record, decoded in place.
struct Record {
  u16 slice = 0;
  TreeId tree = TreeId::inodes;
  UpdateKind kind = UpdateKind::upsert;
  Key key;
  ByteSpan value;
};

// Walks the records of an entry that passed validate_entry; `entry` is header and records exactly.
class RecordReader {
 public:
  explicit RecordReader(ByteSpan entry);
  bool next(Record& record);

 private:
  ByteSpan rest_;
};

}  // namespace cowfs::format
