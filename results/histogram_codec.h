// HdrHistogram's V2 encoding, which its libraries and log tools in many languages read: a zlib stream of run-length
// coded counts, in base64 ("HISTFAAA...").
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/result.h"
#include "results/histogram.h"

namespace cowbench::results {

std::string encode_histogram(const HistogramCounts& counts);

// Of histograms with our layout. The encoding holds counts alone, so sum, minimum and maximum come back to the
// resolution of the slots, rounded up. Error histogram_invalid: anything else.
cowfs::Result<std::unique_ptr<HistogramCounts>> decode_histogram(std::string_view text);

}  // namespace cowbench::results
