//! What is allowed in a pod but unwise. (`pkg/api/pod/warnings.go`)

use std::collections::{HashMap, HashSet};

use oarlock_api::Path;
use serde_json::Value;

use super::containers;
use crate::names;
use crate::value::{entries, int, items, quantity, text};

const NODE_LABELS: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
];
const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        "non-functional in v1.11+; use the \"sysctls\" field instead",
    ),
];
const VOLUMES: [(&str, &str); 9] = [
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];
const FILES_MAX: usize = 256;
const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Of a label of nodes that has another name now.
pub(crate) fn deprecated_label(key: &str) -> Option<&'static str> {
    NODE_LABELS.iter().find(|(label, _)| *label == key).map(|(_, words)| *words)
}

/// `path` is empty for a pod, and the template's place otherwise.
pub(crate) fn pod(pod: &Value, path: &Path, warnings: &mut Vec<String>) {
    let spec = path.child("spec");
    labels(&pod["spec"], &spec, warnings);
    annotations(pod, path, warnings);
    volumes(&pod["spec"], &spec, warnings);
    lists(&pod["spec"], &spec, warnings);
    for (list, index, container) in containers(&pod["spec"]) {
        of_container(container, &spec.child(list).index(index), warnings);
    }
    ports(&pod["spec"], &spec, warnings);
    if pod["spec"]["terminationGracePeriodSeconds"].as_i64().is_some_and(|seconds| seconds < 0) {
        let at = spec.child("terminationGracePeriodSeconds");
        warnings.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    selectors(&pod["spec"]["affinity"], &spec.child("affinity"), warnings);
}

/// Terms of a node selector.
pub(crate) fn node_term(term: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (index, expression) in items(&term["matchExpressions"]).iter().enumerate() {
        let key = text(&expression["key"]);
        if let Some(words) = deprecated_label(key) {
            let at = path.child("matchExpressions").index(index).child("key");
            warnings.push(format!("{at}: {key} is {words}"));
        }
    }
}

/// Values that no node's label has.
fn odd_values(term: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (index, expression) in items(&term["matchExpressions"]).iter().enumerate() {
        for (at, value) in items(&expression["values"]).iter().enumerate() {
            for fault in names::label_value(text(value)) {
                let at = path.child("matchExpressions").index(index).child("values").index(at);
                warnings.push(format!("{at}: {} is invalid, {fault}", text(value)));
            }
        }
    }
}

fn labels(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (key, _) in crate::value::entries(&spec["nodeSelector"]) {
        if let Some(words) = deprecated_label(key) {
            warnings.push(format!("{}: {words}", path.child("nodeSelector").key(key)));
        }
    }
    let (node, at) = (&spec["affinity"]["nodeAffinity"], path.child("affinity").child("nodeAffinity"));
    for (index, term) in items(&node[REQUIRED]["nodeSelectorTerms"]).iter().enumerate() {
        node_term(term, &at.child(REQUIRED).child("nodeSelectorTerms").index(index), warnings);
    }
    for (index, preferred) in items(&node[PREFERRED]).iter().enumerate() {
        let at = at.child(PREFERRED).index(index).child("preference");
        node_term(&preferred["preference"], &at, warnings);
        odd_values(&preferred["preference"], &at, warnings);
    }
    for (index, constraint) in items(&spec["topologySpreadConstraints"]).iter().enumerate() {
        let (at, key) =
            (path.child("topologySpreadConstraints").index(index), text(&constraint["topologyKey"]));
        if let Some(words) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {words}", at.child("topologyKey")));
        }
        null_selector(constraint, &at, warnings);
    }
}

fn null_selector(holder: &Value, path: &Path, warnings: &mut Vec<String>) {
    if holder["labelSelector"].is_null() {
        let at = path.child("labelSelector");
        warnings.push(format!("{at}: a null labelSelector results in matching no pod"));
    }
}

fn selectors(affinity: &Value, path: &Path, warnings: &mut Vec<String>) {
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (index, term) in items(&affinity[kind][REQUIRED]).iter().enumerate() {
            null_selector(term, &path.child(kind).child(REQUIRED).index(index), warnings);
        }
        for (index, preferred) in items(&affinity[kind][PREFERRED]).iter().enumerate() {
            let at = path.child(kind).child(PREFERRED).index(index).child("podAffinityTerm");
            null_selector(&preferred["podAffinityTerm"], &at, warnings);
        }
    }
}

fn annotations(pod: &Value, path: &Path, warnings: &mut Vec<String>) {
    let given = &pod["metadata"]["annotations"];
    if !given.is_object() {
        return;
    }
    let at = path.child("metadata").child("annotations");
    for (key, words) in ANNOTATIONS.iter().filter(|(key, _)| !given[*key].is_null()) {
        warnings.push(format!("{}: {words}", at.key(key)));
    }
    let of_pod = &pod["spec"]["securityContext"];
    let seccomp = "seccomp.security.alpha.kubernetes.io/pod";
    if of_pod["seccompProfile"].is_null() && !given[seccomp].is_null() {
        warnings.push(format!("{}: {SECCOMP}", at.key(seccomp)));
    }
    for (_, _, container) in containers(&pod["spec"]) {
        let (own, name) = (&container["securityContext"], text(&container["name"]));
        let seccomp = format!("container.seccomp.security.alpha.kubernetes.io/{name}");
        if own["seccompProfile"].is_null() && !given[&seccomp].is_null() {
            warnings.push(format!("{}: {SECCOMP}", at.key(&seccomp)));
        }
        let apparmor = format!("container.apparmor.security.beta.kubernetes.io/{name}");
        let unset = own["appArmorProfile"].is_null() && of_pod["appArmorProfile"].is_null();
        if unset && !given[&apparmor].is_null() {
            let words = "deprecated since v1.30; use the \"appArmorProfile\" field instead";
            warnings.push(format!("{}: {words}", at.key(&apparmor)));
        }
    }
}

fn volumes(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
        let at = path.child("volumes").index(index);
        for (kind, words) in VOLUMES.iter().filter(|(kind, _)| !volume[*kind].is_null()) {
            let told = if *kind == "storageos" { "storageOS" } else { kind };
            warnings.push(format!("{}: {words}", at.child(told)));
        }
        let claim = &volume["ephemeral"]["volumeClaimTemplate"]["spec"];
        if claim.is_object() {
            let at = at.child("ephemeral").child("volumeClaimTemplate").child("spec");
            crate::core::volume::claim_warnings(claim, &at, warnings);
        }
        overlaps(volume, warnings);
    }
}

/// Files of one volume that hide one another.
fn overlaps(volume: &Value, warnings: &mut Vec<String>) {
    let name = text(&volume["name"]);
    let empty = |source: &&Value| entries(source).next().is_none();
    for _ in items(&volume["projected"]["sources"]).iter().filter(empty) {
        warnings.push(format!("volume {name:?} (Projected) has no sources provided"));
    }
    let (told, files) = match ["configMap", "secret", "downwardAPI", "projected"]
        .into_iter()
        .find(|kind| volume[*kind].is_object())
    {
        Some("projected") => (String::from("Projected"), projected_files(&volume["projected"])),
        Some(kind) if items(&volume[kind]["items"]).len() > 1 => {
            let source = &volume[kind];
            let told = match kind {
                "configMap" => format!("ConfigMap {:?}", text(&source["name"])),
                "secret" => format!("Secret {:?}", text(&source["secretName"])),
                _ => String::from("DownwardAPI"),
            };
            let file = |item: &Value| (text(&item["path"]).to_string(), String::new());
            (told, items(&source["items"]).iter().map(file).collect())
        }
        _ => return,
    };
    // Every two are compared: of more than anyone has, none.
    let files = if files.len() > FILES_MAX { Vec::new() } else { files };
    for (index, (file, source)) in files.iter().enumerate() {
        for (other, other_source) in &files[..index] {
            if hides(file, other) {
                let (file, other) = (with_source(file, source), with_source(other, other_source));
                warnings.push(format!("volume {name:?} ({told}): overlapping paths: {file} with {other}"));
            }
        }
    }
}

fn projected_files(projected: &Value) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for source in items(&projected["sources"]) {
        for (kind, told) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
            let told = format!("{told} {:?}", text(&source[kind]["name"]));
            let paths = items(&source[kind]["items"]).iter().map(|i| text(&i["path"]).to_string());
            files.extend(paths.map(|path| (path, told.clone())));
        }
        let paths = items(&source["downwardAPI"]["items"]).iter().map(|i| text(&i["path"]).to_string());
        files.extend(paths.map(|path| (path, "DownwardAPI".to_string())));
        for (kind, told) in
            [("serviceAccountToken", "ServiceAccountToken"), ("clusterTrustBundle", "ClusterTrustBundle")]
        {
            if let Some(path) = source[kind]["path"].as_str() {
                files.push((path.to_string(), told.to_string()));
            }
        }
    }
    files
}

fn with_source(file: &str, source: &str) -> String {
    if source.is_empty() { format!("{file:?}") } else { format!("{file:?} ({source})") }
}

/// The same file, or one is a directory on the way to the other.
fn hides(a: &str, b: &str) -> bool {
    let (a, b) = (a.trim_end_matches('/'), b.trim_end_matches('/'));
    let under = |short: &str, long: &str| long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'));
    a == b || under(a, b) || under(b, a)
}

fn lists(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut twice = |list: &str, field: &str, told: &str| {
        let mut seen = HashSet::new();
        for (index, item) in items(&spec[list]).iter().enumerate() {
            if !seen.insert(text(&item[field])) {
                let at = path.child(list).index(index).child(field);
                warnings.push(format!("{at}: duplicate {told} {:?}", text(&item[field])));
            }
        }
    };
    twice("hostAliases", "ip", "ip");
    twice("imagePullSecrets", "name", "name");
    for (index, secret) in items(&spec["imagePullSecrets"]).iter().enumerate() {
        if text(&secret["name"]).is_empty() {
            let at = path.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{at}: invalid empty name \"\""));
        }
    }
    fractional(&spec["overhead"], &path.child("overhead"), warnings);
}

fn fractional(list: &Value, path: &Path, warnings: &mut Vec<String>) {
    for name in ["memory", "ephemeral-storage"] {
        if let Some(amount) = quantity(&list[name]).filter(|amount| amount.milli_value() % 1000 != 0) {
            let told = amount.to_string();
            let at = path.key(name);
            warnings.push(format!("{at}: fractional byte value {told:?} is invalid, must be an integer"));
        }
    }
}

fn of_container(container: &Value, path: &Path, warnings: &mut Vec<String>) {
    for kind in ["limits", "requests"] {
        fractional(&container["resources"][kind], &path.child("resources").child(kind), warnings);
    }
    let mut seen = HashSet::new();
    for (index, variable) in items(&container["env"]).iter().enumerate() {
        let (name, value) = (text(&variable["name"]), text(&variable["value"]));
        if seen.insert(name) {
            continue;
        }
        // `PATH=$(PATH):/more` builds on the one before.
        let reference = format!("$({name})");
        let builds_on = value.contains(&reference) && value != reference;
        if !variable["valueFrom"].is_null() || !builds_on {
            let at = path.child("env").index(index);
            warnings.push(format!(
                "{at}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
}

fn ports(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut all: HashMap<(i64, &str), Vec<(Path, &Value)>> = HashMap::new();
    for (list, index, container) in containers(spec) {
        for (port_index, port) in items(&container["ports"]).iter().enumerate() {
            let at = path.child(list).index(index).child("ports").index(port_index);
            let (host_ip, host_port) = (text(&port["hostIP"]), int(&port["hostPort"]));
            if !host_ip.is_empty() && host_port == 0 {
                warnings.push(format!("{at}: hostIP set without hostPort: {}", told_port(port)));
            }
            let others = all.entry((int(&port["containerPort"]), text(&port["protocol"]))).or_default();
            for (other_at, other) in others.iter() {
                let (other_ip, other_port) = (text(&other["hostIP"]), int(&other["hostPort"]));
                let words = if host_ip == other_ip && host_port == other_port {
                    "duplicate"
                } else if host_port == 0 || other_port == 0 {
                    "overlapping"
                } else if host_port == other_port && host_ip.is_empty() != other_ip.is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                warnings.push(format!("{at}: {words} port definition with {other_at}"));
            }
            others.push((at, port));
        }
    }
}

/// As Go prints such a struct.
fn told_port(port: &Value) -> String {
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        text(&port["name"]),
        int(&port["hostPort"]),
        int(&port["containerPort"]),
        text(&port["protocol"]),
        text(&port["hostIP"]),
    )
}
