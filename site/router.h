// What is answered to a request: the pages of the site, and the same as JSON under /api. The store is only read, anew for
// each request; nothing else of the machine can be reached, whatever the path says.
#pragma once
#include <map>
#include <string>

namespace cowbench::site {

struct Request {
  std::string method;
  std::string path;                          // decoded, without the query
  std::map<std::string, std::string> query;  // decoded
};

struct Answer {
  int status = 200;
  std::string type;
  std::string body;
};

// `db`: the file of the store. Statuses: 404: there is no such page, run, series or host; 405: not GET or HEAD; 422: the
// query makes no sense; 500: the store cannot be read, and why.
Answer answer(const std::string& db, const Request& request);

}  // namespace cowbench::site
