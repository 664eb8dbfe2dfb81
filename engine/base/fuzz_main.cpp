// Between libFuzzer, which has main(), and a target. With COWFS_FUZZ_SEEDS=FOLDER in the environment it writes the
// target's seeds there and ends.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "engine/base/fuzz.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* folder = std::getenv("COWFS_FUZZ_SEEDS");
  if (folder == nullptr) return 0;
  int number = 0;
  for (const std::vector<std::byte>& seed : cowfs::fuzz::seeds()) {
    std::ofstream file(std::string(folder) + "/seed" + std::to_string(number++), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
    if (!file) std::exit(EXIT_FAILURE);
  }
  std::exit(EXIT_SUCCESS);
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  cowfs::fuzz::try_input({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
