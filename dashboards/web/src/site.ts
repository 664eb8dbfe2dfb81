// What scripts add to the pages of the site: tables that can be sorted and searched, and a chart of a series' history that
// can be zoomed and walked through with the keyboard.
import uPlot from "uplot";
import { axis, followThemeAndWidth, mount } from "./charts";
import { html, seriesColour, themeColour } from "./dom";
import { factor, inUnit } from "./format";

interface Change {
  at: number;
  effect: number;
}
interface Point {
  run: string;
  commit: string;
  dirty: boolean;
  started: string;
  median: number;
  values: number[];
  ratio: number | null;
}
// Schema cowbench.series/1; docs/openapi.json explains every field.
interface Series {
  target: string;
  title: string;
  unit: string;
  better: "higher" | "lower" | null;
  control: string | null;
  points: Point[];
  eras: number[];
  changes: Change[];
}

function sortValue(cell: HTMLTableCellElement | undefined): number | string {
  const value = cell?.querySelector("data")?.value;
  if (value !== undefined) return Number(value);
  const text = cell?.textContent?.trim() ?? "";
  const number = Number.parseFloat(text.replace(/[,%]/g, ""));
  return cell?.classList.contains("number") && !Number.isNaN(number) ? number : text;
}

function compareValues(a: number | string, b: number | string): number {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
}

// Headings become buttons; the order is said to screen readers by aria-sort.
function makeSortable(table: HTMLTableElement): void {
  const body = table.tBodies[0];
  const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
  if (!body || body.rows.length < 3) return;
  heads.forEach((head, column) => {
    const button = html("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, value: sortValue(row.cells[column]) }));
      rows.sort((a, b) => (descending ? -1 : 1) * compareValues(a.value, b.value));
      body.append(...rows.map(({ row }) => row));
    });
  });
}

const searchFrom = 12; // rows; fewer can be seen at once

function addSearch(): void {
  const tables = [...document.querySelectorAll<HTMLTableElement>("main table[data-table]")];
  const rows = tables.flatMap((table) => [...(table.tBodies[0]?.rows ?? [])]);
  const [first] = tables;
  if (!first || rows.length < searchFrom) return;
  const input = html("input", { type: "search", id: "search", placeholder: "target, metric, commit …" });
  const count = html("span", { class: "muted", role: "status" });
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = `${row.closest("table")?.caption?.textContent} ${row.textContent}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      if (!row.hidden) ++shown;
    }
    for (const table of tables) {
      const region = table.closest<HTMLElement>(".scroll");
      if (region) region.hidden = [...(table.tBodies[0]?.rows ?? [])].every((row) => row.hidden);
    }
    count.textContent = words.length > 0 ? `${shown} of ${rows.length} rows` : "";
  };
  input.addEventListener("input", search);
  const field = html("p", { class: "control" }, html("label", { for: "search" }, "Search "), input, " ", count);
  (first.closest(".scroll") ?? first).before(field);
}

const describe = (series: Series, point: Point): string => {
  const commit = point.commit ? `commit ${point.commit.slice(0, 10)}${point.dirty ? "+" : ""}, ` : "";
  const ratio = point.ratio === null ? "" : `, ${factor(point.ratio)} of ${series.control}`;
  return `${commit}${point.started.slice(0, 16).replace("T", " ")}: ${inUnit(point.median, series.unit)}${ratio}`;
};

function changeColour(series: Series, change: Change): string {
  if (series.better === null) return themeColour("unclear");
  return themeColour(change.effect > 0 === (series.better === "higher") ? "better" : "worse");
}

// Behind the line: where another machine begins, and where the level changed.
function marks(series: Series): (plot: uPlot) => void {
  return (plot) => {
    const { ctx, bbox } = plot;
    const line = (at: number, colour: string, dash: number[]) => {
      const x = plot.valToPos(at, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) return;
      ctx.save();
      ctx.strokeStyle = colour;
      ctx.lineWidth = 2;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    };
    for (const era of series.eras) line(era - 0.5, themeColour("muted"), [6, 6]);
    for (const change of series.changes) line(change.at, changeColour(series, change), []);
  };
}

// As in the drawing without scripts: what scatters by less than 2% looks flat.
function withMargin(low: number, high: number): [number, number] {
  const margin = Math.max((high - low) / 12, 0.02 * Math.abs(high));
  return [low - margin, high + margin];
}

function chartOptions(series: Series, says: (at: number | null) => void): uPlot.Options {
  const text = (value: number) => (series.control === null ? inUnit(value, series.unit) : factor(value));
  // Values that need more digits than are shown, or would be shown like another one, have no label.
  const labels = (splits: number[]) => {
    const texts = splits.map(text);
    return texts.map((shown, i) =>
      texts.indexOf(shown) < i || (series.control !== null && Math.abs(Number(shown) - (splits[i] ?? 0)) > 1e-9) ? null : shown,
    );
  };
  const label = (at: number) => {
    const point = series.points[at];
    return point ? point.commit.slice(0, 7) || point.started.slice(5, 10) : null;
  };
  return {
    width: 0,
    height: 320,
    scales: { x: { time: false, range: (_, low, high) => [low - 0.5, high + 0.5] }, y: { range: (_, low, high) => withMargin(low, high) } },
    axes: [
      {
        ...axis("", (_, splits) => splits.map((at) => (Number.isInteger(at) ? label(at) : null))),
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500],
        space: 70,
      },
      { ...axis("", (_, splits) => labels(splits)), size: 84 },
    ],
    legend: { show: false },
    cursor: { drag: { x: true, y: false }, points: { size: 9 } },
    hooks: { drawClear: [marks(series)], setCursor: [(plot) => says(plot.cursor.idx ?? null)] },
    series: [
      {},
      {
        stroke: seriesColour(0),
        width: 2,
        points: { show: true, size: 5, fill: themeColour("page") },
        gaps: (plot) => series.eras.map((era) => [plot.valToPos(era - 1, "x", true), plot.valToPos(era, "x", true)]),
      },
    ],
  };
}

// The drawing that the page came with gives way to one that answers. Arrow keys walk from run to run, Enter opens it, and
// Escape shows everything again; what the cursor is on is said in words.
function drawHistory(figure: HTMLElement, series: Series): void {
  const last = series.points.length - 1;
  const values = series.points.map((point) => point.ratio ?? point.median);
  const data: uPlot.AlignedData = [values.map((_, at) => at), values];
  const says = html("p", { class: "readout", role: "status" });
  const hint = "Arrow keys walk through the runs, Enter opens one. Drag to zoom, Escape shows all.";
  const holder = html("div", { class: "chart", role: "application", tabindex: 0, "aria-label": `History chart. ${hint}` });
  let at = last;
  let plot: uPlot | null = null;
  const say = (index: number | null) => {
    const point = index === null ? undefined : series.points[index];
    if (index !== null && point) at = index;
    says.textContent = point ? describe(series, point) : hint;
  };
  figure.replaceChildren(holder, says);
  mount(holder, () => [
    { ...chartOptions(series, say), plugins: [{ hooks: { init: (made) => void (plot = made) } }] },
    data,
  ]);
  say(null);
  const open = () => {
    const run = series.points[at]?.run;
    if (run) location.assign(`/run/${run}`);
  };
  holder.addEventListener("dblclick", () => plot?.setData(data));
  holder.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -last, End: last }[event.key];
    if (step !== undefined) at = Math.min(last, Math.max(0, at + step));
    else if (event.key === "Enter") return open();
    else if (event.key === "Escape") plot?.setData(data);
    else return;
    event.preventDefault();
    plot?.setCursor({ left: plot.valToPos(at, "x"), top: plot.valToPos(values[at] ?? 0, "y") });
    say(at);
  });
}

export function enliven(): void {
  document.querySelectorAll<HTMLTableElement>("main table[data-table]").forEach(makeSortable);
  addSearch();
  const figure = document.querySelector<HTMLElement>(".history-figure");
  const data = document.getElementById("site-data");
  if (!figure || !data) return;
  drawHistory(figure, JSON.parse(data.textContent ?? "") as Series);
  followThemeAndWidth();
}
