//! `/healthz`, `/livez`, `/readyz`: named checks, alone or together.

use std::time::Duration;

use http::{Response, StatusCode};

use crate::body::Body;
use crate::encode;
use crate::request_info::Query;
use crate::server::Server;

/// The checks of each endpoint, in upstream's order as far as they exist here.
const LIVE: [&str; 2] = ["ping", "etcd"];
const READY: [&str; 8] = [
    "ping",
    "etcd",
    "etcd-readiness",
    "informer-sync",
    "poststarthook/start-system-namespaces-controller",
    "poststarthook/rbac/bootstrap-roles",
    "poststarthook/scheduling/bootstrap-system-priority-classes",
    "shutdown",
];

pub(super) async fn serve(server: &Server, segments: &[&str], query: &Query) -> Response<Body> {
    let endpoint = segments[0];
    let checks: &[&str] = if endpoint == "livez" { &LIVE } else { &READY };
    if segments.len() > 1 {
        let wanted = segments[1..].join("/");
        let Some(check) = checks.iter().find(|check| **check == wanted) else {
            return encode::text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        return match check_one(server, check).await {
            Ok(()) => encode::text(StatusCode::OK, "ok"),
            Err(why) => {
                encode::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
            }
        };
    }
    let excluded: Vec<&str> = query.all("exclude").collect();
    let mut told = String::new();
    let mut failed = false;
    for check in checks {
        if excluded.contains(check) {
            told.push_str(&format!("[+]{check} excluded: ok\n"));
            continue;
        }
        match check_one(server, check).await {
            Ok(()) => told.push_str(&format!("[+]{check} ok\n")),
            Err(why) => {
                tracing::warn!(check, %why, "a health check failed");
                failed = true;
                told.push_str(&format!("[-]{check} failed: reason withheld\n"));
            }
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

/// One check; the error is why it fails. `ping` asks only whether there is an answer.
async fn check_one(server: &Server, check: &str) -> Result<(), String> {
    match check {
        "etcd" | "etcd-readiness" => store_answers(server).await,
        "informer-sync" if !server.cache.is_following() => {
            Err("the watch cache does not follow the store".into())
        }
        "shutdown" if server.stopping.is_triggered() => Err("process is shutting down".into()),
        check if check.starts_with("poststarthook/") && !*server.ready.borrow() => Err("not finished".into()),
        _ => Ok(()),
    }
}

/// How long the store may take to read one key.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Whether the store can be read now.
pub(crate) async fn store_answers(server: &Server) -> Result<(), String> {
    let read = server.registry.store.get(b"/registry/health", None);
    match tokio::time::timeout(STORE_PATIENCE, read).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("the store does not answer".into()),
    }
}
