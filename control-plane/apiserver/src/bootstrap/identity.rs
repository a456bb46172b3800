//! That this server exists, for whoever shares its store: a Lease in `kube-system`, under the name that upstream gives a
//! server on this machine. (KEP-1965) Upstream's servers delete those that have not been renewed for an hour.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Action, ensure};
use crate::config::Error;
use crate::server::Server;

/// A server that is silent for so long is gone.
const SECONDS: u64 = 3600;

/// Servers renew several times in this.
const SILENCE: SignedDuration = SignedDuration::from_secs(60);

/// Who this server is.
pub(super) struct Identity {
    name: String,
    host: String,
    holder: String,
}

impl Identity {
    pub(super) fn new() -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost".to_string(),
            host => host.to_string(),
        };
        let name = name_on(&host, "kube-apiserver");
        let holder = format!("{name}_{}", uuid::Uuid::new_v4());
        Self { name, host, holder }
    }

    /// Says again that the server is there.
    pub(super) async fn renew(&self, server: &Arc<Server>) -> Result<(), Error> {
        ensure(server, "leases", self.lease(Timestamp::now()), |existing, expected| {
            let Some(existing) = existing else { return Some(Action::Create) };
            if self.is_held(existing, Timestamp::now()) {
                return None;
            }
            let mut new = existing.clone();
            new["spec"] = expected["spec"].clone();
            Some(Action::Replace(new))
        })
        .await
    }

    /// Whether another server on this machine has this name and lives.
    fn is_held(&self, lease: &Value, now: Timestamp) -> bool {
        let spec = &lease["spec"];
        let renewed = spec["renewTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
        spec["holderIdentity"] != *self.holder
            && renewed.is_some_and(|renewed| now.duration_since(renewed) < SILENCE)
    }

    fn lease(&self, now: Timestamp) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {
                "name": self.name, "namespace": "kube-system",
                "labels": {
                    "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": self.host,
                },
            },
            "spec": {
                "holderIdentity": self.holder, "leaseDurationSeconds": SECONDS,
                "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            },
        })
    }
}

/// Upstream's name for a server on a machine: both told with their lengths, hashed, half of it in base 32.
fn name_on(host: &str, server: &str) -> String {
    let mut hash = Sha256::new();
    for part in [host, server] {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        hash.update(length.to_be_bytes());
        hash.update(&part.as_bytes()[..usize::from(length)]);
    }
    format!("apiserver-{}", base32(&hash.finalize()[..16]))
}

/// RFC 4648 in small letters, without padding.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut text, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(DIGITS[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(char::from(DIGITS[(held << (5 - bits)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_upstreams() {
        assert_eq!(base32(b"foobar"), "mzxw6ytboi");
        // What kube-apiserver 1.36 calls itself on a machine of this name.
        assert_eq!(name_on("vm", "kube-apiserver"), "apiserver-wlv32tlttr4jl3gtroqexyxapa");
    }

    #[test]
    fn a_name_that_another_renews_is_left() {
        let (own, now) = (Identity::new(), Timestamp::UNIX_EPOCH + SignedDuration::from_hours(9));
        let other = Identity { holder: "another".into(), ..Identity::new() };
        for (lease, later, held) in [
            (own.lease(now), 1, false),
            (other.lease(now), 1, true),
            (other.lease(now), 61, false),
            (Value::Null, 1, false),
        ] {
            assert_eq!(own.is_held(&lease, now + SignedDuration::from_secs(later)), held, "{lease} {later}");
        }
    }
}
