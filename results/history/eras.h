// Where the machine that measures became another one: values of different eras are not compared. Pure functions.
#pragma once
#include <span>
#include <string>
#include <vector>

namespace cowbench::history {

// By its fingerprint: the first index of each run of equal ones after the first.
std::vector<std::size_t> fingerprint_eras(const std::vector<std::string>& fingerprints);

// By two controls that commits do not change, a frozen build and another program: where the level of their ratio changed,
// something did of which no fingerprint knows. `logs`: of that ratio, in the order of commits. Stricter than the search for
// candidates, since no measurement can confirm what a machine was.
std::vector<std::size_t> control_eras(std::span<const double> logs);

// All of `known`, and those of `others` that are not the same change seen a few values earlier or later. In order.
std::vector<std::size_t> joined_eras(std::vector<std::size_t> known, const std::vector<std::size_t>& others);

}  // namespace cowbench::history
