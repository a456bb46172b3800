//! What a component tells of itself: logs, metrics and health.

mod health;
mod logs;
mod metrics;

pub use health::{Check, Health, HealthReport};
pub use logs::{LogFormat, LogOptions, init_logs};
pub use metrics::{DURATION_BUCKETS, Metrics};
