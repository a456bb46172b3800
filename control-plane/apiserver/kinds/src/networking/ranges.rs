//! Validation of IPAddresses and ServiceCIDRs. (`pkg/apis/networking/validation`)

use std::net::IpAddr;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::strategy::Context;
use crate::value::{items, text};
use crate::{check, names};

const RANGES_MAX: usize = 2;

pub(super) fn address(address: &Value, errors: &mut FieldErrors) {
    let (parent, path) = (&address["spec"]["parentRef"], Path::new("spec").child("parentRef"));
    if !parent.is_object() {
        return errors.push(FieldError::required(path, ""));
    }
    check::optional(&parent["group"], names::subdomain, &path.child("group"), errors);
    check::named(&parent["resource"], names::path_segment, &path.child("resource"), errors);
    check::named(&parent["name"], names::path_segment, &path.child("name"), errors);
    check::optional(&parent["namespace"], names::path_segment, &path.child("namespace"), errors);
}

pub(super) fn address_changes(_context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("parentRef");
    check::immutable(&new["spec"]["parentRef"], &old["spec"]["parentRef"], &at, errors);
}

pub(super) fn range(range: &Value, errors: &mut FieldErrors) {
    let (ranges, path) = (items(&range["spec"]["cidrs"]), Path::new("spec").child("cidrs"));
    if ranges.is_empty() {
        return errors.push(FieldError::required(path, "at least one CIDR required"));
    }
    if ranges.len() > RANGES_MAX {
        return errors.push(FieldError::invalid(path, ranges.to_vec(), "may only hold up to 2 values"));
    }
    let is_v4 = |range: &Value| {
        let address = text(range).split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
        address.filter(|_| names::cidr(text(range)).is_empty()).map(|ip| ip.is_ipv4())
    };
    if ranges.len() == 2 && is_v4(&ranges[0]).is_some() && is_v4(&ranges[0]) == is_v4(&ranges[1]) {
        let words =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(FieldError::invalid(path.clone(), ranges.to_vec(), words));
    }
    for (index, range) in ranges.iter().map(text).enumerate() {
        let (at, before) = (path.index(index), errors.len());
        check::syntax(range, names::cidr, &at, errors);
        if errors.len() == before
            && let Some((_, canonical)) = names::masked(range)
            && canonical != range
        {
            let words = format!("must be in canonical form ({canonical:?})");
            errors.push(FieldError::invalid(at, range, words));
        }
    }
}

/// A second range may come; none goes or changes.
pub(super) fn range_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource == "status" {
        return;
    }
    let path = Path::new("spec").child("cidrs");
    let (now, was) = (items(&new["spec"]["cidrs"]), items(&old["spec"]["cidrs"]));
    let grows = (was.len(), now.len()) == (1, 2);
    if now.len() != was.len() && !grows {
        return errors.push(FieldError::invalid(path, now.to_vec(), check::IMMUTABLE));
    }
    for (index, (now, _)) in now.iter().zip(was).enumerate().filter(|(_, (now, was))| now != was) {
        errors.push(FieldError::invalid(path.index(index), now.clone(), check::IMMUTABLE));
    }
    if grows {
        range(new, errors);
    }
}
