//! Regular expressions in the syntax of RE2, which CEL requires, on the `regex` crate, which is linear in time like RE2.
//!
//! The two differ in a few places: RE2's `\d \w \s \b` are ASCII, `[` within a class is itself, and a `{` that starts no
//! repetition is itself. A pattern is rewritten there.

use regex::{Regex, RegexBuilder};

/// The compiled form of one pattern, in bytes: what nests repetitions (`(a{1000}){1000}`) is refused.
const COMPILED_BYTES_MAX: usize = 2 * 1024 * 1024;
const PATTERN_BYTES_MAX: usize = 64 * 1024;
/// RE2's bound.
const REPEAT_MAX: u32 = 1000;

pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err("error parsing regexp: expression too large".to_owned());
    }
    let rewritten = rewrite(pattern)?;
    RegexBuilder::new(&rewritten)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(200)
        .build()
        .map_err(|error| describe(pattern, &error))
}

/// In the words of Go's package, as near as the other's errors tell.
fn describe(pattern: &str, error: &regex::Error) -> String {
    let what = match error {
        regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
        _ => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            match last.trim_start_matches("error: ") {
                "unclosed group" => format!("missing closing ): `{pattern}`"),
                "unopened group" => format!("unexpected ): `{pattern}`"),
                "unclosed character class" => format!("missing closing ]: `{pattern}`"),
                "repetition operator missing expression" => {
                    "missing argument to repetition operator".to_owned()
                }
                "look-around, including look-ahead and look-behind, is not supported" => {
                    format!("invalid or unsupported Perl syntax: `{pattern}`")
                }
                other => other.to_owned(),
            }
        }
    };
    format!("error parsing regexp: {what}")
}

fn rewrite(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut class = false;
    // How much repetition stands right before, and whether a group was just opened.
    let (mut repeated, mut opened) = (0, false);
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let repeats =
            matches!(c, '*' | '+') || (c == '?' && !opened) || (c == '{' && repetition(rest).is_some());
        match (repeats && !class, repeated) {
            (false, _) => repeated = 0,
            (true, 0) => repeated = 1,
            (true, 1) if c == '?' => repeated = 2,
            (true, _) => {
                let before = &pattern[..pattern.len() - rest.len()];
                let start = before.trim_end_matches(['*', '+', '?']).len();
                return Err(format!(
                    "error parsing regexp: invalid nested repetition operator: `{}`",
                    &before[start..]
                ));
            }
        }
        opened = c == '(' && !class;
        match c {
            '\\' => rest = escape(rest, class, &mut out),
            '[' if class => {
                if rest.starts_with(':') && rest.contains(":]") {
                    let end = rest.find(":]").expect("it is contained") + 2;
                    out.push('[');
                    out.push_str(&rest[..end]);
                    rest = &rest[end..];
                } else {
                    out.push_str("\\[");
                }
            }
            '[' => {
                class = true;
                out.push('[');
                if let Some(after) = rest.strip_prefix('^') {
                    out.push('^');
                    rest = after;
                }
                // A bracket that comes first is itself.
                if let Some(after) = rest.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = after;
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(c);
            }
            '-' if class && rest.starts_with('-') => out.push_str("\\-"),
            '{' if !class => match repetition(rest) {
                Some((_, high)) if high > REPEAT_MAX => {
                    let text = &rest[..=rest.find('}').unwrap_or_default()];
                    return Err(format!("error parsing regexp: invalid repeat count: `{{{text}`"));
                }
                Some((length, _)) => {
                    out.push('{');
                    out.push_str(&rest[..length]);
                    rest = &rest[length..];
                }
                None => out.push_str("\\{"),
            },
            '}' if !class => out.push_str("\\}"),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The length of `2,3}` and the greatest count, if a repetition is what follows the brace.
fn repetition(rest: &str) -> Option<(usize, u32)> {
    let end = rest.find('}')?;
    let (low, high) = rest[..end].split_once(',').unwrap_or((&rest[..end], ""));
    let number = |text: &str| -> Option<u32> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let low = number(low)?;
    let high = if high.is_empty() { low } else { number(high)? };
    Some((end + 1, high.max(low)))
}

/// What follows a backslash.
fn escape<'p>(rest: &'p str, class: bool, out: &mut String) -> &'p str {
    let Some(c) = rest.chars().next() else {
        out.push('\\');
        return rest;
    };
    let after = &rest[c.len_utf8()..];
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str("[\\t\\n\\x0C\\r ]"),
        'S' => out.push_str("[^\\t\\n\\x0C\\r ]"),
        'b' if !class => out.push_str("(?-u:\\b)"),
        'Q' => {
            let (literal, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(literal));
            return after;
        }
        c => {
            out.push('\\');
            out.push(c);
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn re2_syntax_is_understood() {
        for (pattern, text, matches) in [
            (r"^\d+$", "123", true),
            (r"^\d+$", "١٢", false),
            (r"^\w+$", "é", false),
            (r"[[a]", "[", true),
            (r"a{,2}", "a{,2}", true),
            (r"x{", "x{", true),
            (r"^[\w.-]+$", "a-b.c", true),
            (r"^[^\d]$", "x", true),
            (r"[]a]", "]", true),
            (r"[[:alpha:]]+", "abc", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"a&&b", "a&&b", true),
            (r"[a&&b]", "&", true),
            (r"(?i)ABC", "abc", true),
            (r"\bfoo\b", "a foo b", true),
            (r"^[\w-.]+$", "a-b.c", true),
            (r"^a+?b??c*?$", "abcc", true),
            (r"(?P<x>a)(?:b)\+\*", "ab+*", true),
        ] {
            let regex = compile(pattern).expect(pattern);
            assert_eq!(regex.is_match(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        for pattern in [
            "(((a{100}){100}){100})",
            "a{1001}",
            "((",
            "(?=a)",
            "[a",
            "*a",
            "x++",
            "x**",
            "x{2}{3}",
            "x+??",
            &"(".repeat(5000),
        ] {
            let error = compile(pattern).expect_err("it must not compile");
            assert!(error.starts_with("error parsing regexp: "), "{error}");
        }
    }
}
