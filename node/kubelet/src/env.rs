//! The environment of a container: service links, `envFrom`, `env`, and `$(VAR)` in both and in commands.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, Secret, Service};

use crate::context::Context;
use crate::fields;
use crate::objects::ObjectError;
use crate::observed::Observed;
use crate::pod::PodExt as _;

/// Variables in the order in which they were set; setting again changes the value in its place.
#[derive(Debug, Default, Clone)]
pub(crate) struct Variables(indexmap::IndexMap<String, String>);

impl Variables {
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn set(&mut self, name: &str, value: String) {
        self.0.insert(name.to_owned(), value);
    }
}

impl IntoIterator for Variables {
    type Item = (String, String);
    type IntoIter = indexmap::map::IntoIter<String, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Replaces `$(NAME)` by what `value_of` says; `$$` is a dollar; a name without a value stays as it is.
pub(crate) fn expand(text: &str, value_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('(') {
            let Some(end) = inner.find(')') else {
                out.push_str("$(");
                rest = inner;
                continue;
            };
            match value_of(&inner[..end]) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&format!("$({})", &inner[..end])),
            }
            rest = &inner[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// All variables of a container. An error is what `CreateContainerConfigError` says.
pub(crate) async fn variables(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    observed: &Observed,
) -> Result<Variables, String> {
    let services = services_of(ctx, pod);
    let mut set = Variables::default();
    for from in container.env_from.iter().flatten() {
        let prefix = from.prefix.as_deref().unwrap_or_default();
        for (key, value) in env_from(ctx, pod, from).await? {
            set.set(&format!("{prefix}{key}"), value);
        }
    }
    let mut explicit = set.clone();
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (Some(text), _) if !text.is_empty() => {
                expand(text, |name| explicit.get(name).or_else(|| services.get(name).cloned()))
            }
            (_, Some(source)) => match value_from(ctx, pod, container, observed, source).await? {
                Some(value) => value,
                None => continue,
            },
            _ => String::new(),
        };
        explicit.set(&variable.name, value);
    }
    // What the pod says wins over service links.
    let mut all = Variables::default();
    for (name, value) in services {
        if explicit.get(&name).is_none() {
            all.set(&name, value);
        }
    }
    explicit.into_iter().for_each(|(name, value)| all.set(&name, value));
    Ok(all)
}

type FromSource = Vec<(String, String)>;

async fn env_from(
    ctx: &Context,
    pod: &Pod,
    from: &k8s_openapi::api::core::v1::EnvFromSource,
) -> Result<FromSource, String> {
    if let Some(source) = &from.config_map_ref {
        let optional = source.optional == Some(true);
        let found = ctx.objects.config_map(pod, &source.name).await;
        let data = found_or(found, optional)?.and_then(|map: std::sync::Arc<ConfigMap>| map.data.clone());
        return Ok(data.unwrap_or_default().into_iter().collect());
    }
    if let Some(source) = &from.secret_ref {
        let optional = source.optional == Some(true);
        let found = ctx.objects.secret(pod, &source.name).await;
        let data = found_or(found, optional)?.and_then(|secret: std::sync::Arc<Secret>| secret.data.clone());
        let text = |(key, bytes): (String, k8s_openapi::ByteString)| {
            (key, String::from_utf8_lossy(&bytes.0).into_owned())
        };
        return Ok(data.unwrap_or_default().into_iter().map(text).collect());
    }
    Ok(Vec::new())
}

/// An absent object is nothing where it is optional, and an error elsewhere.
fn found_or<T>(found: Result<T, ObjectError>, optional: bool) -> Result<Option<T>, String> {
    match found {
        Ok(object) => Ok(Some(object)),
        Err(ObjectError::NotFound { .. }) if optional => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// The value that a source gives; `None` where it is optional and absent.
async fn value_from(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    observed: &Observed,
    source: &EnvVarSource,
) -> Result<Option<String>, String> {
    let place = format!("{}/", pod.namespace());
    if let Some(field) = &source.field_ref {
        let node = fields::NodeFacts::of(ctx, pod, observed);
        return fields::field(pod, &field.field_path, &node).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        let node = ctx.node.borrow().clone();
        return fields::resource(pod, Some(container), resource, &node).map(Some);
    }
    if let Some(key) = &source.config_map_key_ref {
        let optional = key.optional == Some(true);
        let found = found_or(ctx.objects.config_map(pod, &key.name).await, optional)?;
        let Some(map) = found else { return Ok(None) };
        return match map.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in ConfigMap {place}{}", key.key, key.name)),
        };
    }
    if let Some(key) = &source.secret_key_ref {
        let optional = key.optional == Some(true);
        let found = found_or(ctx.objects.secret(pod, &key.name).await, optional)?;
        let Some(secret) = found else { return Ok(None) };
        return match secret.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {} in Secret {place}{}", key.key, key.name)),
        };
    }
    if source.file_key_ref.is_some() {
        return Err("environment from files (fileKeyRef) is not supported by this node".into());
    }
    Ok(None)
}

/// Links to the services of the pod's namespace, and to `default/kubernetes` in any case.
fn services_of(ctx: &Context, pod: &Pod) -> BTreeMap<String, String> {
    let all = pod.spec().enable_service_links != Some(false);
    let mut services: Vec<_> = ctx.services.store().list();
    services.retain(|service| {
        let meta = &service.metadata;
        let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
        let master = namespace == Some("default") && name == Some("kubernetes");
        master || all && namespace == Some(pod.namespace())
    });
    // The master's come first, so that a namespace's own service called kubernetes wins.
    services.sort_by_key(|service| service.metadata.namespace.as_deref() != Some("default"));
    let mut links = BTreeMap::new();
    services.iter().for_each(|service| service_links(service, &mut links));
    links
}

fn service_links(service: &Service, links: &mut BTreeMap<String, String>) {
    let Some(spec) = &service.spec else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let ip = match spec.cluster_ip.as_deref() {
        Some(ip) if !ip.is_empty() && ip != "None" => ip,
        _ => return,
    };
    let Some(first) = ports.first() else { return };
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let prefix = name.to_uppercase().replace('-', "_");
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    links.insert(format!("{prefix}_SERVICE_HOST"), ip.to_owned());
    links.insert(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for (i, port) in ports.iter().enumerate() {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = name.to_uppercase().replace('-', "_");
            links.insert(format!("{prefix}_SERVICE_PORT_{name}"), port.port.to_string());
        }
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if i == 0 {
            links.insert(format!("{prefix}_PORT"), url.clone());
        }
        let each = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        links.insert(format!("{each}_PROTO"), protocol.to_lowercase());
        links.insert(format!("{each}_PORT"), port.port.to_string());
        links.insert(format!("{each}_ADDR"), ip.to_owned());
        links.insert(each, url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion() {
        let value_of = |name: &str| (name == "A").then(|| "1".to_owned());
        for (text, expected) in [
            ("x$(A)y", "x1y"),
            ("$(B)", "$(B)"),
            ("$$(A)", "$(A)"),
            ("$(A", "$(A"),
            ("$A $", "$A $"),
            ("$(A)$(A)$$", "11$"),
        ] {
            assert_eq!(expand(text, value_of), expected, "{text}");
        }
    }

    #[test]
    fn a_service_is_linked_as_docker_did() {
        let service = serde_json::json!({
            "metadata": { "name": "web-api" },
            "spec": { "clusterIP": "10.0.0.1", "ports": [{ "name": "http", "port": 80 }, { "port": 53, "protocol": "UDP" }] },
        });
        let mut links = BTreeMap::new();
        service_links(&serde_json::from_value(service).expect("a service"), &mut links);
        let text: Vec<String> = links.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        expect_test::expect![[r#"
            WEB_API_PORT=tcp://10.0.0.1:80
            WEB_API_PORT_53_UDP=udp://10.0.0.1:53
            WEB_API_PORT_53_UDP_ADDR=10.0.0.1
            WEB_API_PORT_53_UDP_PORT=53
            WEB_API_PORT_53_UDP_PROTO=udp
            WEB_API_PORT_80_TCP=tcp://10.0.0.1:80
            WEB_API_PORT_80_TCP_ADDR=10.0.0.1
            WEB_API_PORT_80_TCP_PORT=80
            WEB_API_PORT_80_TCP_PROTO=tcp
            WEB_API_SERVICE_HOST=10.0.0.1
            WEB_API_SERVICE_PORT=80
            WEB_API_SERVICE_PORT_HTTP=80"#]]
        .assert_eq(&text.join("\n"));
    }
}
