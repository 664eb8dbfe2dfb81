// Takes the measured values out of a record and puts them back: the store keeps them as arrays, one a series, and the
// rest of the record as a document.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "results/record.h"
#include "results/store/series.h"

namespace cowbench::store {

struct Samples {
  SeriesKey series;
  u64 result = 0;              // which of the record's results, counted over all its comparisons
  std::vector<double> values;  // one a round, in round order; NaN where the round has none
};

// A run as the tables hold it, beside the columns of its row.
struct PackedRun {
  std::string document;  // compressed JSON of the record, its rounds without metrics, and what is derived from them empty
  std::vector<Samples> samples;
};

PackedRun pack_run(const results::Record& record);
// How many values were measured.
u64 count_values(const PackedRun& packed);

// Metric summaries and ratios are computed anew. Absent when it is damaged; `reason` says how.
std::optional<results::Record> unpack_run(const PackedRun& packed, std::string& reason);

// Little-endian doubles.
std::string pack(const std::vector<double>& values);
std::vector<double> unpack(std::string_view bytes);

}  // namespace cowbench::store
