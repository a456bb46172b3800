//! Endpoints. (`ValidateEndpoints`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::kind::Kind;
use crate::value::{int, items, text};
use crate::{check, names};

pub(crate) static ENDPOINTS: Kind =
    Kind { create_on_update: true, validate, warn, cells: Some(super::cells::endpoints), ..Kind::PLAIN };

const LISTS: [&str; 2] = ["addresses", "notReadyAddresses"];

fn validate(endpoints: &Value, errors: &mut FieldErrors) {
    for (index, subset) in items(&endpoints["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(index);
        if LISTS.iter().all(|list| items(&subset[*list]).is_empty()) {
            let words = "must specify `addresses` or `notReadyAddresses`";
            errors.push(FieldError::required(path.clone(), words));
        }
        for list in LISTS {
            for (index, given) in items(&subset[list]).iter().enumerate() {
                address(given, &path.child(list).index(index), errors);
            }
        }
        let ports = items(&subset["ports"]);
        for (index, given) in ports.iter().enumerate() {
            port(given, ports.len() > 1, &path.child("ports").index(index), errors);
        }
    }
}

fn address(address: &Value, path: &Path, errors: &mut FieldErrors) {
    let (ip, at) = (text(&address["ip"]), path.child("ip"));
    check::syntax(ip, names::ip, &at, errors);
    check::optional(&address["hostname"], names::dns_label, &path.child("hostname"), errors);
    if let Some(node) = address["nodeName"].as_str() {
        check::syntax(node, names::subdomain, &path.child("nodeName"), errors);
    }
    check::ordinary_ip(ip, &at, errors);
}

fn port(port: &Value, several: bool, path: &Path, errors: &mut FieldErrors) {
    if several && text(&port["name"]).is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    check::optional(&port["name"], names::dns_label, &path.child("name"), errors);
    check::port(&int(&port["port"]).into(), &path.child("port"), errors);
    check::must_be_one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &path.child("protocol"), errors);
    if let Some(protocol) = port["appProtocol"].as_str() {
        check::syntax(protocol, names::qualified, &path.child("appProtocol"), errors);
    }
}

fn warn(endpoints: &Value, _old: Option<&Value>, warnings: &mut Vec<String>) {
    for (index, subset) in items(&endpoints["subsets"]).iter().enumerate() {
        for list in LISTS {
            for (at, given) in items(&subset[list]).iter().enumerate() {
                let at = Path::new("subsets").index(index).child(list).index(at).child("ip");
                check::ip_warning(text(&given["ip"]), &at, warnings);
            }
        }
    }
}
