//! Keeps the objects of flow control that every cluster has, and the conditions of FlowSchemas. Woken by changes of just
//! these objects.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::Annotations;
use oarlock_apiserver_flow::{FLOW_SCHEMAS, Maintenance, PRIORITY_LEVELS, dangling, maintain};
use oarlock_base::{Backoff, Shutdown};
use serde_json::{Value, json};

use crate::cache::{Changes, Filter};
use crate::config::Error;
use crate::registry::{DeleteOptions, Hand, Served, Write, time_text};
use crate::server::Server;

/// As upstream's two controllers of these objects call themselves.
const PRODUCER: Hand = Hand::named("api-priority-and-fairness-config-producer-v1");
const CONSUMER: Hand = Hand::status_of("api-priority-and-fairness-config-consumer-v1");

/// Several changes at once are one look.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps them until the shutdown.
pub(crate) async fn keep(server: &Arc<Server>, stop: Shutdown) -> Result<(), Error> {
    let work = async {
        let mut backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(30)).start();
        loop {
            // Watched first, repaired then: no change falls between.
            let watched = kinds().map(|resource| (resource, Filter::default()));
            let mut changes = Changes::of(&server.resources, &server.cache, watched);
            match repair(server).await {
                Ok(()) => {
                    backoff.reset();
                    server.flow_objects.send_replace(true);
                    changes.any().await;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(status) => {
                    tracing::warn!(%status, "an object of flow control could not be kept");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    };
    // The shutdown ends it.
    let _: Option<()> = stop.or(work).await;
    Ok(())
}

fn kinds() -> [GroupResource; 2] {
    [PRIORITY_LEVELS.clone(), FLOW_SCHEMAS.clone()]
}

async fn repair(server: &Arc<Server>) -> Result<(), Status> {
    let bootstrap = oarlock_api::table::bootstrap_objects();
    for resource in kinds() {
        let wanted = bootstrap.get(&*resource.resource).and_then(Value::as_array);
        let existing = server.objects.list(&resource, "");
        for action in maintain(wanted.map_or(&[], Vec::as_slice), &existing) {
            act(server, &resource, action).await?;
        }
    }
    let (levels, schemas) =
        (server.objects.list(&PRIORITY_LEVELS, ""), server.objects.list(&FLOW_SCHEMAS, ""));
    for (name, condition) in dangling(&schemas, &levels, &time_text(Timestamp::now())) {
        tell(server, &name, &condition).await?;
    }
    Ok(())
}

fn served(server: &Server, resource: &GroupResource) -> Result<Arc<Served>, Status> {
    let found = server.resources.known(&resource.group, "v1", &resource.resource);
    found.ok_or_else(Status::page_not_found)
}

async fn act(server: &Arc<Server>, resource: &GroupResource, action: Maintenance) -> Result<(), Status> {
    let served = served(server, resource)?;
    let user = Arc::new(crate::bootstrap::system_user());
    let annotations = Annotations::default();
    let mut write = Write::of_server(&user, &annotations);
    let done = match action {
        Maintenance::Create(mut object) => {
            crate::decode::default(&served, &mut object);
            PRODUCER.record((&served.schema(), &served.gvk), true, None, &mut object);
            server.registry.create(&served, "", object, &mut write).await.map(drop)
        }
        Maintenance::Update(object) => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_string();
            let place = ("", name.as_str());
            let change = |current: &Value| {
                let mut new = object.clone();
                PRODUCER.record((&served.schema(), &served.gvk), true, Some(current), &mut new);
                Ok(new)
            };
            server.registry.update(&served, place, &mut write, None, change).await.map(drop)
        }
        Maintenance::Delete { name, resource_version } => {
            let options =
                DeleteOptions { resource_version: Some(resource_version), ..DeleteOptions::default() };
            server.registry.delete(&served, ("", &name), &options, &mut write).await.map(drop)
        }
    };
    match done {
        // Another server was quicker; its change wakes us.
        Err(status) if matches!(&*status.reason, "AlreadyExists" | "Conflict" | "NotFound") => Ok(()),
        other => other,
    }
}

async fn tell(server: &Arc<Server>, name: &str, condition: &Value) -> Result<(), Status> {
    let served = served(server, &FLOW_SCHEMAS)?;
    let storage = crate::registry::stored(&served)?;
    let status = |_: &Value| json!({"conditions": [condition]});
    server.registry.apply_status(storage, ("", name), CONSUMER, status).await.map(drop)
}
