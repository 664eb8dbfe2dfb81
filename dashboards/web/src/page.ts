// The report of a run: draws the record that is embedded in the page, and computes no new numbers; heat.ts alone reads
// percentiles off the buckets that it draws.
import { followThemeAndWidth, percentileChart, timeChart } from "./charts";
import { html, mark, table } from "./dom";
import type { Column } from "./dom";
import { bytes, count, counted, duration, factor, inUnit, nanoseconds, number, percent } from "./format";
import { heatMaps } from "./heat";
import type { Comparison, MetricDescription, Ratio, Result, RunRecord, Verdict } from "./record";
import { ratioPlot, stripPlot } from "./svg";

const glyphs: Record<Verdict, string> = { better: "▲", worse: "▼", same: "=", unclear: "?" };
const absent = "–";

function verdict(ratio: Ratio): HTMLElement {
  return html("span", { class: `verdict verdict-${ratio.verdict}` }, `${glyphs[ratio.verdict]} ${ratio.verdict}`);
}

function interval(ratio: Ratio): string {
  return ratio.ci95 ? `[${factor(ratio.ci95[0])}, ${factor(ratio.ci95[1])}]` : "no interval";
}

function settle(ratio: Ratio): string {
  return ratio.rounds_needed === null ? "" : `; about ${ratio.rounds_needed} would settle it`;
}

function ratioCell(ratio: Ratio | undefined): Node | string {
  if (!ratio) return absent;
  if (ratio.estimate === null) return "not measured";
  return html(
    "span",
    { class: "ratio" },
    html("b", {}, factor(ratio.estimate)),
    ` ${interval(ratio)} `,
    verdict(ratio),
  );
}

function find(
  comparison: Comparison,
  metric: string,
  numerator: string | undefined,
  denominator: string,
): Ratio | undefined {
  return comparison.ratios.find(
    (r) => r.metric === metric && r.numerator === numerator && r.denominator === denominator,
  );
}

// What reached the device, and what it cost: a table of its own.
const deviceMetrics = [
  "device_write_bytes",
  "device_read_bytes",
  "device_flushes",
  "write_amplification",
  "cpu_seconds",
  "cpu_ns_per_operation",
  "system_calls_per_operation",
  "generator_ns_per_operation",
  "memory_peak_bytes",
];

/** Those that any target has: the known ones in the order of the legend, then others, by name. */
function measuredMetrics(comparison: Comparison, known: MetricDescription[]): MetricDescription[] {
  const names = new Set(comparison.results.flatMap((result) => Object.keys(result.metrics)));
  const foreign = [...names].filter((name) => !known.some((metric) => metric.name === name)).sort();
  return [
    ...known.filter((metric) => names.has(metric.name)),
    ...foreign.map((name) => ({ name, title: name, unit: "", better: null, compared: false })),
  ];
}

/** What the comparison is about: throughput, operations when its load moves no bytes, or what else there is. */
function mainMetric(comparison: Comparison, known: MetricDescription[]): MetricDescription | undefined {
  const measured = measuredMetrics(comparison, known);
  const moves = comparison.results.some((result) => (result.metrics["throughput_mb_s"]?.median ?? 0) > 0);
  return measured.find((metric) => metric.name === (moves ? "throughput_mb_s" : "ops_s")) ?? measured[0];
}

function headline(record: RunRecord): HTMLElement {
  const cards = record.comparisons.flatMap((comparison) =>
    comparison.ratios
      .filter((ratio) => ratio.metric === mainMetric(comparison, record.metrics)?.name)
      .map((ratio) =>
        html(
          "li",
          { class: "card" },
          html("span", { class: "card-title" }, `${ratio.numerator} ÷ ${ratio.denominator}`),
          html("span", { class: "card-figure" }, ratio.estimate === null ? absent : `${factor(ratio.estimate)}×`),
          html(
            "span",
            { class: "card-detail" },
            verdict(ratio),
            ratio.ci95 ? ` 95% ${interval(ratio)}` : " no 95% interval",
          ),
          html(
            "span",
            { class: "card-detail muted" },
            `${comparison.media}, ${comparison.workload}, ${counted(comparison.clients, "client")}, ${counted(ratio.rounds, "round")}${settle(ratio)}`,
          ),
        ),
      ),
  );
  const titles = [
    ...new Set(record.comparisons.map((comparison) => mainMetric(comparison, record.metrics)?.title ?? "Throughput")),
  ];
  return html(
    "section",
    { "aria-labelledby": "headline" },
    html("h2", { id: "headline" }, `${titles.join(" and ")}, as a ratio`),
    cards.length > 0
      ? html("ul", { class: "cards" }, ...cards)
      : html("p", {}, "Only one target was measured: there is nothing to compare."),
  );
}

function metricColumn(metric: MetricDescription, workload: string): Column {
  const isOfDbench = metric.name === "throughput_mb_s" && workload.startsWith("dbench");
  const hint = isOfDbench ? "MB/s, as dbench counts" : { "MB/s": "MB/s", "1/s": "a second" }[metric.unit];
  return { title: metric.title, ...(hint ? { hint } : {}), numeric: true };
}

function metricCell(result: Result, metric: MetricDescription): string {
  const summary = result.metrics[metric.name];
  if (!summary) return absent;
  return metric.unit.endsWith("/s") ? number(summary.median) : inUnit(summary.median, metric.unit);
}

function resultTable(comparison: Comparison, metrics: MetricDescription[]): HTMLElement {
  const subject = comparison.results.find((result) => result.subject)?.target;
  const main = mainMetric(comparison, metrics);
  const title = main?.title ?? "";
  const shown = measuredMetrics(comparison, metrics).filter((metric) => !deviceMetrics.includes(metric.name));
  return table(
    `Results on ${comparison.media}, ${counted(comparison.clients, "client")}: medians of ${counted(comparison.rounds, "round")}`,
    [
      { title: "Target", hint: "durability and integrity" },
      { title: subject ? `${subject} ÷ this` : "Ratio", hint: `${title}, 95%` },
      { title: "Spread", hint: `of ${title}`, numeric: true },
      ...shown.map((metric) => metricColumn(metric, comparison.workload)),
    ],
    comparison.results.map((result, index) => {
      const spread = main && result.metrics[main.name]?.relative_spread;
      return [
        html("span", {}, mark(index), ` ${result.label}`),
        result.subject || !main ? absent : ratioCell(find(comparison, main.name, subject, result.target)),
        spread === undefined ? absent : percent(spread),
        ...shown.map((metric) => metricCell(result, metric)),
      ];
    }),
    "results",
  );
}

function deviceTable(comparison: Comparison, metrics: MetricDescription[]): HTMLElement | null {
  const shown = measuredMetrics(comparison, metrics).filter((metric) => deviceMetrics.includes(metric.name));
  if (shown.length === 0) return null;
  return table(
    `What reached the device, and what it cost, on ${comparison.media}: medians of a round`,
    [{ title: "Target" }, ...shown.map((metric) => ({ title: metric.title, numeric: true }))],
    comparison.results.map((result) => [
      result.label,
      ...shown.map((metric) => {
        const summary = result.metrics[metric.name];
        return summary ? inUnit(summary.median, metric.unit) : absent;
      }),
    ]),
    "device",
  );
}

function operationTable(comparison: Comparison): HTMLElement {
  const names = [
    ...new Set(comparison.results.flatMap((result) => result.operations.map((operation) => operation.name))),
  ];
  const rows = names.flatMap((name) =>
    comparison.results.flatMap((result, index) =>
      result.operations
        .filter((operation) => operation.name === name)
        .map((operation) => [
          name,
          html("span", {}, mark(index), ` ${result.target}`),
          count(operation.count),
          ...[operation.mean_ns, operation.p50_ns, operation.p99_ns, operation.p999_ns, operation.max_ns].map(
            nanoseconds,
          ),
          operation.failed > 0 ? number(operation.failed) : "0",
        ]),
    ),
  );
  const numeric = (title: string) => ({ title, numeric: true });
  return table(
    `Latency of each operation on ${comparison.media}, all rounds merged`,
    [
      { title: "Operation" },
      { title: "Target" },
      ...["Count", "Mean", "p50", "p99", "p99.9", "Longest", "Failed"].map(numeric),
    ],
    rows,
    "operations",
  );
}

function calibrationTable(comparison: Comparison): HTMLElement | null {
  if (comparison.calibration.length === 0) return null;
  return table(
    `Calibration on ${comparison.media}: does our generator handicap a peer?`,
    [
      { title: "Reference" },
      { title: "MB/s", numeric: true },
      { title: "ns per operation", numeric: true },
      { title: "Our generator ÷ it", hint: "95%" },
      { title: "Should reach", numeric: true },
      { title: "Fair" },
    ],
    comparison.calibration.map((row) => [
      `${row.reference} on ${row.target}`,
      row.throughput_mb_s === null ? absent : number(row.throughput_mb_s),
      row.ns_per_operation === null ? absent : number(row.ns_per_operation),
      row.ratio ? ratioCell(row.ratio) : absent,
      row.ratio_floor === null ? absent : factor(row.ratio_floor),
      [row.ratio || !row.ok ? (row.ok ? "yes" : "no") : "", row.note].filter((text) => text !== "").join(": ") ||
        absent,
    ]),
    "calibration",
  );
}

function ratioTable(comparison: Comparison, metrics: MetricDescription[]): HTMLElement {
  return table(
    `All ratios on ${comparison.media}`,
    [
      { title: "Metric" },
      { title: "Ratio" },
      { title: "Estimate", numeric: true },
      { title: "95% interval", numeric: true },
      { title: "Verdict" },
      { title: "Rounds", numeric: true },
      { title: "Rounds needed", hint: "when unclear", numeric: true },
    ],
    comparison.ratios.map((ratio) => [
      metrics.find((metric) => metric.name === ratio.metric)?.title ?? ratio.metric,
      `${ratio.numerator} ÷ ${ratio.denominator}`,
      ratio.estimate === null ? absent : factor(ratio.estimate),
      interval(ratio),
      verdict(ratio),
      String(ratio.rounds),
      ratio.rounds_needed === null ? absent : `about ${ratio.rounds_needed}`,
    ]),
    "ratios",
  );
}

function list(title: string, items: string[], kind = ""): HTMLElement | null {
  if (items.length === 0) return null;
  return html(
    "div",
    { class: `note ${kind}` },
    html("h3", {}, title),
    html("ul", {}, ...items.map((item) => html("li", {}, item))),
  );
}

function failures(comparison: Comparison): string[] {
  return comparison.results.flatMap((result) =>
    result.rounds
      .filter((round) => round.failed_operations > 0)
      .map(
        (round) =>
          `${result.target}, round ${round.round + 1}: ${counted(round.failed_operations, "operation")} ` +
          "ended otherwise than the load expects",
      ),
  );
}

function section(comparison: Comparison, metrics: MetricDescription[], id: string): [HTMLElement, (() => void)[]] {
  const charts = [timeChart(comparison), percentileChart(comparison)];
  const [overTime, percentiles] = charts.map((chart) => chart?.[0] ?? null);
  const main = mainMetric(comparison, metrics);
  const flush = metrics.find((metric) => metric.name === "flush_p99_ns");
  const facts = [
    comparison.device,
    `payload ${comparison.payload}`,
    comparison.seconds > 0 ? `${comparison.seconds} s measured after ${comparison.warmup_seconds} s of warm-up` : "",
    comparison.size_bytes === null ? "" : `size ${bytes(comparison.size_bytes)}`,
    comparison.cache_bytes === null ? "" : `cache budget ${bytes(comparison.cache_bytes)}`,
    comparison.kernel_memory_note && `kernel targets: ${comparison.kernel_memory_note}`,
  ];
  const parts: (Node | null)[] = [
    html("h2", { id }, `On ${comparison.media}: ${comparison.workload}, ${counted(comparison.clients, "client")}`),
    html("p", { class: "muted" }, facts.filter((fact) => fact).join(" · ")),
    resultTable(comparison, metrics),
    list(
      "Skipped targets",
      comparison.skipped.map((target) => `${target.target}: ${target.reason}`),
    ),
    list("Unexpected statuses", failures(comparison), "warning"),
    list(
      "Notes",
      comparison.results.flatMap((result) => result.notes.map((note) => `${result.target}: ${note}`)),
    ),
    ratioPlot(comparison, metrics),
    comparison.ratios.length > 0
      ? html("details", {}, html("summary", {}, "All ratios as a table"), ratioTable(comparison, metrics))
      : null,
    main ? stripPlot(comparison, main) : null,
    flush ? stripPlot(comparison, flush) : null,
    overTime ?? null,
    heatMaps(comparison),
    percentiles ?? null,
    percentiles
      ? html("details", { open: true }, html("summary", {}, "Operations as a table"), operationTable(comparison))
      : null,
    deviceTable(comparison, metrics),
    calibrationTable(comparison),
    list(
      "Options",
      comparison.results.filter((r) => r.options.length > 0).map((r) => `${r.target}: ${r.options.join(", ")}`),
    ),
  ];
  const element = html("section", { "aria-labelledby": id }, ...parts);
  return [element, charts.flatMap((chart) => (chart ? [chart[1]] : []))];
}

function environmentSection(record: RunRecord): HTMLElement {
  const environment = record.environment;
  const rows: [string, string][] = [
    ["Command", record.command_line],
    ["Seed", record.seed],
    ["Commit", environment.commit + (environment.dirty ? " (dirty: built from a changed tree)" : "")],
    ["Build", `${environment.build_type}, ${environment.compiler}, assertions ${environment.assertions}`],
    ["Kernel", environment.kernel],
    ["Kernel command line", environment.kernel_command_line],
    ["Processor", `${environment.cpu}, ${counted(environment.cores, "core")}`],
    ["Governor", environment.governor],
    ["Mitigations", environment.mitigations],
    ["Virtualization", environment.virtualization || "none seen"],
    ["Memory", bytes(environment.memory_bytes)],
    ...environment.devices.map((device): [string, string] => [
      `Device ${device.path}`,
      [
        device.kind,
        device.model,
        bytes(device.size_bytes),
        `sector ${device.logical_sector_bytes} B`,
        `scheduler ${device.scheduler}`,
        `write cache: ${device.write_cache}`,
        `rotational: ${device.rotational}`,
        device.backing,
        ...device.settings,
      ]
        .filter((text) => text !== "")
        .join(", "),
    ]),
    ...environment.mounts.map((mount): [string, string] => ["Mount", mount]),
    ...environment.pins.map((pin): [string, string] => ["Pinning", pin]),
    ["Programs", environment.programs.join(", ")],
  ];
  return html(
    "section",
    { "aria-labelledby": "environment" },
    html("h2", { id: "environment" }, "Environment"),
    table(
      "Host, build and devices",
      [{ title: "What" }, { title: "Value" }],
      rows.filter((row) => row[1] !== ""),
      "environment",
    ),
  );
}

export function drawReport(record: RunRecord): void {
  const first = record.comparisons[0];
  const workloads = new Set(record.comparisons.map((comparison) => comparison.workload));
  const load = workloads.size > 1 ? `${workloads.size} loads` : first?.workload;
  const title = first ? `${load}, ${counted(first.clients, "client")}` : "no comparison";
  const ids = record.comparisons.map((_, index) => `comparison-${index + 1}`);
  const sections = record.comparisons.map((comparison, index) => section(comparison, record.metrics, ids[index] ?? ""));
  const links = record.comparisons.map((comparison, index) =>
    html(
      "li",
      {},
      html(
        "a",
        { href: `#${ids[index]}` },
        `${comparison.media}, ${workloads.size > 1 ? comparison.workload : counted(comparison.clients, "client")}`,
      ),
    ),
  );
  document
    .getElementById("content")
    ?.append(
      html(
        "header",
        {},
        html("h1", {}, title),
        html(
          "p",
          { class: "muted" },
          `cowbench · ${record.started} · ${duration(record.duration_seconds)} · ` +
            `${counted(record.environment.cores, "core")} · ${record.environment.kernel}`,
        ),
        html(
          "nav",
          { "aria-label": "Sections" },
          html("ul", {}, ...links, html("li", {}, html("a", { href: "#environment" }, "environment"))),
        ),
      ),
      headline(record),
      ...[
        list("Caveats", record.caveats),
        list("This host is less than fit", record.environment.warnings, "warning"),
      ].filter((part) => part !== null),
      ...sections.map(([element]) => element),
      environmentSection(record),
      html(
        "footer",
        { class: "muted" },
        `Schema ${record.schema}. The whole record is inside this file, in the element #record.`,
      ),
    );
  // Charts measure the width that the layout gives them, so they come last.
  sections.forEach(([, mounts]) => mounts.forEach((mountChart) => mountChart()));
  followThemeAndWidth();
}
