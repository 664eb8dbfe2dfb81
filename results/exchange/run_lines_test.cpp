#include "results/exchange/run_lines.h"

#include <gmock/gmock.h>

#include "results/record_fixture.h"
#include "results/store/store_fixture.h"

namespace cowbench::exchange {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

TEST(RunLines, RunsComeBackByteForByte) {
  store::StoredRun full{store::RunStatus::partial, "stopped: \"half\"\nway", results::fixture::make_record()};
  const std::string text = to_line(store::fixture::make_run(1)) + "\n" + to_line(full);
  std::string reason;
  const auto runs = parse_lines(text, reason);
  ASSERT_TRUE(runs.ok()) << reason;
  ASSERT_THAT(*runs, SizeIs(2));
  EXPECT_EQ(to_line((*runs)[0]) + "\n" + to_line((*runs)[1]), text);
  EXPECT_EQ((*runs)[1].reason, full.reason);
  EXPECT_EQ(results::to_json((*runs)[1].record), results::to_json(full.record));
}

TEST(RunLines, BadLinesAreNamedWithNumberAndReason) {
  const std::string sound = to_line(store::fixture::make_run(1));
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string line = sound;
    line.replace(line.find(from), from.size(), to);
    return line;
  };
  struct Case {
    const char* what;
    std::string line;
    const char* reason;
  };
  for (const Case& c : {Case{"text", "hello\n", "not a JSON object"}, Case{"cut", sound.substr(0, 300), "not a JSON object"},
                        Case{"newer", changed("\"v\":1", "\"v\":2"), "version 2"},
                        Case{"no version", changed("\"v\":1", "\"w\":1"), "\"v\""},
                        Case{"kind", changed("\"kind\":\"run\"", "\"kind\":\"pig\""), "\"kind\""},
                        Case{"status", changed("complete", "finished"), "\"status\""},
                        Case{"schema", changed("cowbench.run/1", "cowbench.run/9"), "\"schema\" is cowbench.run/9"},
                        Case{"a digit", changed("\"clients\":4", "\"clients\":5"), "damaged"},
                        Case{"id", changed("\"id\":\"", "\"id\":\"0"), "damaged"},
                        Case{"deep", std::string(1'000'000, '['), "not a JSON object"}}) {
    SCOPED_TRACE(c.what);
    std::string reason;
    const auto runs = parse_lines(sound + c.line, reason);
    ASSERT_FALSE(runs.ok());
    EXPECT_EQ(runs.error().code, cowfs::Code::exchange_input_invalid);
    EXPECT_EQ(runs.error().value, 2u);
    EXPECT_THAT(reason, HasSubstr("line 2: "));
    EXPECT_THAT(reason, HasSubstr(c.reason));
  }
}

}  // namespace
}  // namespace cowbench::exchange
