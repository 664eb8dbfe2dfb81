// A record with plausible but made-up numbers, for tests of whatever reads records. Never part of a program.
#pragma once
#include <cmath>
#include <memory>

#include "engine/base/random.h"
#include "results/record.h"
#include "results/summary.h"

namespace cowbench::results::fixture {

struct Shape {
  const char* target;
  const char* integrity;
  double throughput_mb_s;
  double flush_ns;
  double write_amplification;
};

constexpr u64 rounds = 8;

inline double noise(cowfs::Random& random, double size) {
  const double uniform = static_cast<double>(random.next() >> 11) * 0x1p-53;
  return 1 + size * (2 * uniform - 1);
}

// Two humps: operations in memory, and flushes, which take twice as long in every fifth second.
inline LatencyBuckets make_latencies(const Shape& shape, int second) {
  LatencyBuckets buckets{};
  const auto hump = [&](double ns, double operations) {
    const int middle = static_cast<int>(cowfs::latency_bucket(static_cast<u64>(ns)));
    for (int away = -9; away <= 9; ++away)
      buckets[static_cast<u32>(middle + away)] += static_cast<u64>(operations * std::exp(-0.3 * away * away));
  };
  hump(12e6 / shape.throughput_mb_s, shape.throughput_mb_s * 9);
  hump(shape.flush_ns * (second % 5 == 4 ? 2 : 1), shape.throughput_mb_s);
  return buckets;
}

inline Round make_round(const Shape& shape, u64 number, double drift, cowfs::Random& random) {
  Round round;
  round.round = number;
  round.position = random.below(4);
  round.seed = std::to_string(1'000'003 * (number + 1));
  round.measured_seconds = 10;
  const double throughput = std::floor(100 * shape.throughput_mb_s * drift * noise(random, 0.02)) / 100;
  round.operations = static_cast<u64>(throughput * 310);
  const double written = throughput * 5.5e6;
  round.metrics = {{"throughput_mb_s", throughput},
                   {"ops_s", static_cast<double>(round.operations) / 10},
                   {"flush_p50_ns", std::floor(shape.flush_ns * noise(random, 0.03))},
                   {"flush_p99_ns", std::floor(shape.flush_ns * 3.1 * noise(random, 0.08))},
                   {"latency_max_ns", std::floor(shape.flush_ns * 22 * noise(random, 0.4))},
                   {"device_write_bytes", std::floor(written * shape.write_amplification)},
                   {"device_read_bytes", 1'048'576},
                   {"device_flushes", std::floor(throughput * 0.9)},
                   {"write_amplification", shape.write_amplification * noise(random, 0.002)},
                   {"cpu_seconds", 19.1 * noise(random, 0.01)},
                   {"cpu_ns_per_operation", std::floor(19.1e9 / static_cast<double>(round.operations))}};
  round.warmup_seconds = 2;
  round.engine = {{"commit", 8000 + 37 * number, 0, 448'000, 2'560'000}, {"sync", 1, 0, {}, {}}};
  for (int second = 0; second < 12; ++second) {
    round.throughput_mb_s_each_second.push_back(std::floor(throughput * (second == 0 ? 0.6 : 1) * noise(random, 0.06)));
    round.latency_each_second.push_back(make_latencies(shape, second));
    if (std::string_view(shape.target) != "cowfs") continue;
    round.commits_each_second.push_back(800 + (37 * number + 11 * static_cast<u64>(second)) % 100);
    round.checkpoints_each_second.push_back(second % 5 == 4 ? 2 : 0);
  }
  return round;
}

inline OperationStatistics make_operation(const char* name, double typical_ns, u64 count, cowfs::Random& random) {
  const auto latencies = std::make_unique<HistogramCounts>();
  for (u64 i = 0; i < count; ++i) {
    double value = typical_ns;
    for (int factor = 0; factor < 6; ++factor) value *= noise(random, 0.45);
    if (random.one_in(400)) value *= 12;
    latencies->record(static_cast<u64>(value));
  }
  return summarise_operation(name, *latencies, 0);
}

inline TargetResult make_result(const Shape& shape, u64 seed) {
  cowfs::Random random(seed);
  cowfs::Random weather(7);  // the same for all targets: rounds are paired
  TargetResult result;
  result.target = shape.target;
  result.integrity = shape.integrity;
  for (u64 number = 0; number < rounds; ++number) {
    result.rounds.push_back(make_round(shape, number, noise(weather, 0.05), random));
  }
  const double scale = 4000 / shape.throughput_mb_s;
  result.operations = {
      make_operation("open", 3100 * scale, 12'000, random), make_operation("write", 5200 * scale, 14'000, random),
      make_operation("read", 2300 * scale, 30'000, random), make_operation("unlink", 4100 * scale, 3000, random),
      make_operation("flush", shape.flush_ns, 11'000, random)};
  return result;
}

inline Comparison make_comparison(const char* media, double speed) {
  Comparison comparison;
  comparison.media = media;
  comparison.device = speed > 1 ? "/dev/loop0 on tmpfs" : "/dev/loop0 on /var/tmp/image";
  comparison.workload = "dbench client.txt";
  comparison.clients = 48;
  comparison.rounds = rounds;
  comparison.seconds = 10;
  comparison.warmup_seconds = 2;
  comparison.size_bytes = 8ull << 30;
  comparison.cache_bytes = 1ull << 30;
  comparison.kernel_memory_bytes = 1200ull << 20;
  comparison.kernel_memory_note = "memory cgroup of 1200 MiB";
  comparison.payload = "zero";
  const double flush = 2.4e6 / (speed * speed);
  const Shape shapes[] = {{"cowfs", "crc32c, fsync=flush", 4210 * speed, flush, 1.31},
                          {"cowfs+syscall-charge", "crc32c, fsync=flush", 2980 * speed, flush * 1.05, 1.31},
                          {"xfs", "metadata crc, barriers", 486 * speed, flush * 4.4, 1.62},
                          {"ext4", "metadata_csum, data=ordered, barriers", 402 * speed, flush * 6.1, 2.05}};
  u64 seed = 11;
  for (const Shape& shape : shapes) comparison.results.push_back(make_result(shape, seed++));
  comparison.results[0].subject = comparison.results[1].subject = true;
  comparison.results[0].options = {"slices=2", "cache=1GiB"};
  comparison.results[1].variant = "syscall-charge";
  comparison.results[1].notes = {"pays one real system call for each that a kernel filesystem needs"};
  comparison.results[2].options = {"mkfs.xfs -f", "mount -o rw,noatime"};
  summarise(comparison);
  std::vector<double> reference;
  for (const Round& round : comparison.results[2].rounds) {
    reference.push_back(round.metrics.at("throughput_mb_s") * 0.985);
  }
  comparison.calibration.push_back(calibrate(comparison.results[2], "dbench 4.0", reference, 0.95));
  CalibrationRow null_row;
  null_row.target = "null";
  null_row.reference = "cowbench";
  null_row.ns_per_operation = 41.5;
  comparison.calibration.push_back(null_row);
  comparison.skipped.push_back({"btrfs", "mkfs.btrfs is not installed"});
  return comparison;
}

inline Record make_record() {
  Record record;
  record.started = "2026-11-21T09:00:00Z";
  record.duration_seconds = 711.5;
  record.command_line = "cowbench dbench 48 --target cowfs --target xfs --target ext4 --rounds 8";
  record.seed = "18446744073709551615";
  Environment& environment = record.environment;
  environment.kernel = "Linux 6.1.0-27-amd64";
  environment.kernel_command_line = "quiet";
  environment.cpu = "Example CPU @ 2.40GHz";
  environment.governor = "unknown";
  environment.mitigations = "spectre_v2: IBRS; meltdown: not affected";
  environment.virtualization = "kvm";
  environment.cores = 2;
  environment.memory_bytes = 8ull << 30;
  environment.commit = "0123456789abcdef0123456789abcdef01234567";
  environment.dirty = true;
  environment.build_type = "Release";
  environment.compiler = "GNU 12.2.0";
  environment.assertions = "on";
  DeviceInfo device;
  device.path = "/dev/loop0";
  device.kind = "loop";
  device.model = "Example <b>& Sons</b></script><script>alert(1)</script>";
  device.size_bytes = 8ull << 30;
  device.logical_sector_bytes = 512;
  device.scheduler = "none";
  device.write_cache = "write back";
  device.rotational = "no";
  device.backing = "/var/tmp/image on /dev/vda1 (ext4), direct I/O";
  device.settings = {"nr_requests=128"};
  environment.devices = {device};
  environment.mounts = {"xfs: /dev/loop0 type xfs (rw,noatime)"};
  environment.pins = {"clients 0 to 23: cpu 0", "clients 24 to 47: cpu 1"};
  environment.programs = {"mkfs.xfs 6.1.0", "dbench 4.0"};
  environment.warnings = {"the frequency governor is not readable", "virtual machine: other guests may interfere"};
  record.comparisons = {make_comparison("disk", 1), make_comparison("ram", 1.4)};
  record.caveats = {"cowfs runs inside the benchmark process; kernel filesystems pay for system calls."};
  return record;
}

}  // namespace cowbench::results::fixture
