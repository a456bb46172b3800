//! Validation of EndpointSlices. (`pkg/apis/discovery/validation`)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::strategy::Context;
use crate::value::{entries, items, items_mut, remove, text};
use crate::{check, names};

const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ENDPOINTS_MAX: usize = 1000;
const TOPOLOGY_MAX: usize = 16;
const HINTS_MAX: usize = 8;
const ZONE: &str = "topology.kubernetes.io/zone";

pub(super) fn validate(slice: &Value, errors: &mut FieldErrors) {
    check::must_be_one_of(
        &slice["addressType"],
        &["FQDN", "IPv4", "IPv6"],
        &Path::new("addressType"),
        errors,
    );
    let (list, path) = (items(&slice["endpoints"]), Path::new("endpoints"));
    if list.len() > ENDPOINTS_MAX {
        return errors.push(FieldError::too_many(path, list.len(), ENDPOINTS_MAX));
    }
    for (index, given) in list.iter().enumerate() {
        endpoint(given, text(&slice["addressType"]), &path.index(index), errors);
    }
    ports(&slice["ports"], errors);
}

fn endpoint(endpoint: &Value, family: &str, path: &Path, errors: &mut FieldErrors) {
    let (addresses, at) = (items(&endpoint["addresses"]), path.child("addresses"));
    if addresses.is_empty() {
        errors.push(FieldError::required(at.clone(), "must contain at least 1 address"));
    } else if addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(at.clone(), addresses.len(), ADDRESSES_MAX));
    }
    for (index, address) in addresses.iter().map(text).enumerate() {
        let (list, at) = (&at, at.index(index));
        match (family, address.parse::<IpAddr>()) {
            ("IPv4" | "IPv6", Err(_)) => check::syntax(address, names::ip, &at, errors),
            ("IPv4" | "IPv6", Ok(ip)) => {
                if ip.is_ipv4() != (family == "IPv4") {
                    let words = format!("must be an {family} address");
                    errors.push(FieldError::invalid(list.clone(), address, words));
                }
                check::ordinary_ip(address, &at, errors);
            }
            ("FQDN", _) => fully_qualified(address, &at, errors),
            _ => {}
        }
    }
    if let Some(node) = endpoint["nodeName"].as_str() {
        check::syntax(node, names::subdomain, &path.child("nodeName"), errors);
    }
    let (topology, at) = (&endpoint["deprecatedTopology"], path.child("deprecatedTopology"));
    if entries(topology).count() > TOPOLOGY_MAX {
        errors.push(FieldError::too_many(at.clone(), entries(topology).count(), TOPOLOGY_MAX));
    }
    check::labels(topology, &at, errors);
    if let Some(zone) = topology[ZONE].as_str() {
        errors.push(FieldError::invalid(at.key(ZONE), zone, "reserved key cannot be set in topology"));
    }
    check::given(&endpoint["hostname"], names::dns_label, &path.child("hostname"), errors);
    hints(&endpoint["hints"], &path.child("hints"), errors);
}

fn fully_qualified(name: &str, path: &Path, errors: &mut FieldErrors) {
    let plain = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return errors.push(FieldError::required(path.clone(), ""));
    }
    check::syntax(plain, names::subdomain, path, errors);
    if plain.split('.').count() < 2 {
        let words = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
}

/// Whom an endpoint is for.
fn hints(hints: &Value, path: &Path, errors: &mut FieldErrors) {
    for (field, rule) in
        [("forZones", names::label_value as fn(&str) -> names::Faults), ("forNodes", names::subdomain)]
    {
        let (list, at) = (items(&hints[field]), path.child(field));
        if list.len() > HINTS_MAX {
            errors.push(FieldError::too_many(at, list.len(), HINTS_MAX));
            continue;
        }
        let mut seen = Seen::new();
        for (index, hint) in list.iter().enumerate() {
            let at = at.index(index).child("name");
            seen.add(text(&hint["name"]), &at, errors);
            check::syntax(text(&hint["name"]), rule, &at, errors);
        }
    }
}

/// Where an endpoint is, is said by its own fields now.
pub(super) fn prepare(slice: &mut Value, old: Option<&Value>) {
    if old.is_some_and(|old| old["endpoints"] == slice["endpoints"]) {
        return;
    }
    for endpoint in items_mut(slice, "endpoints") {
        remove(endpoint, "deprecatedTopology");
    }
}

pub(super) fn warn(slice: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    if slice["addressType"] == "FQDN" {
        return warnings.push("addressType: FQDN endpoints are deprecated".into());
    }
    for (index, endpoint) in items(&slice["endpoints"]).iter().enumerate() {
        for (at, address) in items(&endpoint["addresses"]).iter().enumerate() {
            let at = Path::new("endpoints").index(index).child("addresses").index(at);
            check::ip_warning(text(address), &at, warnings);
        }
    }
}

fn ports(ports: &Value, errors: &mut FieldErrors) {
    let (list, path) = (items(ports), Path::new("ports"));
    if list.len() > PORTS_MAX {
        return errors.push(FieldError::too_many(path, list.len(), PORTS_MAX));
    }
    let mut seen = Seen::new();
    let mut unnamed = 0;
    for (index, port) in list.iter().enumerate() {
        let path = path.index(index);
        let name = text(&port["name"]);
        unnamed += usize::from(name.is_empty());
        if name.is_empty() && unnamed > 1 {
            errors.push(FieldError::duplicate(path.child("name"), ""));
        }
        check::optional(&port["name"], names::dns_label, &path.child("name"), errors);
        seen.add(name, &path.child("name"), errors);
        check::given_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        check::given(&port["appProtocol"], names::qualified, &path.child("appProtocol"), errors);
    }
}

pub(super) fn changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    check::immutable(&new["addressType"], &old["addressType"], &Path::new("addressType"), errors);
}
