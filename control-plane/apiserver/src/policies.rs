//! What the expressions of ValidatingAdmissionPolicies say of types, kept in their status.

use std::sync::Arc;
use std::time::Duration;

use oarlock_api::GroupResource;
use oarlock_apiserver_admission::type_check;
use oarlock_base::{Backoff, Shutdown};
use serde_json::Value;

use crate::cache::{Changes, Filter};
use crate::config::Error;
use crate::registry::Hand;
use crate::server::Server;

/// Several changes at once are one look.
const PAUSE: Duration = Duration::from_millis(20);

/// Upstream's controller.
const CHECKER: Hand = Hand::status_of("validatingadmissionpolicy-status");

fn policies() -> GroupResource {
    GroupResource::new("admissionregistration.k8s.io", "validatingadmissionpolicies")
}

/// Checks whatever policy has changed, until the shutdown.
pub(crate) async fn run(server: &Arc<Server>, stop: Shutdown) -> Result<(), Error> {
    let work = async {
        let mut backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(30)).start();
        loop {
            // Watched first, checked then: no change falls between.
            let watched = [(policies(), Filter::default())];
            let mut changes = Changes::of(&server.resources, &server.cache, watched);
            match check_all(server).await {
                Ok(()) => {
                    backoff.reset();
                    changes.any().await;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(status) => {
                    tracing::warn!(%status, "the status of a policy could not be written");
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    };
    // The shutdown ends it.
    let _: Option<()> = stop.or(work).await;
    Ok(())
}

fn is_checked(policy: &Value) -> bool {
    policy["status"]["observedGeneration"] == policy["metadata"]["generation"]
}

async fn check_all(server: &Arc<Server>) -> Result<(), oarlock_api::Status> {
    let Some(cached) = server.resources.cached(&policies()) else { return Ok(()) };
    for policy in server.objects.list(&policies(), "").iter().filter(|policy| !is_checked(policy)) {
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        let surface = &*server.registry.world.surface;
        let status = |object: &Value| type_check(object, surface);
        server.registry.apply_status(&cached.storage, ("", name), CHECKER, status).await?;
    }
    Ok(())
}
