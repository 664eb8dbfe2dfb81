// The site over HTTP, for browsers on this machine: it listens on 127.0.0.1 only, reads one store, and answers only
// requests that were made to this machine's own name (a foreign page cannot reach it through a name of its own).
#pragma once
#include <memory>
#include <string>

namespace cowbench::site {

class Server {
 public:
  // `db`: the file of the store.
  explicit Server(const std::string& db);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // 0 takes any free port. Returns the port; 0 when it is taken.
  int bind(int port);
  // After bind(). Returns after stop(), which may come from another thread.
  void serve();
  void stop();

 private:
  class Http;
  std::unique_ptr<Http> http_;
};

}  // namespace cowbench::site
