// The process writes each operation into a pipe before it does it, then what was wrong; whatever ends it, what it wrote is there.
#include "engine/sim/seed_apart.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "engine/base/assert.h"

namespace cowfs::sim {
namespace {

constexpr char problem_mark = '!';
constexpr char end_mark = '=';

void run_into(const SeedOptions& options, std::FILE* pipe) {
  SeedOptions watched = options;
  watched.watch = [pipe](std::size_t round, std::size_t client, const Operation& operation) {
    std::fprintf(pipe, "%zu %zu %s\n", round, client, to_text(operation).c_str());
  };
  const SeedResult result = run_seed(watched);
  for (const std::string& problem : result.problems) std::fprintf(pipe, "%c%s\n", problem_mark, problem.c_str());
  std::fprintf(pipe, "%c%" PRIx64 " %s\n", end_mark, result.trace_hash, result.configuration.c_str());
}

void add_operation(const char* line, Script& script) {
  std::size_t round = 0;
  std::size_t client = 0;
  int text_at = 0;
  if (std::sscanf(line, "%zu %zu %n", &round, &client, &text_at) != 2) return;
  std::optional<Operation> operation = parse_operation(line + text_at);
  if (!operation) return;  // the process ended in the middle of it
  script.resize(std::max(script.size(), round + 1));
  script[round].resize(std::max(script[round].size(), client + 1));
  script[round][client].push_back(std::move(*operation));
}

void read_from(std::FILE* pipe, SeedResult& result) {
  char* line = nullptr;
  std::size_t capacity = 0;
  for (ssize_t length = 0; (length = ::getline(&line, &capacity, pipe)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = '\0';
    if (line[0] == problem_mark) {
      result.problems.push_back(line + 1);
    } else if (line[0] == end_mark) {
      char* configuration = nullptr;
      result.trace_hash = std::strtoull(line + 1, &configuration, 16);
      result.configuration = configuration + 1;
    } else {
      add_operation(line, result.script);
    }
  }
  std::free(line);
}

struct Place {
  std::size_t round;
  std::size_t client;
  std::size_t index;
};

std::vector<Place> places_of(const Script& script) {
  std::vector<Place> places;
  for (std::size_t round = 0; round < script.size(); ++round) {
    for (std::size_t client = 0; client < script[round].size(); ++client) {
      for (std::size_t i = 0; i < script[round][client].size(); ++i) places.push_back({round, client, i});
    }
  }
  return places;
}

// Without the operations first..end of places_of().
Script without(const Script& script, std::size_t first, std::size_t end) {
  const std::vector<Place> places = places_of(script);
  Script rest(script.size());
  for (std::size_t round = 0; round < script.size(); ++round) rest[round].resize(script[round].size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto [round, client, index] = places[i];
    if (i < first || i >= end) rest[round][client].push_back(script[round][client][index]);
  }
  return rest;
}

}  // namespace

SeedResult run_seed_apart(const SeedOptions& options) {
  int ends[2];
  const bool piped = ::pipe(ends) == 0;
  assert(piped);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  assert(child >= 0);
  if (child == 0) {
    ::close(ends[0]);
    std::FILE* pipe = ::fdopen(ends[1], "w");
    std::setvbuf(pipe, nullptr, _IOLBF, 0);
    (void)!std::freopen("/dev/null", "w", stderr);
    run_into(options, pipe);
    std::fclose(pipe);
    ::_exit(0);
  }
  ::close(ends[1]);
  SeedResult result;
  std::FILE* pipe = ::fdopen(ends[0], "r");
  read_from(pipe, result);
  std::fclose(pipe);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) result.problems.push_back(std::string("ended by ") + strsignal(WTERMSIG(status)));
  result.operations = operation_count(result.script);
  return result;
}

Script shorten(const SeedOptions& options, Script script, u64 runs_max) {
  SeedOptions replay = options;
  const auto fails = [&](const Script& candidate) {
    --runs_max;
    replay.script = candidate;
    return !run_seed_apart(replay).problems.empty();
  };
  for (std::size_t chunk = std::max<std::size_t>(operation_count(script) / 2, 1); runs_max > 0;) {
    bool shorter = false;
    for (std::size_t first = 0; first < operation_count(script) && runs_max > 0;) {
      Script candidate = without(script, first, first + chunk);
      if (fails(candidate)) {
        script = std::move(candidate);
        shorter = true;
      } else {
        first += chunk;
      }
    }
    if (chunk == 1 && !shorter) break;
    if (!shorter || chunk > 1) chunk = std::max<std::size_t>(chunk / 2, 1);
  }
  return script;
}

}  // namespace cowfs::sim
