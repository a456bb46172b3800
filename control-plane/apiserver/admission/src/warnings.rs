//! How much a client is told in `Warning:` headers: all of it, while it is not too much in all; else the beginning of
//! each. (apiserver `endpoints/filters/warning.go`)

/// Counted in characters.
const TOTAL_MAX: usize = 4 * 1024;
const EACH_MAX: usize = 256;

/// The texts that go into headers, each once, in their order.
pub fn truncate_warnings(warnings: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::with_capacity(warnings.len());
    for warning in warnings {
        if !warning.is_empty() && !once.contains(&warning) {
            once.push(warning);
        }
    }
    let total: usize = once.iter().map(|warning| warning.chars().count()).sum();
    if total <= TOTAL_MAX {
        return once;
    }
    let mut written = 0;
    let fits = |warning: String| {
        if written >= TOTAL_MAX {
            return None;
        }
        let cut: String = warning.chars().take(EACH_MAX).collect();
        written += cut.chars().count();
        Some(cut)
    };
    once.into_iter().map_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_only_when_they_are_too_much() {
        let long = |c: &str| c.repeat(3000);
        let check = |warnings: &[String], want: &[usize]| {
            let got: Vec<usize> =
                truncate_warnings(warnings.to_vec()).iter().map(|warning| warning.chars().count()).collect();
            assert_eq!(got, want);
        };
        check(&[long("a"), long("a"), String::new()], &[3000]);
        check(&[long("a"), long("é")], &[256, 256]);
        let many: Vec<String> = (0..100).map(|n| format!("{n:0>300}")).collect();
        check(&many, &[256; 16]);
    }
}
