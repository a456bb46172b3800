//! Strings: the standard functions, the strings extension, and the regular expressions of Kubernetes. Places are counted in
//! code points.

use regex::Regex;

use super::{Call, Outcome, Row, no_overload, row, text_format};
use crate::error::EvalError;
use crate::eval::Meter;
use crate::re2;
use crate::value::{List, Text, Value, shown};

pub(super) const ROWS: &[Row] = &[
    row("contains", &[("contains_string", ".string, string -> bool")], |_, args| {
        test(args, |text, part| text.contains(part))
    }),
    row("startsWith", &[("starts_with_string", ".string, string -> bool")], |_, args| {
        test(args, |text, part| text.starts_with(part))
    }),
    row("endsWith", &[("ends_with_string", ".string, string -> bool")], |_, args| {
        test(args, |text, part| text.ends_with(part))
    }),
    row(
        "matches",
        &[("matches", "string, string -> bool"), ("matches_string", ".string, string -> bool")],
        |call, args| {
            let [Value::String(text), Value::String(pattern)] = args else { return no_overload() };
            with_regex(call, pattern, |error| error.to_owned(), |regex| Ok(Value::Bool(regex.is_match(text))))
        },
    ),
    row("find", &[("string_find_string", ".string, string -> string")], |call, args| {
        let [Value::String(text), Value::String(pattern)] = args else { return no_overload() };
        with_regex(call, pattern, illegal, |regex| {
            Ok(regex.find(text).map_or(Value::from(""), |found| text.part(found.start(), found.end())))
        })
    }),
    row(
        "findAll",
        &[
            ("string_find_all_string", ".string, string -> list(string)"),
            ("string_find_all_string_int", ".string, string, int -> list(string)"),
        ],
        find_all,
    ),
    row("charAt", &[("string_char_at_int", ".string, int -> string")], |_, args| {
        let [Value::String(text), Value::Int(at)] = args else { return no_overload() };
        let start = offset(text, *at)?;
        let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        Ok(text.part(start, end))
    }),
    row(
        "indexOf",
        &[
            ("list_a_index_of_int", ".list(A), A -> int"),
            ("string_index_of_string", ".string, string -> int"),
            ("string_index_of_string_int", ".string, string, int -> int"),
        ],
        index_of,
    ),
    row(
        "lastIndexOf",
        &[
            ("list_a_last_index_of_int", ".list(A), A -> int"),
            ("string_last_index_of_string", ".string, string -> int"),
            ("string_last_index_of_string_int", ".string, string, int -> int"),
        ],
        last_index_of,
    ),
    row("lowerAscii", &[("string_lower_ascii", ".string -> string")], |call, args| {
        convert(call, args, |text| text.to_ascii_lowercase())
    }),
    row("upperAscii", &[("string_upper_ascii", ".string -> string")], |call, args| {
        convert(call, args, |text| text.to_ascii_uppercase())
    }),
    row("trim", &[("string_trim", ".string -> string")], |_, args| {
        let [Value::String(text)] = args else { return no_overload() };
        let trimmed = text.trim();
        let start = trimmed.as_ptr() as usize - text.as_ptr() as usize;
        Ok(text.part(start, start + trimmed.len()))
    }),
    row(
        "replace",
        &[
            ("string_replace_string_string", ".string, string, string -> string"),
            ("string_replace_string_string_int", ".string, string, string, int -> string"),
        ],
        replace,
    ),
    row(
        "split",
        &[
            ("string_split_string", ".string, string -> list(string)"),
            ("string_split_string_int", ".string, string, int -> list(string)"),
        ],
        split,
    ),
    row(
        "substring",
        &[
            ("string_substring_int", ".string, int -> string"),
            ("string_substring_int_int", ".string, int, int -> string"),
        ],
        substring,
    ),
    row(
        "join",
        &[("list_join", ".list(string) -> string"), ("list_join_string", ".list(string), string -> string")],
        join,
    ),
    row("strings.quote", &[("strings_quote", "string -> string")], |call, args| convert(call, args, quote)),
    row("format", &[("string_format", ".string, list(dyn) -> string")], |call, args| match args {
        [Value::String(text), Value::List(values)] => {
            text_format::format(text, values, call.meter).map(Value::from)
        }
        _ => no_overload(),
    }),
    row("jsonpatch.escapeKey", &[("string_jsonpatch_escapeKey_string", "string -> string")], |call, args| {
        convert(call, args, |text| text.replace('~', "~0").replace('/', "~1"))
    }),
];

impl<'a> Text<'a> {
    /// A part, by bytes.
    fn part(&self, start: usize, end: usize) -> Value<'a> {
        match self {
            Self::Borrowed(text) => Value::String(Text::Borrowed(&text[start..end])),
            Self::Shared(text) => Value::text(&text[start..end]),
        }
    }
}

fn test<'a>(args: &[Value<'a>], test: impl Fn(&str, &str) -> bool) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(test(text, part))),
        _ => no_overload(),
    }
}

fn convert<'a>(call: &Call<'_, 'a>, args: &[Value<'a>], convert: impl Fn(&str) -> String) -> Outcome<'a> {
    let [Value::String(text)] = args else { return no_overload() };
    call.meter.make(text.len())?;
    Ok(Value::from(convert(text)))
}

fn illegal(error: &str) -> String {
    format!("Illegal regex: {error}")
}

fn with_regex<'a>(
    call: &Call<'_, 'a>,
    pattern: &str,
    wrong: impl Fn(&str) -> String,
    run: impl FnOnce(&Regex) -> Outcome<'a>,
) -> Outcome<'a> {
    if let Some(regex) = call.regex {
        return run(regex);
    }
    // A pattern that is computed is compiled each time; that is work, too.
    call.meter.step(1000 + pattern.len() * 100)?;
    let regex = re2::compile(pattern).map_err(|error| EvalError::Message(wrong(&error)))?;
    run(&regex)
}

fn find_all<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, pattern, limit) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, usize::MAX),
        [Value::String(text), Value::String(pattern), Value::Int(n)] => {
            (text, pattern, usize::try_from(*n).unwrap_or(usize::MAX))
        }
        _ => return no_overload(),
    };
    with_regex(call, pattern, illegal, |regex| {
        let found = regex.find_iter(text).take(limit).map(|found| text.part(found.start(), found.end()));
        Ok(Value::list(found.collect()))
    })
}

/// The place in bytes of a code point; the end counts.
fn offset(text: &str, at: i64) -> Result<usize, EvalError> {
    let wrong = || EvalError::Message(format!("index out of range: {at}"));
    let wanted = usize::try_from(at).map_err(|_| wrong())?;
    if text.is_ascii() {
        return if wanted <= text.len() { Ok(wanted) } else { Err(wrong()) };
    }
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(wanted).ok_or_else(wrong)
}

fn count(text: &str, bytes: usize) -> i64 {
    text[..bytes].chars().count() as i64
}

fn index_of<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::List(list), value] => {
            for (index, item) in list.iter().enumerate() {
                if crate::value::equal(&item?, value, call.meter)? {
                    return Ok(Value::Int(index as i64));
                }
            }
            return Ok(Value::Int(-1));
        }
        [Value::String(text), Value::String(part)] => (text, part, 0),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, *from),
        _ => return no_overload(),
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return Err(EvalError::Message(format!("index out of range: {from}")));
    }
    let Ok(start) = offset(text, from) else { return Ok(Value::Int(-1)) };
    Ok(Value::Int(text[start..].find(&**part).map_or(-1, |found| count(text, start + found))))
}

fn last_index_of<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, part, from) = match args {
        [Value::List(list), value] => {
            let mut last = -1;
            for (index, item) in list.iter().enumerate() {
                if crate::value::equal(&item?, value, call.meter)? {
                    last = index as i64;
                }
            }
            return Ok(Value::Int(last));
        }
        [Value::String(text), Value::String(part)] if part.is_empty() => {
            return Ok(Value::Int(text.chars().count() as i64));
        }
        [Value::String(text), Value::String(part)] => (text, part, None),
        [Value::String(text), Value::String(part), Value::Int(from)] => (text, part, Some(*from)),
        _ => return no_overload(),
    };
    let Some(from) = from else {
        return Ok(Value::Int(text.rfind(&**part).map_or(-1, |found| count(text, found))));
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return Err(EvalError::Message(format!("index out of range: {from}")));
    }
    let Ok(start) = offset(text, from) else { return Ok(Value::Int(-1)) };
    if start == text.len() {
        return Ok(Value::Int(-1));
    }
    // What starts at `from` at the latest ends within this.
    let end = text.floor_char_boundary(start.saturating_add(part.len()).min(text.len()));
    Ok(Value::Int(text[..end].rfind(&**part).map_or(-1, |found| count(text, found))))
}

fn replace<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, old, new, limit) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [Value::String(text), Value::String(old), Value::String(new), Value::Int(n)] => (text, old, new, *n),
        _ => return no_overload(),
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let times =
        if old.is_empty() { text.chars().count() + 1 } else { text.matches(&**old).count() }.min(limit);
    call.meter.make(text.len().saturating_add(times.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(&**old, new, limit)))
}

fn split<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match args {
        [Value::String(text), Value::String(separator)] => (text, separator, -1),
        [Value::String(text), Value::String(separator), Value::Int(n)] => (text, separator, *n),
        _ => return no_overload(),
    };
    call.meter.step(text.len() / 8)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    if limit == 0 {
        return Ok(Value::list(parts));
    }
    let mut start = 0;
    if separator.is_empty() {
        while start < text.len() && parts.len() + 1 < limit {
            let end = start + text[start..].chars().next().map_or(0, char::len_utf8);
            parts.push(text.part(start, end));
            start = end;
        }
        if start < text.len() {
            parts.push(text.part(start, text.len()));
        }
    } else {
        while parts.len() + 1 < limit {
            let Some(found) = text[start..].find(&**separator) else { break };
            parts.push(text.part(start, start + found));
            start += found + separator.len();
        }
        parts.push(text.part(start, text.len()));
    }
    call.meter.hold(parts.len())?;
    Ok(Value::list(parts))
}

fn substring<'a>(_: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text), Value::Int(start)] => Ok(text.part(offset(text, *start)?, text.len())),
        [Value::String(_), Value::Int(start), Value::Int(end)] if start > end => {
            Err(EvalError::Message(format!("invalid substring range. start: {start}, end: {end}")))
        }
        [Value::String(text), Value::Int(start), Value::Int(end)] => {
            Ok(text.part(offset(text, *start)?, offset(text, *end)?))
        }
        _ => no_overload(),
    }
}

fn join<'a>(call: &Call<'_, 'a>, args: &[Value<'a>]) -> Outcome<'a> {
    let (list, separator): (&List<'a>, &str) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, separator),
        _ => return no_overload(),
    };
    let mut joined = String::new();
    for (index, item) in list.values(call.meter)?.iter().enumerate() {
        let Value::String(part) = item else {
            return Err(EvalError::Message(format!("join: invalid input: {}", shown(item))));
        };
        hold(call.meter, joined.len() + separator.len() + part.len())?;
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
    }
    Ok(Value::from(joined))
}

fn hold(meter: &Meter, bytes: usize) -> Result<(), EvalError> {
    if bytes > crate::eval::BYTES_MAX { meter.make(bytes) } else { Ok(()) }
}

fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
