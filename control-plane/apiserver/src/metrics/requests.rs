//! What is counted of each request. The series of a kind of request is made once; a request then finds it by one look and
//! counts without making a text.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, StatusCode};
use parking_lot::RwLock;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use crate::request_info::{Query, RequestInfo};

/// Upstream's, in seconds.
const DURATIONS: &[f64] = oarlock_telemetry::DURATION_BUCKETS;
/// Upstream's, in bytes.
const SIZES: [f64; 7] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Components of a cluster that are told apart by name.
const SYSTEM_CLIENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// What a request says of itself besides where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    method: &'static str,
    applies: bool,
    dry_run: &'static str,
    system_client: &'static str,
    /// What it names is served, as far as is known.
    served: bool,
}

impl Asked {
    /// Of something that is not served: its names become no labels, for there is no end of them.
    pub(crate) fn of_nothing_served(self) -> Self {
        Self { served: false, ..self }
    }

    pub(crate) fn of(method: &Method, headers: &HeaderMap, query: &Query) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let agent = text(&USER_AGENT).split_once('/').map_or("", |(name, _)| name);
        Self {
            method: method_label(method),
            applies: *method == Method::PATCH && text(&CONTENT_TYPE) == "application/apply-patch+yaml",
            dry_run: match query.get("dryRun") {
                None | Some("") => "",
                Some("All") => "All",
                Some(_) => "invalid",
            },
            system_client: SYSTEM_CLIENTS.into_iter().find(|known| *known == agent).unwrap_or_default(),
            served: true,
        }
    }
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// What tells kinds of requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    verb: &'static str,
    dry_run: &'static str,
    group: &'a str,
    version: &'a str,
    resource: &'a str,
    subresource: &'a str,
    scope: &'static str,
    component: &'static str,
}

impl<'a> Key<'a> {
    /// Anybody may ask for anything: only what is served may become a label.
    fn of(info: &'a RequestInfo, asked: Asked, known: bool) -> Self {
        let Asked { method, dry_run, .. } = asked;
        let key = Self {
            verb: method,
            dry_run,
            group: "",
            version: "",
            resource: "",
            subresource: "",
            scope: "",
            component: "",
        };
        if !known {
            return key;
        }
        if !info.is_resource {
            let (resource, subresource, component) = page(&info.path);
            return Self { resource, subresource, component, ..key };
        }
        Self {
            verb: verb(info, asked),
            group: &info.group,
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            scope: scope(info),
            component: "apiserver",
            ..key
        }
    }

    fn without_dry_run(&self) -> [&str; 7] {
        [self.component, self.group, self.resource, self.scope, self.subresource, self.verb, self.version]
    }
}

/// (`metrics.CleanVerb`)
fn verb(info: &RequestInfo, asked: Asked) -> &'static str {
    match (info.verb.as_str(), info.subresource.as_str()) {
        (_, "exec" | "attach" | "portforward" | "proxy") => "CONNECT",
        ("watch", _) => "WATCH",
        ("list", _) => "LIST",
        _ if asked.applies => "APPLY",
        _ => asked.method,
    }
}

/// (`metrics.CleanScope`)
pub(super) fn scope(info: &RequestInfo) -> &'static str {
    match (info.is_resource, info.name.is_empty() && info.verb != "create", info.namespace.is_empty()) {
        (false, ..) => "",
        (_, false, _) => "resource",
        (_, true, false) => "namespace",
        (_, true, true) => "cluster",
    }
}

/// How what is no resource is told: as resource and subresource, and of which component.
fn page(path: &str) -> (&'static str, &'static str, &'static str) {
    match path.trim_end_matches('/') {
        "/api" => ("", "api", "apiserver"),
        "/apis" => ("", "apis", "apiserver"),
        "/statusz" => ("statusz", "", "apiserver"),
        "/flagz" => ("flagz", "", "apiserver"),
        "/openapi/v2" => ("", "openapi/v2", ""),
        "/openapi/v3" => ("", "openapi/v3", ""),
        path if path.starts_with("/openapi/v3/") => ("", "openapi/v3/", ""),
        path => {
            let health = ["/healthz", "/livez", "/readyz"];
            let root = health.into_iter().find(|root| path == *root || path.starts_with(&format!("{root}/")));
            ("", root.unwrap_or_default(), "")
        }
    }
}

/// The counters of one kind of request.
struct Series {
    key: OwnedKey,
    duration: Histogram,
    size: Histogram,
    codes: RwLock<Vec<(StatusCode, &'static str, IntCounter)>>,
}

/// A key that lives by itself.
struct OwnedKey {
    texts: [String; 4],
    statics: [&'static str; 4],
}

impl OwnedKey {
    fn is(&self, key: &Key<'_>) -> bool {
        self.statics == [key.verb, key.dry_run, key.scope, key.component]
            && self.texts == [key.group, key.version, key.resource, key.subresource]
    }
}

pub(super) struct Requests {
    total: IntCounterVec,
    durations: HistogramVec,
    sizes: HistogramVec,
    hasher: RandomState,
    /// By the hash of their key; there is more than one where hashes collide.
    series: RwLock<HashMap<u64, Vec<Arc<Series>>>>,
}

impl Requests {
    pub(super) fn new(registry: &Registry) -> Self {
        let valid = "the name and labels are constants";
        let total = Opts::new(
            "apiserver_request_total",
            "[STABLE] Requests by verb, dry run, resource, scope, component, code and client.",
        );
        let durations = HistogramOpts::new(
            "apiserver_request_duration_seconds",
            "[STABLE] How long requests took, in seconds.",
        );
        let sizes = HistogramOpts::new(
            "apiserver_response_sizes",
            "[STABLE] The size of answers to reads, in bytes.",
        );
        let requests = Self {
            total: IntCounterVec::new(
                total,
                &[
                    "code",
                    "component",
                    "dry_run",
                    "group",
                    "resource",
                    "scope",
                    "subresource",
                    "system_client",
                    "verb",
                    "version",
                ],
            )
            .expect(valid),
            durations: HistogramVec::new(
                durations.buckets(DURATIONS.to_vec()),
                &["component", "dry_run", "group", "resource", "scope", "subresource", "verb", "version"],
            )
            .expect(valid),
            sizes: HistogramVec::new(
                sizes.buckets(SIZES.to_vec()),
                &["component", "group", "resource", "scope", "subresource", "verb", "version"],
            )
            .expect(valid),
            hasher: RandomState::new(),
            series: RwLock::default(),
        };
        let twice = "every name is registered once";
        registry.register(Box::new(requests.total.clone())).expect(twice);
        registry.register(Box::new(requests.durations.clone())).expect(twice);
        registry.register(Box::new(requests.sizes.clone())).expect(twice);
        requests
    }

    /// A request was answered; `size` where it is known before the answer is sent.
    pub(super) fn observe(
        &self,
        info: &RequestInfo,
        asked: Asked,
        code: StatusCode,
        size: Option<u64>,
        took: Duration,
    ) {
        let refused = [StatusCode::NOT_FOUND, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
        let key = Key::of(info, asked, asked.served && !refused.contains(&code));
        let series = self.series(&key);
        self.count(&series, &key, code, asked.system_client);
        if key.verb != "WATCH" {
            series.duration.observe(took.as_secs_f64());
        }
        if let (Some(size), "GET" | "LIST") = (size, key.verb) {
            series.size.observe(size as f64);
        }
    }

    fn series(&self, key: &Key<'_>) -> Arc<Series> {
        let hash = self.hasher.hash_one(key);
        let found = |all: &Vec<Arc<Series>>| all.iter().find(|series| series.key.is(key)).cloned();
        if let Some(series) = self.series.read().get(&hash).and_then(found) {
            return series;
        }
        let mut all = self.series.write();
        let all = all.entry(hash).or_default();
        if let Some(series) = found(all) {
            return series;
        }
        let series = Arc::new(self.new_series(key));
        all.push(series.clone());
        series
    }

    fn new_series(&self, key: &Key<'_>) -> Series {
        let plain = key.without_dry_run();
        let [component, group, resource, scope, subresource, verb, version] = plain;
        Series {
            key: OwnedKey {
                texts: [group, version, resource, subresource].map(str::to_string),
                statics: [key.verb, key.dry_run, key.scope, key.component],
            },
            duration: self.durations.with_label_values(&[
                component,
                key.dry_run,
                group,
                resource,
                scope,
                subresource,
                verb,
                version,
            ]),
            size: self.sizes.with_label_values(&plain),
            codes: RwLock::default(),
        }
    }

    fn count(&self, series: &Series, key: &Key<'_>, code: StatusCode, client: &'static str) {
        if let Some((.., counter)) =
            series.codes.read().iter().find(|(known, of, _)| *known == code && *of == client)
        {
            counter.inc();
            return;
        }
        let counter = self.total.with_label_values(&[
            code.as_str(),
            key.component,
            key.dry_run,
            key.group,
            key.resource,
            key.scope,
            key.subresource,
            client,
            key.verb,
            key.version,
        ]);
        counter.inc();
        // Another who came first has the same counter.
        series.codes.write().push((code, client, counter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The labels of a request as `verb dry_run group/version resource/subresource scope component`.
    fn check(method: Method, uri: &str, headers: &[(&str, &str)], want: &str) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = Query::parse(query);
        let info = RequestInfo::parse(&method, path, &query);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a name");
            map.insert(name, value.parse().expect("a value"));
        }
        let asked = Asked::of(&method, &map, &query);
        let Key { verb, dry_run, group, version, resource, subresource, scope, component } =
            Key::of(&info, asked, true);
        let got = format!(
            "{verb} {dry_run} {group}/{version} {resource}/{subresource} {scope} {component} {}",
            asked.system_client
        );
        assert_eq!(got, want, "{method} {uri}");
    }

    #[test]
    fn labels_are_upstreams() {
        let pods = "/api/v1/namespaces/a/pods";
        let apply = [("content-type", "application/apply-patch+yaml")];
        let scheduler = [("user-agent", "kube-scheduler/v1.36")];
        check(Method::GET, pods, &scheduler, "LIST  /v1 pods/ namespace apiserver kube-scheduler");
        check(Method::GET, "/api/v1/pods?watch=1", &[], "WATCH  /v1 pods/ cluster apiserver ");
        check(Method::GET, &format!("{pods}/p"), &[], "GET  /v1 pods/ resource apiserver ");
        check(Method::HEAD, &format!("{pods}/p"), &[], "GET  /v1 pods/ resource apiserver ");
        check(Method::POST, &format!("{pods}?dryRun=All"), &[], "POST All /v1 pods/ resource apiserver ");
        check(Method::PATCH, &format!("{pods}/p"), &apply, "APPLY  /v1 pods/ resource apiserver ");
        check(Method::DELETE, pods, &[], "DELETE  /v1 pods/ namespace apiserver ");
        check(Method::POST, &format!("{pods}/p/exec"), &[], "CONNECT  /v1 pods/exec resource apiserver ");
        check(Method::GET, "/livez/etcd", &[], "GET  / //livez   ");
        check(Method::GET, "/openapi/v3/api/v1", &[], "GET  / /openapi/v3/   ");
        check(Method::GET, "/apis/", &[], "GET  / /apis  apiserver ");
        check(Method::OPTIONS, "/odd", &[], "other  / /   ");
    }

    #[test]
    fn each_kind_of_request_is_counted_by_itself() {
        let registry = Registry::new();
        let requests = Requests::new(&registry);
        let query = Query::default();
        let seen = |path: &str, code: StatusCode| {
            let info = RequestInfo::parse(&Method::GET, path, &query);
            let asked = Asked::of(&Method::GET, &HeaderMap::new(), &query);
            requests.observe(&info, asked, code, Some(2000), Duration::from_millis(7));
        };
        for _ in 0..3 {
            seen("/api/v1/pods", StatusCode::OK);
        }
        seen("/api/v1/pods", StatusCode::GONE);
        seen("/api/v1/nobody-has-this", StatusCode::NOT_FOUND);
        let throttled = RequestInfo::parse(&Method::GET, "/api/v1/nor-this", &query);
        let asked = Asked::of(&Method::GET, &HeaderMap::new(), &query).of_nothing_served();
        requests.observe(&throttled, asked, StatusCode::TOO_MANY_REQUESTS, None, Duration::ZERO);
        let total = |labels: [&str; 10]| requests.total.with_label_values(&labels).get();
        assert_eq!(total(["200", "apiserver", "", "", "pods", "cluster", "", "", "LIST", "v1"]), 3);
        assert_eq!(total(["410", "apiserver", "", "", "pods", "cluster", "", "", "LIST", "v1"]), 1);
        assert_eq!(total(["404", "", "", "", "", "", "", "", "GET", ""]), 1);
        assert_eq!(total(["429", "", "", "", "", "", "", "", "GET", ""]), 1);
        let sizes = requests.sizes.with_label_values(&["apiserver", "", "pods", "cluster", "", "LIST", "v1"]);
        assert_eq!((sizes.get_sample_count(), sizes.get_sample_sum()), (4, 8000.0));
        assert_eq!(requests.series.read().len(), 2);
    }
}
