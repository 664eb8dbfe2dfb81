// Latency over time, a heat map for each target: a column is a second, a row a bucket of the record, and the colour how
// large a share of the second's operations ended in it. Of cowfs also when it committed and when it wrote checkpoints.
import { isPowerOfTen } from "./charts";
import { figure, html, svg } from "./dom";
import { count, nanoseconds } from "./format";
import type { Comparison, Result, Round } from "./record";
import { drawingWidth, logTicks, svgText } from "./svg";

const left = 76;
const right = drawingWidth - 4;
const top = 30;
const height = 168; // of the map alone
const bottom = top + height;
const commitsTop = bottom + 8;
const commitsHeight = 18;
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
  return sum([...counts.values()]);
}

function merged(parts: Counts[]): Counts {
  const all: Counts = new Map();
  for (const part of parts) for (const [bucket, count] of part) all.set(bucket, (all.get(bucket) ?? 0) + count);
  return all;
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
  commits: number; // a second
  checkpoints: number;
}

function sum(values: number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

function countsItsCommits(result: Result): boolean {
  return result.rounds.some((round) => (round.commits_each_second?.length ?? 0) > 0);
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
    const all = sum(numbers.map(seconds));
    this.secondsInColumn = Math.ceil(all / columnsMax);
    const columns = numbers.map((number) => Math.ceil(seconds(number) / this.secondsInColumn));
    const space = right - left - roundGap * (numbers.length - 1);
    this.column = space / sum(columns);
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
    return this.rounds.flatMap(({ number: wanted, x }) => {
      const round = rounds.find((each) => each.round === wanted);
      const seconds = (round?.latency_each_second ?? []).map(parse);
      return Array.from({ length: Math.ceil(seconds.length / this.secondsInColumn) }, (_, i) => {
        const of = <T>(all: T[]) => all.slice(i * this.secondsInColumn, (i + 1) * this.secondsInColumn);
        const commits = of(round?.commits_each_second ?? []);
        return {
          x: x + i * this.column,
          counts: merged(of(seconds)),
          commits: commits.length === 0 ? 0 : sum(commits) / commits.length,
          checkpoints: sum(of(round?.checkpoints_each_second ?? [])),
        };
      });
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

// Where checkpoints were written a tick above the map; below it a bar for each column's commits, the highest as high as there is
// room for.
function engineMarks(axes: Axes, columns: Column[], commitsMax: number): SVGElement[] {
  const ticks = columns.filter(({ checkpoints }) => checkpoints > 0);
  const bars = columns.filter(({ commits }) => commits > 0);
  const tick = ({ x }: Column) => `M${coordinate(x + axes.column / 2)} ${top - 8}v6`;
  const bar = ({ x, commits }: Column) => {
    const barHeight = (commitsHeight * commits) / commitsMax;
    return `M${coordinate(x)} ${coordinate(commitsTop + commitsHeight - barHeight)}h${coordinate(axes.column)}v${coordinate(barHeight)}h${coordinate(-axes.column)}z`;
  };
  const label = (text: string, y: number) => svgText(left - 6, y, text, { class: "tick", "text-anchor": "end" });
  return [
    svg("path", { d: ticks.map(tick).join(""), class: "heat-checkpoints" }),
    svg("path", { d: bars.map(bar).join(""), class: "heat-commits" }),
    label("commits", commitsTop + commitsHeight - 4),
  ];
}

function frame(axes: Axes, labelsAt: number): SVGElement[] {
  const parts: SVGElement[] = [];
  const every = Math.ceil(axes.rounds.length / 12);
  axes.rounds.forEach(({ number: wanted, x, columns }, i) => {
    const round = columns * axes.column;
    const warmup = Math.min(columns, axes.warmup) * axes.column;
    if (warmup > 0) {
      parts.push(svg("rect", { x, y: top, width: warmup, height, class: "band" }));
      parts.push(svg("rect", { x, y: bottom + 2, width: warmup, height: 3, class: "heat-warmup" }));
    }
    parts.push(svg("rect", { x, y: top, width: round, height, class: "heat-frame" }));
    if (i % every === 0)
      parts.push(
        svgText(x + round / 2, labelsAt, `round ${wanted + 1}`, { class: "tick", "text-anchor": "middle" }),
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

// Of the measured seconds; empty where nobody counted.
function engineText(result: Result): string {
  if (!countsItsCommits(result)) return "";
  const measured = (round: Round, each?: number[]) => (each ?? []).slice(round.warmup_seconds);
  const commits = result.rounds.flatMap((round) => measured(round, round.commits_each_second));
  const checkpoints = sum(result.rounds.flatMap((round) => measured(round, round.checkpoints_each_second)));
  const [low, high] = [Math.min(...commits), Math.max(...commits)];
  const rate = low === high ? count(low) : `${count(low)} to ${count(high)}`;
  return `${rate} commits a second · ${count(checkpoints)} ${checkpoints === 1 ? "checkpoint" : "checkpoints"}`;
}

function heatMap(result: Result, axes: Axes, commitsMax: number): SVGElement {
  const columns = axes.columns(result.rounds);
  const [p50, p99] = [range(result, 0.5), range(result, 0.99)];
  const engine = engineText(result);
  const labelsAt = engine === "" ? bottom + 18 : commitsTop + commitsHeight + 14;
  return svg(
    "svg",
    {
      viewBox: `0 0 ${drawingWidth} ${labelsAt + 6}`,
      role: "img",
      class: "heat-map",
      "aria-label": `${result.label}: in the measured seconds half of the operations took at most ${p50}, 99% at most ${p99}.${engine === "" ? "" : ` ${engine}.`}`,
    },
    svgText(0, 14, result.label, { class: "group-title" }),
    svgText(right, 14, [engine, `p50 ${p50}`, `p99 ${p99}`].filter((text) => text !== "").join(" · "), {
      class: "tick",
      "text-anchor": "end",
    }),
    ...frame(axes, labelsAt),
    ...cells(axes, columns),
    ...percentileLine(axes, columns, 0.5, "p50"),
    ...percentileLine(axes, columns, 0.99, "p99"),
    ...(engine === "" ? [] : engineMarks(axes, columns, commitsMax)),
  );
}

function legend(withEngine: boolean): HTMLElement {
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
    ...(withEngine
      ? [
          html("li", {}, sample(svg("path", { d: "M6 3v6M13 3v6M20 3v6", class: "heat-checkpoints" })), " checkpoint"),
          html("li", {}, swatch("heat-commits"), " commits of the second"),
        ]
      : []),
  );
}

// Nothing when the record does not hold latencies by second.
export function heatMaps(comparison: Comparison): HTMLElement | null {
  const isShown = (result: Result) =>
    result.rounds.some((round) => round.latency_each_second?.some((text) => text !== ""));
  const results = comparison.results.filter(isShown);
  if (results.length === 0) return null;
  const axes = new Axes(results.flatMap((result) => result.rounds));
  const commitsMax = Math.max(1, ...results.flatMap((result) => axes.columns(result.rounds).map(({ commits }) => commits)));
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
      ...results.map((result) => heatMap(result, axes, commitsMax)),
    ),
    legend(results.some(countsItsCommits)),
  );
}
