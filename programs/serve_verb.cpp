// cowbench serve: the site of a store, on loopback.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "programs/verb.h"
#include "site/server.h"

namespace cowbench::programs {
namespace {

struct ServeOptions {
  std::string db = store::default_path();
  int port = 8400;
};

int serve(const ServeOptions& options) {
  if (!open_store(options.db, store::Store::Access::read)) return exit_bad_input;
  site::Server server(options.db);
  const int port = server.bind(options.port);
  if (port == 0)
    return report_failure({harness::FailureKind::request, fmt::format("port {} is taken", options.port),
                           "--port names another, and 0 takes any that is free"});
  fmt::print("http://127.0.0.1:{}/ shows {}; Ctrl-C ends it\n", port, options.db);
  std::fflush(stdout);
  server.serve();
  return exit_ok;
}

}  // namespace

void add_serve_verb(CLI::App& program, int& exit_code) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* verb = program.add_subcommand(
      "serve", "Show a store as a site in the browser: on this machine only, and nothing can be changed through it");
  verb->add_option("--db", options->db, "The store")->capture_default_str();
  verb->add_option("--port", options->port, "0 takes any free one")->capture_default_str()->check(CLI::Range(0, 65535));
  verb->callback([options, &exit_code] { exit_code = serve(*options); });
}

}  // namespace cowbench::programs
