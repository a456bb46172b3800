//! What a rule may cost at most, and what is told where it costs more.

/// The largest request.
pub(crate) const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// `estimated rule cost exceeds budget by factor of 1.6x (…)`.
pub(crate) fn cost_message(what: &str, cost: u64, limit: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a factor is told with one decimal")]
    let exceeds = cost as f64 / limit as f64;
    let factor = if exceeds > 100.0 {
        "more than 100x".to_string()
    } else if exceeds < 1.5 {
        // So that it never reads 1.0x.
        format!("{exceeds:.6}x")
    } else {
        format!("{exceeds:.1}x")
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
