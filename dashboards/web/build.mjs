// Bundles the page's script and style and writes them as a C++ source: node build.mjs OUTPUT.cpp
import { build } from "esbuild";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const source = (name) => fileURLToPath(new URL(`src/${name}`, import.meta.url));

async function bundle(name, format) {
  const result = await build({
    entryPoints: [source(name)],
    bundle: true,
    minify: true,
    write: false,
    format,
    target: "es2020",
    legalComments: "inline",
    charset: "ascii", // so that text may be cut anywhere
    logLevel: "warning",
  });
  return result.outputFiles[0].text;
}

// Compilers limit the length of one literal, so a text becomes a list of them.
function literals(text) {
  const length = 8000;
  const parts = [];
  for (let at = 0; at < text.length; at += length) {
    const part = text.slice(at, at + length);
    if (part.includes(')bundle"')) throw new Error("the bundle contains the delimiter of its literals");
    parts.push(`R"bundle(${part})bundle"`);
  }
  return parts.join(",\n");
}

const script = await bundle("main.ts", "iife");
const style = `${await bundle("uplot.css")}\n${await bundle("page.css")}`;
if (/<\/(script|style)/i.test(script + style)) throw new Error("the bundle would end its own element");

writeFileSync(
  process.argv[2],
  `// Written by dashboards/web/build.mjs.
#include <array>
#include <string_view>

#include "dashboards/report_bundle_internal.h"

namespace cowbench::dashboards {
namespace {
constexpr std::string_view script_parts[] = {
${literals(script)}};
constexpr std::string_view style_parts[] = {
${literals(style)}};
}  // namespace
std::span<const std::string_view> report_script() { return script_parts; }
std::span<const std::string_view> report_style() { return style_parts; }
}  // namespace cowbench::dashboards
`,
);
