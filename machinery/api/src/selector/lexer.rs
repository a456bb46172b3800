//! Cuts the text of a label selector into tokens.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Identifier,
    Comma,
    Open,
    Close,
    Not,
    Equals,
    DoubleEquals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: std::borrow::Cow<'a, str>,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_symbol(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn symbol(text: &str) -> Option<Kind> {
    Some(match text {
        "," => Kind::Comma,
        "(" => Kind::Open,
        ")" => Kind::Close,
        "!" => Kind::Not,
        "=" => Kind::Equals,
        "==" => Kind::DoubleEquals,
        "!=" => Kind::NotEquals,
        ">" => Kind::Greater,
        "<" => Kind::Less,
        _ => return None,
    })
}

/// The longest known symbol at the start of `text`. A run of symbols that begins none is one unknown token.
fn scan_symbol(text: &str) -> (Kind, usize) {
    let run = text.bytes().take_while(|b| is_symbol(*b)).count();
    let mut found: Option<(Kind, usize)> = None;
    for end in 1..=run {
        match symbol(&text[..end]) {
            Some(kind) => found = Some((kind, end)),
            None if found.is_some() => break,
            None => {}
        }
    }
    found.unwrap_or((Kind::Unknown, run))
}

/// All tokens of `text`, the last being [`Kind::End`].
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii() && is_space(c as u8));
        let Some(first) = rest.bytes().next() else {
            found.push(Token { kind: Kind::End, text: "".into() });
            return found;
        };
        let (kind, length) = if is_symbol(first) {
            scan_symbol(rest)
        } else {
            let length = rest.bytes().take_while(|b| !is_symbol(*b) && !is_space(*b)).count();
            let kind = match &rest[..length] {
                "in" => Kind::In,
                "notin" => Kind::NotIn,
                _ => Kind::Identifier,
            };
            (kind, length)
        };
        let (token, after) = rest.split_at(length);
        let text = match kind {
            Kind::Unknown => format!("error expected: keyword found '{token}'").into(),
            _ => token.into(),
        };
        found.push(Token { kind, text });
        rest = after;
    }
}
