//! Regular expressions in Go's syntax (RE2), compiled with a bound on their size.
//!
//! The two syntaxes differ inside brackets, where Go knows no nesting and no set operators, and in `\d`, `\w` and `\s`,
//! which are ASCII in Go.

use regex::{Regex, RegexBuilder};

const SIZE_MAX: usize = 4 << 20;
const LAZY_SIZE_MAX: usize = 1 << 20;

/// Why a text is no regular expression, in Go's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternFault(String);

/// Compiles an expression in Go's syntax.
pub fn compile(pattern: &str) -> Result<Regex, PatternFault> {
    let built =
        RegexBuilder::new(&translate(pattern)).size_limit(SIZE_MAX).dfa_size_limit(LAZY_SIZE_MAX).build();
    built.map_err(|error| {
        let told = match error {
            regex::Error::Syntax(text) => {
                let last = text.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_string()
            }
            other => other.to_string(),
        };
        PatternFault(format!("{told}: `{pattern}`"))
    })
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let (mut in_class, mut first) = (false, false);
    while let Some(c) = chars.next() {
        let was_first = std::mem::take(&mut first);
        match c {
            '\\' => match chars.next() {
                Some('Q') if !in_class => quoted(&mut chars, &mut out),
                Some(next) => escape(next, in_class, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                (in_class, first) = (true, true);
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ']' if in_class && was_first => out.push_str("\\]"),
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '[' if chars.peek() == Some(&':') => out.push_str(&posix(&mut chars)),
            '[' | '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '-' if in_class && chars.peek() == Some(&'-') => out.push_str("\\-"),
            '{' if !in_class && !is_count(chars.clone()) => out.push_str("\\{"),
            other => out.push(other),
        }
    }
    out
}

/// `\Q…\E`: the text as it stands.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.next_if_eq(&'E').is_some() {
            break;
        }
        text.push(c);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(c: char, in_class: bool, out: &mut String) {
    let (open, close) = if in_class { ("", "") } else { ("[", "]") };
    match c {
        'd' => out.push_str(&format!("{open}0-9{close}")),
        'w' => out.push_str(&format!("{open}0-9A-Za-z_{close}")),
        's' => out.push_str(&format!("{open}\\t\\n\\f\\r {close}")),
        'D' => out.push_str("[^0-9]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'S' => out.push_str("[^\\t\\n\\f\\r ]"),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        other => {
            out.push('\\');
            out.push(other);
        }
    }
}

/// `[:alpha:]`, after its first bracket; a bracket of its own where it is none.
fn posix(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let ahead: String = chars.clone().take_while(|c| *c != ']').collect();
    if ahead.len() > 2
        && ahead.ends_with(':')
        && ahead[1..ahead.len() - 1].chars().all(|c| c.is_ascii_alphabetic() || c == '^')
    {
        for _ in 0..=ahead.chars().count() {
            chars.next();
        }
        return format!("[{ahead}]");
    }
    "\\[".to_string()
}

/// Whether a brace opens a repetition: `{2}`, `{2,}`, `{2,3}`.
fn is_count(chars: std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let inside: String = chars.take_while(|c| *c != '}').take(16).collect();
    let (least, most) = inside.split_once(',').unwrap_or((&inside, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_go_does() {
        let cases = [
            (r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "ab-c", true),
            (r"^[^[]+$", "a[b", false),
            (r"^[[:alpha:]_]+$", "ab_", true),
            (r"^\d+$", "٣", false),
            (r"^[\w.-]+$", "a.b-c", true),
            (r"^a{,2}$", "a{,2}", true),
            (r"^[a&&b]+$", "a&b", true),
            (r"^[]a]+$", "]a", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^a/b$", "a/b", true),
            (r"^\/x$", "/x", true),
            (r"^{\w+}$", "{ab}", true),
        ];
        for (pattern, text, matches) in cases {
            let regex = compile(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            assert_eq!(regex.is_match(text), matches, "{pattern} on {text}");
        }
        for bad in ["[a", "(", "a**b(", "(?<=a)b"] {
            let error = compile(bad).expect_err(bad).to_string();
            assert!(error.starts_with("error parsing regexp: "), "{error}");
        }
    }
}
