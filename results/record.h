// One run of the workbench as a value, and its JSON, schema "cowbench.run/1". docs/json.md explains every field; its
// names are the members' names. What was not measured is absent (JSON null), never 0.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "results/histogram.h"
#include "results/latency_buckets.h"
#include "results/statistics.h"

namespace cowbench::results {

constexpr std::string_view record_schema = "cowbench.run/1";

// By the names of metric_table().
using MetricValues = std::map<std::string, double>;

// What cowfs itself counted of one kind of operation, or of what operations cause.
struct EngineActivity {
  std::string name;  // as in `cowfs counters`
  u64 count = 0;
  u64 bytes = 0;
  std::optional<u64> p50_ns;  // of those that were timed, at most a quarter too high; absent when none was
  std::optional<u64> p99_ns;
};

// That of `name`; nothing happened when the list does not have it.
EngineActivity engine_activity(const std::vector<EngineActivity>& activities, std::string_view name);

// One target, run once on a fresh filesystem.
struct Round {
  u64 round = 0;     // from 0; the same number means measured next to each other: these are paired
  u64 position = 0;  // order inside the round, from 0
  std::string seed;  // decimal, as text: JSON readers lose digits above 2^53
  double measured_seconds = 0;
  u64 operations = 0;
  u64 failed_operations = 0;  // an unexpected status; any makes the round suspect
  MetricValues metrics;
  std::vector<double> throughput_mb_s_each_second;  // also the warm-up
  std::vector<LatencyBuckets> latency_each_second;  // in the same seconds: all operations of the load together
  std::vector<u64> commits_each_second, checkpoints_each_second;  // of cowfs, in the same seconds
  u64 warmup_seconds = 0;                           // how many of those seconds belong to it
  std::vector<EngineActivity> engine;               // of cowfs, of what happened at all while the round was measured
};

struct MetricSummary {
  double median = 0;
  double mean = 0;
  double min = 0;
  double max = 0;
  double relative_spread = 0;  // see relative_spread() in statistics.h
  std::vector<double> rounds;  // as measured, in round order
};

// Over all rounds of a target, by merging their histograms.
struct OperationStatistics {
  std::string name;  // "flush", "write", ...
  u64 count = 0;
  u64 failed = 0;
  double mean_ns = 0;
  u64 p50_ns = 0;
  u64 p99_ns = 0;
  u64 p999_ns = 0;
  u64 max_ns = 0;
  std::vector<PercentilePoint> percentiles;
  std::string histogram;  // all latencies, as encode_histogram() writes them; empty when they were not kept
};

struct TargetResult {
  std::string target;     // unique in its comparison: "cowfs", "xfs", "cowfs+syscall-charge"
  std::string integrity;  // durability and integrity: "crc32c, fsync=flush"
  std::string label;      // both: "cowfs (crc32c, fsync=flush)"; what every table shows
  std::string variant;    // empty, or "syscall-charge"
  bool subject = false;   // true for what is under test: ratios are subject / other
  std::string media, workload;
  u64 clients = 0;
  std::vector<std::string> options;  // mkfs, mount and engine options
  std::vector<Round> rounds;
  std::map<std::string, MetricSummary> metrics;
  std::vector<OperationStatistics> operations;
  std::vector<std::string> notes;
};

struct Ratio {
  std::string metric, numerator, denominator;  // target names
  std::string media, workload;
  u64 clients = 0;
  std::optional<double> estimate;      // absent when no pair of rounds has both values
  std::optional<Interval> ci95;        // absent with fewer than six pairs
  Verdict verdict = Verdict::unclear;  // of the numerator
  u64 rounds = 0;                      // pairs used
  std::optional<u64> rounds_needed;    // when unclear: about this many in all
  double band = band_default;
};

// Evidence that the comparison does not handicap a side.
struct CalibrationRow {
  std::string target;     // "xfs", "null"
  std::string reference;  // the program measured: "dbench 4.0", or "cowbench" for the null target
  std::vector<double> throughput_mb_s_rounds;
  std::optional<double> throughput_mb_s;   // median
  std::optional<double> ns_per_operation;  // the generator's own cost, on the null target
  std::optional<Ratio> ratio;              // our generator / reference, on the same target
  std::optional<double> ratio_floor;       // the ratio should not lie below
  bool ok = true;
  std::string note;
};

struct SkippedTarget {
  std::string target, reason;
};

struct DeviceInfo {
  std::string path, kind, model;  // kind: "disk", "loop", "ram", "file"
  u64 size_bytes = 0;
  u64 logical_sector_bytes = 0;
  std::string scheduler, write_cache, rotational, backing;
  std::vector<std::string> settings;  // anything else: "nr_requests=64"
};

// The same targets under the same load on the same media, in interleaved rounds.
struct Comparison {
  std::string media;  // "disk" or "ram"
  std::string device, workload;
  u64 clients = 0;
  u64 rounds = 0;
  double seconds = 0, warmup_seconds = 0;  // of a round
  std::optional<u64> size_bytes, cache_bytes;
  std::optional<u64> kernel_memory_bytes;  // limit of the memory cgroup of kernel targets' clients; absent: none
  std::string kernel_memory_note;          // how it is made up, or why there is none
  std::string payload;
  std::vector<TargetResult> results;
  std::vector<Ratio> ratios;
  std::vector<CalibrationRow> calibration;
  std::vector<SkippedTarget> skipped;
};

struct Environment {
  std::string kernel, kernel_command_line, cpu, governor, mitigations, virtualization;
  u64 cores = 0;
  u64 memory_bytes = 0;
  std::string commit;
  bool dirty = false;
  std::string build_type, compiler, assertions;  // assertions: "on" or "paranoid"
  std::vector<DeviceInfo> devices;
  std::vector<std::string> mounts;    // "xfs: /dev/loop0 on /tmp/x type xfs (rw,relatime)"
  std::vector<std::string> pins;      // "client 0..23: cpu 0"
  std::vector<std::string> programs;  // "mkfs.xfs 6.1.0", "dbench 4.0"
  std::vector<std::string> warnings;  // why this host is less than fit
};

struct Record {
  std::string started;  // UTC, ISO 8601
  double duration_seconds = 0;
  std::string command_line;
  std::string seed;  // decimal, as text
  Environment environment;
  std::vector<Comparison> comparisons;
  std::vector<std::string> caveats;  // what a reader must know before quoting a number
};

// Sets label from target and integrity.
void set_label(TargetResult& result);

// Adds what a later part of the same run measured.
void append(Record& record, Record later);

// Top-level "results" and "ratios" repeat those of all comparisons in one list. Ends in a newline.
// Precondition: all numbers are finite. Text that is not UTF-8 is written with replacement characters.
std::string to_json(const Record& record);

// In one line, without its end, and only what was measured: the metric summaries and ratios, which summarise() derives
// from the rounds, are left empty. Equal measurements give equal text.
std::string to_json_line(const Record& record);

// Unknown fields are ignored, missing ones keep their defaults. On error `reason` names the field or the byte.
// Error record_not_json: not JSON at all. Error record_schema_unknown: "schema" is another one.
// Error record_field_invalid: a field has the wrong type or value.
cowfs::Result<Record> parse_record(std::string_view json, std::string& reason);

}  // namespace cowbench::results
