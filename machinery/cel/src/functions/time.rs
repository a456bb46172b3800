//! The parts of timestamps and durations.

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    row(
        "getFullYear",
        &[
            ("timestamp_to_year", ".timestamp -> int"),
            ("timestamp_to_year_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.year()), None),
    ),
    row(
        "getMonth",
        &[
            ("timestamp_to_month", ".timestamp -> int"),
            ("timestamp_to_month_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.month()) - 1, None),
    ),
    row(
        "getDayOfYear",
        &[
            ("timestamp_to_day_of_year", ".timestamp -> int"),
            ("timestamp_to_day_of_year_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.day_of_year()) - 1, None),
    ),
    row(
        "getDayOfMonth",
        &[
            ("timestamp_to_day_of_month", ".timestamp -> int"),
            ("timestamp_to_day_of_month_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.day()) - 1, None),
    ),
    row(
        "getDate",
        &[
            ("timestamp_to_day_of_month_1_based", ".timestamp -> int"),
            ("timestamp_to_day_of_month_1_based_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.day()), None),
    ),
    row(
        "getDayOfWeek",
        &[
            ("timestamp_to_day_of_week", ".timestamp -> int"),
            ("timestamp_to_day_of_week_with_tz", ".timestamp, string -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.weekday().to_sunday_zero_offset()), None),
    ),
    row(
        "getHours",
        &[
            ("timestamp_to_hours", ".timestamp -> int"),
            ("timestamp_to_hours_with_tz", ".timestamp, string -> int"),
            ("duration_to_hours", ".duration -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.hour()), Some(3600 * SECOND)),
    ),
    row(
        "getMinutes",
        &[
            ("timestamp_to_minutes", ".timestamp -> int"),
            ("timestamp_to_minutes_with_tz", ".timestamp, string -> int"),
            ("duration_to_minutes", ".duration -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.minute()), Some(60 * SECOND)),
    ),
    row(
        "getSeconds",
        &[
            ("timestamp_to_seconds", ".timestamp -> int"),
            ("timestamp_to_seconds_tz", ".timestamp, string -> int"),
            ("duration_to_seconds", ".duration -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.second()), Some(SECOND)),
    ),
    row(
        "getMilliseconds",
        &[
            ("timestamp_to_milliseconds", ".timestamp -> int"),
            ("timestamp_to_milliseconds_with_tz", ".timestamp, string -> int"),
            ("duration_to_milliseconds", ".duration -> int"),
        ],
        |_, args| part(args, |t| i64::from(t.millisecond()), Some(SECOND / 1000)),
    ),
];

const SECOND: i64 = 1_000_000_000;

/// A part of a timestamp, or how many `unit`s a duration is.
fn part<'a>(args: &[Value<'a>], of: impl Fn(DateTime) -> i64, unit: Option<i64>) -> Outcome<'a> {
    match (args, unit) {
        ([Value::Timestamp(t)], _) => Ok(Value::Int(of(t.utc()))),
        ([Value::Timestamp(t), Value::String(zone)], _) => Ok(Value::Int(of(t.local(&time_zone(zone)?)))),
        ([Value::Duration(d)], Some(unit)) => Ok(Value::Int(d / unit)),
        _ => no_overload(),
    }
}

/// A name of the time zone database, or an offset: `-08:00`.
fn time_zone(name: &str) -> Result<TimeZone, EvalError> {
    let unknown = || EvalError::Message(format!("unknown time zone {name}"));
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    let Some((hours, minutes)) = name.split_once(':') else {
        return TimeZone::get(name).map_err(|_| unknown());
    };
    let negative = hours.starts_with('-');
    let (Ok(hours), Ok(minutes)) =
        (hours.trim_start_matches(['-', '+']).parse::<i32>(), minutes.parse::<i32>())
    else {
        return Err(unknown());
    };
    if hours > 24 || !(0..60).contains(&minutes) {
        return Err(unknown());
    }
    let seconds = (hours * 60 + minutes) * 60 * if negative { -1 } else { 1 };
    Ok(TimeZone::fixed(Offset::from_seconds(seconds).map_err(|_| unknown())?))
}
