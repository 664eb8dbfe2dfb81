// Opens the page of a made-up record in headless Chromium: node page.test.mjs REPORT_FIXTURE OUTPUT_FOLDER
// Leaves the page and its screenshots in OUTPUT_FOLDER. Exit code 77: no browser here.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { assertAccessible, assertFitsSideways, cells, desktop, openPage, telephone } from "./browser.mjs";

const [, , writer, folder] = process.argv;
mkdirSync(folder, { recursive: true });
const file = join(folder, "report.html");
execFileSync(writer, [file]);

const open = (options, use, address = file) => openPage(pathToFileURL(address).href, options, use);
const embedded = (page) => page.evaluate(() => JSON.parse(document.getElementById("record").textContent));

for (const colorScheme of ["light", "dark"]) {
  test(`draws everything, in ${colorScheme}`, () =>
    open({ ...desktop, colorScheme }, async (page) => {
      const record = await embedded(page);
      assert.equal(record.schema, "cowbench.run/1");
      assert.equal(await page.locator(".cards .card").count(), 8);
      assert.match(
        await page.locator(".card").first().innerText(),
        /cowfs ÷ xfs\s+8\.60×\s+▲ better 95% \[8\.48, 8\.73\]/,
      );
      assert.equal(await page.locator("canvas").count(), 4);
      assert.equal(await page.locator("figure svg[role=img][aria-label]").count(), 14);
      await assertAccessible(page, colorScheme === "dark" ? ["color-contrast"] : []);
      await page.screenshot({ path: join(folder, `report-${colorScheme}.png`), fullPage: true });
    }));
}

test("tables hold the record's numbers", () =>
  open(desktop, async (page) => {
    const record = await embedded(page);
    const results = await cells(page, "results");
    assert.equal(results.length, 4);
    assert.equal(results[0][0], "● cowfs (crc32c, fsync=flush)");
    const headings = await page.locator("table[data-table=results] thead").first().locator("th").allInnerTexts();
    assert.match(headings[3], /as dbench counts/);
    record.comparisons[0].results.forEach((result, i) => {
      assert.equal(Number(results[i][3].replace(/,/g, "")), Math.round(result.metrics.throughput_mb_s.median));
    });
    assert.equal(results[2][1], "8.60 [8.48, 8.73] ▲ better");
    assert.equal((await cells(page, "operations")).length, 20);
    assert.equal((await cells(page, "operations", 1)).length, 20);
    const device = await cells(page, "device");
    assert.match(device[0][1], /^30,8\d\d MB$/);
    assert.equal(device[3][4], "2.05");
    const calibration = await cells(page, "calibration");
    assert.equal(calibration[0][0], "dbench 4.0 on xfs");
    assert.equal(calibration[0][5], "yes");
    assert.equal(calibration[1][2], "41.5");
    const ratios = await page.locator('table[data-table="ratios"]').first().locator("tbody tr").count();
    assert.equal(ratios, record.comparisons[0].ratios.length);
  }));

// From the record alone: how many cells each level of colour has, and what the percentiles of the seconds were.
function expectedHeatMap(result) {
  const borders = [0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3];
  const levels = borders.map(() => 0);
  const measured = { p50: [], p99: [] };
  for (const round of result.rounds) {
    round.latency_each_second.forEach((text, second) => {
      const [first, ...counts] = text.split(" ").map(Number);
      const all = counts.reduce((sum, count) => sum + count, 0);
      for (const count of counts) if (count > 0) ++levels[borders.findLastIndex((border) => count / all >= border)];
      if (second < round.warmup_seconds) return;
      for (const [name, share] of [
        ["p50", 0.5],
        ["p99", 0.99],
      ]) {
        let seen = 0;
        const bucket = first + counts.findIndex((count) => (seen += count) >= share * all);
        measured[name].push((4 + (bucket % 4)) * 2 ** (4 + (bucket >> 2)));
      }
    });
  }
  return { levels, measured };
}

test("heat maps hold the record's latencies by second", () =>
  open(desktop, async (page) => {
    const record = await embedded(page);
    const drawn = await page.locator("svg.heat-map").evaluateAll((maps) =>
      maps.map((map) => ({
        label: map.getAttribute("aria-label"),
        levels: [0, 1, 2, 3, 4, 5, 6, 7].map(
          (level) => (map.querySelector(`.heat-${level}`)?.getAttribute("d") ?? "").split("M").length - 1,
        ),
        seconds: map.querySelector(".p99").getAttribute("d").split("M").length - 1,
        checkpoints: (map.querySelector(".heat-checkpoints")?.getAttribute("d") ?? "").split("M").length - 1,
        commits: (map.querySelector(".heat-commits")?.getAttribute("d") ?? "").split("M").length - 1,
        ticks: [...map.querySelectorAll(".tick")]
          .slice(1)
          .map((tick) => tick.textContent)
          .filter((text) => text !== "commits"),
      })),
    );
    const results = record.comparisons.flatMap((comparison) => comparison.results);
    assert.equal(drawn.length, results.length);
    const inNanoseconds = (text) => parseFloat(text) * { ns: 1, µs: 1e3, ms: 1e6 }[text.split(" ")[1]];
    results.forEach((result, i) => {
      const { levels, measured } = expectedHeatMap(result);
      assert.deepEqual(drawn[i].levels, levels, result.target);
      assert.equal(drawn[i].seconds, result.rounds.length * 12);
      const [, half, most] = drawn[i].label.match(/half of the operations took at most (.*), 99% at most (.*?)\.(?: [\d,]+ to .*)?$/);
      for (const [told, values] of [
        [half, measured.p50],
        [most, measured.p99],
      ]) {
        const [low, high = low] = told.split(" to ").map(inNanoseconds);
        assert.ok(Math.abs(low / Math.min(...values) - 1) < 0.006, `${told}: ${values}`);
        assert.ok(Math.abs(high / Math.max(...values) - 1) < 0.006, `${told}: ${values}`);
      }
      // Commits and checkpoints are cowfs's own.
      const engine = result.target === "cowfs";
      const each = (name) => result.rounds.flatMap((round) => round[name] ?? []);
      assert.equal(each("commits_each_second").length > 0, engine);
      assert.equal(drawn[i].commits, each("commits_each_second").filter((n) => n > 0).length);
      assert.equal(drawn[i].checkpoints, each("checkpoints_each_second").filter((n) => n > 0).length);
      const counted = drawn[i].label.match(/ ([\d,]+) to ([\d,]+) commits a second · (\d+) checkpoints\.$/);
      assert.equal(counted !== null, engine, drawn[i].label);
      if (!engine) return;
      const commits = result.rounds.flatMap((round) => round.commits_each_second.slice(round.warmup_seconds));
      const checkpoints = result.rounds.flatMap((round) => round.checkpoints_each_second.slice(round.warmup_seconds));
      assert.deepEqual(
        counted.slice(1).map((text) => Number(text.replaceAll(",", ""))),
        [Math.min(...commits), Math.max(...commits), checkpoints.reduce((a, b) => a + b)],
      );
    });
    for (const media of [drawn.slice(0, 4), drawn.slice(4)])
      for (const { ticks } of media) assert.deepEqual(ticks, media[0].ticks); // the same axes
  }));

test("labels from outside stay text", () =>
  open(desktop, async (page) => {
    const environment = await cells(page, "environment");
    const device = environment.find(([name]) => name === "Device /dev/loop0");
    assert.match(device[1], /Example <b>& Sons<\/b><\/script><script>alert\(1\)<\/script>/);
    assert.equal(await page.locator("table b", { hasText: "Sons" }).count(), 0);
    assert.equal(environment.find(([name]) => name === "Seed")[1], "18446744073709551615");
    assert.match(await page.locator(".note.warning").innerText(), /governor is not readable/);
    assert.match(await page.locator("main").innerText(), /btrfs: mkfs.btrfs is not installed/);
    assert.match(await page.locator("main").innerText(), /kernel filesystems pay for system calls/);
  }));

test("every table has a caption and headings, every scrolling region a name and the keyboard", () =>
  open(desktop, async (page) => {
    const faults = await page.evaluate(() => {
      const found = [];
      for (const table of document.querySelectorAll("table")) {
        if (!table.caption?.textContent) found.push("table without caption");
        for (const th of table.querySelectorAll("th")) if (!th.scope) found.push("th without scope");
      }
      for (const region of document.querySelectorAll(".scroll")) {
        const name =
          region.getAttribute("aria-label") ??
          document.getElementById(region.getAttribute("aria-labelledby"))?.textContent;
        if (!name || region.tabIndex !== 0) found.push("region without name or focus");
      }
      for (const chart of document.querySelectorAll("[role=img]"))
        if (!chart.getAttribute("aria-label")) found.push("unnamed chart");
      const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
      if (new Set(ids).size !== ids.length) found.push("an id occurs twice");
      return found;
    });
    assert.deepEqual(faults, []);
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the results");
  }));

test("contrast is at least 4.5 in both schemes", async () => {
  for (const colorScheme of ["light", "dark"]) {
    await open({ ...desktop, colorScheme }, async (page) => {
      const low = await page.evaluate(() => {
        const style = getComputedStyle(document.documentElement);
        const luminance = (name) => {
          const hex = style.getPropertyValue(`--${name}`).trim();
          const [r, g, b] = [1, 3, 5]
            .map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const contrast = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const inks = [
          "text",
          "muted",
          "link",
          "better",
          "worse",
          "same",
          "unclear",
          ...[0, 1, 2, 3, 4, 5].map((i) => `series-${i}`),
        ];
        const pairs = inks
          .flatMap((ink) => [
            [ink, "page"],
            [ink, "card"],
          ])
          .concat([["text", "warning"]]);
        return pairs
          .filter(([ink, paper]) => !(contrast(luminance(ink), luminance(paper)) >= 4.5))
          .map((pair) => pair.join(" on "));
      });
      assert.deepEqual(low, [], colorScheme);
    });
  }
});

test("the operation of the percentile chart can be chosen from the keyboard, and survives a change of scheme", () =>
  open(desktop, async (page) => {
    const select = page.locator("select").first();
    assert.equal(await select.inputValue(), "flush");
    const before = await page.locator(".chart").nth(1).screenshot();
    await select.focus();
    await page.keyboard.press("Home");
    assert.equal(await select.inputValue(), "open");
    assert.match(await page.locator(".chart").nth(1).getAttribute("aria-label"), /percentiles of open/);
    assert.notDeepEqual(await page.locator(".chart").nth(1).screenshot(), before);
    await page.emulateMedia({ colorScheme: "dark" });
    assert.equal(await page.locator("canvas").count(), 4);
  }));

test("fits a telephone without scrolling the page sideways", () =>
  open(telephone, async (page) => {
    await assertFitsSideways(page);
    await page.screenshot({ path: join(folder, "report-narrow.png") });
  }));

test("without scripts the tables are there as text", () =>
  open({ ...desktop, javaScriptEnabled: false }, async (page) => {
    assert.match(await page.locator("noscript pre").innerText(), /xfs \(metadata crc, barriers\)/);
  }));

// Runs that were cut short, or that had nothing to compare with.
for (const [what, change] of [
  [
    "no comparison",
    (record) => {
      record.comparisons = [];
    },
  ],
  [
    "one target",
    (record) => {
      for (const comparison of record.comparisons) {
        comparison.results.length = 1;
        comparison.ratios = [];
        comparison.calibration = [];
      }
    },
  ],
  [
    "no round finished",
    (record) => {
      for (const result of record.comparisons[0].results)
        Object.assign(result, { rounds: [], metrics: {}, operations: [] });
      for (const ratio of record.comparisons[0].ratios)
        Object.assign(ratio, { estimate: null, ci95: null, verdict: "unclear", rounds: 0 });
    },
  ],
  [
    "latencies by second of one target only, for an hour",
    (record) => {
      const [first, ...others] = record.comparisons.flatMap((comparison) => comparison.results);
      for (const result of others) for (const round of result.rounds) delete round.latency_each_second;
      first.rounds.length = 1;
      first.rounds[0].latency_each_second = Array.from({ length: 3600 }, (_, i) => (i % 2 ? "40 7 0 3" : ""));
    },
  ],
  [
    "metrics of its own only",
    (record) => {
      record.comparisons.length = 1;
      const [comparison] = record.comparisons;
      for (const result of comparison.results) {
        const { iops, zebras } = { iops: result.metrics.ops_s, zebras: result.metrics.throughput_mb_s };
        Object.assign(result, { metrics: { zebras, "<b>ants</b>": iops, clat_p99_ns: iops }, operations: [] });
      }
      delete comparison.results[1].metrics.zebras;
      comparison.ratios = [];
      comparison.seconds = 0;
    },
  ],
  [
    "five rounds",
    (record) => {
      for (const ratio of record.comparisons[0].ratios)
        Object.assign(ratio, { ci95: null, verdict: "unclear", rounds: 5, rounds_needed: 6 });
      record.comparisons[0].results[0].rounds[1].failed_operations = 3;
    },
  ],
]) {
  test(`a record with ${what} is a page too`, () => {
    const changed = join(folder, `${what.replace(/ /g, "-")}.html`);
    const page = readFileSync(file, "utf8").replace(/(id="record">)(.*?)(<\/script>)/s, (_, before_, json, after_) => {
      const record = JSON.parse(json);
      change(record);
      return before_ + JSON.stringify(record).replace(/</g, "\\u003c") + after_;
    });
    writeFileSync(changed, page);
    return open(
      desktop,
      async (opened) => {
        assert.equal(await opened.locator("h1").count(), 1);
        assert.equal(await opened.locator("table[data-table=environment]").count(), 1);
        const text = await opened.locator("main").innerText();
        assert.doesNotMatch(text, /NaN|undefined|Infinity/);
        if (what.endsWith("an hour")) {
          assert.equal(await opened.locator("svg.heat-map").count(), 1);
          assert.match(text, /one column for each 9 seconds/);
        }
        if (what === "metrics of its own only") {
          const titles = await opened.locator("table[data-table=results] thead th").allInnerTexts();
          assert.deepEqual(
            titles.map((title) => title.split("\n")[0]),
            ["Target", "cowfs ÷ this", "Spread", "Latency p99", "<b>ants</b>", "zebras"],
          );
          const { comparisons } = await embedded(opened);
          const results = await cells(opened, "results");
          comparisons[0].results.forEach(({ metrics }, i) => {
            const shown = metrics.zebras ? Math.round(metrics.zebras.median).toLocaleString("en") : "–";
            assert.equal(results[i][5], shown);
          });
          assert.equal(await opened.locator("table[data-table=device]").count(), 0);
          assert.doesNotMatch(text, /0 s measured/);
        }
        if (what === "five rounds")
          assert.match(text, /no 95% interval[^]*cowfs, round 2: 3 operations ended otherwise/);
      },
      changed,
    );
  });
}
