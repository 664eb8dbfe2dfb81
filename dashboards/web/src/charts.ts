// Line charts on uPlot: latency percentiles of one operation, and throughput second by second.
import uPlot from "uplot";
import { dashes, figure, html, seriesColour, themeColour } from "./dom";
import { nanoseconds, number } from "./format";
import { legend } from "./svg";
import type { Comparison } from "./record";

interface Live {
  plot: uPlot;
  holder: HTMLElement;
  redraw: () => void;
}
const live = new Set<Live>();

// uPlot draws on a canvas, which knows nothing of style sheets: colours change by drawing anew.
export function followThemeAndWidth(): void {
  const redrawAll = () => live.forEach((chart) => chart.redraw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
  addEventListener("resize", () =>
    live.forEach((chart) => chart.plot.setSize({ width: chart.holder.clientWidth, height: chart.plot.height })),
  );
  addEventListener("beforeprint", redrawAll);
}

// Returns what draws it anew.
export function mount(holder: HTMLElement, make: () => [uPlot.Options, uPlot.AlignedData]): () => void {
  const draw = () => {
    const [options, data] = make();
    return new uPlot({ ...options, width: Math.max(280, holder.clientWidth) }, data, holder);
  };
  const chart: Live = { plot: draw(), holder, redraw: () => undefined };
  chart.redraw = () => {
    chart.plot.destroy();
    chart.plot = draw();
  };
  live.add(chart);
  return chart.redraw;
}

export function axis(
  label: string,
  values?: (plot: uPlot, splits: number[]) => (string | null)[],
  logarithmic = false,
): uPlot.Axis {
  const filter = (_: uPlot, splits: number[]) =>
    splits.map((split) => (!logarithmic || isPowerOfTen(split) ? split : null));
  const grid = { stroke: themeColour("line"), width: 1, filter };
  return {
    label,
    stroke: themeColour("muted"),
    grid,
    ticks: grid,
    font: "12px system-ui, sans-serif",
    labelFont: "12px system-ui, sans-serif",
    ...(values ? { values } : {}),
  };
}

// Log axes label and rule powers of ten only, or they run into each other.
export function isPowerOfTen(value: number): boolean {
  const power = Math.log10(value);
  return Math.abs(power - Math.round(power)) < 1e-9;
}

function percentileData(comparison: Comparison, operation: string): uPlot.AlignedData {
  const curves = comparison.results.map((result) => {
    const found = result.operations.find((candidate) => candidate.name === operation);
    // 100% has no place on this axis; the table holds the maximum.
    return new Map((found?.percentiles ?? []).filter(([percent]) => percent < 100).map(([p, ns]) => [p, ns]));
  });
  const percents = [...new Set(curves.flatMap((curve) => [...curve.keys()]))].sort((a, b) => a - b);
  const xs = percents.map((percent) => 100 / (100 - percent));
  return [xs, ...curves.map((curve) => percents.map((percent) => curve.get(percent) ?? null))] as uPlot.AlignedData;
}

const percentileTitles = new Map([
  [1, "0%"],
  [10, "90%"],
  [100, "99%"],
  [1e3, "99.9%"],
  [1e4, "99.99%"],
  [1e5, "99.999%"],
  [1e6, "99.9999%"],
]);

let selects = 0;

export function percentileChart(comparison: Comparison): [HTMLElement, () => void] | null {
  const names = [
    ...new Set(comparison.results.flatMap((result) => result.operations.map((operation) => operation.name))),
  ];
  if (names.length === 0) return null;
  const id = `operation-${++selects}`;
  const start = names.includes("flush") ? "flush" : (names[0] ?? "");
  const select = html(
    "select",
    { id },
    ...names.map((name) => html("option", { value: name, selected: name === start }, name)),
  );
  const holder = html("div", { class: "chart", role: "img" });
  const make = (): [uPlot.Options, uPlot.AlignedData] => {
    holder.setAttribute(
      "aria-label",
      `Latency percentiles of ${select.value} on ${comparison.media}; the table of operations holds the values.`,
    );
    const options: uPlot.Options = {
      width: 0,
      height: 300,
      scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
      axes: [
        axis("percentile", (_, splits) => splits.map((split) => percentileTitles.get(Math.round(split)) ?? null), true),
        {
          ...axis(
            "latency",
            (_, splits) => splits.map((split) => (isPowerOfTen(split) ? nanoseconds(split) : null)),
            true,
          ),
          size: 64,
        },
      ],
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      series: [
        {},
        ...comparison.results.map((result, index) => ({
          label: result.label,
          stroke: seriesColour(index),
          dash: dashes[index % dashes.length] ?? [],
          width: 2,
          spanGaps: true,
          points: { show: false },
        })),
      ],
    };
    return [options, percentileData(comparison, select.value)];
  };
  const element = figure(
    `Latency percentiles on ${comparison.media}, all rounds merged. Both axes are logarithmic.`,
    html("p", { class: "control" }, html("label", { for: id }, "Operation "), select),
    holder,
    legend(comparison),
  );
  return [element, () => select.addEventListener("change", mount(holder, make))];
}

export function timeChart(comparison: Comparison): [HTMLElement, () => void] | null {
  const lines = comparison.results.flatMap((result, index) =>
    result.rounds
      .filter((round) => round.throughput_mb_s_each_second.some((rate) => rate > 0))
      .map((round) => ({ result, index, round })),
  );
  if (lines.length === 0) return null;
  const seconds = Math.max(...lines.map((line) => line.round.throughput_mb_s_each_second.length));
  const warmup = Math.max(...lines.map((line) => line.round.warmup_seconds));
  const xs = Array.from({ length: seconds }, (_, second) => second + 1);
  const data = [
    xs,
    ...lines.map((line) => xs.map((_, i) => line.round.throughput_mb_s_each_second[i] ?? null)),
  ] as uPlot.AlignedData;
  const holder = html("div", {
    class: "chart",
    role: "img",
    "aria-label": `Throughput of every round on ${comparison.media} by second; the table of results holds the medians.`,
  });
  const shadeWarmup = (plot: uPlot) => {
    const end = plot.valToPos(warmup, "x", true);
    plot.ctx.fillStyle = themeColour("band");
    plot.ctx.fillRect(plot.bbox.left, plot.bbox.top, Math.max(0, end - plot.bbox.left), plot.bbox.height);
  };
  const make = (): [uPlot.Options, uPlot.AlignedData] => [
    {
      width: 0,
      height: 280,
      scales: { x: { time: false }, y: { range: (_, __, high) => [0, high * 1.05] } },
      axes: [
        { ...axis("seconds"), incrs: [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200] },
        { ...axis("MB/s", (_, splits) => splits.map((split) => (split === 0 ? "0" : number(split)))), size: 64 },
      ],
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      hooks: { drawClear: [shadeWarmup] },
      series: [
        {},
        ...lines.map((line) => ({
          label: `${line.result.label}, round ${line.round.round + 1}`,
          stroke: seriesColour(line.index),
          dash: dashes[line.index % dashes.length] ?? [],
          width: 1.25,
          points: { show: false },
        })),
      ],
    },
    data,
  ];
  const element = figure(
    `Throughput over time on ${comparison.media}: one line for each round. The shaded warm-up is not counted.`,
    holder,
    legend(comparison),
  );
  return [element, () => void mount(holder, make)];
}
