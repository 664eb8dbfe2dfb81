// Forms of export that are a file of their own.
#pragma once
#include <span>
#include <string>

#include "results/store/run.h"

namespace cowbench::exchange {

std::string to_fio(std::span<const store::StoredRun> runs);

}  // namespace cowbench::exchange
