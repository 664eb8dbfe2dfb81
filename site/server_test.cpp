#include "site/server.h"

#include <gmock/gmock.h>
#include <httplib.h>

#include <filesystem>
#include <thread>

#include "site/store_fixture.h"

namespace cowbench::site {
namespace {

using testing::HasSubstr;

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/cowbench-server-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    const std::string db = directory_ / "results.db";
    std::string reason;
    auto store = store::Store::open(db, store::Store::Access::write, reason);
    ASSERT_TRUE(store.ok()) << reason;
    ASSERT_TRUE(store->add(fixture::make_history({.commits = 3}), reason).ok()) << reason;
    server_ = std::make_unique<Server>(db);
    port_ = server_->bind(0);
    ASSERT_GT(port_, 0);
    thread_ = std::thread([this] { server_->serve(); });
  }
  void TearDown() override {
    (void)client().Get("/runs");  // it is listening, so it can be told to stop
    server_->stop();
    thread_.join();
    std::filesystem::remove_all(directory_);
  }
  httplib::Client client() const { return httplib::Client("127.0.0.1", port_); }

  // What a client of its own words gets.
  std::string raw(const std::string& request) const {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(send(socket, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
    shutdown(socket, SHUT_WR);
    std::string answer;
    char part[4096];
    for (ssize_t got; (got = recv(socket, part, sizeof part, 0)) > 0;) answer.append(part, static_cast<std::size_t>(got));
    close(socket);
    return answer;
  }

  std::filesystem::path directory_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  int port_ = 0;
};

TEST_F(ServerTest, AnswersPagesAndDocuments) {
  const auto page = client().Get("/");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->status, 200);
  EXPECT_THAT(page->body, HasSubstr("<h1>Overview</h1>"));
  EXPECT_EQ(page->get_header_value("Cache-Control"), "no-store");
  EXPECT_EQ(page->get_header_value("X-Content-Type-Options"), "nosniff");
  const auto runs = client().Get("/api/runs");
  ASSERT_TRUE(runs);
  EXPECT_EQ(runs->get_header_value("Content-Type"), "application/json");
  const auto head = client().Head("/api/runs");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->body, "");
}

TEST_F(ServerTest, OnlyReads) {
  const auto posted = client().Post("/api/runs", "{}", "application/json");
  ASSERT_TRUE(posted);
  EXPECT_EQ(posted->status, 405);
  EXPECT_EQ(posted->get_header_value("Allow"), "GET, HEAD");
}

// A page of another site that points its own name at 127.0.0.1 must not read the store.
TEST_F(ServerTest, AnswersOnlyToItsOwnName) {
  for (const char* host : {"evil.example", "evil.example:80", "127.0.0.1.evil.example", ""}) {
    const auto got = client().Get("/api/runs", {{"Host", host}});
    ASSERT_TRUE(got) << host;
    EXPECT_EQ(got->status, 421) << host;
  }
  for (const char* host : {"localhost", "localhost:8400", "127.0.0.1:1", "[::1]:80", "[::1]"}) {
    const auto got = client().Get("/api/runs", {{"Host", host}});
    ASSERT_TRUE(got) << host;
    EXPECT_EQ(got->status, 200) << host;
  }
}

TEST_F(ServerTest, PathsLeadNowhereElse) {
  for (const char* path : {"/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/run/..%2f..%2fetc%2fpasswd", "/%00", "/results.db"}) {
    const auto got = client().Get(path);
    ASSERT_TRUE(got) << path;
    EXPECT_EQ(got->status, 404) << path;
  }
}

TEST_F(ServerTest, OutlivesNonsense) {
  const std::string host = "Host: localhost\r\n";
  std::string ranges = "bytes=0-1";
  while (ranges.size() < 8000) ranges += ",0-1";
  for (const std::string& request :
       {std::string("\r\n\r\n"), std::string("GET\r\n\r\n"), std::string("GET / HTTP/9.9\r\n\r\n"), std::string(1 << 16, 'A'),
        "GET /" + std::string(8000, '%') + " HTTP/1.1\r\n" + host + "\r\n", "GET /" + std::string(20000, 'a') + " HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" + host + "Range: " + ranges + "\r\n\r\n",
        "POST / HTTP/1.1\r\n" + host + "Content-Length: 99999999999\r\n\r\n",
        "GET /?a=" + std::string(7000, '&') + " HTTP/1.1\r\n" + host + "\r\n"}) {
    (void)raw(request);
  }
  const auto got = client().Get("/");
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 200);
}

TEST_F(ServerTest, APortIsTakenOnce) {
  Server second((directory_ / "results.db").string());
  EXPECT_EQ(second.bind(port_), 0);
}

}  // namespace
}  // namespace cowbench::site
