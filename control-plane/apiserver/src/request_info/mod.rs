//! What a request asks for, read from its method, path and query alone. (`request.RequestInfo`)

mod query;

pub(crate) use query::Query;

use http::Method;
use percent_encoding::percent_decode_str;

/// The parts of a request that authorisation, metrics and routing need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RequestInfo {
    pub is_resource: bool,
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the lower-case method where
    /// no resource is asked for.
    pub verb: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// The segments after resource, name and subresource: the path that a proxy goes on with.
    pub rest: Vec<String>,
}

/// Subresources of a namespace; every other third segment is a resource inside it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

impl RequestInfo {
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self {
            path: percent_decode_str(path).decode_utf8_lossy().into_owned(),
            verb: method.as_str().to_ascii_lowercase(),
            ..Self::default()
        };
        let segments: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|s| percent_decode_str(s).decode_utf8_lossy().into_owned())
            .collect();
        let mut parts = match segments.first().map(String::as_str) {
            Some("api") if segments.len() >= 3 => {
                info.version = segments[1].clone();
                &segments[2..]
            }
            Some("apis") if segments.len() >= 4 => {
                info.group = segments[1].clone();
                info.version = segments[2].clone();
                &segments[3..]
            }
            _ => return info,
        };
        info.is_resource = true;
        info.verb = verb_of(method).to_string();
        if parts.len() > 1 && parts[0] == "watch" {
            info.verb = "watch".into();
            parts = &parts[1..];
        }
        info.read_parts(parts);
        info.refine_verb(method, query);
        info
    }

    fn read_parts(&mut self, mut parts: &[String]) {
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].clone();
            if parts.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&parts[2].as_str()) {
                parts = &parts[2..];
            }
        }
        self.resource = parts[0].clone();
        self.name = parts.get(1).cloned().unwrap_or_default();
        self.subresource = parts.get(2).cloned().unwrap_or_default();
        self.rest = parts.get(3..).unwrap_or_default().to_vec();
    }

    fn refine_verb(&mut self, method: &Method, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if query.flag("watch") { "watch" } else { "list" }.into();
        }
        if self.name.is_empty() && matches!(self.verb.as_str(), "list" | "watch") {
            if let Some(name) = query.get("fieldSelector").and_then(name_in_field_selector) {
                self.name = name;
            }
        } else if self.name.is_empty() && method == Method::DELETE {
            self.verb = "deletecollection".into();
        }
    }

    /// Requests that are allowed to last: watches, and what streams.
    pub(crate) fn is_long_running(&self) -> bool {
        self.verb == "watch"
            || (self.is_resource
                && matches!(self.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy"))
    }

    /// A request on the collection, whatever name its field selector gave it.
    pub(crate) fn on_collection(&self) -> bool {
        matches!(self.verb.as_str(), "list" | "watch" | "deletecollection")
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// `metadata.name=x` pins a list or watch to one object, which authorisation may allow by name.
fn name_in_field_selector(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let value = term.strip_prefix("metadata.name=")?;
        let value = value.strip_prefix('=').unwrap_or(value);
        (!value.is_empty() && !value.contains('/')).then(|| value.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: Method, uri: &str, want: &str) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::parse(&method, path, &Query::parse(query));
        let got = if info.is_resource {
            format!(
                "{} {}/{} {}/{} ns={} name={} rest={}",
                info.verb,
                info.group,
                info.version,
                info.resource,
                info.subresource,
                info.namespace,
                info.name,
                info.rest.join("/")
            )
        } else {
            format!("{} {}", info.verb, info.path)
        };
        assert_eq!(got, want, "{method} {uri}");
    }

    #[test]
    fn paths_are_read_as_upstream_reads_them() {
        check(Method::GET, "/healthz", "get /healthz");
        check(Method::GET, "/api/v1", "get /api/v1");
        check(Method::GET, "/apis/apps/v1", "get /apis/apps/v1");
        check(Method::GET, "/api/v1/pods", "list /v1 pods/ ns= name= rest=");
        check(Method::GET, "/api/v1/pods?watch=true", "watch /v1 pods/ ns= name= rest=");
        check(
            Method::GET,
            "/api/v1/pods?watch=1&fieldSelector=metadata.name%3Dx",
            "watch /v1 pods/ ns= name=x rest=",
        );
        check(Method::GET, "/api/v1/namespaces/a", "get /v1 namespaces/ ns=a name=a rest=");
        check(
            Method::PUT,
            "/api/v1/namespaces/a/finalize",
            "update /v1 namespaces/finalize ns=a name=a rest=",
        );
        check(
            Method::DELETE,
            "/apis/apps/v1/namespaces/a/deployments",
            "deletecollection apps/v1 deployments/ ns=a name= rest=",
        );
        check(
            Method::PATCH,
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "patch apps/v1 deployments/scale ns=a name=d rest=",
        );
        check(
            Method::GET,
            "/api/v1/namespaces/a/pods/p/proxy/x/y",
            "get /v1 pods/proxy ns=a name=p rest=x/y",
        );
    }
}
