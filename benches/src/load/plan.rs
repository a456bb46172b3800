//! The rounds and their requests.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use super::Shape;

/// The content of an object, about 1 KiB.
const PAYLOAD_BYTES: usize = 1024;

/// One kind of request, made many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Get,
    List,
    Patch,
    /// Patches that watchers see.
    Fanout,
    Delete,
}

pub(super) const ROUNDS: [Verb; 6] =
    [Verb::Create, Verb::Get, Verb::List, Verb::Patch, Verb::Fanout, Verb::Delete];

/// A request before it is one.
pub(super) struct Wanted {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Fanout => "patch, watched",
            Self::Delete => "delete",
        }
    }

    pub(super) fn count(self, shape: &Shape) -> u32 {
        match self {
            Self::List => shape.lists,
            Self::Fanout if shape.watchers == 0 => 0,
            // Enough to see, few enough that a slow server is not watched for minutes.
            Self::Fanout => shape.objects.min(500),
            _ => shape.objects,
        }
    }

    /// The request of this number in its round.
    pub(super) fn wanted(self, namespace: &str, at: u32) -> Wanted {
        let all = format!("/api/v1/namespaces/{namespace}/configmaps");
        let one = format!("{all}/load-{at}");
        let (method, path, kind, body) = match self {
            Self::Create => (Method::POST, all, "application/json", object(at)),
            Self::Get => (Method::GET, one, "application/json", Bytes::new()),
            Self::List => (Method::GET, all, "application/json", Bytes::new()),
            Self::Patch => (Method::PATCH, one, "application/merge-patch+json", change("patched")),
            Self::Fanout => (Method::PATCH, one, "application/merge-patch+json", change("watched")),
            Self::Delete => (Method::DELETE, one, "application/json", Bytes::new()),
        };
        Wanted { method, path, kind, body }
    }
}

fn object(at: u32) -> Bytes {
    let text = "x".repeat(PAYLOAD_BYTES);
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": format!("load-{at}")}, "data": {"text": text, "state": "created"},
    });
    object.to_string().into()
}

fn change(state: &str) -> Bytes {
    json!({"data": {"state": state}}).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_to_their_objects() {
        for (verb, method, path) in [
            (Verb::Create, "POST", "/api/v1/namespaces/n/configmaps"),
            (Verb::Get, "GET", "/api/v1/namespaces/n/configmaps/load-7"),
            (Verb::List, "GET", "/api/v1/namespaces/n/configmaps"),
            (Verb::Fanout, "PATCH", "/api/v1/namespaces/n/configmaps/load-7"),
            (Verb::Delete, "DELETE", "/api/v1/namespaces/n/configmaps/load-7"),
        ] {
            let wanted = verb.wanted("n", 7);
            assert_eq!((wanted.method.as_str(), wanted.path.as_str()), (method, path), "{verb:?}");
        }
    }
}
