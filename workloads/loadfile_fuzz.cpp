// dbench loadfiles: any text.
#include "workloads/loadfile.h"

#include <variant>

#include "engine/base/assert.h"
#include "engine/base/fuzz.h"

namespace cowfs::fuzz {

void try_input(ByteSpan input) {
  const std::string_view text{reinterpret_cast<const char*>(input.data()), input.size()};
  const auto result = cowbench::workloads::parse_loadfile(text, "input");
  if (const auto* error = std::get_if<cowbench::workloads::LoadfileError>(&result)) assert(!error->to_text().empty());
}

std::vector<std::vector<std::byte>> seeds() {
  constexpr std::string_view text =
      "0.000 Mkdir \"/clients/client1\" 0x0\n"
      "0.100 NTCreateX \"/clients/client1/a b\" 0x5 0x5 10000 0x0\n"
      "0.200 WriteX 10000 0 65535 65535 0x0\n"
      "0.300 ReadX 10000 0 4096 4096 0x0\n"
      "0.350 QUERY_FILE_INFORMATION 10000 258 0x0\n"
      "0.400 Flush 10000 0x0\n"
      "0.450 LockX 10000 1 2 0x0\n"
      "0.500 Close 10000 0x0\n"
      "0.600 Rename \"/clients/client1/a b\" \"/clients/client1/c\" 0x0\n"
      "0.700 FIND_FIRST \"/clients/client1/*\" 259 1366 8 1 0x0\n"
      "0.800 Unlink \"/clients/client1/c\" 0x6 0x0\n"
      "0.900 Deltree \"/clients/client1\" 0x0\n";
  return {copy_of({reinterpret_cast<const std::byte*>(text.data()), text.size()})};
}

}  // namespace cowfs::fuzz
