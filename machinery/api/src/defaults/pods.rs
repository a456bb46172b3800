//! Pods, their templates, containers, probes and volumes.

use serde_json::{Map, Value};

use super::{Conditional, Constant, absent, ensure, fill, items_mut, member, member_mut, set, text};
use crate::quantity::Quantity;
use crate::table::Table;

pub(super) const CONSTANTS: &[Constant] = &[
    ("core.v1.PodSpec", "dnsPolicy", r#""ClusterFirst""#),
    ("core.v1.PodSpec", "restartPolicy", r#""Always""#),
    ("core.v1.PodSpec", "securityContext", "{}"),
    ("core.v1.PodSpec", "terminationGracePeriodSeconds", "30"),
    ("core.v1.PodSpec", "schedulerName", r#""default-scheduler""#),
    ("core.v1.Container", "terminationMessagePath", r#""/dev/termination-log""#),
    ("core.v1.Container", "terminationMessagePolicy", r#""File""#),
    ("core.v1.EphemeralContainerCommon", "terminationMessagePath", r#""/dev/termination-log""#),
    ("core.v1.EphemeralContainerCommon", "terminationMessagePolicy", r#""File""#),
    ("core.v1.Probe", "timeoutSeconds", "1"),
    ("core.v1.Probe", "periodSeconds", "10"),
    ("core.v1.Probe", "successThreshold", "1"),
    ("core.v1.Probe", "failureThreshold", "3"),
    ("core.v1.HTTPGetAction", "path", r#""/""#),
    ("core.v1.HTTPGetAction", "scheme", r#""HTTP""#),
    ("core.v1.ObjectFieldSelector", "apiVersion", r#""v1""#),
    ("core.v1.SecretVolumeSource", "defaultMode", "420"),
    ("core.v1.ConfigMapVolumeSource", "defaultMode", "420"),
    ("core.v1.DownwardAPIVolumeSource", "defaultMode", "420"),
    ("core.v1.ProjectedVolumeSource", "defaultMode", "420"),
    ("core.v1.ServiceAccountTokenProjection", "expirationSeconds", "3600"),
    ("core.v1.HostPathVolumeSource", "type", r#""""#),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("core.v1.Pod", pod),
    ("core.v1.PodSpec", service_account),
    ("core.v1.Container", image_pull_policy),
    ("core.v1.EphemeralContainerCommon", image_pull_policy),
    ("core.v1.Volume", volume),
];

/// What holds for pods but not for pod templates.
fn pod(pod: &mut Map<String, Value>) {
    let Some(spec) = ensure(pod, "spec") else { return };
    for list in ["containers", "initContainers"] {
        for container in items_mut(spec, list) {
            if let Some(resources) = member_mut(container, "resources") {
                let limits = member(resources, "limits").cloned();
                fill(resources, "requests", limits);
            }
        }
    }
    pod_requests(spec);
    set(spec, "enableServiceLinks", true);
    if spec.get("hostNetwork") == Some(&Value::Bool(true)) {
        for list in ["containers", "initContainers"] {
            items_mut(spec, list).for_each(host_ports);
        }
    }
}

/// `serviceAccount` is another name for `serviceAccountName`, which decides; both are told.
fn service_account(spec: &mut Map<String, Value>) {
    let of = |field: &str| text(spec, field).to_string();
    let (name, alias) = (of("serviceAccountName"), of("serviceAccount"));
    if name.is_empty() && !alias.is_empty() {
        spec.insert("serviceAccountName".to_string(), alias.into());
    } else if !name.is_empty() && name != alias {
        spec.insert("serviceAccount".to_string(), name.into());
    }
}

/// On the host's network a container's port is the host's port.
fn host_ports(container: &mut Map<String, Value>) {
    for port in items_mut(container, "ports") {
        let unset = port.get("hostPort").is_none_or(|p| p.is_null() || p.as_i64() == Some(0));
        if let (true, Some(number)) = (unset, port.get("containerPort").cloned()) {
            port.insert("hostPort".to_string(), number);
        }
    }
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// Pod-level limits without requests: what the containers request together, else the limit. (KEP-2837)
fn pod_requests(spec: &mut Map<String, Value>) {
    let Some(limits) = member(spec, "resources").and_then(|r| member(r, "limits")).cloned() else { return };
    if limits.is_empty() {
        return;
    }
    let together = container_requests(spec);
    let Some(resources) = member_mut(spec, "resources") else { return };
    let together = together.into_iter().map(|(name, sum)| (name, Value::String(sum.to_string())));
    fill(resources, "requests", Some(together.filter(|(name, _)| is_pod_level(name)).collect()));
    fill(resources, "requests", Some(limits.into_iter().filter(|(name, _)| is_pod_level(name)).collect()));
}

type Sums = std::collections::BTreeMap<String, Quantity>;

fn requests_of(container: &Value) -> Sums {
    let requests = container.get("resources").and_then(|r| r.get("requests")).and_then(Value::as_object);
    let parsed = |(name, value): (&String, &Value)| Some((name.clone(), Quantity::from_value(value).ok()?));
    requests.into_iter().flatten().filter_map(parsed).collect()
}

fn add(sums: &mut Sums, more: &Sums) {
    for (name, quantity) in more {
        let sum = sums.entry(name.clone()).or_default();
        *sum += *quantity;
    }
}

/// What the containers need at the time when they need most: all that run on, or one init container beside the
/// sidecars that started before it.
fn container_requests(spec: &Map<String, Value>) -> Sums {
    let list = |field: &str| spec.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut running = Sums::new();
    list("containers").iter().for_each(|container| add(&mut running, &requests_of(container)));
    let (mut sidecars, mut peak) = (Sums::new(), Sums::new());
    for container in list("initContainers") {
        let requests = requests_of(container);
        let mut now = sidecars.clone();
        add(&mut now, &requests);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            add(&mut running, &requests);
            sidecars = now.clone();
        }
        raise(&mut peak, now);
    }
    raise(&mut running, peak);
    running
}

fn raise(sums: &mut Sums, to: Sums) {
    for (name, quantity) in to {
        let sum = sums.entry(name).or_insert(quantity);
        *sum = quantity.max(*sum);
    }
}

fn image_pull_policy(container: &mut Map<String, Value>) {
    pull_policy(container, "image", "imagePullPolicy");
}

fn pull_policy(holder: &mut Map<String, Value>, image: &str, field: &str) {
    if text(holder, field).is_empty() {
        let policy = if is_latest(text(holder, image)) { "Always" } else { "IfNotPresent" };
        holder.insert(field.to_string(), policy.into());
    }
}

/// A repository's name has no more bytes than that.
const PATH_MAX: usize = 255;

/// Whether the image means the tag `latest`, said or not. A name that is none does not.
fn is_latest(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match name[last..].split_once(':') {
        Some((_, tag)) => (&name[..name.len() - tag.len() - 1], Some(tag)),
        None => (name, None),
    };
    let path = match name.split_once('/') {
        Some((host, path))
            if host.contains(['.', ':']) || host == "localhost" || host.to_lowercase() != host =>
        {
            path
        }
        _ => name,
    };
    let letter =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'/');
    if path.is_empty() || path.len() > PATH_MAX || !path.bytes().all(letter) {
        return false;
    }
    match (tag, digest) {
        (Some(tag), _) => tag == "latest",
        (None, Some(_)) => false,
        (None, None) => true,
    }
}

/// A volume without a source is an emptyDir.
fn volume(volume: &mut Map<String, Value>) {
    if let Some(image) = member_mut(volume, "image") {
        pull_policy(image, "reference", "pullPolicy");
    }
    let table = Table::builtin();
    let source = table.type_named("io.k8s.api.core.v1.VolumeSource").expect("the table has volume sources");
    if table.ty(source).fields.iter().all(|field| absent(volume, field.json_name)) {
        volume.insert("emptyDir".to_string(), Value::Object(Map::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_decides_the_pull_policy() {
        let cases = [
            ("nginx", true),
            ("nginx:latest", true),
            (&"x".repeat(256), false),
            ("nginx:1.27", false),
            ("localhost:5000/nginx", true),
            ("localhost:5000/nginx:v1", false),
            ("registry.k8s.io/pause@sha256:abc", false),
            ("registry.k8s.io/pause:latest@sha256:abc", true),
            ("Registry/pause", true),
            ("Nginx", false),
            ("", false),
        ];
        for (image, expected) in cases {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }
}
