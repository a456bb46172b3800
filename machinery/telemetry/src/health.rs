//! Named checks behind `/healthz`, `/livez` and `/readyz`, answered as upstream words them.

use std::sync::Arc;

use parking_lot::RwLock;

/// A check: `Ok` is healthy, `Err` says why not. It must not block.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The checks of one endpoint, in the order they were added. Clones share one list.
#[derive(Clone, Default)]
pub struct Health(Arc<RwLock<Vec<(String, Check)>>>);

/// What a request for health gets.
#[derive(Debug, PartialEq, Eq)]
pub struct HealthReport {
    pub ok: bool,
    pub body: String,
}

impl Health {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&self, name: &str, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        self.0.write().push((name.to_string(), Arc::new(check)));
    }

    /// Runs all checks but the excluded; `endpoint` is `readyz`, `livez` or `healthz`.
    pub fn report(&self, endpoint: &str, excluded: &[&str], verbose: bool) -> HealthReport {
        let mut lines = String::new();
        let mut ok = true;
        for (name, check) in self.0.read().iter() {
            if excluded.contains(&name.as_str()) {
                lines.push_str(&format!("[+]{name} excluded: ok\n"));
                continue;
            }
            match check() {
                Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
                Err(why) => {
                    ok = false;
                    // The reason goes to the log only: this endpoint answers strangers.
                    tracing::debug!(check = %name, %why, endpoint, "health check failed");
                    lines.push_str(&format!("[-]{name} failed: reason withheld\n"));
                }
            }
        }
        let body = match (ok, verbose) {
            (true, false) => "ok".to_string(),
            (true, true) => format!("{lines}{endpoint} check passed\n"),
            (false, _) => format!("{lines}{endpoint} check failed\n"),
        };
        HealthReport { ok, body }
    }

    /// One check by name, as under `/readyz/<name>`; `None` where there is no such check.
    pub fn one(&self, name: &str) -> Option<HealthReport> {
        let check = self.0.read().iter().find(|(known, _)| known == name).map(|(_, check)| check.clone())?;
        Some(match check() {
            Ok(()) => HealthReport { ok: true, body: "ok".into() },
            Err(why) => HealthReport { ok: false, body: format!("internal server error: {why}\n") },
        })
    }

    pub fn names(&self) -> Vec<String> {
        self.0.read().iter().map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_as_upstreams() {
        let health = Health::new();
        health.add("ping", || Ok(()));
        health.add("store", || Err("asleep".into()));
        let report = health.report("readyz", &[], false);
        assert_eq!(
            (report.ok, report.body.as_str()),
            (false, "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n")
        );
        let without = health.report("readyz", &["store"], false);
        assert_eq!((without.ok, without.body.as_str()), (true, "ok"));
        assert!(health.one("nothing").is_none());
    }
}
