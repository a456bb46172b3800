//! Where a webhook is, whom to trust there, and who one is oneself. Plain data, comparable: equal configurations share
//! one client.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::ConfigError;

/// The port of a service reference that names none.
const DEFAULT_PORT: u16 = 443;

/// Where a webhook is: a URL, or a path at a port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    Url(String),
    Service { namespace: String, name: String, port: u16, path: String },
}

/// Bytes that never reach a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(withheld)")
    }
}

/// How the client proves who it is. All empty: not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Credentials {
    /// A certificate chain and its key, PEM.
    pub certificate: Option<(String, Secret)>,
    pub token: Option<Secret>,
    /// Read again for every call: tokens in files are replaced while we run. Wins over `token`.
    pub token_file: Option<PathBuf>,
    pub basic: Option<(String, Secret)>,
}

/// Where a webhook is, whom to trust there, and who to be. Equal configurations share a client.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientConfig {
    pub target: Target,
    /// PEM; none: what the operating system trusts.
    pub ca_pem: Option<String>,
    pub credentials: Credentials,
    /// The name that the server's certificate must bear, where it is not the host's.
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
    pub user_agent: String,
}

impl ClientConfig {
    /// Nobody in particular, who trusts what the operating system trusts.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            ca_pem: None,
            credentials: Credentials::default(),
            server_name: None,
            insecure_skip_verify: false,
            user_agent: "kube-apiserver-admission".into(),
        }
    }

    /// The `clientConfig` of a webhook configuration or of a CRD's conversion: `url` or `service`, and `caBundle`.
    pub fn from_client_config(config: &Value) -> Result<Self, ConfigError> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let target = match (&config["service"], config["url"].as_str()) {
            (Value::Object(service), _) => {
                let field = |name: &str| service.get(name).map(text).unwrap_or_default();
                let port = service.get("port").and_then(Value::as_u64).unwrap_or(DEFAULT_PORT.into());
                let port = u16::try_from(port).map_err(|_| ConfigError::Port(port))?;
                Target::Service {
                    namespace: field("namespace"),
                    name: field("name"),
                    port,
                    path: field("path"),
                }
            }
            (_, Some(url)) if !url.is_empty() => Target::Url(url.into()),
            _ => return Err(ConfigError::NoTarget),
        };
        let ca_pem = match config["caBundle"].as_str().filter(|bundle| !bundle.is_empty()) {
            None => None,
            Some(bundle) => {
                let pem = STANDARD.decode(bundle).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                Some(pem.ok_or(ConfigError::CaBundle)?)
            }
        };
        Ok(Self { ca_pem, ..Self::new(target) })
    }

    /// `host:port` of a service target as its certificate names it: `name.namespace.svc`.
    pub(crate) fn service_host(namespace: &str, name: &str) -> String {
        format!("{name}.{namespace}.svc")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn client_configs_are_read_as_upstream_reads_them() {
        let service = ClientConfig::from_client_config(&json!({
            "service": {"namespace": "ns", "name": "hook", "path": "/x"}, "caBundle": STANDARD.encode("pem"),
        }))
        .expect("complete");
        assert_eq!(
            service.target,
            Target::Service { namespace: "ns".into(), name: "hook".into(), port: 443, path: "/x".into() }
        );
        assert_eq!(service.ca_pem.as_deref(), Some("pem"));
        let url = ClientConfig::from_client_config(&json!({"url": "https://a/b"})).expect("complete");
        assert_eq!(url.target, Target::Url("https://a/b".into()));
        let none = ClientConfig::from_client_config(&json!({})).expect_err("neither");
        assert_eq!(none.to_string(), "webhook configuration must have either service or URL");
        assert!(ClientConfig::from_client_config(&json!({"url": "https://a", "caBundle": "%"})).is_err());
        assert!(ClientConfig::from_client_config(&json!({"service": {"port": 70000}})).is_err());
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut config = ClientConfig::new(Target::Url("https://a".into()));
        config.credentials.token = Some(Secret("hunter2".into()));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
