//! Validation of EndpointSlices. (`pkg/apis/discovery/validation`)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::strategy::Context;
use crate::value::{entries, items, text};
use crate::{check, names};

const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const ENDPOINTS_MAX: usize = 1000;
const TOPOLOGY_MAX: usize = 16;

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
        let (at, ip) = (at.index(index), address.parse::<IpAddr>().ok());
        match family {
            "IPv4" if !ip.is_some_and(|ip| ip.is_ipv4()) => {
                errors.push(FieldError::invalid(at, address, "must be an IPv4 address"));
            }
            "IPv6" if !ip.is_some_and(|ip| ip.is_ipv6()) => {
                errors.push(FieldError::invalid(at, address, "must be an IPv6 address"));
            }
            "IPv4" | "IPv6" => special(ip, address, &at, errors),
            _ => check::syntax(address, names::subdomain, &at, errors),
        }
    }
    let topology = entries(&endpoint["deprecatedTopology"]).count();
    if topology > TOPOLOGY_MAX {
        errors.push(FieldError::too_many(path.child("deprecatedTopology"), topology, TOPOLOGY_MAX));
    }
    check::optional(&endpoint["nodeName"], names::subdomain, &path.child("nodeName"), errors);
    check::optional(&endpoint["hostname"], names::dns_label, &path.child("hostname"), errors);
}

/// Addresses that no endpoint has.
fn special(ip: Option<IpAddr>, address: &str, path: &Path, errors: &mut FieldErrors) {
    let Some(ip) = ip else { return };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    for (is, words) in [
        (ip.is_unspecified(), "may not be unspecified"),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ] {
        if is {
            let words = format!(
                "{words}{}",
                if ip.is_unspecified() { format!(" ({address})") } else { String::new() }
            );
            errors.push(FieldError::invalid(path.clone(), address, words));
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
        check::must_be_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
        check::optional(&port["appProtocol"], names::qualified, &path.child("appProtocol"), errors);
    }
}

pub(super) fn changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    check::immutable(&new["addressType"], &old["addressType"], &Path::new("addressType"), errors);
}
