// The single-flush commit: data, entries and the commit block that stands for them are flushed together, so a valid
// block may be on the medium without them. Recovery then looks whether all of it is there, and otherwise ends history
// with the epoch before.
#pragma once
#include "engine/journal/recovery.h"

namespace cowfs::journal {

// A larger epoch is committed by two flushes: so mounting stays quick, whatever was written last.
constexpr u64 verified_bytes_max = 16 * mib;

// How much recovery would read to verify what a record names, and the record itself; more than verified_bytes_max when
// it could not.
u64 verification_bytes(format::TreeId tree, format::UpdateKind kind, ByteSpan value);

// True when all data that history names since `previous` is on the device. Reads only, but for copies that miss some of it.
// Errors: of the device.
// What was replaced again before the end of history does not count: its bucket may have been written again since.
Task<Result<bool>> data_is_there(const History& history, Epoch previous, device::Device& device);

}  // namespace cowfs::journal
