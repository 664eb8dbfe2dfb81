// The parts of schema cowbench.run/1 that the page draws; docs/json.md explains every field.

export interface MetricDescription {
  name: string;
  title: string;
  unit: string;
  better: "higher" | "lower" | null; // null: nobody knows
  compared: boolean;
}

export interface Summary {
  median: number;
  mean: number;
  min: number;
  max: number;
  relative_spread: number;
  rounds: number[];
}

export interface Round {
  round: number;
  position: number;
  failed_operations: number;
  throughput_mb_s_each_second: number[];
  latency_each_second?: string[];
  commits_each_second?: number[];
  checkpoints_each_second?: number[];
  warmup_seconds: number;
}

export interface Operation {
  name: string;
  count: number;
  failed: number;
  mean_ns: number;
  p50_ns: number;
  p99_ns: number;
  p999_ns: number;
  max_ns: number;
  percentiles: [number, number][];
}

export interface Result {
  target: string;
  label: string;
  subject: boolean;
  options: string[];
  rounds: Round[];
  metrics: Record<string, Summary | undefined>;
  operations: Operation[];
  notes: string[];
}

export type Verdict = "better" | "worse" | "same" | "unclear";

export interface Ratio {
  metric: string;
  numerator: string;
  denominator: string;
  estimate: number | null;
  ci95: [number, number] | null;
  verdict: Verdict;
  rounds: number;
  rounds_needed: number | null;
  band: number;
}

export interface Calibration {
  target: string;
  reference: string;
  throughput_mb_s: number | null;
  ns_per_operation: number | null;
  ratio: Ratio | null;
  ratio_floor: number | null;
  ok: boolean;
  note: string;
}

export interface Comparison {
  media: string;
  device: string;
  workload: string;
  clients: number;
  rounds: number;
  seconds: number;
  warmup_seconds: number;
  size_bytes: number | null;
  cache_bytes: number | null;
  kernel_memory_bytes: number | null;
  kernel_memory_note: string;
  payload: string;
  results: Result[];
  ratios: Ratio[];
  calibration: Calibration[];
  skipped: { target: string; reason: string }[];
}

export interface Device {
  path: string;
  kind: string;
  model: string;
  size_bytes: number;
  logical_sector_bytes: number;
  scheduler: string;
  write_cache: string;
  rotational: string;
  backing: string;
  settings: string[];
}

export interface Environment {
  kernel: string;
  kernel_command_line: string;
  cpu: string;
  governor: string;
  mitigations: string;
  virtualization: string;
  cores: number;
  memory_bytes: number;
  commit: string;
  dirty: boolean;
  build_type: string;
  compiler: string;
  assertions: string;
  devices: Device[];
  mounts: string[];
  pins: string[];
  programs: string[];
  warnings: string[];
}

export interface RunRecord {
  schema: string;
  started: string;
  duration_seconds: number;
  command_line: string;
  seed: string;
  environment: Environment;
  comparisons: Comparison[];
  caveats: string[];
  metrics: MetricDescription[];
}
