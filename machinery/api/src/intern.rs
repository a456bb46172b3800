//! Names that live as long as the process: of groups, versions and resources that come at run time. Each distinct name
//! is kept once, so what comes and goes under the same names costs nothing more.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

static NAMES: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);

/// The one copy of a name. For names that somebody who may define resources has chosen, never for data of requests.
pub fn intern(name: &str) -> &'static str {
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once() {
        let first = intern(&String::from("a-name-of-a-test"));
        assert!(std::ptr::eq(first, intern(&String::from("a-name-of-a-test"))));
    }
}
