//! What a component tells of itself: logs, metrics and health.
//!
//! Owns their forms (a line per event; Prometheus' text; `/healthz`, `/livez` and `/readyz` in upstream's words), and knows
//! nothing of what is told. Components name their metrics and checks; the binary starts the logs.

mod health;
mod logs;
mod metrics;
mod process;

pub use health::{Check, Health, HealthReport};
pub use logs::{LogFormat, LogOptions, init_logs};
pub use metrics::{DURATION_BUCKETS, Metrics};
pub use process::ProcessMetrics;
