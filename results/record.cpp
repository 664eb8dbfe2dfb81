// Each structure lists its fields once, in fields(); a writer and a reader both walk that list, so they cannot
// disagree.
#include "results/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "results/json_problem.h"
#include "results/metrics.h"

namespace cowbench::results {
namespace {

using Json = nlohmann::ordered_json;
using cowfs::Code;
using cowfs::Error;

// Const when writing.
template <typename Self, typename T>
concept Is = std::is_same_v<std::remove_const_t<Self>, T>;

// What fields() lists, as opposed to numbers, texts, and what is written as an array or a text.
template <typename T>
concept Structure = std::is_class_v<T> && std::is_aggregate_v<T> && !Is<T, Interval> && !Is<T, PercentilePoint> &&
                    !Is<T, LatencyBuckets>;

class Writer {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    object_[name] = write(value);
  }
  // A field that older records do not have: they keep their text, and so their id.
  template <typename T>
  void unless_empty(const char* name, const T& value) {
    if (!value.empty()) (*this)(name, value);
  }
  Json take() { return std::move(object_); }

  template <Structure T>
  static Json write(const T& value) {
    Writer writer;
    fields(writer, value);
    return writer.take();
  }
  static Json write(const std::string& value) { return value; }
  static Json write(bool value) { return value; }
  static Json write(u64 value) { return value; }
  static Json write(double value) {
    assert(std::isfinite(value));
    return value;
  }
  static Json write(Verdict value) { return name(value); }
  static Json write(const Interval& value) { return Json::array({write(value.low), write(value.high)}); }
  static Json write(const PercentilePoint& value) { return Json::array({write(value.percent), value.value_ns}); }
  static Json write(const LatencyBuckets& value) { return to_text(value); }
  template <typename T>
  static Json write(const std::optional<T>& value) {
    return value ? write(*value) : Json(nullptr);
  }
  template <typename T>
  static Json write(const std::vector<T>& values) {
    Json array = Json::array();
    for (const T& value : values) array.push_back(write(value));
    return array;
  }
  template <typename T>
  static Json write(const std::map<std::string, T>& values) {
    Json object = Json::object();
    for (const auto& [key, value] : values) object[key] = write(value);
    return object;
  }

 private:
  Json object_ = Json::object();
};

// Keeps the first failure and its path; reading goes on, harmlessly.
class Reader {
 public:
  Reader(const Json& object, std::string path, std::string& failure)
      : object_(object), path_(std::move(path)), failure_(failure) {
    if (!object.is_object()) fail(path_, "an object");
  }

  template <typename T>
  void operator()(const char* name, T& value) {
    if (!object_.is_object()) return;
    const auto found = object_.find(name);
    if (found != object_.end()) read(*found, path_.empty() ? name : path_ + "." + name, value);
  }
  template <typename T>
  void unless_empty(const char* name, T& value) {
    (*this)(name, value);
  }

 private:
  template <Structure T>
  void read(const Json& json, const std::string& path, T& value) {
    Reader reader(json, path, failure_);
    fields(reader, value);
  }
  void read(const Json& json, const std::string& path, std::string& value) {
    if (!json.is_string()) return fail(path, "text");
    value = json.get<std::string>();
  }
  void read(const Json& json, const std::string& path, bool& value) {
    if (!json.is_boolean()) return fail(path, "true or false");
    value = json.get<bool>();
  }
  void read(const Json& json, const std::string& path, u64& value) {
    if (!json.is_number_unsigned()) return fail(path, "a whole number, 0 or more");
    value = json.get<u64>();
  }
  void read(const Json& json, const std::string& path, double& value) {
    if (!json.is_number()) return fail(path, "a number");
    value = json.get<double>();
  }
  void read(const Json& json, const std::string& path, Verdict& value) {
    const auto verdict = json.is_string() ? verdict_named(json.get<std::string>()) : std::nullopt;
    if (!verdict) return fail(path, "better, worse, same or unclear");
    value = *verdict;
  }
  void read(const Json& json, const std::string& path, Interval& value) {
    if (!is_pair(json)) return fail(path, "two numbers");
    value = {json[0].get<double>(), json[1].get<double>()};
  }
  void read(const Json& json, const std::string& path, PercentilePoint& value) {
    if (!is_pair(json) || !json[1].is_number_unsigned()) return fail(path, "a percentage and whole nanoseconds");
    value = {json[0].get<double>(), json[1].get<u64>()};
  }
  void read(const Json& json, const std::string& path, LatencyBuckets& value) {
    const auto buckets = json.is_string() ? latency_buckets_from(json.get_ref<const std::string&>()) : std::nullopt;
    if (!buckets) return fail(path, "a bucket and the counts from there on");
    value = *buckets;
  }
  template <typename T>
  void read(const Json& json, const std::string& path, std::optional<T>& value) {
    value.reset();
    if (!json.is_null()) read(json, path, value.emplace());
  }
  template <typename T>
  void read(const Json& json, const std::string& path, std::vector<T>& values) {
    if (!json.is_array()) return fail(path, "a list");
    values.clear();
    values.resize(json.size());
    for (std::size_t i = 0; i < json.size(); ++i) read(json[i], path + "[" + std::to_string(i) + "]", values[i]);
  }
  template <typename T>
  void read(const Json& json, const std::string& path, std::map<std::string, T>& values) {
    if (!json.is_object()) return fail(path, "an object");
    values.clear();
    for (const auto& [key, item] : json.items()) read(item, path + "." + key, values[key]);
  }

  static bool is_pair(const Json& json) {
    return json.is_array() && json.size() == 2 && json[0].is_number() && json[1].is_number();
  }
  void fail(const std::string& path, const char* wanted) {
    if (failure_.empty()) failure_ = (path.empty() ? "the document" : path) + " should be " + wanted;
  }

  const Json& object_;
  std::string path_;
  std::string& failure_;
};

template <typename Archive, Is<EngineActivity> Self>
void fields(Archive& archive, Self& self) {
  archive("name", self.name);
  archive("count", self.count);
  archive("bytes", self.bytes);
  archive("p50_ns", self.p50_ns);
  archive("p99_ns", self.p99_ns);
}

template <typename Archive, Is<Round> Self>
void fields(Archive& archive, Self& self) {
  archive("round", self.round);
  archive("position", self.position);
  archive("seed", self.seed);
  archive("measured_seconds", self.measured_seconds);
  archive("operations", self.operations);
  archive("failed_operations", self.failed_operations);
  archive("metrics", self.metrics);
  archive("throughput_mb_s_each_second", self.throughput_mb_s_each_second);
  archive.unless_empty("latency_each_second", self.latency_each_second);
  archive.unless_empty("commits_each_second", self.commits_each_second);
  archive.unless_empty("checkpoints_each_second", self.checkpoints_each_second);
  archive("warmup_seconds", self.warmup_seconds);
  archive("engine", self.engine);
}

template <typename Archive, Is<MetricSummary> Self>
void fields(Archive& archive, Self& self) {
  archive("median", self.median);
  archive("mean", self.mean);
  archive("min", self.min);
  archive("max", self.max);
  archive("relative_spread", self.relative_spread);
  archive("rounds", self.rounds);
}

template <typename Archive, Is<OperationStatistics> Self>
void fields(Archive& archive, Self& self) {
  archive("name", self.name);
  archive("count", self.count);
  archive("failed", self.failed);
  archive("mean_ns", self.mean_ns);
  archive("p50_ns", self.p50_ns);
  archive("p99_ns", self.p99_ns);
  archive("p999_ns", self.p999_ns);
  archive("max_ns", self.max_ns);
  archive("percentiles", self.percentiles);
  archive("histogram", self.histogram);
}

template <typename Archive, Is<TargetResult> Self>
void fields(Archive& archive, Self& self) {
  archive("target", self.target);
  archive("integrity", self.integrity);
  archive("label", self.label);
  archive("variant", self.variant);
  archive("subject", self.subject);
  archive("media", self.media);
  archive("workload", self.workload);
  archive("clients", self.clients);
  archive("options", self.options);
  archive("rounds", self.rounds);
  archive("metrics", self.metrics);
  archive("operations", self.operations);
  archive("notes", self.notes);
}

template <typename Archive, Is<Ratio> Self>
void fields(Archive& archive, Self& self) {
  archive("metric", self.metric);
  archive("numerator", self.numerator);
  archive("denominator", self.denominator);
  archive("media", self.media);
  archive("workload", self.workload);
  archive("clients", self.clients);
  archive("estimate", self.estimate);
  archive("ci95", self.ci95);
  archive("verdict", self.verdict);
  archive("rounds", self.rounds);
  archive("rounds_needed", self.rounds_needed);
  archive("band", self.band);
}

template <typename Archive, Is<CalibrationRow> Self>
void fields(Archive& archive, Self& self) {
  archive("target", self.target);
  archive("reference", self.reference);
  archive("throughput_mb_s_rounds", self.throughput_mb_s_rounds);
  archive("throughput_mb_s", self.throughput_mb_s);
  archive("ns_per_operation", self.ns_per_operation);
  archive("ratio", self.ratio);
  archive("ratio_floor", self.ratio_floor);
  archive("ok", self.ok);
  archive("note", self.note);
}

template <typename Archive, Is<SkippedTarget> Self>
void fields(Archive& archive, Self& self) {
  archive("target", self.target);
  archive("reason", self.reason);
}

template <typename Archive, Is<DeviceInfo> Self>
void fields(Archive& archive, Self& self) {
  archive("path", self.path);
  archive("kind", self.kind);
  archive("model", self.model);
  archive("size_bytes", self.size_bytes);
  archive("logical_sector_bytes", self.logical_sector_bytes);
  archive("scheduler", self.scheduler);
  archive("write_cache", self.write_cache);
  archive("rotational", self.rotational);
  archive("backing", self.backing);
  archive("settings", self.settings);
}

template <typename Archive, Is<Comparison> Self>
void fields(Archive& archive, Self& self) {
  archive("media", self.media);
  archive("device", self.device);
  archive("workload", self.workload);
  archive("clients", self.clients);
  archive("rounds", self.rounds);
  archive("seconds", self.seconds);
  archive("warmup_seconds", self.warmup_seconds);
  archive("size_bytes", self.size_bytes);
  archive("cache_bytes", self.cache_bytes);
  archive("kernel_memory_bytes", self.kernel_memory_bytes);
  archive("kernel_memory_note", self.kernel_memory_note);
  archive("payload", self.payload);
  archive("results", self.results);
  archive("ratios", self.ratios);
  archive("calibration", self.calibration);
  archive("skipped", self.skipped);
}

template <typename Archive, Is<Environment> Self>
void fields(Archive& archive, Self& self) {
  archive("kernel", self.kernel);
  archive("kernel_command_line", self.kernel_command_line);
  archive("cpu", self.cpu);
  archive("governor", self.governor);
  archive("mitigations", self.mitigations);
  archive("virtualization", self.virtualization);
  archive("cores", self.cores);
  archive("memory_bytes", self.memory_bytes);
  archive("commit", self.commit);
  archive("dirty", self.dirty);
  archive("build_type", self.build_type);
  archive("compiler", self.compiler);
  archive("assertions", self.assertions);
  archive("devices", self.devices);
  archive("mounts", self.mounts);
  archive("pins", self.pins);
  archive("programs", self.programs);
  archive("warnings", self.warnings);
}

template <typename Archive, Is<Record> Self>
void fields(Archive& archive, Self& self) {
  archive("started", self.started);
  archive("duration_seconds", self.duration_seconds);
  archive("command_line", self.command_line);
  archive("seed", self.seed);
  archive("environment", self.environment);
  archive("comparisons", self.comparisons);
  archive("caveats", self.caveats);
}

Json metric_legend() {
  Json legend = Json::array();
  for (const MetricDescription& metric : metric_table()) {
    const bool higher = metric.direction == Direction::higher_is_better;
    legend.push_back(Json{{"name", metric.name},
                          {"title", metric.title},
                          {"unit", metric.unit},
                          {"better", higher ? "higher" : "lower"},
                          {"compared", metric.compared}});
  }
  return legend;
}

Json with_schema(const Record& record) {
  Json json = Json::object();
  json["schema"] = record_schema;
  Json body = Writer::write(record);
  for (auto& [key, value] : body.items()) json[key] = std::move(value);
  return json;
}

}  // namespace

void append(Record& record, Record later) {
  record.duration_seconds += later.duration_seconds;
  std::ranges::move(later.comparisons, std::back_inserter(record.comparisons));
  for (std::string& caveat : later.caveats)
    if (std::ranges::find(record.caveats, caveat) == record.caveats.end()) record.caveats.push_back(std::move(caveat));
  std::ranges::move(later.environment.devices, std::back_inserter(record.environment.devices));
  std::ranges::move(later.environment.mounts, std::back_inserter(record.environment.mounts));
}

void set_label(TargetResult& result) {
  result.label = result.integrity.empty() ? result.target : result.target + " (" + result.integrity + ")";
}

EngineActivity engine_activity(const std::vector<EngineActivity>& activities, std::string_view name) {
  for (const EngineActivity& activity : activities)
    if (activity.name == name) return activity;
  return {};
}

std::string to_json(const Record& record) {
  Json json = with_schema(record);
  json["metrics"] = metric_legend();
  json["results"] = Json::array();
  json["ratios"] = Json::array();
  for (const Json& comparison : json["comparisons"]) {
    for (const char* part : {"results", "ratios"}) {
      for (const Json& entry : comparison[part]) json[part].push_back(entry);
    }
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_json_line(const Record& record) {
  Record measured = record;
  for (Comparison& comparison : measured.comparisons) {
    comparison.ratios.clear();
    for (TargetResult& result : comparison.results) result.metrics.clear();
  }
  return with_schema(measured).dump(-1, ' ', false, Json::error_handler_t::replace);
}

cowfs::Result<Record> parse_record(std::string_view text, std::string& reason) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) {
    reason = json_problem(text);
    return Error{Code::record_not_json};
  }
  const auto schema = json.find("schema");
  if (schema == json.end() || *schema != record_schema) {
    const bool named = schema != json.end() && schema->is_string();
    reason = fmt::format("its \"schema\" is {}, and this build reads {}", named ? schema->get<std::string>() : "missing",
                         record_schema);
    return Error{Code::record_schema_unknown};
  }
  Record record;
  reason.clear();
  Reader reader(json, "", reason);
  fields(reader, record);
  if (!reason.empty()) return Error{Code::record_field_invalid};
  return record;
}

}  // namespace cowbench::results
