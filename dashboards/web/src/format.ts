// Numbers in the style of the terminal's tables (dashboards/format.h).

function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.9995) return value.toFixed(2);
  return value.toFixed(size >= 0.09995 ? 3 : 4);
}

export function nanoseconds(ns: number): string {
  for (const [size, unit] of [
    [1e9, "s"],
    [1e6, "ms"],
    [1e3, "µs"],
  ] as const) {
    if (ns >= 0.9995 * size) return `${threeDigits(ns / size)} ${unit}`;
  }
  return `${ns.toFixed(0)} ns`;
}

export function count(value: number): string {
  return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, ",");
}

// "1 round", "2 rounds"
export function counted(value: number, what: string): string {
  return `${value} ${what}${value === 1 ? "" : "s"}`;
}

export function number(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95) return count(value);
  return value.toFixed(size >= 9.995 ? 1 : 2);
}

export const factor = threeDigits;

export function bytes(value: number): string {
  for (const [size, unit] of [
    [2 ** 40, "TiB"],
    [2 ** 30, "GiB"],
    [2 ** 20, "MiB"],
    [2 ** 10, "KiB"],
  ] as const) {
    if (value >= size) return `${threeDigits(value / size)} ${unit}`;
  }
  return `${value} B`;
}

export function inUnit(value: number, unit: string): string {
  switch (unit) {
    case "ns":
      return nanoseconds(value);
    case "B":
      return `${number(value / 1e6)} MB`;
    case "MB/s":
      return `${number(value)} MB/s`;
    case "1/s":
      return `${number(value)} /s`;
    case "s":
      return `${threeDigits(value)} s`;
    case "x":
      return threeDigits(value);
    default:
      return number(value);
  }
}

export function percent(value: number): string {
  return `${(value * 100).toFixed(1)}%`;
}

export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
}
