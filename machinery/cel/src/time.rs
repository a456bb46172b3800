//! Timestamps and durations, and both as text.

use std::cmp::Ordering;

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::TimeZone;

/// A point in time. CEL's reach to the last nanosecond of the year 9999, further than `jiff::Timestamp`. Compared by the
/// time it is, and written in the offset in which it was read.
#[derive(Debug, Clone, Copy)]
pub struct Instant {
    seconds: i64,
    nanos: u32,
    /// Seconds ahead of UTC.
    offset: i32,
}

impl Ord for Instant {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }
}

impl PartialOrd for Instant {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Instant {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Instant {}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z, the first and the last second of CEL's timestamps.
pub(crate) const SECONDS_MIN: i64 = -62_135_596_800;
pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

impl Instant {
    pub(crate) const EPOCH: Self = Self { seconds: 0, nanos: 0, offset: 0 };

    /// Seconds since 1970, if CEL has that time.
    pub(crate) fn from_seconds(seconds: i64) -> Option<Self> {
        (SECONDS_MIN..=SECONDS_MAX).contains(&seconds).then_some(Self { seconds, nanos: 0, offset: 0 })
    }

    pub(crate) fn seconds(self) -> i64 {
        self.seconds
    }

    /// It is the first instant that CEL has.
    pub(crate) fn is_first(self) -> bool {
        self.seconds == SECONDS_MIN && self.nanos == 0
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanoseconds(self) -> i128 {
        i128::from(self.seconds) * i128::from(NANOS_PER_SECOND) + i128::from(self.nanos)
    }

    /// So much later, if CEL has that time.
    pub(crate) fn plus(self, nanos: i128) -> Option<Self> {
        let total = self.nanoseconds() + nanos;
        let second = i128::from(NANOS_PER_SECOND);
        let seconds = i64::try_from(total.div_euclid(second)).ok()?;
        Some(Self {
            nanos: total.rem_euclid(second) as u32,
            offset: self.offset,
            ..Self::from_seconds(seconds)?
        })
    }

    fn from_utc(at: DateTime) -> Option<Self> {
        let since = at.duration_since(EPOCH);
        Self::EPOCH.plus(since.as_nanos())
    }

    /// What a clock in UTC shows.
    pub(crate) fn utc(self) -> DateTime {
        let since = SignedDuration::new(self.seconds, self.nanos as i32);
        EPOCH.checked_add(since).unwrap_or(DateTime::MAX)
    }

    /// What a clock of the zone shows.
    pub(crate) fn local(self, zone: &TimeZone) -> DateTime {
        let near = jiff::Timestamp::new(self.seconds, 0).unwrap_or(jiff::Timestamp::MAX);
        let offset = zone.to_offset(near);
        self.utc().saturating_add(SignedDuration::from_secs(i64::from(offset.seconds())))
    }
}

impl From<jiff::Timestamp> for Instant {
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self::EPOCH.plus(timestamp.as_nanosecond()).unwrap_or(Self::EPOCH)
    }
}

/// RFC 3339, with a capital T and an offset.
pub(crate) fn parse_timestamp(text: &str) -> Result<Instant, String> {
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
    let local: DateTime =
        format!("{}{}", &text[..19], &rest[..fraction.min(10)]).parse().map_err(|_| wrong())?;
    let ahead = if offset == "Z" { Some(0) } else { offset_seconds(offset) }.ok_or_else(wrong)?;
    let utc = local.checked_sub(SignedDuration::from_secs(ahead)).map_err(|_| wrong())?;
    let instant = Instant::from_utc(utc).ok_or_else(wrong)?;
    Ok(Instant { offset: ahead as i32, ..instant })
}

/// `+01:30`
fn offset_seconds(offset: &str) -> Option<i64> {
    let hours: i64 = offset.get(1..3)?.parse().ok().filter(|hours| (0..24).contains(hours))?;
    let minutes: i64 = offset.get(4..6)?.parse().ok().filter(|minutes| (0..60).contains(minutes))?;
    let seconds = (hours * 60 + minutes) * 60;
    Some(if offset.starts_with('-') { -seconds } else { seconds })
}

/// A date-time of a schema: RFC 3339, and what upstream's formats accept beside it.
pub(crate) fn parse_date_time(text: &str) -> Result<Instant, String> {
    if text.is_empty() {
        return Ok(Instant::EPOCH);
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

pub(crate) fn parse_date(text: &str) -> Result<Instant, String> {
    let wrong = |_| format!("parsing time {} as \"2006-01-02\": cannot parse", crate::text::quoted(text));
    if text.len() != 10 {
        return Err(wrong(()));
    }
    let date: Date = text.parse().map_err(|_| wrong(()))?;
    Instant::from_utc(date.at(0, 0, 0, 0)).ok_or_else(|| wrong(()))
}

pub(crate) fn format_timestamp(instant: Instant) -> String {
    if instant.offset == 0 {
        return format!("{}Z", instant.utc());
    }
    let local = instant.utc().saturating_add(SignedDuration::from_secs(i64::from(instant.offset)));
    let (sign, minutes) = (if instant.offset < 0 { '-' } else { '+' }, instant.offset.abs() / 60);
    format!("{local}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
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
