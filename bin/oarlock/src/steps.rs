//! What a person sees while a cluster starts: each step with the time at which it was done.

use std::time::Instant;

/// Prints steps on standard output; logs go to standard error.
pub(crate) struct Steps {
    start: Instant,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn done(&self, what: &str) {
        println!("{:>7.3} s  {what}", self.start.elapsed().as_secs_f64());
    }

    /// The last line of a start: scripts wait for it.
    pub(crate) fn ready(&self) {
        println!("ready in {:.3} s", self.start.elapsed().as_secs_f64());
    }
}
