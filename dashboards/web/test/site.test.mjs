// Opens the site of a made-up store in headless Chromium, as `cowbench serve` serves it:
//   node site.test.mjs SITE_STORE_FIXTURE COWBENCH OUTPUT_FOLDER
// Leaves store and screenshots in OUTPUT_FOLDER. Exit code 77: no browser here.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { assertAccessible, assertFitsSideways, cells, desktop, openPage, telephone } from "./browser.mjs";

const [, , writer, cowbench, folder] = process.argv;
mkdirSync(folder, { recursive: true });
const db = join(folder, "results.db");
execFileSync(writer, [db]);

let server;
let origin;
before(async () => {
  server = spawn(cowbench, ["serve", "--db", db, "--port", "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise((resolve, reject) => {
    server.stdout.once("data", (data) => resolve(String(data)));
    server.once("exit", (code) => reject(new Error(`serve ended with ${code}`)));
  });
  origin = line.match(/^(http:\/\/127\.0\.0\.1:\d+)\/ shows /)[1];
});
after(() => server?.kill());

const open = (path, options, use) => openPage(origin + path, options, use);
const json = async (path) => (await fetch(origin + path)).json();
const findSeries = async (target, metric) =>
  (await json("/api/overview")).series.find((series) => series.target === target && series.metric === metric);
const values = (page, selector) =>
  page.locator(selector).evaluateAll((elements) => elements.map((element) => Number(element.value)));

// Every measured value, as `results export` writes it: by run, target and metric.
function exported() {
  const [head, ...lines] = execFileSync(cowbench, ["results", "export", "--db", db, "--format", "csv"], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  })
    .trim()
    .split("\n")
    .map((line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].map((match) => match[1]));
  const column = Object.fromEntries(head.map((name, at) => [name, at]));
  const found = new Map();
  for (const line of lines) {
    const key = ["run", "target", "metric"].map((name) => line[column[name]]).join(" ");
    found.set(key, [...(found.get(key) ?? []), Number(line[column.value])]);
  }
  return found;
}
function median(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

async function everyPage() {
  const { series } = await json("/api/overview");
  const { runs } = await json("/api/runs");
  const { hosts } = await json("/api/hosts");
  const [before_, after_] = runs.slice(15, 17).map((run) => run.id);
  return {
    overview: "/",
    runs: "/runs",
    series: `/series/${series[0].id}`,
    compare: `/compare?a=${before_}&b=${after_}`,
    pairs: `/compare?a=${after_}&b=${after_}&a-target=xfs&b-target=cowfs&different-promises=1`,
    ask: "/compare",
    run: `/run/${runs.find((run) => run.status === "complete" && run.samples > 300).id}`,
    partial: `/run/${runs.find((run) => run.status === "partial").id}`,
    hosts: "/hosts",
    host: `/hosts/${hosts[1].fingerprint}`,
    missing: "/nowhere",
  };
}

for (const colorScheme of ["light", "dark"]) {
  test(`no page has serious faults of accessibility, in ${colorScheme}`, async () => {
    for (const [name, path] of Object.entries(await everyPage())) {
      if (name === "missing") continue; // a browser reports the status itself
      await open(path, { ...desktop, colorScheme }, async (page) => {
        assert.equal(await page.locator("h1").count(), 1, name);
        assert.doesNotMatch(await page.locator("main").innerText(), /NaN|undefined|Infinity/);
        await assertAccessible(page, colorScheme === "dark" ? ["color-contrast"] : []);
        await page.screenshot({ path: join(folder, `${name}-${colorScheme}.png`), fullPage: name !== "run" });
      });
    }
  });
}

test("every page fits a telephone and is read without scripts", async () => {
  for (const [name, path] of Object.entries(await everyPage())) {
    if (name === "missing") continue;
    await open(path, { ...telephone, javaScriptEnabled: false }, async (page) => {
      assert.equal(await page.locator("h1").count(), 1, name);
      await assertFitsSideways(page);
    });
    await open(path, telephone, async (page) => {
      await assertFitsSideways(page);
      await page.screenshot({ path: join(folder, `${name}-narrow.png`), fullPage: name !== "run" });
    });
  }
});

test("the overview says what got worse before anything else", () =>
  open("/", desktop, async (page) => {
    assert.match(await page.locator(".lead").innerText(), /\d+ got worse/);
    const worse = await cells(page, "worse");
    assert.match(worse[0][0], /^cowfs: /);
    assert.match(worse[0][1], /^[▼▲] [+-]\d/);
  }));

test("every figure of a series is what results export says", async () => {
  const measured = exported();
  for (const metric of ["throughput_mb_s", "flush_p99_ns", "write_amplification"]) {
    const series = await findSeries("cowfs", metric);
    const { points } = await json(`/api/series/${series.id}`);
    await open(`/series/${series.id}`, { ...desktop, javaScriptEnabled: false }, async (page) => {
      const shown = await values(page, 'table[data-table="values"] td:nth-child(4) data');
      const ratios = await values(page, 'table[data-table="values"] td:nth-child(5) data');
      assert.equal(shown.length, points.length);
      [...points].reverse().forEach((point, row) => {
        const cowfs = measured.get(`${point.run.slice(0, 12)} cowfs ${metric}`);
        const xfs = measured.get(`${point.run.slice(0, 12)} xfs ${metric}`);
        assert.deepEqual(point.values, cowfs);
        assert.equal(shown[row], median(cowfs));
        assert.ok(Math.abs(ratios[row] / (median(cowfs) / median(xfs)) - 1) < 1e-12);
      });
    });
  }
});

test("the record inside a run's page is what results export says", async () => {
  const { run } = await everyPage();
  const id = run.slice("/run/".length);
  const record = JSON.parse(
    execFileSync(cowbench, ["results", "export", id, "--db", db, "--format", "json"], { encoding: "utf8", maxBuffer: 1 << 26 }),
  );
  await open(run, desktop, async (page) => {
    const shown = await page.evaluate(() => JSON.parse(document.getElementById("record").textContent));
    const numbers = ({ results, ratios }) => [results.map(({ metrics, rounds }) => [metrics, rounds]), ratios];
    assert.deepEqual(numbers(shown), numbers(record));
  });
});

test("a history is walked through with the keyboard, and Enter opens the run", async () => {
  const series = await findSeries("cowfs", "throughput_mb_s");
  const { points } = await json(`/api/series/${series.id}`);
  await open(`/series/${series.id}`, desktop, async (page) => {
    assert.equal(await page.locator("canvas").count(), 1);
    await page.locator(".chart").focus();
    const readout = page.locator(".readout");
    await page.keyboard.press("Home");
    assert.match(await readout.innerText(), new RegExp(`commit ${points[0].commit.slice(0, 10)}.*of xfs`));
    await page.keyboard.press("ArrowRight");
    assert.match(await readout.innerText(), new RegExp(points[1].commit.slice(0, 10)));
    await page.keyboard.press("Enter");
    await page.waitForURL(`**/run/${points[1].run}`);
  });
});

test("the control can be chosen without scripts", async () => {
  const series = await findSeries("cowfs", "throughput_mb_s");
  await open(`/series/${series.id}`, { ...desktop, javaScriptEnabled: false }, async (page) => {
    assert.equal(await page.locator("svg.history[aria-label]").count(), 1);
    assert.match(await page.locator(".lead").innerText(), /relative to xfs/);
    await page.locator("#control").selectOption("");
    await page.locator("form button").click();
    assert.doesNotMatch(await page.locator(".lead").innerText(), /relative to/);
  });
});

test("two runs are chosen and compared without scripts, the worst first", () =>
  open("/runs", { ...desktop, javaScriptEnabled: false }, async (page) => {
    const { runs } = await json("/api/runs");
    await page.locator(`input[name=a][value="${runs[15].id}"]`).check();
    await page.locator(`input[name=b][value="${runs[16].id}"]`).check();
    await page.locator("form button").click();
    const findings = await cells(page, "findings");
    assert.match(findings[0][1], /▼ worse/);
    const { findings: documented } = await json(`/api/compare?a=${runs[15].id}&b=${runs[16].id}`);
    assert.deepEqual(
      (await values(page, 'table[data-table="findings"] td:nth-child(3) data')).sort(),
      documented.map((finding) => finding.ratio).sort(),
    );
    assert.equal(await page.locator("table[data-table=differences]").count(), 1);
  }));

test("tables are sorted and searched from the keyboard", () =>
  open("/runs", desktop, async (page) => {
    const table = page.locator("table[data-table=runs]");
    const head = table.locator("thead th").nth(1);
    await head.locator("button").focus();
    await page.keyboard.press("Enter");
    assert.equal(await head.getAttribute("aria-sort"), "ascending");
    assert.equal((await cells(page, "runs"))[0][1], "2026-10-01 09:30");
    await page.keyboard.press("Enter");
    assert.equal(await head.getAttribute("aria-sort"), "descending");
    await page.locator("#search").fill("partial");
    assert.equal(await table.locator("tbody tr:visible").count(), 1);
    assert.equal(await page.locator("[role=status]").innerText(), "1 of 26 rows");
  }));

test("the navigation is first on every page and says where one is", async () => {
  await open("/runs", desktop, async (page) => {
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the results");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Overview");
    assert.equal(await page.locator("nav [aria-current=page]").innerText(), "Runs");
  });
});

// As much of JSON Schema as the description uses.
function faults(value, schema, schemas, at = "$") {
  if (schema.$ref) return faults(value, schemas[schema.$ref.split("/").pop()], schemas, at);
  if (schema.oneOf) {
    const tries = schema.oneOf.map((one) => faults(value, one, schemas, at));
    return tries.some((found) => found.length === 0) ? [] : tries.flat();
  }
  if ("const" in schema) return value === schema.const ? [] : [`${at} is not ${schema.const}`];
  const kind = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
  const types = [schema.type].flat();
  if (!types.includes(kind) && !(types.includes("integer") && Number.isInteger(value))) return [`${at} is ${kind}`];
  if (schema.enum && !schema.enum.includes(value)) return [`${at} is ${value}`];
  if (kind === "array") return value.flatMap((item, i) => faults(item, schema.items ?? {}, schemas, `${at}[${i}]`));
  const missing = (schema.required ?? []).filter((name) => kind === "object" && !(name in value));
  return [
    ...missing.map((name) => `${at}.${name} is missing`),
    ...Object.entries(schema.properties ?? {}).flatMap(([name, inner]) =>
      kind === "object" && name in value ? faults(value[name], inner, schemas, `${at}.${name}`) : [],
    ),
  ];
}

test("every documented path answers as its schema says, and nothing can be written", async () => {
  const description = await json("/api/openapi.json");
  const source = new URL("../../../docs/openapi.json", import.meta.url);
  assert.deepEqual(description, JSON.parse(readFileSync(source, "utf8")));
  const { schemas } = description.components;
  const { runs } = await json("/api/runs");
  const { hosts } = await json("/api/hosts");
  const { series } = await json("/api/overview");
  const examples = {
    "/api/runs/{id}": `/api/runs/${runs[0].id}`,
    "/api/series/{id}": `/api/series/${series[0].id}`,
    "/api/compare": `/api/compare?a=${runs[15].id}&b=${runs[16].id}`,
    "/api/hosts/{fingerprint}": `/api/hosts/${hosts[0].fingerprint}`,
  };
  for (const [path, { get }] of Object.entries(description.paths)) {
    const address = origin + (examples[path] ?? path);
    const answer = await fetch(address);
    assert.equal(answer.status, 200, path);
    const { schema } = get.responses[200].content["application/json"];
    assert.deepEqual(faults(await answer.json(), schema, schemas), [], path);
    for (const method of ["POST", "PUT", "DELETE"]) assert.equal((await fetch(address, { method })).status, 405);
    if (!get.responses[404]) continue;
    const missing = await fetch(origin + path.replace(/\{.*\}/, "f00d"));
    assert.equal(missing.status, 404);
    assert.deepEqual(faults(await missing.json(), schemas.Error, schemas), []);
  }
});
