#include "dashboards/report.h"

#include "dashboards/format.h"
#include "dashboards/html.h"
#include "dashboards/terminal.h"

namespace cowbench::dashboards {
namespace {

// The page draws percentiles; the histograms behind them would double its size.
results::Record without_histograms(results::Record record) {
  for (results::Comparison& comparison : record.comparisons)
    for (results::TargetResult& result : comparison.results)
      for (results::OperationStatistics& operation : result.operations) operation.histogram.clear();
  return record;
}

}  // namespace

std::string render_report(const results::Record& record, const std::string& header, const std::string& introduction) {
  Page page;
  page.title = "cowbench";
  if (!record.comparisons.empty()) {
    const results::Comparison& first = record.comparisons.front();
    page.title += ": " + first.workload + ", " + counted(first.clients, "client");
  }
  const Style plain_text{.unicode = true, .colour = false, .redraw = false, .columns = 120};
  page.header = header;
  page.content = introduction + "<noscript><h1>" + escaped_html(page.title) + "</h1>\n<pre>\n" +
                 escaped_html(render_record(record, plain_text)) + "</pre></noscript>";
  page.data_name = "record";
  page.data = results::to_json(without_histograms(record));
  return render_page(page);
}

}  // namespace cowbench::dashboards
