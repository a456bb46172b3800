//! What happens in the runtime: its event stream wakes the workers. A slow relist is insurance; where a runtime has no event
//! stream the relist is all there is, and runs every second.

use std::collections::HashMap;
use std::time::Duration;

use oarlock_base::{Backoff, Shutdown};
use oarlock_cri::v1::{GetEventsRequest, ListContainersRequest, ListPodSandboxRequest};
use oarlock_cri::{CallError, Client};
use tracing::{debug, info, warn};

use crate::manager::Manager;
use crate::observed::LABEL_POD_UID;
use crate::pod::PodUid;

const RELIST: Duration = Duration::from_secs(60);
const RELIST_WITHOUT_EVENTS: Duration = Duration::from_secs(1);
const RECONNECT: Backoff = Backoff::doubling(Duration::from_millis(50), Duration::from_secs(5));

/// The state of every sandbox and container by pod, as the relist compares it.
type Picture = HashMap<PodUid, Vec<(String, i32)>>;

/// Follows the event stream; comes back when it is lost, and wakes everybody then, because events may be missing.
pub(crate) async fn follow_events(
    cri: Client,
    manager: Manager,
    stop: Shutdown,
) -> Result<(), std::convert::Infallible> {
    let mut retry = RECONNECT.start();
    while !stop.is_triggered() {
        match stop.or(follow(&cri, &manager)).await {
            None => break,
            Some(Err(error)) if error.is_unimplemented() => {
                info!("the runtime has no event stream; relisting instead");
                stop.or(relist(&cri, &manager, RELIST_WITHOUT_EVENTS)).await;
                break;
            }
            Some(ended) => {
                if let Err(error) = ended {
                    debug!(%error, "the event stream ended");
                } else {
                    retry.reset();
                }
                manager.wake_all();
                stop.or(tokio::time::sleep(retry.next_delay())).await;
            }
        }
    }
    Ok(())
}

async fn follow(cri: &Client, manager: &Manager) -> Result<(), CallError> {
    let mut events = cri.get_container_events(GetEventsRequest {}).await?;
    manager.wake_all();
    loop {
        match events.message().await {
            Ok(Some(event)) => {
                let uid = event
                    .pod_sandbox_status
                    .and_then(|sandbox| sandbox.metadata)
                    .map(|metadata| metadata.uid);
                match uid {
                    Some(uid) => manager.wake(&PodUid::new(&uid)),
                    None => manager.wake_all(),
                }
            }
            Ok(None) => return Ok(()),
            Err(status) if status.code() == oarlock_cri::Code::DataLoss => manager.wake_all(),
            Err(status) if status.code() == oarlock_cri::Code::Unimplemented => {
                let (code, message) = (status.code(), status.message().to_owned());
                return Err(CallError { method: "GetContainerEvents", code, message });
            }
            Err(status) => {
                debug!(%status, "the event stream broke");
                return Ok(());
            }
        }
    }
}

/// The insurance.
pub(crate) async fn relist_slowly(
    cri: Client,
    manager: Manager,
    stop: Shutdown,
) -> Result<(), std::convert::Infallible> {
    stop.or(relist(&cri, &manager, RELIST)).await;
    Ok(())
}

async fn relist(cri: &Client, manager: &Manager, period: Duration) {
    let mut before = Picture::new();
    loop {
        tokio::time::sleep(period).await;
        match picture(cri).await {
            Ok(now) => {
                let changed =
                    now.iter().filter(|(uid, states)| before.get(uid) != Some(states)).map(|(uid, _)| uid);
                let gone = before.keys().filter(|uid| !now.contains_key(uid));
                changed.chain(gone).for_each(|uid| manager.wake(uid));
                before = now;
            }
            Err(error) => warn!(%error, "relist"),
        }
    }
}

async fn picture(cri: &Client) -> Result<Picture, CallError> {
    let mut picture = Picture::new();
    let sandboxes = cri.list_pod_sandbox(ListPodSandboxRequest::default()).await?.items;
    let containers = cri.list_containers(ListContainersRequest::default()).await?.containers;
    let all = sandboxes
        .into_iter()
        .map(|sandbox| (sandbox.labels, sandbox.id, sandbox.state))
        .chain(containers.into_iter().map(|container| (container.labels, container.id, container.state)));
    for (labels, id, state) in all {
        if let Some(uid) = labels.get(LABEL_POD_UID) {
            picture.entry(PodUid::new(uid)).or_default().push((id, state));
        }
    }
    picture.values_mut().for_each(|states| states.sort());
    Ok(picture)
}
