// Writes the page of the tests' made-up record to the file named, for the page test.
#include <cstdio>
#include <fstream>

#include "dashboards/report.h"
#include "results/record_fixture.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: report_fixture OUTPUT.html\n", stderr);
    return 2;
  }
  std::ofstream file(argv[1]);
  file << cowbench::dashboards::render_report(cowbench::results::fixture::make_record());
  return file.flush() ? 0 : 1;
}
