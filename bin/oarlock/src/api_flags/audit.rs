//! What is written down of requests, and where.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use oarlock_apiserver::{
    Audit, AuditBatch, AuditLog, AuditMode, AuditSink, AuditTruncation, AuditWebhook, parse_duration,
};

use super::faults::Faults;

const MODES: [&str; 3] = ["batch", "blocking", "blocking-strict"];
const VERSION: &str = "audit.k8s.io/v1";

#[derive(Args, Debug, Clone)]
pub(crate) struct AuditFlags {
    /// What the audit writes down (Policy); without it there is none
    #[arg(long, value_name = "FILE")]
    pub audit_policy_file: Option<PathBuf>,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub webhook: WebhookFlags,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct LogFlags {
    /// Where it writes it; - is standard output
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<String>,
    /// Size at which the audit log is rotated, in megabytes
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxsize: u64,
    /// Days that rotated audit logs are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxage: u32,
    /// Rotated audit logs that are kept
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_maxbackup: usize,
    /// Whether rotated audit logs are compressed with gzip
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit_log_compress: bool,
    /// Form of the audit log: json or legacy
    #[arg(long, value_name = "FORMAT", default_value = "json", value_parser = ["json", "legacy"])]
    pub audit_log_format: String,
    /// Version of the events in the audit log
    #[arg(long, value_name = "V", default_value = VERSION, value_parser = [VERSION])]
    pub audit_log_version: String,
    /// Whether requests wait for the audit log, and fail with it
    #[arg(long, value_name = "MODE", default_value = "blocking", value_parser = MODES)]
    pub audit_log_mode: String,
    /// Events that may wait for the audit log
    #[arg(long, value_name = "N", default_value_t = AuditBatch::LOG.buffer_size)]
    pub audit_log_batch_buffer_size: usize,
    /// Events in a batch
    #[arg(long, value_name = "N", default_value_t = AuditBatch::LOG.max_batch_size)]
    pub audit_log_batch_max_size: usize,
    /// How long a batch waits to be full
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration)]
    pub audit_log_batch_max_wait: Duration,
    /// Whether batches are slowed down
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit_log_batch_throttle_enable: bool,
    /// Batches a second
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub audit_log_batch_throttle_qps: f32,
    /// Batches at once after a pause
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub audit_log_batch_throttle_burst: u32,
    /// Whether large events are cut
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit_log_truncate_enabled: bool,
    /// Bytes of the largest event
    #[arg(long, value_name = "N", default_value_t = 102_400)]
    pub audit_log_truncate_max_event_size: usize,
    /// Bytes of the largest batch
    #[arg(long, value_name = "N", default_value_t = 10_485_760)]
    pub audit_log_truncate_max_batch_size: usize,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct WebhookFlags {
    /// The webhook that gets audit events, as a kubeconfig
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_webhook_config_file: Option<PathBuf>,
    /// How long to wait before the first call that is made again
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    pub audit_webhook_initial_backoff: Duration,
    /// Version of the events that it gets
    #[arg(long, value_name = "V", default_value = VERSION, value_parser = [VERSION])]
    pub audit_webhook_version: String,
    /// Whether requests wait for the webhook, and fail with it
    #[arg(long, value_name = "MODE", default_value = "batch", value_parser = MODES)]
    pub audit_webhook_mode: String,
    /// Events that may wait for the webhook
    #[arg(long, value_name = "N", default_value_t = AuditBatch::WEBHOOK.buffer_size)]
    pub audit_webhook_batch_buffer_size: usize,
    /// Events in a batch
    #[arg(long, value_name = "N", default_value_t = AuditBatch::WEBHOOK.max_batch_size)]
    pub audit_webhook_batch_max_size: usize,
    /// How long a batch waits to be full
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub audit_webhook_batch_max_wait: Duration,
    /// Whether batches are slowed down
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit_webhook_batch_throttle_enable: bool,
    /// Batches a second
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    pub audit_webhook_batch_throttle_qps: f32,
    /// Batches at once after a pause
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub audit_webhook_batch_throttle_burst: u32,
    /// Whether large events are cut
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub audit_webhook_truncate_enabled: bool,
    /// Bytes of the largest event
    #[arg(long, value_name = "N", default_value_t = 102_400)]
    pub audit_webhook_truncate_max_event_size: usize,
    /// Bytes of the largest batch
    #[arg(long, value_name = "N", default_value_t = 10_485_760)]
    pub audit_webhook_truncate_max_batch_size: usize,
}

impl AuditFlags {
    pub(super) fn read(&self) -> Option<Audit> {
        let log = self.log.audit_log_path.as_ref().map(|path| AuditLog {
            path: path.clone(),
            max_size_mib: self.log.audit_log_maxsize,
            max_age_days: self.log.audit_log_maxage,
            max_backups: self.log.audit_log_maxbackup,
            compress: self.log.audit_log_compress,
            legacy: self.log.audit_log_format == "legacy",
            sink: self.log.sink(),
        });
        let webhook = self.webhook.audit_webhook_config_file.as_ref().map(|file| AuditWebhook {
            config_file: file.clone(),
            initial_backoff: self.webhook.audit_webhook_initial_backoff,
            sink: self.webhook.sink(),
        });
        Some(Audit { policy_file: self.audit_policy_file.clone()?, log, webhook })
    }

    pub(super) fn check(&self, faults: &mut Faults) {
        check("log", &self.log.sink(), faults);
        check("webhook", &self.webhook.sink(), faults);
    }
}

impl LogFlags {
    fn sink(&self) -> AuditSink {
        let throttle = (self.audit_log_batch_throttle_qps, self.audit_log_batch_throttle_burst);
        AuditSink {
            mode: mode(&self.audit_log_mode),
            batch: AuditBatch {
                buffer_size: self.audit_log_batch_buffer_size,
                max_batch_size: self.audit_log_batch_max_size,
                max_batch_wait: self.audit_log_batch_max_wait,
                throttle: self.audit_log_batch_throttle_enable.then_some(throttle),
            },
            truncation: self.audit_log_truncate_enabled.then_some(AuditTruncation {
                max_event_size: self.audit_log_truncate_max_event_size,
                max_batch_size: self.audit_log_truncate_max_batch_size,
            }),
        }
    }
}

impl WebhookFlags {
    fn sink(&self) -> AuditSink {
        let throttle = (self.audit_webhook_batch_throttle_qps, self.audit_webhook_batch_throttle_burst);
        AuditSink {
            mode: mode(&self.audit_webhook_mode),
            batch: AuditBatch {
                buffer_size: self.audit_webhook_batch_buffer_size,
                max_batch_size: self.audit_webhook_batch_max_size,
                max_batch_wait: self.audit_webhook_batch_max_wait,
                throttle: self.audit_webhook_batch_throttle_enable.then_some(throttle),
            },
            truncation: self.audit_webhook_truncate_enabled.then_some(AuditTruncation {
                max_event_size: self.audit_webhook_truncate_max_event_size,
                max_batch_size: self.audit_webhook_truncate_max_batch_size,
            }),
        }
    }
}

fn mode(name: &str) -> AuditMode {
    match name {
        "batch" => AuditMode::Batch,
        "blocking-strict" => AuditMode::BlockingStrict,
        _ => AuditMode::Blocking,
    }
}

/// Upstream's rules, in its words.
fn check(plugin: &str, sink: &AuditSink, faults: &mut Faults) {
    let batch = &sink.batch;
    if sink.mode == AuditMode::Batch {
        if batch.buffer_size == 0 {
            faults.add(format!(
                "invalid audit batch {plugin} buffer size {}, must be a positive number",
                batch.buffer_size
            ));
        }
        if batch.max_batch_size == 0 {
            faults.add(format!(
                "invalid audit batch {plugin} max batch size {}, must be a positive number",
                batch.max_batch_size
            ));
        }
        if let Some((qps, burst)) = batch.throttle {
            if qps <= 0.0 {
                faults.add(format!(
                    "invalid audit batch {plugin} throttle QPS {qps}, must be a positive number"
                ));
            }
            if burst == 0 {
                faults.add(format!(
                    "invalid audit batch {plugin} throttle burst {burst}, must be a positive number"
                ));
            }
        }
    }
    if let Some(limits) = &sink.truncation
        && (limits.max_event_size == 0 || limits.max_batch_size < limits.max_event_size)
    {
        faults.add(format!(
            "invalid audit truncate {plugin} max batch size {}, must be greater than or equal to max event size ({})",
            limits.max_batch_size, limits.max_event_size
        ));
    }
}
