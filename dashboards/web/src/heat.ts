// Latency over time, a heat map for each target: a column is a second, a row a bucket of the record, and the colour how
// large a share of the second's operations ended in it.
import { isPowerOfTen } from "./charts";
import { figure, html, svg } from "./dom";
import { nanoseconds } from "./format";
import type { Comparison, Result, Round } from "./record";
import { drawingWidth, logTicks, svgText } from "./svg";

const left = 76;
const right = drawingWidth - 4;
const top = 24;
const height = 168; // of the map alone
const bottom = top + height;
const roundGap = 6;
const columnsMax = 430; // two units each; longer runs get columns of several seconds

// Shares from which a level begins: the steps of a logarithmic scale.
const levels: [number, string][] = [
  [0, "< 0.03%"],
  [0.0003, "≥ 0.03%"],
  [0.001, "≥ 0.1%"],
  [0.003, "≥ 0.3%"],
  [0.01, "≥ 1%"],
  [0.03, "≥ 3%"],
  [0.1, "≥ 10%"],
  [0.3, "≥ 30%"],
];

// docs/json.md says where buckets end.
function bucketEnd(bucket: number): number {
  return (4 + (bucket % 4)) * 2 ** (4 + Math.floor(bucket / 4));
}

function bucketBegin(bucket: number): number {
  return bucket === 0 ? 0 : bucketEnd(bucket - 1);
}

// Buckets that hold something, by their number.
type Counts = Map<number, number>;

function parse(text: string): Counts {
  const [first = 0, ...counts] = text === "" ? [] : text.split(" ").map(Number);
  return new Map(counts.map((count, i): [number, number] => [first + i, count]).filter(([, count]) => count > 0));
}

function total(counts: Counts): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

function merged(parts: Counts[]): Counts {
  const sum: Counts = new Map();
  for (const part of parts) for (const [bucket, count] of part) sum.set(bucket, (sum.get(bucket) ?? 0) + count);
  return sum;
}

// The end of the bucket in which that share of the operations lies or ends.
function percentileBucket(counts: Counts, share: number): number {
  const wanted = share * total(counts);
  let seen = 0;
  for (const [bucket, count] of [...counts].sort(([a], [b]) => a - b)) {
    seen += count;
    if (seen >= wanted) return bucket;
  }
  return 0;
}

interface Column {
  x: number;
  counts: Counts;
}

// Where rounds, seconds and latencies are, the same for all targets of a comparison.
class Axes {
  readonly secondsInColumn: number;
  readonly column: number; // its width
  readonly warmup: number; // columns of a round
  readonly rounds: { number: number; x: number; columns: number }[] = [];
  private readonly lowest: number;
  private readonly rows: number;

  constructor(rounds: Round[]) {
    const numbers = [...new Set(rounds.map((round) => round.round))].sort((a, b) => a - b);
    const seconds = (number: number) =>
      Math.max(...rounds.filter((r) => r.round === number).map((r) => r.latency_each_second?.length ?? 0));
    const all = numbers.reduce((sum, number) => sum + seconds(number), 0);
    this.secondsInColumn = Math.ceil(all / columnsMax);
    const columns = numbers.map((number) => Math.ceil(seconds(number) / this.secondsInColumn));
    const space = right - left - roundGap * (numbers.length - 1);
    this.column = space / columns.reduce((sum, count) => sum + count, 0);
    let x = left;
    numbers.forEach((number, i) => {
      const count = columns[i] ?? 0;
      this.rounds.push({ number, x, columns: count });
      x += count * this.column + roundGap;
    });
    this.warmup = Math.ceil(Math.max(...rounds.map((round) => round.warmup_seconds)) / this.secondsInColumn);
    const buckets = rounds.flatMap((round) => (round.latency_each_second ?? []).flatMap((t) => [...parse(t).keys()]));
    this.lowest = buckets.reduce((a, b) => Math.min(a, b));
    this.rows = buckets.reduce((a, b) => Math.max(a, b)) + 1 - this.lowest;
  }

  get row(): number {
    return height / this.rows;
  }
  // The upper edge of a bucket.
  y(bucket: number): number {
    return bottom - (bucket + 1 - this.lowest) * this.row;
  }
  // With their places: powers of ten, or more of them where the axis is short.
  ticks(): [number, number][] {
    const high = bucketEnd(this.lowest + this.rows - 1);
    const all = logTicks(Math.max(64, bucketBegin(this.lowest)), high).filter((tick) => tick < high);
    const decades = all.filter(isPowerOfTen);
    return (decades.length >= 2 ? decades : all).map((tick) => [tick, this.place(tick)]);
  }
  private place(latency: number): number {
    let bucket = this.lowest;
    while (bucketEnd(bucket) <= latency) ++bucket;
    const within = (latency - bucketBegin(bucket)) / (bucketEnd(bucket) - bucketBegin(bucket));
    return this.y(bucket) + this.row * (1 - within);
  }
  columns(rounds: Round[]): Column[] {
    return this.rounds.flatMap(({ number, x }) => {
      const seconds = (rounds.find((round) => round.round === number)?.latency_each_second ?? []).map(parse);
      const count = Math.ceil(seconds.length / this.secondsInColumn);
      return Array.from({ length: count }, (_, i) => ({
        x: x + i * this.column,
        counts: merged(seconds.slice(i * this.secondsInColumn, (i + 1) * this.secondsInColumn)),
      }));
    });
  }
}

function coordinate(value: number): string {
  return String(Math.round(value * 100) / 100);
}

// One path for each level: thousands of cells, few elements.
function cells(axes: Axes, columns: Column[]): SVGElement[] {
  const paths = levels.map(() => "");
  const cell = `h${coordinate(axes.column)}v${coordinate(axes.row)}h${coordinate(-axes.column)}z`;
  for (const { x, counts } of columns) {
    const all = total(counts);
    for (const [bucket, count] of counts) {
      const level = levels.filter(([share]) => count / all >= share).length - 1;
      paths[level] += `M${coordinate(x)} ${coordinate(axes.y(bucket))}${cell}`;
    }
  }
  return paths.flatMap((d, level) => (d === "" ? [] : [svg("path", { d, class: `heat heat-${level}` })]));
}

// A step for each column, twice: a rim of the page's colour keeps it apart from any cell.
function percentileLine(axes: Axes, columns: Column[], share: number, kind: string): SVGElement[] {
  const d = columns
    .filter(({ counts }) => counts.size > 0)
    .map(
      ({ x, counts }) =>
        `M${coordinate(x)} ${coordinate(axes.y(percentileBucket(counts, share)))}h${coordinate(axes.column)}`,
    )
    .join("");
  return [svg("path", { d, class: "heat-rim" }), svg("path", { d, class: `heat-line ${kind}` })];
}

function frame(axes: Axes): SVGElement[] {
  const parts: SVGElement[] = [];
  const every = Math.ceil(axes.rounds.length / 12);
  axes.rounds.forEach(({ number, x, columns }, i) => {
    const round = columns * axes.column;
    const warmup = Math.min(columns, axes.warmup) * axes.column;
    if (warmup > 0) {
      parts.push(svg("rect", { x, y: top, width: warmup, height, class: "band" }));
      parts.push(svg("rect", { x, y: bottom + 2, width: warmup, height: 3, class: "heat-warmup" }));
    }
    parts.push(svg("rect", { x, y: top, width: round, height, class: "heat-frame" }));
    if (i % every === 0)
      parts.push(
        svgText(x + round / 2, bottom + 18, `round ${number + 1}`, { class: "tick", "text-anchor": "middle" }),
      );
  });
  for (const [tick, y] of axes.ticks()) {
    parts.push(svg("line", { x1: left, x2: right, y1: y, y2: y, class: "grid" }));
    parts.push(
      svgText(left - 6, y + 4, nanoseconds(tick).replace(/\.0+/, ""), { class: "tick", "text-anchor": "end" }),
    );
  }
  return parts;
}

// Of the measured seconds: how low and how high a percentile of a second was.
function range(result: Result, share: number): string {
  const measured = result.rounds.flatMap((round) =>
    (round.latency_each_second ?? []).slice(round.warmup_seconds).map(parse),
  );
  const ends = measured.filter((counts) => counts.size > 0).map((counts) => bucketEnd(percentileBucket(counts, share)));
  if (ends.length === 0) return "not measured";
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  return low === high ? nanoseconds(low) : `${nanoseconds(low)} to ${nanoseconds(high)}`;
}

function heatMap(result: Result, axes: Axes): SVGElement {
  const columns = axes.columns(result.rounds);
  const [p50, p99] = [range(result, 0.5), range(result, 0.99)];
  return svg(
    "svg",
    {
      viewBox: `0 0 ${drawingWidth} ${bottom + 24}`,
      role: "img",
      class: "heat-map",
      "aria-label": `${result.label}: in the measured seconds half of the operations took at most ${p50}, 99% at most ${p99}.`,
    },
    svgText(0, 14, result.label, { class: "group-title" }),
    svgText(right, 14, `p50 ${p50} · p99 ${p99}`, { class: "tick", "text-anchor": "end" }),
    ...frame(axes),
    ...cells(axes, columns),
    ...percentileLine(axes, columns, 0.5, "p50"),
    ...percentileLine(axes, columns, 0.99, "p99"),
  );
}

function legend(): HTMLElement {
  const sample = (...content: SVGElement[]) => svg("svg", { width: 26, height: 12, "aria-hidden": "true" }, ...content);
  const line = (kind: string) => sample(svg("path", { d: "M1 6h24", class: `heat-line ${kind}` }));
  const swatch = (kind: string) => sample(svg("rect", { width: 26, height: 12, class: kind }));
  return html(
    "ul",
    { class: "legend" },
    html("li", {}, "Share of the operations:"),
    ...levels.map(([, share], level) => html("li", {}, swatch(`heat heat-${level}`), ` ${share}`)),
    html("li", {}, line("p50"), " p50"),
    html("li", {}, line("p99"), " p99"),
    html("li", {}, swatch("heat-warmup"), " warm-up"),
  );
}

// Nothing when the record does not hold latencies by second.
export function heatMaps(comparison: Comparison): HTMLElement | null {
  const isShown = (result: Result) =>
    result.rounds.some((round) => round.latency_each_second?.some((text) => text !== ""));
  const results = comparison.results.filter(isShown);
  if (results.length === 0) return null;
  const axes = new Axes(results.flatMap((result) => result.rounds));
  const column = axes.secondsInColumn === 1 ? "second" : `${axes.secondsInColumn} seconds`;
  return figure(
    `Latency over time on ${comparison.media}: all operations, one column for each ${column}, rounds side by side. ` +
      "Both scales are logarithmic; the shaded warm-up is not counted.",
    html(
      "div",
      {
        class: "drawing scroll",
        role: "region",
        tabindex: 0,
        "aria-label": `Latency over time on ${comparison.media}`,
      },
      ...results.map((result) => heatMap(result, axes)),
    ),
    legend(),
  );
}
