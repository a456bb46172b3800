//! The order of versions: `v2`, `v1`, `v1beta2`, `v1beta1`, `v1alpha1`, then what is no version, by name.

use std::cmp::Ordering;

/// Greater is newer and more stable.
pub fn compare(a: &str, b: &str) -> Ordering {
    match (rank(a), rank(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

/// Stability, major, minor.
fn rank(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let number = |text: &str| {
        let good = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        good.then(|| text.parse::<u64>().ok()).flatten()
    };
    for (stage, rank) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(stage) {
            return Some((rank, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_stand_before_betas() {
        let mut all = ["v1alpha1", "foo", "v1", "v10", "v2beta1", "v2", "v1beta2", "bar", "v2beta10"];
        all.sort_by(|a, b| compare(b, a));
        assert_eq!(all, ["v10", "v2", "v1", "v2beta10", "v2beta1", "v1beta2", "v1alpha1", "bar", "foo"]);
    }
}
