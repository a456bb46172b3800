//! Strings that mean something: times, durations, bytes and quantities, in canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

const TIME_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_TIME_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// RFC 3339 to UTC, to the second.
pub(super) fn time(text: &str) -> Result<String, String> {
    if is_utc_second(text.as_bytes()) {
        return Ok(text.to_string());
    }
    let at = instant(text, TIME_LAYOUT)?;
    Ok(print_time(at.as_second()))
}

/// RFC 3339 with exactly six decimals, to UTC.
pub(super) fn micro_time(text: &str) -> Result<String, String> {
    if let Some(misfit) = misfit(text, MICRO_TIME_LAYOUT) {
        return Err(misfit);
    }
    let rest = text.get(TO_THE_SECOND..).unwrap_or_default();
    let digits = rest.strip_prefix('.').unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
    match digits {
        ..6 => return Err(cannot_parse(text, MICRO_TIME_LAYOUT, rest, ".000000")),
        6 => {}
        _ => {
            let zone = rest.get(".000000".len()..).unwrap_or_default();
            return Err(cannot_parse(text, MICRO_TIME_LAYOUT, zone, "Z07:00"));
        }
    }
    let at = instant(text, MICRO_TIME_LAYOUT)?;
    Ok(print_micro_time(at.as_second(), at.subsec_nanosecond()))
}

/// The instant that a canonical time names; zero where it names none.
pub(super) fn seconds_and_nanos(text: &str) -> (i64, i32) {
    text.parse::<Timestamp>().map_or((0, 0), |at| {
        // The fraction of an instant before 1970 counts forward from the earlier second, as in Go.
        let (seconds, nanos) = (at.as_second(), at.subsec_nanosecond());
        if nanos < 0 { (seconds - 1, nanos + 1_000_000_000) } else { (seconds, nanos) }
    })
}

pub(super) fn print_time(seconds: i64) -> String {
    Timestamp::from_second(seconds)
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

pub(super) fn print_micro_time(seconds: i64, nanos: i32) -> String {
    let at = Timestamp::new(seconds, nanos - nanos % 1000);
    at.map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

fn instant(text: &str, layout: &str) -> Result<Timestamp, String> {
    // Only the RFC 3339 subset of what the parser accepts.
    let shaped = text.len() >= 20 && text.as_bytes()[10] == b'T' && text.is_ascii();
    match text.parse::<Timestamp>() {
        Ok(at) if shaped => Ok(at),
        _ => Err(cannot_parse_from(text, layout)),
    }
}

/// The length of `2006-01-02T15:04:05`.
const TO_THE_SECOND: usize = 19;

/// What Go's `time.Parse` says of the first part of the layout, to the second, that the text does not match.
fn misfit(text: &str, layout: &str) -> Option<String> {
    let parts = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let mut at = 0;
    for part in parts {
        let rest = text.get(at..).unwrap_or_default();
        let fits = rest.get(..part.len()).is_some_and(|piece| {
            let number = part.as_bytes()[0].is_ascii_digit();
            if number { piece.bytes().all(|b| b.is_ascii_digit()) } else { piece == part }
        });
        if !fits {
            return Some(cannot_parse(text, layout, rest, part));
        }
        at += part.len();
    }
    None
}

/// Why a text is no time.
fn cannot_parse_from(text: &str, layout: &str) -> String {
    if let Some(misfit) = misfit(text, layout) {
        return misfit;
    }
    let rest = text.get(TO_THE_SECOND..).unwrap_or_default();
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let shown = if zone.starts_with('Z') { 1 } else { "+07:00".len() };
    if zone.starts_with(['Z', '+', '-'])
        && let Some(extra) = zone.get(shown..).filter(|extra| !extra.is_empty())
    {
        return format!("parsing time {}: extra text: {}", quoted(text), quoted(extra));
    }
    if zone.starts_with(['Z', '+', '-']) {
        return format!("parsing time {}: day out of range", quoted(text));
    }
    cannot_parse(text, layout, rest, "Z07:00")
}

fn cannot_parse(text: &str, layout: &str, rest: &str, part: &str) -> String {
    format!("parsing time {} as {layout:?}: cannot parse {} as {part:?}", quoted(text), quoted(rest))
}

/// As Go's package of time quotes: what is not printable ASCII byte by byte.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..0x80 => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// `2024-01-02T03:04:05Z` with digits in plausible ranges needs no parser.
fn is_utc_second(text: &[u8]) -> bool {
    const SHAPE: &[u8; 20] = b"dddd-dd-ddTdd:dd:ddZ";
    let shaped = text.len() == SHAPE.len()
        && text
            .iter()
            .zip(SHAPE)
            .all(|(byte, shape)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape });
    let two = |at: usize| (text[at] - b'0') * 10 + (text[at + 1] - b'0');
    // Days after the 28th depend on the month; they go the long way.
    shaped
        && (1..=12).contains(&two(5))
        && (1..=28).contains(&two(8))
        && two(11) < 24
        && two(14) < 60
        && two(17) < 60
}

/// Go's `time.Duration` notation, made canonical.
pub(super) fn duration(text: &str) -> Result<String, String> {
    match parse_duration(text) {
        Some(nanos) => Ok(print_duration(nanos)),
        None => Err(format!("time: invalid duration {text:?}")),
    }
}

pub(super) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit_len = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        total = total.checked_add(scaled(number, unit_nanos(unit)?)?)?;
        rest = tail;
    }
    if text.len() <= 1 {
        return None;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || whole.len() > 19
        || fraction.len() > 18
        || fraction.contains('.')
    {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let part: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let power = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(whole * unit + part * unit / power)
}

fn unit_nanos(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

pub(super) fn print_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let fraction = |value: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        format!("{sign}{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match n {
        0 => "0s".to_string(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => fraction(n, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(n, 1_000_000, "ms"),
        _ => {
            let minutes = n / 60_000_000_000;
            let seconds = n % 60_000_000_000;
            let text = format!("{}.{:09}", seconds / 1_000_000_000, seconds % 1_000_000_000);
            let seconds = text.trim_end_matches('0').trim_end_matches('.');
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

/// Base64, checked; line breaks are dropped as Go's decoder ignores them.
pub(super) fn base64(text: &str) -> Result<String, String> {
    if text.bytes().any(|b| b == b'\n' || b == b'\r') {
        let joined: String = text.chars().filter(|c| *c != '\n' && *c != '\r').collect();
        return base64(&joined);
    }
    match STANDARD.decode(text) {
        Ok(_) => Ok(text.to_string()),
        Err(error) => Err(format!("illegal base64 data at input byte {}", base64_offset(text, &error))),
    }
}

fn base64_offset(text: &str, error: &base64::DecodeError) -> usize {
    match error {
        // Go reads the padding that ends the text, and stumbles over what follows.
        base64::DecodeError::InvalidByte(at, b'=') if at % 4 >= 2 => (at / 4 * 4 + 4).min(text.len()),
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => *at,
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => text.len() / 4 * 4,
    }
}

pub(super) fn base64_bytes(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap_or_default()
}

pub(super) fn print_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A quantity in canonical form; the error is upstream's sentence.
pub(super) fn quantity(text: &str) -> Result<String, String> {
    crate::quantity::canonical(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_become_utc_seconds() {
        for (input, expect) in [
            ("2024-01-02T03:04:05Z", Ok("2024-01-02T03:04:05Z")),
            ("2024-01-31T03:04:05Z", Ok("2024-01-31T03:04:05Z")),
            ("2024-01-02T03:04:05.999Z", Ok("2024-01-02T03:04:05Z")),
            ("2024-01-02T03:04:05+02:00", Ok("2024-01-02T01:04:05Z")),
            (
                "tomorrow",
                Err(
                    r#"parsing time "tomorrow" as "2006-01-02T15:04:05Z07:00": cannot parse "tomorrow" as "2006""#,
                ),
            ),
            ("", Err(r#"parsing time "" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#)),
            (
                "2024-01-02",
                Err(r#"parsing time "2024-01-02" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ),
        ] {
            assert_eq!(time(input), expect.map(str::to_string).map_err(str::to_string), "{input}");
        }
    }

    #[test]
    fn micro_times_have_six_decimals() {
        assert_eq!(micro_time("2024-01-02T03:04:05.123456Z").as_deref(), Ok("2024-01-02T03:04:05.123456Z"));
        assert_eq!(
            micro_time("2024-01-02T03:04:05Z").expect_err("no decimals"),
            r#"parsing time "2024-01-02T03:04:05Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
        let (seconds, nanos) = seconds_and_nanos("1969-12-31T23:59:59.250000Z");
        assert_eq!((seconds, nanos), (-1, 250_000_000));
        assert_eq!(print_micro_time(seconds, nanos), "1969-12-31T23:59:59.250000Z");
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (input, expect) in [
            ("90s", Some("1m30s")),
            ("1h", Some("1h0m0s")),
            ("1.5h", Some("1h30m0s")),
            ("100ms", Some("100ms")),
            ("1500us", Some("1.5ms")),
            ("-3s", Some("-3s")),
            ("0", Some("0s")),
            ("5", None),
            ("", None),
            ("-", None),
            ("1x", None),
        ] {
            assert_eq!(duration(input).ok().as_deref(), expect, "{input}");
        }
    }

    #[test]
    fn bytes_are_checked() {
        assert_eq!(base64("aGk="), Ok("aGk=".into()));
        assert_eq!(base64("aG\nk="), Ok("aGk=".into()));
        assert_eq!(base64("a!k="), Err("illegal base64 data at input byte 1".into()));
    }
}
