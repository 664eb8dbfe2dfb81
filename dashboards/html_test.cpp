#include "dashboards/html.h"

#include <gmock/gmock.h>

#include "dashboards/format.h"

namespace cowbench::dashboards {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Html, TextStaysText) {
  EXPECT_EQ(escaped_html("<b>\"a\" & b</b>"), "&lt;b&gt;&quot;a&quot; &amp; b&lt;/b&gt;");
  EXPECT_EQ(escaped_url("cowfs+syscall-charge µ/&"), "cowfs%2Bsyscall-charge%20%C2%B5%2F%26");
  EXPECT_EQ(link("/a?b=\"c\"&d", "<x>"), "<a href=\"/a?b=&quot;c&quot;&amp;d\">&lt;x&gt;</a>");
}

TEST(Html, AFigureKeepsItsLastDigit) {
  EXPECT_EQ(datum(0.1 + 0.2, "0.300"), "<data value=\"0.30000000000000004\">0.300</data>");
  EXPECT_EQ(datum(-5, "-5%"), "<data value=\"-5\">-5%</data>");
}

TEST(Html, ATableHasACaptionAndHeadings) {
  HtmlTable table("t", "A <caption>");
  table.add_column("Name");
  table.add_column("Value", HtmlTable::Kind::number, "in MB");
  EXPECT_TRUE(table.empty());
  table.add_row({"<i>row</i>", "7"});
  const std::string html = table.render();
  EXPECT_THAT(html, HasSubstr("<caption id=\"table-t\">A &lt;caption&gt;</caption>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"col\" class=\"number\">Value<small>in MB</small></th>"));
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\"><i>row</i></th><td class=\"number\">7</td>"));
  EXPECT_THAT(html, HasSubstr("tabindex=\"0\""));
}

TEST(Html, DataCannotEndItsElement) {
  const std::string page = render_page({"</title>", "", "", "data", R"json({"text": "</script><script>alert(1)"})json"});
  EXPECT_THAT(page, HasSubstr("\\u003c/script>\\u003cscript>alert(1)"));
  EXPECT_THAT(page, Not(HasSubstr("</title></title>")));
}

TEST(Format, FiguresHaveTheirUnit) {
  EXPECT_EQ(format_in_unit(1.24e6, "ns"), "1.24 ms");
  EXPECT_EQ(format_in_unit(826e6, "B"), "826 MB");
  EXPECT_EQ(format_in_unit(2870, "MB/s"), "2,870 MB/s");
  EXPECT_EQ(format_in_unit(531512, "1/s"), "531,512 /s");
  EXPECT_EQ(format_in_unit(0.1434, "x"), "0.143");
  EXPECT_EQ(format_in_unit(19.12, "s"), "19.1 s");
  EXPECT_EQ(format_in_unit(7, ""), "7.00");
}

}  // namespace
}  // namespace cowbench::dashboards
