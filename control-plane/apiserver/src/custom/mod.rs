//! Custom resources: definitions are watched, compiled, and put into the index of what is served.
//!
//! A definition whose content changes gets a new cache; who watched the old one is told by the end of its stream and
//! comes again. The plans are of the crate `custom`; here is what they ask to be done.

mod cleanup;
mod groups;
mod rows;
mod versions;
mod webhook;

pub(crate) use rows::Rows;
pub(crate) use versions::{entries, to_version, to_version_at_once};
pub(crate) use webhook::Caller;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_custom::{compile, needs_cleanup, plan_status};
use oarlock_base::{Backoff, Shutdown};
use serde_json::Value;

use crate::aggregate::api_services;
use crate::cache::{Changes, Filter};
use crate::config::Error;
use crate::registry::{Hand, Resources};
use crate::server::Server;

/// Several changes at once are one look.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn definitions() -> GroupResource {
    GroupResource::new("apiextensions.k8s.io", "customresourcedefinitions")
}

/// What is known of one definition: what was compiled, and from what.
struct Known {
    uid: String,
    source: Source,
    rows: Rows,
}

/// The parts of a definition that its rows are made of.
#[derive(Debug, PartialEq)]
struct Source {
    generation: i64,
    accepted: Value,
    established: bool,
    terminating: bool,
}

impl Source {
    fn of(definition: &Value) -> Self {
        let is = |kind: &str| {
            let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|c| c["type"] == kind && c["status"] == "True")
        };
        Self {
            generation: definition["metadata"]["generation"].as_i64().unwrap_or(0),
            accepted: definition["status"]["acceptedNames"].clone(),
            established: is("Established"),
            terminating: is("Terminating"),
        }
    }
}

/// The definitions that are served now.
#[derive(Default)]
pub(crate) struct Definitions {
    known: HashMap<String, Known>,
}

/// Keeps the index true to the definitions until the shutdown.
pub(crate) async fn run(server: &Arc<Server>, mut state: Definitions, stop: Shutdown) -> Result<(), Error> {
    let work = async {
        let mut backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(10)).start();
        loop {
            // Watched first, looked at then: no change falls between.
            let watched = [definitions(), api_services().clone()].map(|watched| (watched, Filter::default()));
            let mut changes = Changes::of(&server.resources, &server.cache, watched);
            match reconcile(server, &mut state).await {
                Ok(()) => {
                    backoff.reset();
                    changes.any().await;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(status) => {
                    tracing::warn!(%status, "custom resources could not be brought up to date");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    };
    // The shutdown ends it.
    let _: Option<()> = stop.or(work).await;
    Ok(())
}

async fn reconcile(server: &Arc<Server>, state: &mut Definitions) -> Result<(), Status> {
    let all = server.objects.list(&definitions(), "");
    // Served first, told then: who reads that a definition is established asks for its objects at once.
    state.take_in(server, &planned(&all)).await?;
    write_statuses(server, &all).await?;
    groups::keep(server).await?;
    for definition in all.iter().filter(|definition| needs_cleanup(definition)) {
        cleanup::begin(server, definition).await?;
    }
    Ok(())
}

/// The definitions as they are about to be.
fn planned(all: &[Arc<Value>]) -> Vec<Arc<Value>> {
    let plan = |definition: &Arc<Value>| {
        let status = plan_status(definition, all.iter().map(|other| &**other), Timestamp::now());
        let Some(status) = status else { return definition.clone() };
        let mut planned = Value::clone(definition);
        planned["status"] = status;
        Arc::new(planned)
    };
    all.iter().map(plan).collect()
}

async fn write_statuses(server: &Arc<Server>, all: &[Arc<Value>]) -> Result<(), Status> {
    for definition in all {
        let plan =
            |definition: &Value| plan_status(definition, all.iter().map(|other| &**other), Timestamp::now());
        if plan(definition).is_some() {
            let change = |object: &mut Value| {
                if let Some(status) = plan(object) {
                    object["status"] = status;
                }
                Ok(())
            };
            amend(server, definition, change).await?;
        }
    }
    Ok(())
}

/// Changes a definition as the server itself.
async fn amend<T>(server: &Server, definition: &Value, change: T) -> Result<(), Status>
where
    T: Fn(&mut Value) -> Result<(), Status> + Send + Sync,
{
    let Some(cached) = server.resources.cached(&definitions()) else { return Ok(()) };
    let name = definition["metadata"]["name"].as_str().unwrap_or_default();
    server.registry.amend_as(&cached.storage, ("", name), Hand::STATUS, change).await.map(drop)
}

impl Definitions {
    /// What is served at the start, before anybody is let in: from the caches' first reading.
    pub(crate) async fn at_start(server: &Arc<Server>) -> Result<Self, Status> {
        let mut state = Self::default();
        let all = server.objects.list(&definitions(), "");
        state.take_in(server, &all).await?;
        Ok(state)
    }

    /// Compiles what is new or has changed, forgets what is gone, and swaps the index where anything differs.
    async fn take_in(&mut self, server: &Arc<Server>, all: &[Arc<Value>]) -> Result<(), Status> {
        let mut dismissed = Vec::new();
        let names: Vec<&str> =
            all.iter().map(|d| d["metadata"]["name"].as_str().unwrap_or_default()).collect();
        let gone: Vec<String> =
            self.known.keys().filter(|name| !names.contains(&name.as_str())).cloned().collect();
        dismissed.extend(gone.iter().filter_map(|name| self.known.remove(name)));
        for (definition, name) in all.iter().zip(&names) {
            let (source, uid) =
                (Source::of(definition), definition["metadata"]["uid"].as_str().unwrap_or_default());
            if self.known.get(*name).is_some_and(|known| known.source == source && known.uid == uid) {
                continue;
            }
            dismissed.extend(self.known.remove(*name));
            if !source.established {
                continue;
            }
            match compile(definition) {
                Ok(resource) => {
                    let rows = Rows::of(resource);
                    server.cache.adopt(rows.cache.clone()).await.map_err(crate::registry::store_failed)?;
                    self.known.insert((*name).to_string(), Known { uid: uid.to_string(), source, rows });
                }
                Err(error) => tracing::warn!(name, %error, "a custom resource definition cannot be served"),
            }
        }
        let now = server.resources.now();
        if !dismissed.is_empty() || self.known.len() != now.customs() {
            server
                .resources
                .swap(Resources::builtin_with(&now, self.known.values().map(|known| &known.rows)));
            dismissed.iter().for_each(|known| server.cache.dismiss(&known.rows.cache));
        }
        Ok(())
    }
}
