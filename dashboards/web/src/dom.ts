// Elements by hand. Text only ever goes in as text nodes, so no label can become markup.

type Child = Node | string | null;
type Attributes = Record<string, string | number | boolean>;

function fill(element: Element, attributes: Attributes, children: Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children) {
    if (child !== null) element.append(child);
  }
}

export function html<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  fill(element, attributes, children);
  return element;
}

export function svg(name: string, attributes: Attributes = {}, ...children: Child[]): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  fill(element, attributes, children);
  return element as SVGElement;
}

export interface Column {
  title: string;
  hint?: string;
  numeric?: boolean;
}

let tables = 0;

// The first cell of each row is its heading. Wide tables scroll in a region that the keyboard can reach.
export function table(caption: string, columns: Column[], rows: (Node | string)[][], name = ""): HTMLElement {
  const id = `table-${++tables}`;
  const kind = (column: Column | undefined): Attributes => (column?.numeric ? { class: "number" } : {});
  const head = columns.map((column) =>
    html("th", { scope: "col", ...kind(column) }, column.title, column.hint ? html("small", {}, column.hint) : null),
  );
  const body = rows.map((row) =>
    html(
      "tr",
      {},
      ...row.map((cell, i) => (i === 0 ? html("th", { scope: "row" }, cell) : html("td", kind(columns[i]), cell))),
    ),
  );
  return html(
    "div",
    { class: "scroll", role: "region", tabindex: 0, "aria-labelledby": id },
    html(
      "table",
      name ? { "data-table": name } : {},
      html("caption", { id }, caption),
      html("thead", {}, html("tr", {}, ...head)),
      html("tbody", {}, ...body),
    ),
  );
}

export function figure(caption: string, ...content: (Node | null)[]): HTMLElement {
  return html("figure", {}, html("figcaption", {}, caption), ...content);
}

// Targets keep their colour, dash and mark through the whole page; colour never stands alone.
export const seriesCount = 6;
export const dashes: number[][] = [[], [6, 3], [2, 3], [10, 3, 2, 3], [12, 4], [4, 4]];
export const marks = ["●", "■", "▲", "◆", "▼", "○"];

export function seriesColour(index: number): string {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(`--series-${index % seriesCount}`)
    .trim();
}

export function themeColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export function mark(index: number): HTMLElement {
  return html(
    "span",
    { class: "mark", style: `color: var(--series-${index % seriesCount})`, "aria-hidden": "true" },
    marks[index % marks.length] ?? "●",
  );
}
