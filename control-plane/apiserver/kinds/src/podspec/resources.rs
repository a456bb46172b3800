//! Requests, limits and claims, of containers and of pods.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use oarlock_api::quantity::Quantity;
use oarlock_api::{FieldError, FieldErrors, Path, dump};
use serde_json::Value;

use crate::value::{entries, items, quantity, text};
use crate::{check, names};

const OF_CONTAINERS: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
const COMPUTE: [&str; 2] = ["cpu", "memory"];
/// What of a cluster is counted or measured.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
    "storage",
    "requests.storage",
];

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Named without a domain, or in that of Kubernetes.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

pub(crate) fn is_standard(name: &str) -> bool {
    STANDARD.contains(&name) || is_huge_pages(name) || name.starts_with("requests.hugepages-")
}

pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified(name).is_empty()
}

pub(crate) fn may_be_overcommitted(name: &str) -> bool {
    is_native(name) && !is_huge_pages(name)
}

/// The resources of a container.
pub(super) fn requirements(resources: &Value, path: &Path, errors: &mut FieldErrors) {
    if resources.is_object() {
        requests_and_limits(resources, of_container, path, errors);
    }
}

fn requests_and_limits(
    resources: &Value,
    name_rule: fn(&str, &Path, &mut FieldErrors),
    path: &Path,
    errors: &mut FieldErrors,
) {
    let (limits, requests) = (&resources["limits"], &resources["requests"]);
    list(limits, name_rule, &path.child("limits"), errors);
    list(requests, name_rule, &path.child("requests"), errors);
    let at = path.child("requests");
    for (name, request) in entries(requests) {
        let Some(asked) = quantity(request) else { continue };
        match quantity(&limits[name]) {
            Some(limit) if asked != limit && !may_be_overcommitted(name) => {
                let words = format!("must be equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(at.clone(), asked.to_string(), words));
            }
            Some(limit) if asked > limit => {
                let words = format!("must be less than or equal to {name} limit of {limit}");
                errors.push(FieldError::invalid(at.clone(), asked.to_string(), words));
            }
            None if !may_be_overcommitted(name) => {
                let words = "Limit must be set for non overcommitable resources";
                errors.push(FieldError::required(path.child("limits"), words));
            }
            _ => {}
        }
    }
    let all = || entries(limits).chain(entries(requests)).map(|(name, _)| name);
    if all().any(is_huge_pages) && !all().any(|name| COMPUTE.contains(&name)) {
        errors.push(FieldError::forbidden(path.clone(), "HugePages require cpu or memory"));
    }
}

fn list(list: &Value, name_rule: fn(&str, &Path, &mut FieldErrors), path: &Path, errors: &mut FieldErrors) {
    for (name, value) in entries(list) {
        let path = path.key(name);
        name_rule(name, &path, errors);
        amount(name, value, &path, errors);
    }
}

/// What a runtime class adds to its pods.
pub(crate) fn overhead(overhead: &Value, path: &Path, errors: &mut FieldErrors) {
    list(overhead, of_container, path, errors);
}

/// A name that a resource can have at all; true if it is.
pub(crate) fn resource_name(name: &str, path: &Path, errors: &mut FieldErrors) -> bool {
    let before = errors.len();
    check::syntax(name, names::qualified, path, errors);
    let qualified = errors.len() == before;
    if qualified && !name.contains('/') && !is_standard(name) {
        let words = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
    qualified
}

pub(crate) fn of_container(name: &str, path: &Path, errors: &mut FieldErrors) {
    resource_name(name, path, errors);
    if !name.contains('/') {
        if !OF_CONTAINERS.contains(&name) && !is_huge_pages(name) {
            let words = "must be a standard resource for containers";
            errors.push(FieldError::invalid(path.clone(), name, words));
        }
    } else if !is_native(name) && !is_extended(name) {
        let words = "doesn't follow extended resource name standard";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
}

/// What a quota can count or measure.
pub(crate) fn of_quota(name: &str, path: &Path, errors: &mut FieldErrors) {
    resource_name(name, path, errors);
    if !name.contains('/') && (!is_standard(name) || is_huge_pages(name) || name == "storage") {
        let words = "must be a standard resource for quota";
        errors.push(FieldError::invalid(path.clone(), name, words));
    }
}

fn of_whole_pod(name: &str, path: &Path, errors: &mut FieldErrors) {
    let before = errors.len();
    resource_name(name, path, errors);
    if errors.len() == before && !COMPUTE.contains(&name) && !is_huge_pages(name) {
        errors.push(FieldError::not_supported(path.clone(), name, &COMPUTE));
    }
}

fn amount(name: &str, value: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(amount) = quantity(value) else {
        errors.push(FieldError::invalid(path.clone(), text(value), "must be a quantity"));
        return;
    };
    not_negative(amount, path, errors);
    if is_extended(name) && amount.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path.clone(), amount.to_string(), "must be an integer"));
    }
    if let Some(page) = name.strip_prefix("hugepages-").and_then(|page| Quantity::parse(page).ok())
        && (page.value() <= 0 || amount.value() % page.value() != 0)
    {
        let words = format!("{amount} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path.clone(), amount.to_string(), words));
    }
}

pub(crate) fn not_negative(amount: Quantity, path: &Path, errors: &mut FieldErrors) {
    if amount.is_negative() {
        errors.push(FieldError::invalid(path.clone(), amount.to_string(), check::NOT_NEGATIVE));
    }
}

/// Claims of devices by name.
pub(super) fn pod_claims<'a>(claims: &'a Value, path: &Path, errors: &mut FieldErrors) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let told = |claim: &Value| dump::object("io.k8s.api.core.v1.PodResourceClaim", claim);
    for (index, claim) in items(claims).iter().enumerate() {
        let (path, name) = (path.index(index), text(&claim["name"]));
        let at = path.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if !found.insert(name) {
            errors.push(FieldError::duplicate(at, name));
        } else {
            check::syntax(name, names::dns_label, &at, errors);
        }
        let given = |field: &str| !claim[field].is_null();
        match (given("resourceClaimName"), given("resourceClaimTemplateName")) {
            (false, false) => {
                let words = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                errors.push(FieldError::invalid(path.clone(), Value::Null, words).told_as(&told(claim)));
            }
            (true, true) => {
                let words =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                errors.push(FieldError::invalid(path.clone(), Value::Null, words).told_as(&told(claim)));
            }
            _ => {}
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"].iter().filter(|f| given(f)) {
            check::syntax(text(&claim[*field]), names::subdomain, &path.child(field), errors);
        }
    }
    found
}

/// Which of the pod's claims a container uses: each as a whole, or some of its requests.
pub(super) fn claimed(claims: &Value, of_pod: &BTreeSet<&str>, path: &Path, errors: &mut FieldErrors) {
    let mut used: HashSet<(&str, &str)> = HashSet::new();
    for (index, claim) in items(claims).iter().enumerate() {
        let (at, name, request) = (path.index(index), text(&claim["name"]), text(&claim["request"]));
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
            continue;
        }
        if used.contains(&(name, "")) {
            errors.push(FieldError::duplicate(at.clone(), name));
        } else {
            check::optional(&claim["request"], names::dns_label, &at.child("request"), errors);
            if used.contains(&(name, request)) {
                errors.push(FieldError::duplicate(at.clone(), format!("{name}/{request}")));
            } else if request.is_empty() {
                let parts = used.iter().filter(|(used, _)| *used == name);
                errors.extend(parts.map(|_| FieldError::duplicate(at.clone(), name)));
            }
            used.insert((name, request));
        }
        if !of_pod.contains(name) {
            let known = match of_pod.is_empty() {
                true => " which is empty".to_string(),
                false => format!(": {}", of_pod.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let words = format!("must be one of the names in pod.spec.resourceClaims{known}");
            errors.push(FieldError::not_found_among(at, name, &words));
        }
    }
}

/// The resources of the pod as a whole: enough for all its containers. (KEP-2837)
pub(super) fn of_pod(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let resources = &spec["resources"];
    if !resources["claims"].is_null() {
        let words = "claims cannot be set for Resources at pod-level";
        errors.push(FieldError::forbidden(path.child("claims"), words));
    }
    requests_and_limits(resources, of_whole_pod, path, errors);
    for (name, together) in together(spec) {
        let given = quantity(&resources["requests"][name]);
        let supported = COMPUTE.contains(&name) || is_huge_pages(name);
        if supported && together > given.unwrap_or_default() {
            let words =
                format!("must be greater than or equal to aggregate container requests of {together}");
            let told = given.unwrap_or_default().to_string();
            errors.push(FieldError::invalid(path.child("requests").key(name), told, words));
        }
    }
    for (index, container) in items(&spec["containers"]).iter().enumerate() {
        for (name, limit) in entries(&container["resources"]["limits"]) {
            if let (Some(limit), Some(most)) = (quantity(limit), quantity(&resources["limits"][name]))
                && limit > most
            {
                let at = path.child("containers").index(index).key(name).child("limits");
                let words = format!("must be less than or equal to pod limits of {most}");
                errors.push(FieldError::invalid(at, limit.to_string(), words));
            }
        }
    }
}

type Sums<'a> = BTreeMap<&'a str, Quantity>;

fn add<'a>(sums: &mut Sums<'a>, requests: &'a Value) {
    for (name, value) in entries(requests) {
        if let Some(amount) = quantity(value) {
            *sums.entry(name).or_default() += amount;
        }
    }
}

/// What the containers request when they request most.
fn together(spec: &Value) -> Sums<'_> {
    let (mut running, mut sidecars, mut peak) = (Sums::new(), Sums::new(), Sums::new());
    items(&spec["containers"]).iter().for_each(|c| add(&mut running, &c["resources"]["requests"]));
    for container in items(&spec["initContainers"]) {
        let requests = &container["resources"]["requests"];
        let mut now = sidecars.clone();
        add(&mut now, requests);
        if container["restartPolicy"] == "Always" {
            add(&mut running, requests);
            sidecars.clone_from(&now);
        }
        raise(&mut peak, now);
    }
    raise(&mut running, peak);
    running
}

fn raise<'a>(sums: &mut Sums<'a>, to: Sums<'a>) {
    for (name, amount) in to {
        let sum = sums.entry(name).or_insert(amount);
        *sum = amount.max(*sum);
    }
}
