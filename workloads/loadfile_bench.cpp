// How fast a loadfile is parsed: it happens once, before the clock of a run starts, but a user waits for it.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>

#include "workloads/loadfile.h"

namespace cowbench::workloads {
namespace {

// The shape of client.txt, without needing it: names of 60 bytes, reads, writes and lookups.
std::string sample_text() {
  const int cycles = std::getenv("COWBENCH_TINY") != nullptr ? 10 : 20'000;
  std::string text;
  for (int i = 0; i < cycles; i++) {
    const std::string handle = std::to_string(10'000 + i);
    const std::string path = "\"\\clients\\client1\\~dmtmp\\PARADOX\\FILE" + std::to_string(i % 100) + ".DB\"";
    text += "NTCreateX " + path + " 0x40 0x2 " + handle + " NT_STATUS_OK\n";
    text += "WriteX " + handle + " 4607 1 1 NT_STATUS_OK\n";
    text += "ReadX " + handle + " 0 4096 4096 NT_STATUS_OK\n";
    text += "QUERY_PATH_INFORMATION " + path + " 1004 NT_STATUS_OBJECT_NAME_NOT_FOUND\n";
    text += "Close " + handle + " NT_STATUS_OK\n";
  }
  return text;
}

void parse(benchmark::State& state) {
  const std::string text = sample_text();
  for ([[maybe_unused]] auto _ : state) {
    LoadfileResult result = parse_loadfile(text, "bench");
    benchmark::DoNotOptimize(result);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(parse)->Unit(benchmark::kMillisecond);

void instantiate_paths(benchmark::State& state) {
  const LoadfileResult result = parse_loadfile(sample_text(), "bench");
  const Program& program = std::get<Program>(result);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(program.paths_for(47, "/mnt/target"));
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * program.paths.size()));
}
BENCHMARK(instantiate_paths)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace cowbench::workloads
