//! `/healthz`, `/livez`, `/readyz`: named checks, alone or together, in upstream's words. What there is to check is told
//! by `checks`; what an outside store or plugin said is remembered for a moment, for anybody may ask.

mod checks;
mod remembered;
mod told;

use std::time::{Duration, Instant};

use http::{Response, StatusCode};

use crate::body::Body;
use crate::encode;
use crate::request_info::Query;
use crate::server::Server;
use checks::{Check, Probe};
pub(crate) use checks::{Endpoint, Parts};
use remembered::Remembered;
use told::Told;

/// How long its answer is good for.
const STORE_MEMORY: Duration = Duration::from_secs(1);

/// What this server checks.
pub(crate) struct Health {
    checks: Vec<Check>,
    store: Remembered,
    told: Told,
    /// How long the store may take to read one key, by whether readiness is asked for.
    patience: (Duration, Duration),
    /// Until when `/livez` waits for what is done at the start.
    grace: Instant,
}

impl Health {
    pub(crate) fn new(parts: &Parts) -> Self {
        Self {
            checks: checks::of(parts),
            store: Remembered::new(STORE_MEMORY),
            told: Told::new(),
            patience: parts.store_patience,
            grace: Instant::now() + parts.livez_grace,
        }
    }

    /// The paths of all checks, without the query.
    pub(crate) fn paths(&self) -> impl Iterator<Item = String> {
        Endpoint::ALL.into_iter().flat_map(|endpoint| {
            let root = endpoint.name();
            let each = self.of(endpoint).map(move |check| format!("/{root}/{}", check.name));
            std::iter::once(format!("/{root}")).chain(each)
        })
    }

    /// The text of `/metrics/slis`.
    pub(crate) fn print(&self) -> Vec<u8> {
        self.told.print()
    }

    fn of(&self, endpoint: Endpoint) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.is_at(endpoint))
    }
}

/// Answers `/readyz`, `/readyz/etcd` and their like; `None` is no path of a check.
pub(crate) async fn serve(server: &Server, segments: &[&str], query: &Query) -> Option<Response<Body>> {
    let (root, rest) = segments.split_first()?;
    let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.name() == *root)?;
    if rest.is_empty() {
        return Some(all(server, endpoint, query).await);
    }
    let wanted = rest.join("/");
    let check = server.health.of(endpoint).find(|check| check.name == wanted)?;
    Some(match ask(server, endpoint, check).await {
        Ok(()) => encode::page("ok"),
        Err(why) => {
            encode::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
        }
    })
}

async fn all(server: &Server, endpoint: Endpoint, query: &Query) -> Response<Body> {
    let root = endpoint.name();
    let excluded: Vec<&str> = query.all("exclude").collect();
    let (mut told, mut failed) = (String::new(), false);
    for check in server.health.of(endpoint) {
        let name = &*check.name;
        if excluded.contains(&name) {
            told.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match ask(server, endpoint, check).await {
            Ok(()) => told.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                tracing::warn!(check = name, %why, "a health check failed");
                failed = true;
                // Anybody may ask; why it fails is told to those who may ask for the check alone.
                told.push_str(&format!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    told.push_str(&unknown(server, endpoint, &excluded));
    if failed {
        told.push_str(&format!("{root} check failed\n"));
        return encode::text(StatusCode::INTERNAL_SERVER_ERROR, told);
    }
    if query.get("verbose").is_none() {
        return encode::text(StatusCode::OK, "ok");
    }
    told.push_str(&format!("{root} check passed\n"));
    encode::text(StatusCode::OK, told)
}

/// A line about names that no check has.
fn unknown(server: &Server, endpoint: Endpoint, excluded: &[&str]) -> String {
    let known = |name: &str| server.health.of(endpoint).any(|check| check.name == name);
    let mut names: Vec<String> =
        excluded.iter().filter(|name| !known(name)).map(|name| format!("{name:?}")).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return String::new();
    }
    format!("warn: some health checks cannot be excluded: no matches for {}\n", names.join(","))
}

/// One check; the error is why it fails.
async fn ask(server: &Server, endpoint: Endpoint, check: &Check) -> Result<(), String> {
    let mut answer = look(server, check).await;
    // What a server does once at its start may take long, and is no reason to start it again.
    if endpoint == Endpoint::Livez && check.is_hook() && Instant::now() < server.health.grace {
        answer = Ok(());
    }
    server.health.told.note(endpoint.name(), &check.name, answer.is_ok());
    answer
}

async fn look(server: &Server, check: &Check) -> Result<(), String> {
    let done = |done: bool| done.then_some(()).ok_or_else(|| "not finished".to_string());
    match check.probe {
        Probe::Answering => Ok(()),
        Probe::Store => store_within(server, server.health.patience.0).await,
        Probe::StoreReady => store_within(server, server.health.patience.1).await,
        Probe::Following if server.cache.is_following() => Ok(()),
        Probe::Following => Err("the watch cache does not follow the store".into()),
        Probe::SystemObjects => done(*server.ready.borrow()),
        Probe::FlowObjects => done(*server.flow_objects.borrow()),
        Probe::Plugins => match &server.encryption {
            Some(encryption) => encryption.kms_providers().await,
            None => Ok(()),
        },
        Probe::Stopping if server.stopping.is_triggered() => Err("process is shutting down".into()),
        Probe::Stopping => Ok(()),
    }
}

/// Whether the store can be read now, or could be a moment ago.
pub(crate) async fn store_answers(server: &Server) -> Result<(), String> {
    store_within(server, server.health.patience.0).await
}

async fn store_within(server: &Server, patience: Duration) -> Result<(), String> {
    let read = async {
        let read = server.registry.store.get(b"/registry/health", None);
        match tokio::time::timeout(patience, read).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store does not answer".into()),
        }
    };
    server.health.store.or_ask(read).await
}
