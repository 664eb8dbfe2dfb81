#include "site/server.h"

#include <httplib.h>

#include <array>

#include "site/router.h"

namespace cowbench::site {
namespace {

constexpr const char* loopback = "127.0.0.1";

bool is_own_name(const std::string& host) {
  constexpr std::array<std::string_view, 3> names{"127.0.0.1", "localhost", "[::1]"};
  const auto port = host.find_last_of(':');
  const bool has_port = port != host.npos && host.find(']', port) == host.npos;
  const std::string name = has_port ? host.substr(0, port) : host;
  return std::ranges::find(names, name) != names.end();
}

void respond(const std::string& db, const httplib::Request& in, httplib::Response& out) {
  Request request{in.method, in.path, {}};
  for (const auto& [name, value] : in.params) request.query.emplace(name, value);
  Answer answered = is_own_name(in.get_header_value("Host"))
                        ? answer(db, request)
                        : Answer{421, "text/plain", "this server answers to 127.0.0.1 and localhost only\n"};
  out.status = answered.status;
  if (answered.status == 405) out.set_header("Allow", "GET, HEAD");
  out.set_header("Cache-Control", "no-store");
  out.set_header("Content-Security-Policy", "frame-ancestors 'none'");
  out.set_header("Referrer-Policy", "no-referrer");
  out.set_header("X-Content-Type-Options", "nosniff");
  out.set_content(std::move(answered.body), answered.type);
}

}  // namespace

class Server::Http : public httplib::Server {};

Server::Server(const std::string& db) : http_(std::make_unique<Http>()) {
  // Before routing, which would match paths by regular expressions and read bodies.
  http_->set_pre_routing_handler([db](const httplib::Request& in, httplib::Response& out) {
    respond(db, in, out);
    return httplib::Server::HandlerResponse::Handled;
  });
  http_->set_keep_alive_max_count(1);  // what follows an unread body is not a request
  // By default a second server could share the port.
  http_->set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
}

Server::~Server() = default;

int Server::bind(int port) {
  if (port == 0) return std::max(http_->bind_to_any_port(loopback), 0);
  return http_->bind_to_port(loopback, port) ? port : 0;
}

void Server::serve() { http_->listen_after_bind(); }

void Server::stop() { http_->stop(); }

}  // namespace cowbench::site
