// Takes the measured values out of a record and puts them back: the store keeps them as arrays, one a series, and the
// rest of the record as a document.
#pragma once
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

// Leaves the rounds without metrics, and what is derived from them empty.
std::vector<Samples> take_samples(results::Record& record);

// False when the record has no such result, or not as many rounds.
bool put_samples(const Samples& samples, results::Record& record);

// Little-endian doubles.
std::string pack(const std::vector<double>& values);
std::vector<double> unpack(std::string_view bytes);

}  // namespace cowbench::store
