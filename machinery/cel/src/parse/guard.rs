//! What is too long or too deep is refused before the parser, which recurses, sees it.

/// Upstream's bound on the length of an expression.
const CODE_POINTS_MAX: usize = 100_000;
/// How deep an expression may nest, brackets and chains together. Upstream's parser allows 250 of each sort of rule.
pub(super) const DEPTH_MAX: usize = 250;
/// Openings of a text with a broken literal: the parser recovers from it where it likes, and may take what stands in quotes
/// for code.
const BROKEN_OPENINGS_MAX: usize = 1000;
/// As deep as this, any stack will do.
pub(super) const SHALLOW: usize = 12;

/// What is being scanned between brackets: how long the chains of the current operand and of its operators are.
#[derive(Default, Clone, Copy)]
struct Level {
    /// `.x`, `[i]` and calls on one operand.
    postfix: usize,
    /// Operators between operands; `&&`, `||` and `,` start afresh (the parser balances the former).
    infix: usize,
    /// `? :` nests to the right.
    ternary: usize,
    /// The deepest that was seen inside brackets at this level, and the level's own greatest.
    inner: usize,
    greatest: usize,
}

impl Level {
    fn note(&mut self) {
        self.greatest = self.greatest.max(self.postfix + self.infix + self.ternary + self.inner);
    }
}

/// The depth that the tree of this text can have at most.
pub(super) fn check(source: &str) -> Result<usize, String> {
    let size = source.chars().count();
    if size > CODE_POINTS_MAX {
        return Err(format!(
            "expression code point size exceeds limit: size: {size}, limit {CODE_POINTS_MAX}"
        ));
    }
    let depth = measure(source);
    if is_broken(source.as_bytes()) {
        let openings = openings(source);
        if openings > BROKEN_OPENINGS_MAX {
            return Err(format!("expression recursion limit exceeded: {DEPTH_MAX}"));
        }
        return Ok(depth.max(openings));
    }
    if depth > DEPTH_MAX {
        return Err(format!("expression recursion limit exceeded: {DEPTH_MAX}"));
    }
    Ok(depth)
}

/// All that may open a deeper level, wherever it stands.
fn openings(source: &str) -> usize {
    source.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{' | b'?' | b'-' | b'!' | b'.')).count()
}

/// Whether a literal or a quoted name is none: what stands behind it may then be read in ways that [`measure`] does not
/// foresee. Such a text is never a good expression.
fn is_broken(bytes: &[u8]) -> bool {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
            b'`' => {
                let end = quoted_end(bytes, at);
                if end >= bytes.len() || bytes[at..end].contains(&b'\n') {
                    return true;
                }
                at = end;
            }
            quote @ (b'"' | b'\'') => {
                let end = string_end(bytes, at, quote);
                if end >= bytes.len() || bytes[end] != quote || end == at || has_bad_prefix(bytes, at) {
                    return true;
                }
                let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
                if !raw && has_bad_escape(&bytes[at..end]) {
                    return true;
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// A word directly before a literal that is no prefix of one.
fn has_bad_prefix(bytes: &[u8], at: usize) -> bool {
    let word = bytes[..at].iter().rev().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let word = &bytes[at - word..at];
    !matches!(
        word,
        b"" | b"r" | b"R" | b"b" | b"B" | b"br" | b"bR" | b"Br" | b"BR" | b"rb" | b"rB" | b"Rb" | b"RB"
    )
}

fn has_bad_escape(literal: &[u8]) -> bool {
    let mut at = 0;
    while at + 1 < literal.len() {
        if literal[at] == b'\\' {
            if !b"abfnrtv\\?\"'`0123xXuU".contains(&literal[at + 1]) {
                return true;
            }
            at += 1;
        }
        at += 1;
    }
    false
}

fn measure(source: &str) -> usize {
    let bytes = source.as_bytes();
    let mut levels = vec![Level::default()];
    let mut at = 0;
    while at < bytes.len() {
        if levels.len() > DEPTH_MAX {
            return levels.len();
        }
        let level = levels.last_mut().expect("the outermost level is never closed");
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => at = line_end(bytes, at),
            quote @ (b'"' | b'\'') => at = string_end(bytes, at, quote),
            b'(' | b'[' | b'{' => {
                level.postfix += 1;
                level.note();
                levels.push(Level::default());
            }
            b')' | b']' | b'}' => close(&mut levels),
            b'.' => level.postfix += 1,
            b',' | b':' | b'&' | b'|' => {
                let ternary = if bytes[at] == b':' { level.ternary } else { 0 };
                *level = Level { ternary, greatest: level.greatest, ..Level::default() };
            }
            b'?' => level.ternary += 1,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' => {
                level.infix += 1;
                level.postfix = 0;
            }
            b'`' => at = quoted_end(bytes, at),
            c if c.is_ascii_alphanumeric() || c == b'_' => {
                let end = word_end(bytes, at);
                if &bytes[at..end] == b"in" {
                    level.infix += 1;
                    level.postfix = 0;
                }
                at = end - 1;
            }
            _ => {}
        }
        levels.last_mut().expect("the outermost level is never closed").note();
        at += 1;
    }
    // Unclosed brackets nest all the same.
    levels.iter().map(|level| level.greatest).sum::<usize>()
}

/// A bracket is closed; one that was never opened is the parser's to find.
fn close(levels: &mut Vec<Level>) {
    if levels.len() < 2 {
        return;
    }
    let closed = levels.pop().expect("there are two").greatest;
    let level = levels.last_mut().expect("there is another");
    level.inner = level.inner.max(closed);
    level.note();
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|b| **b != b'\n').count()
}

fn quoted_end(bytes: &[u8], at: usize) -> usize {
    at + 1 + bytes[at + 1..].iter().take_while(|b| **b != b'`').count()
}

/// The place of the last quote of the literal that starts at `at`.
fn string_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let raw = at > 0 && matches!(bytes[at - 1], b'r' | b'R');
    let triple = bytes[at..].starts_with(&[quote; 3]);
    let mut end = at + if triple { 3 } else { 1 };
    while end < bytes.len() {
        match bytes[end] {
            b'\\' if !raw => end += 1,
            c if c == quote && (!triple || bytes[end..].starts_with(&[quote; 3])) => {
                return if triple { end + 2 } else { end };
            }
            // An unterminated literal ends with its line; the parser will complain.
            b'\n' if !triple => return end,
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}
