//! A kubeconfig file as webhooks of authentication, authorisation and audit are configured with: its current context.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::codec::yaml;
use serde_json::Value;

use crate::{ClientConfig, ConfigError, Credentials, Secret, Target};

/// Files that it names are relative to its own folder. Credential plugins (`exec`, `auth-provider`) and proxies are refused.
pub fn from_kubeconfig(path: &Path) -> Result<ClientConfig, ConfigError> {
    let bytes = read(path)?;
    let config = yaml::parse(&bytes).map_err(|e| not_one(path, e.to_string()))?;
    let file = File { path, folder: path.parent().unwrap_or(Path::new(".")) };
    let (cluster, user) = file.current(&config)?;
    file.client(cluster, user)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path)
        .map_err(|e| ConfigError::File { path: path.display().to_string(), why: e.to_string() })
}

fn not_one(path: &Path, why: impl Into<String>) -> ConfigError {
    ConfigError::Kubeconfig { path: path.display().to_string(), why: why.into() }
}

/// Who one is to each webhook: the users of a kubeconfig file, named after hosts. (`kubeConfigFile` of a
/// WebhookAdmissionConfiguration)
#[derive(Debug, Default)]
pub struct Authentication(Vec<(String, Credentials)>);

impl Authentication {
    /// Reads the users; what they name in files is relative to this one.
    pub fn from_kubeconfig(path: &Path) -> Result<Self, ConfigError> {
        let bytes = read(path)?;
        let config = yaml::parse(&bytes).map_err(|e| not_one(path, e.to_string()))?;
        let file = File { path, folder: path.parent().unwrap_or(Path::new(".")) };
        let mut users = Vec::new();
        for entry in config["users"].as_array().into_iter().flatten() {
            file.no_plugins(&entry["user"])?;
            let name = text(entry, "name").unwrap_or_default().to_string();
            users.push((name, file.credentials(&entry["user"])?));
        }
        Ok(Self(users))
    }

    /// The user named `host:port`, `*.rest:port`, or without the port where it is 443; nobody where there is none.
    pub fn credentials(&self, target: &Target) -> Credentials {
        let host = match target {
            Target::Service { namespace, name, port, .. } => {
                format!("{}:{port}", ClientConfig::service_host(namespace, name))
            }
            Target::Url(text) => {
                let authority = text.split("://").last().unwrap_or_default().split('/').next();
                authority.unwrap_or_default().to_string()
            }
        };
        let found = self.named(&host).or_else(|| self.named(host.strip_suffix(":443")?));
        found.cloned().unwrap_or_default()
    }

    fn named(&self, host: &str) -> Option<&Credentials> {
        let user = |name: &str| Some(&self.0.iter().find(|(user, _)| user == name)?.1);
        let wildcards = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
        user(host).or_else(|| wildcards.into_iter().find_map(|name| user(&name)))
    }
}

struct File<'a> {
    path: &'a Path,
    folder: &'a Path,
}

fn named<'a>(config: &'a Value, list: &str, name: &str, field: &str) -> Option<&'a Value> {
    config[list].as_array()?.iter().find(|entry| entry["name"] == name)?.get(field)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value[field].as_str().filter(|text| !text.is_empty())
}

impl File<'_> {
    fn fault(&self, why: impl Into<String>) -> ConfigError {
        not_one(self.path, why)
    }

    /// The cluster and the user of the current context.
    fn current<'a>(&self, config: &'a Value) -> Result<(&'a Value, &'a Value), ConfigError> {
        let current = text(config, "current-context").unwrap_or_default();
        let context = named(config, "contexts", current, "context")
            .ok_or_else(|| self.fault(format!("context \"{current}\" does not exist")))?;
        let cluster = text(context, "cluster").unwrap_or_default();
        let cluster = named(config, "clusters", cluster, "cluster")
            .ok_or_else(|| self.fault(format!("cluster \"{cluster}\" does not exist")))?;
        let user = text(context, "user").unwrap_or_default();
        Ok((cluster, named(config, "users", user, "user").unwrap_or(&Value::Null)))
    }

    fn client(&self, cluster: &Value, user: &Value) -> Result<ClientConfig, ConfigError> {
        self.no_plugins(user)?;
        if text(cluster, "proxy-url").is_some() {
            return Err(self.fault("proxy-url is not supported"));
        }
        let server = text(cluster, "server").ok_or_else(|| self.fault("the cluster has no server"))?;
        let mut client = ClientConfig::new(Target::Url(server.into()));
        client.user_agent = format!("kube-apiserver/{}", oarlock_base::VERSION);
        client.ca_pem = self.data(cluster, "certificate-authority")?;
        client.server_name = text(cluster, "tls-server-name").map(ToString::to_string);
        client.insecure_skip_verify = cluster["insecure-skip-tls-verify"] == true;
        client.credentials = self.credentials(user)?;
        Ok(client)
    }

    fn no_plugins(&self, user: &Value) -> Result<(), ConfigError> {
        match ["exec", "auth-provider"].iter().find(|plugin| !user[**plugin].is_null()) {
            Some(plugin) => Err(self.fault(format!("{plugin} is not supported"))),
            None => Ok(()),
        }
    }

    fn credentials(&self, user: &Value) -> Result<Credentials, ConfigError> {
        let certificate = self.data(user, "client-certificate")?.zip(self.data(user, "client-key")?);
        let basic = text(user, "username")
            .map(|name| (name.to_string(), Secret(text(user, "password").unwrap_or_default().to_string())));
        Ok(Credentials {
            certificate: certificate.map(|(chain, key)| (chain, Secret(key))),
            token: text(user, "token").map(|token| Secret(token.into())),
            token_file: text(user, "tokenFile").map(|path| self.beside(path)),
            basic,
        })
    }

    fn beside(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// `<field>-data` in base64, or the file that `<field>` names.
    fn data(&self, value: &Value, field: &str) -> Result<Option<String>, ConfigError> {
        let bytes = if let Some(data) = text(value, &format!("{field}-data")) {
            STANDARD.decode(data).map_err(|_| self.fault(format!("{field}-data is not base64")))?
        } else if let Some(path) = text(value, field) {
            read(&self.beside(path))?
        } else {
            return Ok(None);
        };
        String::from_utf8(bytes).map(Some).map_err(|_| self.fault(format!("{field} is not text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, want: Result<fn(&ClientConfig) -> bool, &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), "the authority").expect("written");
        let path = folder.path().join("config");
        std::fs::write(&path, yaml).expect("written");
        match (from_kubeconfig(&path), want) {
            (Ok(config), Ok(holds)) => assert!(holds(&config), "{config:?}"),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (got, _) => panic!("{got:?} of {yaml}"),
        }
    }

    #[test]
    fn users_are_found_by_the_hosts_that_they_are_named_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        let names = ["a.ns.svc", "*.ns.svc", "b.test:8443", "*.test"];
        let users: Vec<String> =
            names.iter().map(|name| format!("{{name: '{name}', user: {{token: '{name}'}}}}")).collect();
        std::fs::write(&path, format!("users: [{}]", users.join(", "))).expect("written");
        let known = Authentication::from_kubeconfig(&path).expect("read");
        let check = |target: Target, want: Option<&str>| {
            let token = known.credentials(&target).token.map(|token| token.0);
            assert_eq!(token.as_deref(), want, "{target:?}");
        };
        let service = |name: &str, port| Target::Service {
            namespace: "ns".into(),
            name: name.into(),
            port,
            path: String::new(),
        };
        check(service("a", 443), Some("a.ns.svc"));
        check(service("b", 443), Some("*.ns.svc"));
        check(service("a", 8443), None);
        check(Target::Url("https://b.test:8443/x".into()), Some("b.test:8443"));
        check(Target::Url("https://c.test/x".into()), Some("*.test"));
        check(Target::Url("https://c.example/x".into()), None);
    }

    #[test]
    fn the_current_context_is_read() {
        let head = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n";
        check(
            &format!(
                "{head}clusters: [{{name: k, cluster: {{server: 'https://h/authn', certificate-authority: ca.pem}}}}]\n\
                 users: [{{name: u, user: {{token: t}}}}]"
            ),
            Ok(|config| {
                config.target == Target::Url("https://h/authn".into())
                    && config.ca_pem.as_deref() == Some("the authority")
                    && config.credentials.token == Some(Secret("t".into()))
            }),
        );
        check(&format!("{head}clusters: []"), Err("cluster \"k\" does not exist"));
        check("current-context: x", Err("context \"x\" does not exist"));
        check(
            &format!(
                "{head}clusters: [{{name: k, cluster: {{server: 'https://h'}}}}]\nusers: [{{name: u, user: {{exec: {{}}}}}}]"
            ),
            Err("exec is not supported"),
        );
    }
}
