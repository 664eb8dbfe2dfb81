// Writes the store of the site's browser test: site_store_fixture FILE. Made-up runs over commits with one step in a
// target, one change of machine, one partial run, and one rich record.
#include <cstdio>
#include <filesystem>

#include "results/record_fixture.h"
#include "site/store_fixture.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: site_store_fixture FILE\n", stderr);
    return 2;
  }
  std::filesystem::remove(argv[1]);
  std::vector<cowbench::store::StoredRun> runs = cowbench::site::fixture::make_history();
  cowbench::store::StoredRun rich;
  rich.record = cowbench::results::fixture::make_record();
  runs.push_back(rich);
  std::string reason;
  auto store = cowbench::store::Store::open(argv[1], cowbench::store::Store::Access::write, reason);
  if (store && store->add(runs, reason)) return 0;
  std::fprintf(stderr, "%s\n", reason.c_str());
  return 1;
}
