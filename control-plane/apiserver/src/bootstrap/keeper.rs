//! Keeps what the server itself owns while it runs: the `kubernetes` Service, what stands behind it, the system
//! namespaces and what other servers are to believe come back when somebody takes or changes them. Woken by changes of just these objects; by a timer
//! only where the store is shared, to renew this server's lease.

use std::sync::Arc;
use std::time::Duration;

use oarlock_api::GroupResource;
use oarlock_api::selector::FieldSelector;
use oarlock_base::Backoff;

use super::identity::Identity;
use super::{NAMESPACES, Plan, create_namespaces, kubernetes, masters, trust};
use crate::cache::{Changes, Filter};
use crate::config::Error;
use crate::server::Server;

/// Resources whose object `kubernetes` in `default` is kept.
const KEPT: [(&str, &str); 3] = [("", "services"), ("", "endpoints"), ("discovery.k8s.io", "endpointslices")];

/// A change is answered after this, so that two who disagree do not spin.
const PAUSE: Duration = Duration::from_secs(1);

/// Never ends by itself.
pub(super) async fn keep(server: &Arc<Server>, plan: &Plan) {
    let mut believed = server.believed.subscribe();
    let identity = Identity::new();
    let mut backoff = Backoff::doubling(PAUSE, masters::PERIOD).start();
    loop {
        // Watched first, repaired then: no change falls between.
        let mut changes = watch(server);
        believed.mark_unchanged();
        match repair(server, plan, &identity).await {
            Ok(()) => {
                backoff.reset();
                let change = async {
                    tokio::select! {
                        () = changes.any() => {}
                        // The server, which holds the other end, is ours.
                        _ = believed.changed() => {}
                    }
                };
                if server.registry.store.is_shared() {
                    // This server's lease must be renewed too, and those of others may have ended.
                    drop(tokio::time::timeout(masters::PERIOD, change).await);
                } else {
                    change.await;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a system object could not be kept");
                // Another one may need us meanwhile.
                drop(tokio::time::timeout(backoff.next_delay(), changes.any()).await);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn repair(server: &Arc<Server>, plan: &Plan, identity: &Identity) -> Result<(), Error> {
    create_namespaces(server).await?;
    trust::publish(server).await?;
    if server.registry.store.is_shared() && server.features.is_on("APIServerIdentity") {
        identity.renew(server).await?;
    }
    kubernetes::publish_service(server, plan).await?;
    kubernetes::publish_servers(server, plan).await
}

fn watch(server: &Server) -> Changes {
    let kept = KEPT.iter().map(|(group, resource)| (*group, *resource, "default", kubernetes::NAME));
    let namespaces = NAMESPACES.iter().map(|name| ("", "namespaces", "", *name));
    let trust = ("", "configmaps", trust::NAMESPACE, trust::NAME);
    let watched = kept.chain(namespaces).chain([trust]).map(|(group, resource, namespace, name)| {
        let fields = Arc::new(FieldSelector::equals("metadata.name", name));
        let filter = Filter { namespace: namespace.into(), fields, ..Filter::default() };
        (GroupResource::new(group, resource), filter)
    });
    Changes::of(&server.resources, &server.cache, watched)
}
