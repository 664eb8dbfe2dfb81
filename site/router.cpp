#include "site/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "site/documents.h"
#include "site/openapi_internal.h"
#include "site/pages.h"

namespace cowbench::site {
namespace {

using cowfs::Result;
using store::SeriesKey;
using store::Store;

constexpr std::string_view api = "/api";

class Answering {
 public:
  Answering(const Store& store, const Request& request, bool as_document)
      : store_(store), query_(request.query), as_document_(as_document) {}

  Answer overview() const {
    const auto series = view_all(store_, reason_);
    if (!series) return broken();
    return as_document_ ? document(overview_document(*series)) : page(overview_page(*series));
  }

  Answer runs() const {
    const auto listed = store_.list(reason_);
    if (!listed) return broken();
    if (as_document_) return document(runs_document(*listed));
    const auto proposal = propose(*listed);
    return proposal ? page(runs_page(*listed, *proposal)) : broken();
  }

  Answer run(const std::string& id) const {
    const auto summary = store_.find(id, reason_);
    if (!summary) return missing(reason_);
    const auto loaded = store_.load(summary->id, reason_);
    if (!loaded) return broken();
    return as_document_ ? document(results::to_json(loaded->record)) : page(run_page(*summary, *loaded));
  }

  Answer series(const std::string& id) const {
    const auto keys = store_.series(reason_);
    if (!keys) return broken();
    const auto key = std::ranges::find(*keys, id, [](const SeriesKey& candidate) { return id_of(candidate); });
    if (key == keys->end()) return missing("there is no series " + id);
    const auto asked = query_.find("control");
    const std::string control = asked == query_.end() ? default_control(*keys, *key) : asked->second;
    const auto controls = controls_of(*keys, *key);
    if (!control.empty() && std::ranges::find(controls, control) == controls.end())
      return refuse(422, control + " did not run under the same load");
    const auto view = view_series(store_, *keys, *key, control, reason_);
    if (!view) return broken();
    return as_document_ ? document(series_document(*view)) : page(series_page(*view, *keys));
  }

  Answer compare() const {
    const auto listed = store_.list(reason_);
    if (!listed) return broken();
    Comparing comparing{text("a"), text("b"), text("a-target"), text("b-target"), !text("different-promises").empty()};
    if (comparing.a.empty() && comparing.b.empty() && !as_document_) {
      const auto proposal = propose(*listed);
      if (!proposal) return broken();
      comparing.a = proposal->a;
      comparing.b = proposal->b;
      return page(compare_page(comparing, {}, *listed));
    }
    const auto a = store_.load(comparing.a, reason_);
    if (!a) return missing(reason_);
    const auto b = store_.load(comparing.b, reason_);
    if (!b) return missing(reason_);
    // One run named twice is one record: its rounds are pairs.
    const bool same_run = id_of(*a) == id_of(*b);
    const results::Side left{comparing.a, &a->record, comparing.a_target};
    const results::Side right{comparing.b, same_run ? &a->record : &b->record, comparing.b_target};
    results::VersusOptions options;
    options.different_promises = comparing.different_promises;
    results::Versus versus = compare_sides(left, right, options);
    if (as_document_) return document(compare_document(versus, comparing.a, comparing.b, options.band));
    return page(compare_page(comparing, Compared{&*a, &*b, std::move(versus)}, *listed));
  }

  Answer hosts() const {
    const auto all = view_hosts(store_, reason_);
    if (!all) return broken();
    return as_document_ ? document(hosts_document(*all)) : page(hosts_page(*all));
  }

  Answer host(const std::string& fingerprint) const {
    const auto all = view_hosts(store_, reason_);
    if (!all) return broken();
    const auto found = std::ranges::find(*all, fingerprint, &HostView::fingerprint);
    if (found == all->end()) return missing("there is no host " + fingerprint);
    if (as_document_) return document(hosts_document({&*found, 1}));
    const auto series = view_all(store_, reason_);
    if (!series) return broken();
    return page(host_page(*found, *series));
  }

  Answer refuse(int status, const std::string& message) const {
    return as_document_ ? Answer{status, "application/json", error_document(status, message)}
                        : Answer{status, "text/html; charset=utf-8", error_page(status, message)};
  }
  Answer missing(const std::string& message) const { return refuse(404, message); }

 private:
  static Answer page(std::string html) { return {200, "text/html; charset=utf-8", std::move(html)}; }
  static Answer document(std::string json) { return {200, "application/json", std::move(json)}; }
  Answer broken() const { return refuse(500, reason_); }
  // The newest run, and the one before it of the same series; where there is none, the one before it of any.
  Result<Proposal> propose(std::span<const store::RunSummary> runs) const {
    if (runs.empty()) return Proposal{};
    const auto before = store_.predecessor(runs.back(), reason_);
    if (!before) return before.error();
    return Proposal{*before ? (*before)->id : runs[runs.size() < 2 ? 0 : runs.size() - 2].id, runs.back().id};
  }
  std::string text(const std::string& name) const {
    const auto found = query_.find(name);
    return found == query_.end() ? "" : found->second;
  }

  const Store& store_;
  const std::map<std::string, std::string>& query_;
  bool as_document_;
  mutable std::string reason_;
};

struct Place {
  std::string_view path;
  std::function<Answer(const Answering&)> answer;
};
struct Collection {
  std::string_view prefix;
  std::function<Answer(const Answering&, const std::string&)> answer;
};

// Pages and documents have the same names, except for the overview and for one run.
const std::vector<Place>& places() {
  static const std::vector<Place> all{{"/", &Answering::overview},        {"/api/overview", &Answering::overview},
                                      {"/runs", &Answering::runs},        {"/api/runs", &Answering::runs},
                                      {"/compare", &Answering::compare},  {"/api/compare", &Answering::compare},
                                      {"/hosts", &Answering::hosts},      {"/api/hosts", &Answering::hosts}};
  return all;
}
const std::vector<Collection>& collections() {
  static const std::vector<Collection> all{{"/run/", &Answering::run},       {"/api/runs/", &Answering::run},
                                           {"/series/", &Answering::series}, {"/api/series/", &Answering::series},
                                           {"/hosts/", &Answering::host},    {"/api/hosts/", &Answering::host}};
  return all;
}

Answer without_store(const std::string& path, int status, const std::string& message) {
  if (path.starts_with(api)) return {status, "application/json", error_document(status, message)};
  return {status, "text/html; charset=utf-8", error_page(status, message)};
}

}  // namespace

Answer answer(const std::string& db, const Request& request) {
  const std::string& path = request.path;
  if (request.method != "GET" && request.method != "HEAD")
    return without_store(path, 405, "the store can only be read here");
  if (path == "/api/openapi.json") return {200, "application/json", std::string(openapi())};
  std::string reason;
  const auto store = Store::open(db, Store::Access::read, reason);
  if (!store) return without_store(path, 500, reason);
  const Answering answering(*store, request, path.starts_with(api));
  for (const Place& place : places())
    if (place.path == path) return place.answer(answering);
  for (const Collection& collection : collections()) {
    const std::string name = path.starts_with(collection.prefix) ? path.substr(collection.prefix.size()) : "";
    if (!name.empty()) return collection.answer(answering, name);
  }
  return answering.missing("there is no page " + path);
}

}  // namespace cowbench::site
