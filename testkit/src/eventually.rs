//! Waiting for a state that something else brings about.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Looks again and again until `look` gives a value; after `patience` panics with what it said last. The limit is only
/// there to end a broken test: no test measures time by it.
#[track_caller]
pub fn eventually<T, E: Display>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(why) if start.elapsed() > patience => panic!("{what}: not within {patience:?}: {why}"),
            Err(_) => pause(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test from outside has no signal to wait on")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
