//! How endpoints are spread over slices: what stays where it is, what fills a slice that is written anyway, and what
//! needs a slice of its own. The aim is few writes, not full slices.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::api::ObjectMeta;
use oarlock_client::owner_reference;

use super::endpoints::{Group, labels};

/// Upstream's `--max-endpoints-per-slice`.
const MAX: usize = 100;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) create: Vec<EndpointSlice>,
    pub(super) update: Vec<EndpointSlice>,
    pub(super) delete: Vec<Arc<EndpointSlice>>,
}

pub(super) fn plan(service: &Service, wanted: Vec<Group>, existing: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<&Arc<EndpointSlice>> =
        existing.iter().filter(|slice| slice.metadata.deletion_timestamp.is_none()).collect();
    for group in wanted {
        let sorted_ports = |slice: &EndpointSlice| {
            let mut ports = slice.ports.clone().unwrap_or_default();
            ports.sort_by(|a, b| (&a.name, &a.protocol, a.port).cmp(&(&b.name, &b.protocol, b.port)));
            ports
        };
        let belongs =
            |slice: &EndpointSlice| slice.address_type == group.family && sorted_ports(slice) == group.ports;
        let (mine, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|slice| belongs(slice));
        left = others;
        plan_group(service, group, &mine, &mut plan);
    }
    // Ports or families that the service no longer has.
    plan.delete.extend(left.into_iter().cloned());
    recycle(&mut plan);
    plan
}

/// A slice that would go takes the content of one that would come: one write in place of two.
fn recycle(plan: &mut Plan) {
    for new in std::mem::take(&mut plan.create) {
        let same = plan.delete.iter().position(|old| old.address_type == new.address_type);
        let Some(at) = same else {
            plan.create.push(new);
            continue;
        };
        let mut slice = (*plan.delete.swap_remove(at)).clone();
        slice.metadata.labels = new.metadata.labels;
        (slice.endpoints, slice.ports) = (new.endpoints, new.ports);
        plan.update.push(slice);
    }
}

/// A slice of a group while its new content is worked out.
struct Draft<'a> {
    slice: &'a Arc<EndpointSlice>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

fn plan_group(service: &Service, group: Group, existing: &[&Arc<EndpointSlice>], plan: &mut Plan) {
    let (family, ports, mut wanted) = (group.family, group.ports, group.endpoints);
    let placeholder = wanted.is_empty();
    let mut drafts: Vec<Draft<'_>> = existing.iter().map(|slice| keep(slice, &mut wanted)).collect();
    fill_changed(&mut drafts, &mut wanted);
    fill_unchanged(&mut drafts, &mut wanted);
    let labels = labels(service);
    let mut empty = vec![];
    for draft in drafts {
        if draft.endpoints.is_empty() {
            empty.push(draft);
        } else if draft.changed || draft.slice.metadata.labels.as_ref() != Some(&labels) {
            plan.update.push(rewritten(draft, &labels));
        }
    }
    // A service without endpoints keeps one empty slice, so that readers know it is looked after.
    if placeholder && let Some(draft) = empty.pop() {
        if draft.changed || draft.slice.metadata.labels.as_ref() != Some(&labels) {
            plan.update.push(rewritten(draft, &labels));
        }
    } else if placeholder {
        plan.create.push(new_slice(service, family, &ports, vec![]));
    }
    plan.delete.extend(empty.iter().map(|draft| draft.slice.clone()));
    while !wanted.is_empty() {
        let rest = wanted.split_off(wanted.len().min(MAX));
        plan.create.push(new_slice(service, family, &ports, wanted));
        wanted = rest;
    }
}

/// The endpoints of a slice that are still wanted, as they are now; takes them out of `wanted`.
fn keep<'a>(slice: &'a Arc<EndpointSlice>, wanted: &mut Vec<Endpoint>) -> Draft<'a> {
    let mut draft = Draft { slice, endpoints: vec![], changed: false };
    for old in slice.endpoints.iter().flatten() {
        match wanted.iter().position(|new| is_same(old, new)) {
            Some(at) => {
                let new = wanted.swap_remove(at);
                draft.changed |= new != *old;
                draft.endpoints.push(new);
            }
            None => draft.changed = true,
        }
    }
    draft
}

fn is_same(old: &Endpoint, new: &Endpoint) -> bool {
    let uid = |endpoint: &Endpoint| endpoint.target_ref.as_ref().and_then(|target| target.uid.clone());
    old.addresses == new.addresses && uid(old) == uid(new)
}

/// Slices that are written anyway take what is new, the fullest first.
fn fill_changed(drafts: &mut [Draft<'_>], wanted: &mut Vec<Endpoint>) {
    let mut order: Vec<usize> = (0..drafts.len()).filter(|at| drafts[*at].changed).collect();
    order.sort_by_key(|at| std::cmp::Reverse(drafts[*at].endpoints.len()));
    for at in order {
        let room = MAX.saturating_sub(drafts[at].endpoints.len()).min(wanted.len());
        drafts[at].endpoints.extend(wanted.drain(..room));
    }
}

/// What is left goes into one more slice, if it fits as a whole: the one that it fills best.
fn fill_unchanged(drafts: &mut [Draft<'_>], wanted: &mut Vec<Endpoint>) {
    let left = wanted.len() % MAX;
    if left == 0 {
        return;
    }
    let fitting = drafts.iter_mut().filter(|draft| !draft.changed && draft.endpoints.len() + left <= MAX);
    if let Some(draft) = fitting.max_by_key(|draft| draft.endpoints.len()) {
        draft.endpoints.extend(wanted.drain(..left));
        draft.changed = true;
    }
}

fn rewritten(draft: Draft<'_>, labels: &std::collections::BTreeMap<String, String>) -> EndpointSlice {
    let mut slice = (**draft.slice).clone();
    slice.endpoints = Some(draft.endpoints);
    slice.metadata.labels = Some(labels.clone());
    slice
}

fn new_slice(
    service: &Service,
    family: &str,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", service.metadata.name.as_deref().unwrap_or_default())),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels(service)),
            owner_references: Some(vec![owner_reference(service)]),
            ..ObjectMeta::default()
        },
        address_type: family.into(),
        endpoints: Some(endpoints),
        ports: Some(ports.to_vec()),
    }
}
