//! Tokens that stand in secrets: the secret's label says on which day its token was used last, so that one that nobody uses
//! can be found and taken away.

use std::convert::Infallible;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use oarlock_apiserver_access::User;
use oarlock_apiserver_access::authentication::LegacyTokenUse;
use oarlock_base::Shutdown;
use serde_json::json;
use tokio::sync::mpsc;

use crate::server::Connector;

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// Uses that wait to be written; what is over is told again by the next use.
const WAITING_MAX: usize = 64;

struct Use {
    namespace: String,
    secret: String,
    day: String,
}

/// Hears of uses, and never waits.
pub(crate) struct Teller(mpsc::Sender<Use>);

/// Uses in the order in which they were heard of.
pub(crate) struct Uses(mpsc::Receiver<Use>);

pub(crate) fn queue() -> (Teller, Uses) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Teller(sender), Uses(receiver))
}

impl LegacyTokenUse for Teller {
    fn used(&self, namespace: &str, secret: &str, day: &str) {
        let heard = Use { namespace: namespace.into(), secret: secret.into(), day: day.into() };
        // A full queue, or one at its end: the next use of the token tells again.
        let _ = self.0.try_send(heard);
    }
}

/// Writes the labels until the shutdown.
pub(crate) async fn mark(connector: Connector, uses: Uses, stop: Shutdown) -> Result<(), Infallible> {
    let Uses(mut uses) = uses;
    let groups = vec!["system:masters".into(), "system:authenticated".into()];
    let client = connector.client(User { name: "system:apiserver".into(), groups, ..User::default() });
    let mut last = None;
    while let Some(Some(Use { namespace, secret, day })) = stop.or(uses.recv()).await {
        // The same token in a burst of requests: the cache may not have seen the label yet.
        let this = (namespace, secret, day);
        if last.as_ref() == Some(&this) {
            continue;
        }
        let (namespace, secret, day) = &this;
        let patch = json!({"metadata": {"labels": {LAST_USED: day}}});
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        match secrets.patch(secret, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => last = Some(this),
            Err(error) => {
                tracing::warn!(%error, namespace, secret, "the last use of a token could not be noted");
            }
        }
    }
    Ok(())
}
