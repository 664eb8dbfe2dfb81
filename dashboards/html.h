// Pages as text: what comes from records stays text, tables can be followed by screen readers, and each page is one file
// that asks nothing of any network. The script only draws on what is there and can be read without it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace cowbench::dashboards {

// Safe between tags and inside quoted attributes.
std::string escaped_html(std::string_view text);

// As in a link's query.
std::string escaped_url(std::string_view text);

// A figure as people read it, with the value to its last digit as its machine-readable form.
std::string datum(double value, std::string_view shown);

std::string link(std::string_view address, std::string_view text);

// The first cell of a row is its heading. Titles, captions and hints are text; cells are HTML.
class HtmlTable {
 public:
  enum class Kind { text, number };
  // `name`: for tests and styles.
  HtmlTable(std::string_view name, std::string_view caption) : name_(name), caption_(caption) {}
  void add_column(std::string_view title, Kind kind = Kind::text, std::string_view hint = "");
  // Precondition: as many cells as columns.
  void add_row(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // In a region that scrolls sideways by itself and can be reached with the keyboard.
  std::string render() const;

 private:
  struct Column {
    std::string title, hint;
    Kind kind;
  };
  std::string name_, caption_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

struct Page {
  std::string title;      // text
  std::string header;     // HTML above the content, such as a site's navigation
  std::string content;    // HTML
  std::string data_name;  // the element that holds the data; empty: none
  std::string data;       // JSON, for the script
};
std::string render_page(const Page& page);

}  // namespace cowbench::dashboards
