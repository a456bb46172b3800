//! Flags of kube-apiserver that seldom change: how the server behaves at its edges, and what it only knows one way.

use std::time::Duration;

use clap::{ArgAction, Args};
use http::HeaderValue;
use oarlock_apiserver::{Manners, parse_duration};

use super::faults::Faults;

const TRANSPORT_SECURITY: &str = "--strict-transport-security-directives invalid, allowed values: max-age=expireTime, \
    includeSubDomains, preload. see https://tools.ietf.org/html/rfc6797#section-6.1 for more information";

#[derive(Args, Debug, Clone)]
pub(crate) struct FurtherFlags {
    /// The host name that clients are told, where it is not the advertised address
    #[arg(long, value_name = "HOST")]
    pub external_hostname: Option<String>,
    /// Directives of the header Strict-Transport-Security
    #[arg(long, value_name = "DIRECTIVES", value_delimiter = ',')]
    pub strict_transport_security_directives: Vec<String>,
    /// Whose web pages may ask, as regular expressions
    #[arg(long, value_name = "EXPRESSIONS", value_delimiter = ',')]
    pub cors_allowed_origins: Vec<String>,
    /// Whether requests that come before the server has been ready once are to come again
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub send_retry_after_while_not_ready_once: bool,
    /// Whether requests that come while the server stops are sent elsewhere
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub shutdown_send_retry_after: bool,
    /// Over how long watches end when the server stops
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub shutdown_watch_termination_grace_period: Duration,
    /// How long what is done at the start may take before /livez fails
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub livez_grace_period: Duration,
    /// Metrics that are not told
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub disabled_metrics: Vec<String>,
    /// Metrics that were hidden since this version; there are none
    #[arg(long, value_name = "V", value_parser = ["", "1.35"])]
    pub show_hidden_metrics_for_version: Option<String>,
    /// The port of the kubernetes Service on all nodes; 0 is none
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub kubernetes_service_node_port: u16,
    /// Who keeps the endpoints of the kubernetes Service: lease is the API servers, none is others
    #[arg(long, value_name = "TYPE", default_value = "lease", value_parser = ["lease", "none"])]
    pub endpoint_reconciler_type: String,
    /// How long the store may take before /livez fails
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub etcd_healthcheck_timeout: Duration,
    /// How long it may take before /readyz fails
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = parse_duration)]
    pub etcd_readycheck_timeout: Duration,
    /// Seconds over which writes of what lives for a time share a lease
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lease_reuse_duration_seconds: u32,
    /// Whether containers may be privileged
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub allow_privileged: bool,
    /// Whether deletions leave dependents to the garbage collector
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_garbage_collector: bool,
    /// Objects of a collection that are deleted at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub delete_collection_workers: usize,
    #[command(flatten)]
    pub fixed: FixedFlags,
}

/// What this server does in one way only: the flag is known, and another value is refused rather than ignored.
#[derive(Args, Debug, Clone)]
pub(crate) struct FixedFlags {
    /// The protocol of --etcd-servers
    #[arg(long, value_name = "NAME", default_value = "etcd3", value_parser = ["", "etcd3"])]
    pub storage_backend: String,
    /// Whether there is a watch cache; there always is
    #[arg(long, value_name = "BOOL", default_value = "true", value_parser = ["true"], num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub watch_cache: String,
    /// Sizes of watch caches: resource#size; they grow by themselves, and none can be left out
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = cache_size)]
    pub watch_cache_sizes: Vec<String>,
    /// Whether aggregated servers are reached at their endpoints; they always are
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_aggregator_routing: bool,
    /// How often objects are counted; they are counted as they come and go
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub etcd_count_metric_poll_period: Duration,
    /// How old the size of the store that metrics tell may be
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub etcd_db_metric_poll_interval: Duration,
    /// How long the store may take at the start before the server is ready without it; it never is
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub storage_initialization_timeout: Duration,
    /// How often logs are written out; they are at once
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = parse_duration)]
    pub log_flush_frequency: Duration,
    /// Form of the log
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text"])]
    pub logging_format: String,
    /// Whether /logs is served; it is not
    #[arg(long, value_name = "BOOL", default_value = "false", value_parser = ["false"], num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub enable_logs_handler: String,
    /// Whether profiles are served at /debug/pprof; they are not
    #[arg(long, value_name = "BOOL", default_value = "false", value_parser = ["false"], num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub profiling: String,
    /// Whether waiting for locks is profiled; it is not
    #[arg(long, value_name = "BOOL", default_value = "false", value_parser = ["false"], num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub contention_profiling: String,
    /// Bytes a second of a connection that lasts; 0 is any number
    #[arg(long, value_name = "N", default_value = "0", value_parser = ["0"])]
    pub max_connection_bytes_per_sec: String,
    /// The version that is emulated
    #[arg(long, value_name = "V", value_delimiter = ',', value_parser = ["1.36", "kube=1.36"])]
    pub emulated_version: Vec<String>,
}

/// `resource[.group]#size`. (0 would be a resource without a cache.)
fn cache_size(text: &str) -> Result<String, String> {
    let size = text
        .split_once('#')
        .and_then(|(resource, size)| (!resource.is_empty()).then(|| size.parse::<u32>().ok()).flatten());
    match size {
        Some(0) => Err(format!("{text:?}: every resource has a watch cache")),
        Some(_) => Ok(text.to_string()),
        None => Err(format!("{text:?} is not of the form resource[.group]#size")),
    }
}

impl FurtherFlags {
    pub(super) fn manners(&self, faults: &mut Faults) -> Manners {
        Manners {
            transport_security: self.transport_security(faults),
            origins: self.origins(faults),
            retry_while_starting: self.send_retry_after_while_not_ready_once,
            retry_while_stopping: self.shutdown_send_retry_after,
            watch_grace: self.shutdown_watch_termination_grace_period,
            livez_grace: self.livez_grace_period,
            disabled_metrics: self.disabled_metrics.clone(),
            size_every: self.fixed.etcd_db_metric_poll_interval,
        }
    }

    fn transport_security(&self, faults: &mut Faults) -> Option<HeaderValue> {
        let directives: Vec<&str> = self
            .strict_transport_security_directives
            .iter()
            .map(|one| one.trim())
            .filter(|one| !one.is_empty())
            .collect();
        let known = |one: &&str| {
            let age = one.strip_prefix("max-age=").is_some_and(|age| age.parse::<u64>().is_ok());
            age || matches!(*one, "includeSubDomains" | "preload")
        };
        if directives.is_empty() {
            return None;
        }
        if !directives.iter().all(known) {
            faults.add(TRANSPORT_SECURITY);
            return None;
        }
        HeaderValue::from_str(&directives.join("; ")).ok()
    }

    fn origins(&self, faults: &mut Faults) -> Vec<regex::Regex> {
        let mut origins = Vec::new();
        for text in &self.cors_allowed_origins {
            let begins = text.starts_with('^') || text.contains("//");
            let host = text.rsplit_once("//").map_or(text.as_str(), |(_, host)| host);
            let ends = host.ends_with('$') || host.contains(':');
            if !begins || !ends {
                faults.add(format!(
                    "--cors-allowed-origins has an invalid regular expression: {text:?} does not pin to the start and end of the host name"
                ));
            }
            origins.extend(faults.take("cors-allowed-origins", regex::Regex::new(text)));
        }
        origins
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        if self.delete_collection_workers == 0 {
            faults.add("--delete-collection-workers must be at least 1");
        }
    }
}
