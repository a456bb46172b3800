//! Keeps ServiceCIDRs: ready, and protected from deletion while addresses would be left without a range. Woken by
//! changes of ServiceCIDRs, and of IPAddresses only while a deletion waits for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::select_all;
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_base::{Backoff, Shutdown};
use serde_json::{Value, json};

use super::addresses::{IP_ADDRESSES, SERVICE_CIDRS, ranges_in};
use crate::cache::{Filter, WatchReader, WatchStart};
use crate::config::Error;
use crate::registry::{Hand, time_text};
use crate::server::Server;

pub(super) const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

const READY: &str = "Kubernetes Service CIDR is ready";
const BLOCKED: &str =
    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";

/// Until every server knows of a deletion, one may still give an address from the range.
const GRACE_SECONDS: i64 = 10;

/// Several changes at once are one look.
const PAUSE: Duration = Duration::from_millis(100);

/// What a ServiceCIDR needs.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    /// The finalizer, and to be ready.
    Protect,
    /// To say why it is still there.
    Block,
    Wait(Duration),
    Release,
}

fn plan(cidr: &Value, all: &[Arc<Value>], addresses: &[IpAddr], now: Timestamp) -> Step {
    let protected = finalizers(cidr).any(|finalizer| finalizer == FINALIZER);
    let deleted: Option<Timestamp> =
        cidr["metadata"]["deletionTimestamp"].as_str().and_then(|time| time.parse().ok());
    let Some(deleted) = deleted else {
        return if protected && says(cidr, "True", READY) { Step::Nothing } else { Step::Protect };
    };
    if !protected {
        return Step::Nothing;
    }
    if is_used(cidr, all, addresses) {
        return if says(cidr, "False", BLOCKED) { Step::Nothing } else { Step::Block };
    }
    match u64::try_from(deleted.as_second() + GRACE_SECONDS - now.as_second()) {
        Ok(seconds @ 1..) => Step::Wait(Duration::from_secs(seconds)),
        _ => Step::Release,
    }
}

fn finalizers(cidr: &Value) -> impl Iterator<Item = &str> {
    crate::registry::meta::strings(&cidr["metadata"]["finalizers"])
}

fn says(cidr: &Value, status: &str, message: &str) -> bool {
    let mut conditions = cidr["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|c| c["type"] == "Ready" && c["status"] == status && c["message"] == message)
}

/// An address of it would be in no range without it.
fn is_used(cidr: &Value, all: &[Arc<Value>], addresses: &[IpAddr]) -> bool {
    let others = || {
        let other = |o: &&Arc<Value>| o["metadata"]["name"] != cidr["metadata"]["name"];
        all.iter().filter(other).flat_map(|o| ranges_in(o))
    };
    let own: Vec<_> = ranges_in(cidr).filter(|own| !others().any(|other| other.contains(own))).collect();
    let within = addresses.iter().filter(|address| own.iter().any(|range| range.holds(**address)));
    within.into_iter().any(|address| !others().any(|range| range.holds(*address)))
}

fn set_condition(cidr: &mut Value, status: &str, reason: &str, message: &str) {
    if !cidr["status"].is_object() {
        cidr["status"] = json!({});
    }
    let list = cidr["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let was = list.iter().find(|c| c["type"] == "Ready" && c["status"] == status);
    let since =
        was.map_or_else(|| time_text(Timestamp::now()).into(), |was| was["lastTransitionTime"].clone());
    let mut list: Vec<Value> = list.into_iter().filter(|c| c["type"] != "Ready").collect();
    list.push(json!({
        "type": "Ready", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    }));
    cidr["status"]["conditions"] = list.into();
}

fn change(cidr: &mut Value, step: &Step) {
    match step {
        Step::Nothing | Step::Wait(_) => {}
        Step::Protect if cidr["metadata"]["deletionTimestamp"].is_null() => {
            if !finalizers(cidr).any(|finalizer| finalizer == FINALIZER) {
                let mut list = cidr["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                list.push(FINALIZER.into());
                cidr["metadata"]["finalizers"] = list.into();
            }
            if !says(cidr, "True", READY) {
                set_condition(cidr, "True", "", READY);
            }
        }
        // The deletion has begun in between.
        Step::Protect => {}
        Step::Block => set_condition(cidr, "False", "Terminating", BLOCKED),
        Step::Release => {
            let left: Vec<Value> =
                finalizers(cidr).filter(|finalizer| *finalizer != FINALIZER).map(Value::from).collect();
            if let Some(meta) = cidr["metadata"].as_object_mut() {
                if left.is_empty() {
                    meta.remove("finalizers");
                } else {
                    meta.insert("finalizers".into(), left.into());
                }
            }
        }
    }
}

/// What is to be waited for after a look.
#[derive(Default)]
struct Outlook {
    addresses: bool,
    at_most: Option<Duration>,
}

/// Keeps them until the shutdown.
pub(crate) async fn keep(server: &Arc<Server>, stop: Shutdown) -> Result<(), Error> {
    let work = async {
        let mut backoff = Backoff::doubling(Duration::from_millis(100), Duration::from_secs(30)).start();
        let mut with_addresses = false;
        loop {
            // Watched first, looked at then: no change falls between.
            let mut readers = watch(server, with_addresses);
            let outlook = match look(server).await {
                Ok(outlook) => outlook,
                Err(status) => {
                    tracing::warn!(%status, "a ServiceCIDR could not be kept");
                    tokio::time::sleep(backoff.next_delay()).await;
                    continue;
                }
            };
            backoff.reset();
            if outlook.addresses && !with_addresses {
                with_addresses = true;
                continue;
            }
            with_addresses = outlook.addresses;
            let change = select_all(readers.iter_mut().map(|reader| reader.next().boxed()));
            match outlook.at_most {
                // Whichever comes first is a reason to look again.
                Some(wait) => drop(tokio::time::timeout(wait, change).await),
                None => drop(change.await),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    // The shutdown ends it.
    let _: Option<()> = stop.or(work).await;
    Ok(())
}

fn watch(server: &Server, with_addresses: bool) -> Vec<WatchReader> {
    let watch = |resource| {
        let revision = server.cache.revision();
        let cached = server.resources.cached(resource)?;
        // The newest revision is never too old.
        cached.watch(Filter::default(), WatchStart::After(revision), false, revision).ok()
    };
    let resources = [Some(&*SERVICE_CIDRS), with_addresses.then_some(&*IP_ADDRESSES)];
    resources.into_iter().flatten().filter_map(watch).collect()
}

/// Upstream has two controllers of these: one keeps the server's own range, the other all others.
fn hand_for(cidr: &Value) -> Hand {
    let own = cidr["metadata"]["name"] == "kubernetes";
    Hand::status_of(if own { "kubernetes-service-cidr-controller" } else { "service-cidr-controller" })
}

async fn look(server: &Arc<Server>) -> Result<Outlook, Status> {
    let all = server.objects.list(&SERVICE_CIDRS, "");
    let mut outlook = Outlook::default();
    let deleting = all.iter().any(|cidr| !cidr["metadata"]["deletionTimestamp"].is_null());
    let addresses: Vec<IpAddr> = if deleting {
        let objects = server.objects.list(&IP_ADDRESSES, "");
        objects.iter().filter_map(|a| a["metadata"]["name"].as_str()?.parse().ok()).collect()
    } else {
        Vec::new()
    };
    let Some(cached) = server.resources.cached(&SERVICE_CIDRS) else { return Ok(outlook) };
    for cidr in &all {
        outlook.addresses |= !cidr["metadata"]["deletionTimestamp"].is_null();
        let step = plan(cidr, &all, &addresses, Timestamp::now());
        match step {
            Step::Nothing => continue,
            Step::Wait(wait) => {
                outlook.at_most = Some(outlook.at_most.map_or(wait, |at_most| at_most.min(wait)));
                continue;
            }
            Step::Protect | Step::Block | Step::Release => {}
        }
        let name = cidr["metadata"]["name"].as_str().unwrap_or_default();
        let changed = server.registry.amend(&cached.storage, ("", name), |cidr| {
            let status = cidr["status"].clone();
            change(cidr, &step);
            if cidr["status"] == status {
                return Ok(());
            }
            let mut told = std::mem::replace(&mut cidr["status"], status);
            // The condition is applied, without a reason where there is none.
            if let Some(fields) = told["conditions"][0].as_object_mut() {
                fields.retain(|_, value| value != "");
            }
            hand_for(cidr).apply_in(&cached.storage, cidr, &told)
        });
        changed.await?;
        tracing::debug!(name, ?step, "a ServiceCIDR was kept");
    }
    Ok(outlook)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(name: &str, range: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {"cidrs": [range]}})
    }

    #[test]
    fn a_range_is_protected_and_ready() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
        let mut fresh = cidr("a", "10.0.0.0/24");
        assert_eq!(plan(&fresh, &[], &[], now), Step::Protect);
        change(&mut fresh, &Step::Protect);
        assert_eq!(fresh["metadata"]["finalizers"], json!([FINALIZER]));
        assert_eq!(fresh["status"]["conditions"][0]["status"], "True");
        assert_eq!(plan(&fresh, &[], &[], now), Step::Nothing);
    }

    #[test]
    fn a_range_in_use_stays() {
        let now: Timestamp = "2026-01-01T00:00:04Z".parse().expect("a time");
        let check = |other: Option<&str>, address: &str, later: i64, want: Step| {
            let mut cidr = cidr("a", "10.0.0.0/24");
            change(&mut cidr, &Step::Protect);
            cidr["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            let mut all = vec![Arc::new(cidr.clone())];
            all.extend(other.map(|range| Arc::new(self::cidr("b", range))));
            let now = Timestamp::from_second(now.as_second() + later).expect("a time");
            let addresses = [address.parse().expect("an address")];
            assert_eq!(plan(&cidr, &all, &addresses, now), want, "{other:?} {address} {later}");
        };
        check(None, "10.0.0.7", 60, Step::Block);
        check(None, "10.0.1.7", 0, Step::Wait(Duration::from_secs(6)));
        check(None, "10.0.1.7", 6, Step::Release);
        check(Some("10.0.0.0/16"), "10.0.0.7", 60, Step::Release);
        check(Some("10.0.0.0/28"), "10.0.0.7", 60, Step::Release);
        check(Some("10.0.0.0/28"), "10.0.0.77", 60, Step::Block);
    }

    #[test]
    fn a_released_range_has_no_finalizer() {
        let mut cidr = cidr("a", "10.0.0.0/24");
        change(&mut cidr, &Step::Protect);
        change(&mut cidr, &Step::Block);
        assert_eq!(cidr["status"]["conditions"][0]["reason"], "Terminating");
        change(&mut cidr, &Step::Release);
        assert!(cidr["metadata"].get("finalizers").is_none());
    }
}
