//! Timestamps and durations as text.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the first and the last second of CEL's timestamps.
pub(crate) const SECONDS_MIN: i64 = -62_135_596_800;
pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// The timestamp, if CEL has it.
pub(crate) fn in_range(timestamp: Timestamp) -> Option<Timestamp> {
    (SECONDS_MIN..=SECONDS_MAX).contains(&timestamp.as_second()).then_some(timestamp)
}

/// RFC 3339, with a capital T and an offset.
pub(crate) fn parse_timestamp(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!("parsing time {} as \"2006-01-02T15:04:05Z07:00\": cannot parse", crate::text::quoted(text))
    };
    let bytes = text.as_bytes();
    // jiff reads more than RFC 3339; the shape is checked first.
    let digits =
        |range: std::ops::Range<usize>| bytes.get(range).is_some_and(|b| b.iter().all(u8::is_ascii_digit));
    let is = |at: usize, c: u8| bytes.get(at) == Some(&c);
    let shape = digits(0..4) && is(4, b'-') && digits(5..7) && is(7, b'-') && digits(8..10) && is(10, b'T');
    let shape = shape && digits(11..13) && is(13, b':') && digits(14..16) && is(16, b':') && digits(17..19);
    if !shape || bytes.len() > 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let rest = &text[19..];
    let fraction = rest.strip_prefix('.').map_or(0, |f| 1 + f.bytes().take_while(u8::is_ascii_digit).count());
    let offset = &rest[fraction..];
    let offset_shape = offset == "Z"
        || (offset.len() == 6 && matches!(offset.as_bytes()[0], b'+' | b'-') && offset.as_bytes()[3] == b':');
    if fraction == 1 || !offset_shape {
        return Err(wrong());
    }
    // More than nine decimals are cut off.
    let kept = fraction.min(10);
    let text = format!("{}{}{offset}", &text[..19], &rest[..kept]);
    text.parse().map_err(|_| wrong())
}

/// A date-time of a schema: RFC 3339, and what upstream's formats accept beside it.
pub(crate) fn parse_date_time(text: &str) -> Result<Timestamp, String> {
    if text.is_empty() {
        return Ok(Timestamp::UNIX_EPOCH);
    }
    let capital = text.to_ascii_uppercase().replacen(' ', "T", 1);
    parse_timestamp(&capital).or_else(|error| {
        // Without an offset it is UTC.
        if capital.len() >= 19 && !capital.ends_with('Z') && !capital[19..].contains(['+', '-']) {
            parse_timestamp(&format!("{capital}Z"))
        } else {
            Err(error)
        }
    })
}

pub(crate) fn parse_date(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("parsing time {} as \"2006-01-02\": cannot parse", crate::text::quoted(text));
    if text.len() != 10 {
        return Err(wrong(()));
    }
    let date: Date = text.parse().map_err(|_| wrong(()))?;
    date.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|_| wrong(()))
}

pub(crate) fn format_timestamp(timestamp: Timestamp) -> String {
    timestamp.to_string()
}

/// As CEL writes durations: seconds, `5400s`, `1.5s`.
pub(crate) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (seconds, fraction) = (nanos / NANOS_PER_SECOND as u64, nanos % NANOS_PER_SECOND as u64);
    if fraction == 0 {
        return format!("{sign}{seconds}s");
    }
    let fraction = format!("{fraction:09}");
    format!("{sign}{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// Nanoseconds of a unit.
fn unit(name: &str) -> Option<i64> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3600 * NANOS_PER_SECOND,
        _ => return None,
    })
}

/// Go's durations: `1h2m3.5s`. The messages are Go's.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", crate::text::quoted(text));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = &rest[whole..];
        let fraction =
            after.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count());
        let dot = usize::from(after.starts_with('.'));
        if whole + fraction == 0 || whole > 19 {
            return Err(invalid());
        }
        let name = &after[dot + fraction..];
        let length = name.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(name.len());
        if length == 0 {
            return Err(format!("time: missing unit in duration {}", crate::text::quoted(text)));
        }
        let Some(nanos) = unit(&name[..length]) else {
            let (unit, text) = (crate::text::quoted(&name[..length]), crate::text::quoted(text));
            return Err(format!("time: unknown unit {unit} in duration {text}"));
        };
        let number: i128 = if whole == 0 { 0 } else { rest[..whole].parse().map_err(|_| invalid())? };
        total += number * i128::from(nanos);
        let digits = &after[dot..dot + fraction.min(18)];
        if !digits.is_empty() {
            let part: i128 = digits.parse().map_err(|_| invalid())?;
            total += part * i128::from(nanos) / 10i128.pow(digits.len() as u32);
        }
        if total > 1 << 63 {
            return Err(invalid());
        }
        rest = &name[length..];
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}

/// A duration of a schema: Go's, or with days and weeks and words (`2 days`).
pub(crate) fn parse_loose_duration(text: &str) -> Result<i64, String> {
    parse_duration(text).or_else(|error| {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, name) = (&text[..digits], text[digits..].trim());
        let Ok(number) = number.parse::<i64>() else { return Err(error) };
        let seconds = match name.to_ascii_lowercase().trim_end_matches('s') {
            "w" | "week" | "wk" => 7 * 86_400,
            "d" | "day" => 86_400,
            "hr" | "hour" => 3600,
            "min" | "minute" => 60,
            "sec" | "second" => 1,
            _ => return Err(error),
        };
        number.checked_mul(seconds * NANOS_PER_SECOND).ok_or(error)
    })
}
