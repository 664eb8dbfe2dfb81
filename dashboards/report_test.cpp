#include "dashboards/report.h"

#include <gtest/gtest.h>

#include "results/record_fixture.h"

namespace cowbench::dashboards {
namespace {

std::size_t occurrences(const std::string& text, const std::string& wanted) {
  std::size_t count = 0;
  for (std::size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) ++count;
  return count;
}

// The fixture's device model closes a script element and opens another; its processor does worse to the title.
TEST(Report, TextOfTheRecordCannotBecomeMarkup) {
  results::Record record = results::fixture::make_record();
  record.comparisons[0].workload = "</title><script>alert(2)</script><!--";
  const std::string page = render_report(record);
  EXPECT_EQ(occurrences(page, "<script"), 2u);
  EXPECT_EQ(occurrences(page, "</script"), 2u);
  EXPECT_EQ(occurrences(page, "</title"), 1u);
  EXPECT_EQ(occurrences(page, "<!--"), 0u);
}

// All but the histograms, which the page does not draw.
TEST(Report, TheRecordCanBeReadBackFromThePage) {
  results::Record record = results::fixture::make_record();
  const std::string page = render_report(record);
  const std::string start = "id=\"record\">";
  const std::size_t at = page.find(start) + start.size();
  std::string reason;
  const auto parsed = results::parse_record(page.substr(at, page.find("</script", at) - at), reason);
  ASSERT_TRUE(parsed.ok()) << reason;
  for (results::Comparison& comparison : record.comparisons)
    for (results::TargetResult& result : comparison.results)
      for (results::OperationStatistics& operation : result.operations) operation.histogram.clear();
  EXPECT_EQ(results::to_json(*parsed), results::to_json(record));
}

TEST(Report, AsksNothingOfAnyNetwork) {
  const std::string page = render_report(results::fixture::make_record());
  for (const char* request :
       {"src=\"http", "href=\"http", "url(http", "@import", "fetch(", "XMLHttpRequest", "sourceMappingURL"}) {
    EXPECT_EQ(page.find(request), std::string::npos) << request;
  }
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  RecordProperty("bytes", static_cast<int>(page.size()));
}

TEST(Report, WithoutScriptsThereAreTheTerminalsTables) {
  const std::string page = render_report(results::fixture::make_record());
  const std::size_t at = page.find("<noscript>");
  ASSERT_NE(at, std::string::npos);
  EXPECT_NE(page.find("xfs (metadata crc, barriers)", at), std::string::npos);
}

TEST(Report, AnEmptyRecordIsAPage) { EXPECT_TRUE(render_report(results::Record{}).ends_with("</html>\n")); }

}  // namespace
}  // namespace cowbench::dashboards
