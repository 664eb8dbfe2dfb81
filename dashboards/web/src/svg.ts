// Drawings that need no library: ratios with their intervals, and every round as a dot.
import { dashes, figure, html, marks, seriesCount, svg } from "./dom";
import { factor, inUnit } from "./format";
import type { Comparison, MetricDescription, Ratio } from "./record";

export const drawingWidth = 1000; // of every drawing, in its own units: about one to a pixel

export function svgText(
  x: number,
  y: number,
  text: string,
  attributes: Record<string, string | number> = {},
): SVGElement {
  return svg("text", { x, y, ...attributes }, text);
}

// 1, 2 and 5 of every decade: as many as the range holds.
export function logTicks(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); ++power) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

// From 0 in steps of 1, 2 or 5 times a power of ten: four to nine of them.
function linearTicks(high: number): number[] {
  const power = 10 ** Math.floor(Math.log10(high));
  const step = [0.2, 0.5, 1].map((digit) => digit * power).find((candidate) => high / candidate <= 8) ?? power;
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, i) => i * step);
}

function ratioRow(ratio: Ratio, title: string, y: number, x: (value: number) => number): SVGElement[] {
  const parts: SVGElement[] = [svgText(0, y + 4, title, { class: "row-title" })];
  if (ratio.estimate === null) return [...parts, svgText(x(1) + 8, y + 4, "not measured", { class: "muted" })];
  const kind = `verdict-${ratio.verdict}`;
  if (ratio.ci95) {
    const [low, high] = ratio.ci95.map(x);
    parts.push(
      svg("path", {
        d: `M${low} ${y}H${high}M${low} ${y - 5}V${y + 5}M${high} ${y - 5}V${y + 5}`,
        class: `interval ${kind}`,
      }),
    );
  }
  parts.push(svg("circle", { cx: x(ratio.estimate), cy: y, r: 5, class: `estimate ${kind}` }));
  parts.push(
    svgText(drawingWidth, y + 4, `${factor(ratio.estimate)} ${ratio.verdict}`, {
      class: "row-value",
      "text-anchor": "end",
    }),
  );
  return parts;
}

// One row for each metric and pair, on a logarithmic axis: half and twice are as far from 1.
export function ratioPlot(comparison: Comparison, metrics: MetricDescription[]): HTMLElement | null {
  const shown = comparison.ratios.filter((ratio) => ratio.estimate !== null);
  if (shown.length === 0) return null;
  const values = shown.flatMap((ratio) => [ratio.estimate ?? 1, ...(ratio.ci95 ?? [])]);
  const low = Math.min(0.8, ...values) * 0.9;
  const high = Math.max(1.25, ...values) * 1.1;
  const left = 340;
  const right = drawingWidth - 150;
  const x = (value: number) =>
    left + ((Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (right - left);
  const pairs = [...new Set(shown.map((ratio) => `${ratio.numerator} ÷ ${ratio.denominator}`))];
  const parts: SVGElement[] = [];
  let y = 8;
  for (const pair of pairs) {
    y += 22;
    parts.push(svgText(0, y, pair, { class: "group-title" }));
    y += 6;
    for (const ratio of shown.filter((r) => `${r.numerator} ÷ ${r.denominator}` === pair)) {
      y += 22;
      const metric = metrics.find((m) => m.name === ratio.metric);
      const title = metric ? `${metric.title} (${metric.better} is better)` : ratio.metric;
      parts.push(...ratioRow(ratio, title, y - 8, x));
    }
  }
  const bottom = y + 6;
  const band = shown[0]?.band ?? 0.02;
  const frame: SVGElement[] = [
    svg("rect", {
      x: x(1 / (1 + band)),
      width: Math.max(1, x(1 + band) - x(1 / (1 + band))),
      y: 8,
      height: bottom - 8,
      class: "band",
    }),
    svg("line", { x1: x(1), x2: x(1), y1: 8, y2: bottom, class: "one" }),
  ];
  let lastLabel = -Infinity;
  for (const tick of logTicks(low, high)) {
    frame.push(svg("line", { x1: x(tick), x2: x(tick), y1: 8, y2: bottom, class: "grid" }));
    if (x(tick) - lastLabel < 34) continue;
    lastLabel = x(tick);
    frame.push(
      svgText(x(tick), bottom + 16, `${tick < 1 ? Number(tick.toPrecision(1)) : tick}×`, {
        class: "tick",
        "text-anchor": "middle",
      }),
    );
  }
  const spoken = shown.map(
    (r) => `${r.metric} ${r.numerator} divided by ${r.denominator}: ${factor(r.estimate ?? 0)}, ${r.verdict}`,
  );
  return figure(
    `Ratios on ${comparison.media} with 95% intervals, from paired rounds. The grey band around 1 counts as no difference.`,
    html(
      "div",
      { class: "drawing scroll", role: "region", tabindex: 0, "aria-label": "Ratio plot" },
      svg(
        "svg",
        { viewBox: `0 0 ${drawingWidth} ${bottom + 24}`, role: "img", "aria-label": spoken.join("; ") },
        ...frame,
        ...parts,
      ),
    ),
  );
}

// All rounds of one metric, in the order in which they ran from top to bottom of each strip; the bar is the median.
export function stripPlot(comparison: Comparison, metric: MetricDescription): HTMLElement | null {
  const rows = comparison.results.flatMap((result, index) => {
    const summary = result.metrics[metric.name];
    return summary ? [{ result, index, summary }] : [];
  });
  if (rows.length === 0) return null;
  const left = 200;
  const right = drawingWidth - 140;
  const high = Math.max(...rows.map((row) => row.summary.max)) * 1.04 || 1;
  const x = (value: number) => left + (value / high) * (right - left);
  const height = 46;
  const parts: SVGElement[] = [];
  rows.forEach(({ result, index, summary }, row) => {
    const top = 8 + row * height;
    parts.push(svgText(0, top + height / 2 + 4, result.target, { class: "row-title" }));
    parts.push(svg("line", { x1: left, x2: right, y1: top + height - 2, y2: top + height - 2, class: "grid" }));
    parts.push(
      svg("line", { x1: x(summary.median), x2: x(summary.median), y1: top + 2, y2: top + height - 6, class: "median" }),
    );
    const step = (height - 14) / Math.max(1, summary.rounds.length - 1);
    summary.rounds.forEach((value, round) => {
      parts.push(
        svg(
          "text",
          {
            x: x(value),
            y: top + 9 + round * step,
            class: "dot",
            "text-anchor": "middle",
            style: `fill: var(--series-${index % seriesCount})`,
          },
          marks[index % marks.length] ?? "●",
          svg("title", {}, `${result.target}, round ${round + 1}: ${inUnit(value, metric.unit)}`),
        ),
      );
    });
    parts.push(
      svgText(drawingWidth, top + height / 2 + 4, inUnit(summary.median, metric.unit), {
        class: "row-value",
        "text-anchor": "end",
      }),
    );
  });
  const bottom = 8 + rows.length * height;
  for (const value of linearTicks(high)) {
    const label = value === 0 ? "0" : inUnit(value, metric.unit);
    parts.push(svgText(x(value), bottom + 14, label, { class: "tick", "text-anchor": "middle" }));
  }
  const spoken = rows.map(
    (row) => `${row.result.target}: ${row.summary.rounds.map((v) => inUnit(v, metric.unit)).join(", ")}`,
  );
  return figure(
    `${metric.title}: every round on ${comparison.media}, first round on top; the bar marks the median.`,
    html(
      "div",
      { class: "drawing scroll", role: "region", tabindex: 0, "aria-label": `${metric.title}, every round` },
      svg(
        "svg",
        { viewBox: `0 0 ${drawingWidth} ${bottom + 22}`, role: "img", "aria-label": spoken.join("; ") },
        ...parts,
      ),
    ),
  );
}

// Of line charts: each target's stroke as it is drawn.
export function legend(comparison: Comparison): HTMLElement {
  const stroke = (index: number) =>
    svg(
      "svg",
      { width: 34, height: 10, "aria-hidden": "true" },
      svg("line", {
        x1: 1,
        x2: 33,
        y1: 5,
        y2: 5,
        "stroke-width": 2.5,
        style: `stroke: var(--series-${index % seriesCount})`,
        "stroke-dasharray": (dashes[index % dashes.length] ?? []).join(" "),
      }),
    );
  return html(
    "ul",
    { class: "legend" },
    ...comparison.results.map((result, index) => html("li", {}, stroke(index), ` ${result.label}`)),
  );
}
