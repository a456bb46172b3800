//! Durations as flags and `?timeout=` have them: one or more numbers, each with its unit (`1h15m`, `1.5s`, `300ms`).

use std::time::Duration;

/// Why a text is no duration. The texts are those that clients know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    #[error("time: missing unit in duration {0:?}")]
    NoUnit(String),
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    Unit { unit: String, text: String },
}

/// Reads a duration; one below zero is none.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let invalid = || DurationError::Invalid(text.to_string());
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let letters = after.find(|c: char| c.is_ascii_digit() || c == '.' || c == '-').unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let seconds = match unit {
            "" => return Err(DurationError::NoUnit(text.to_string())),
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            unit => return Err(DurationError::Unit { unit: unit.to_string(), text: text.to_string() }),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = after;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_or_refused() {
        let good = [
            ("0", 0),
            ("0s", 0),
            ("1m0s", 60_000),
            ("1h15m30s", 4_530_000),
            ("1.5s", 1500),
            ("300ms", 300),
            ("+2s", 2000),
            ("1000us", 1),
            (".5s", 500),
        ];
        for (text, milliseconds) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        let bad = [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("abc", "time: invalid duration \"abc\""),
            ("-1s", "time: invalid duration \"-1s\""),
            ("1s-1s", "time: invalid duration \"1s-1s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("99999999999999999999h", "time: invalid duration \"99999999999999999999h\""),
        ];
        for (text, want) in bad {
            assert_eq!(parse_duration(text).map_err(|e| e.to_string()), Err(want.to_string()), "{text}");
        }
    }
}
