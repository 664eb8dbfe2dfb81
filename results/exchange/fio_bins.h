// The bins of fio's json+: 64 to an octave, each known by the latency at its middle. A slot of our histograms lies wholly
// within one, so that bins hold exactly what the histogram holds, at fio's resolution of 0.8%.
#pragma once
#include <map>

#include "results/histogram.h"

namespace cowbench::exchange {

using cowfs::u32;
using cowfs::u64;

// Of the bin that holds `latency_ns`; 17 s are in the last one, and whatever is longer.
u64 fio_bin_ns(u64 latency_ns);

// Count by bin.
using FioBins = std::map<u64, u64>;
FioBins fio_bins(const results::HistogramCounts& latencies);

// As fio reports it: the first bin up to which at least `percent` of the operations lie. Precondition: `bins` is not empty.
u64 percentile_ns(const FioBins& bins, double percent);

}  // namespace cowbench::exchange
