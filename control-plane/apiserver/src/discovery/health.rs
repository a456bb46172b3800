//! `/healthz`, `/livez`, `/readyz`: named checks, alone or together.

use http::{Response, StatusCode};

use crate::body::Body;
use crate::encode;
use crate::request_info::Query;
use crate::server::Server;

/// The checks of each endpoint, in upstream's order as far as they exist here.
const LIVE: [&str; 3] = ["ping", "log", "etcd"];
const READY: [&str; 8] = [
    "ping",
    "log",
    "etcd",
    "informer-sync",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "shutdown",
];

pub(super) fn serve(server: &Server, segments: &[&str], query: &Query) -> Response<Body> {
    let endpoint = segments[0];
    let checks: &[&str] = if endpoint == "livez" { &LIVE } else { &READY };
    if segments.len() > 1 {
        let wanted = segments[1..].join("/");
        let Some(check) = checks.iter().find(|check| **check == wanted) else {
            return encode::text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        return match passes(server, check) {
            true => encode::text(StatusCode::OK, "ok"),
            false => encode::text(StatusCode::INTERNAL_SERVER_ERROR, "internal server error: not ready\n"),
        };
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut told = String::new();
    let mut failed = false;
    for check in checks {
        if excluded.contains(check) {
            told.push_str(&format!("[+]{check} excluded: ok\n"));
        } else if passes(server, check) {
            told.push_str(&format!("[+]{check} ok\n"));
        } else {
            failed = true;
            told.push_str(&format!("[-]{check} failed: reason withheld\n"));
        }
    }
    let unknown: Vec<String> =
        excluded.iter().filter(|name| !checks.contains(name)).map(|name| format!("{name:?}")).collect();
    if !unknown.is_empty() {
        told.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            unknown.join(",")
        ));
    }
    if failed {
        told.push_str(&format!("{endpoint} check failed\n"));
        return encode::text(StatusCode::INTERNAL_SERVER_ERROR, told);
    }
    if query.get("verbose").is_none() {
        return encode::text(StatusCode::OK, "ok");
    }
    told.push_str(&format!("{endpoint} check passed\n"));
    encode::text(StatusCode::OK, told)
}

fn passes(server: &Server, check: &str) -> bool {
    match check {
        "shutdown" => !server.draining.is_triggered(),
        check if check.starts_with("poststarthook/") => *server.ready.borrow(),
        _ => true,
    }
}
