//! `/statusz` and `/flagz`: what this server is and how it was started, as text for people, and as objects of
//! `config.k8s.io` for those who ask for them. (KEP-4827, KEP-4828)

use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use jiff::Timestamp;
use oarlock_api::Status;
use oarlock_api::codec::yaml;
use serde_json::{Value, json};

use crate::body::Body;
use crate::decode::Format;
use crate::encode;
use crate::request_info::Query;
use crate::server::Server;

/// Upstream's name for the API server on these pages.
const COMPONENT: &str = "apiserver";
const WARNING: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
                       guarantees and is for debugging purposes only.";

/// The paths of `/statusz`: what helps to find faults.
const PATHS: [(&str, Option<&str>); 7] = [
    ("/flagz", Some("ComponentFlagz")),
    ("/healthz", None),
    ("/livez", None),
    ("/metrics", None),
    ("/readyz", None),
    ("/statusz", Some("ComponentStatusz")),
    ("/version", None),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Status,
    Flags,
}

impl Page {
    /// The page of this name, if its feature is on.
    pub(crate) fn of(server: &Server, name: &str) -> Option<Self> {
        let (page, gate) = match name {
            "statusz" => (Self::Status, "ComponentStatusz"),
            "flagz" => (Self::Flags, "ComponentFlagz"),
            _ => return None,
        };
        server.features.is_on(gate).then_some(page)
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Status => "Statusz",
            Self::Flags => "Flagz",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Status => "statusz",
            Self::Flags => "flagz",
        }
    }
}

/// The paths of the pages that are on.
pub(crate) fn paths(server: &Server) -> impl Iterator<Item = String> + '_ {
    ["statusz", "flagz"]
        .into_iter()
        .filter(|name| Page::of(server, name).is_some())
        .map(|name| format!("/{name}"))
}

/// How a page is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Object { yaml: bool, version: &'static str },
}

pub(crate) fn serve(
    server: &Server,
    page: Page,
    headers: &HeaderMap,
    query: &Query,
) -> Result<Response<Body>, Status> {
    let form = form(page, headers).ok_or_else(|| {
        Status::not_acceptable(
            "only the following media types are accepted: application/json, application/yaml, text/plain",
        )
    })?;
    let Form::Object { yaml, version } = form else {
        return Ok(encode::page(text(server, page)));
    };
    let object = object(server, page, version);
    let (media, bytes) = match (yaml, query.flag("pretty")) {
        (true, _) => ("application/yaml", yaml::print(&object)),
        (false, true) => ("application/json", format!("{object:#}\n").into_bytes()),
        (false, false) => ("application/json", format!("{object}\n").into_bytes()),
    };
    let mut response = encode::respond(StatusCode::OK, Format::Json, bytes);
    let told = format!("{media};g=config.k8s.io;v={version};as={}", page.kind());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_str(&told).expect("all parts are ours, and ASCII"));
    if version == "v1alpha1" {
        let old = format!(
            "This version of the {} endpoint is deprecated. Please use a newer version.",
            page.name()
        );
        encode::warn(&mut response, &[old]);
    }
    Ok(response)
}

/// The first form that the client accepts; text for those who say nothing.
fn form(page: Page, headers: &HeaderMap) -> Option<Form> {
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accept.iter().all(|value| value.trim().is_empty()) {
        return Some(Form::Text);
    }
    encode::by_quality(&accept).into_iter().find_map(|clause| clause_form(page, clause))
}

fn clause_form(page: Page, clause: &str) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next()?;
    let told: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let of = |name: &str| told.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
    if of("as").is_none() {
        return matches!(media, "text/plain" | "text/*" | "*/*").then_some(Form::Text);
    }
    let version = match of("v")? {
        "v1beta1" => "v1beta1",
        "v1alpha1" => "v1alpha1",
        _ => return None,
    };
    let known = of("as") == Some(page.kind()) && of("g") == Some("config.k8s.io");
    let yaml = match media {
        "application/json" | "application/*" | "*/*" => false,
        "application/yaml" => true,
        _ => return None,
    };
    known.then_some(Form::Object { yaml, version })
}

fn object(server: &Server, page: Page, version: &str) -> Value {
    let mut object = json!({
        "kind": page.kind(), "apiVersion": format!("config.k8s.io/{version}"),
        "metadata": { "name": COMPONENT },
    });
    match page {
        Page::Flags => object["flags"] = json!(server.flags),
        Page::Status => {
            let started = server.started;
            object["startTime"] = started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
            object["uptimeSeconds"] = seconds_since(started).into();
            object["goVersion"] = "none".into();
            object["binaryVersion"] = BINARY.into();
            object["emulationVersion"] = EMULATED.into();
            object["paths"] = json!(debugging_paths(server));
        }
    }
    object
}

/// The Kubernetes that this is.
const BINARY: &str = "1.36.0";
const EMULATED: &str = "1.36";

fn debugging_paths(server: &Server) -> Vec<&'static str> {
    let on = |gate: Option<&str>| gate.is_none_or(|gate| server.features.is_on(gate));
    PATHS.iter().filter(|(_, gate)| on(*gate)).map(|(path, _)| *path).collect()
}

fn seconds_since(started: Timestamp) -> i64 {
    (Timestamp::now().as_second() - started.as_second()).max(0)
}

fn text(server: &Server, page: Page) -> String {
    let mut text = format!("\n{COMPONENT} {}\n{WARNING}\n", page.name());
    match page {
        Page::Flags => {
            for (name, value) in &server.flags {
                text.push_str(&format!("{name}={value}\n"));
            }
        }
        Page::Status => {
            let up = seconds_since(server.started);
            let lines = [
                ("Started", server.started.strftime("%a %b %e %H:%M:%S UTC %Y").to_string()),
                ("Up", format!("{} hr {:02} min {:02} sec", up / 3600, up / 60 % 60, up % 60)),
                ("Go version", "none".to_string()),
                ("Binary version", BINARY.to_string()),
                ("Emulation version", EMULATED.to_string()),
                ("Paths", debugging_paths(server).join(" ")),
            ];
            for (name, value) in lines {
                text.push_str(&format!("\n{name}: {value}"));
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_for_those_who_name_them() {
        let check = |accept: &str, want: Option<Form>| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().expect("a header value"));
            assert_eq!(form(Page::Status, &headers), want, "{accept}");
        };
        let object = |yaml, version| Some(Form::Object { yaml, version });
        check("", Some(Form::Text));
        check("text/plain", Some(Form::Text));
        check("*/*", Some(Form::Text));
        check("application/json", None);
        check("text/html", None);
        check("application/json;as=Statusz;v=v1beta1;g=config.k8s.io", object(false, "v1beta1"));
        check("application/yaml;as=Statusz;v=v1alpha1;g=config.k8s.io", object(true, "v1alpha1"));
        check("application/json;as=Flagz;v=v1beta1;g=config.k8s.io", None);
        check("application/json;as=Statusz;v=v1;g=config.k8s.io,text/plain;q=0.5", Some(Form::Text));
    }
}
