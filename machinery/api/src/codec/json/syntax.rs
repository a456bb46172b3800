//! Says what is wrong with malformed JSON in the words of Go's scanner; runs only when a reader has already failed.

/// Go's message for the first fault in `text`; `fallback` where this scanner finds none.
pub(super) fn explain(text: &[u8], fallback: &str) -> String {
    if fallback.contains("recursion limit") {
        return "exceeded max depth".to_string();
    }
    let mut scanner = Scanner { text, at: 0 };
    match scanner.whole() {
        Err(Fault::End) => "unexpected end of JSON input".to_string(),
        Err(Fault::At(at, context)) => format!("invalid character {} {context}", quoted(text, at)),
        Ok(()) => fallback.to_string(),
    }
}

enum Fault {
    End,
    At(usize, &'static str),
}

struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    Rest,
}

impl Scanner<'_> {
    fn whole(&mut self) -> Result<(), Fault> {
        // One entry per open object (true) or array; no recursion, for the input is hostile.
        let mut open: Vec<bool> = Vec::new();
        let mut expect = Expect::Value;
        loop {
            self.space();
            if expect == Expect::Rest && open.is_empty() {
                return match self.peek() {
                    Ok(_) => Err(Fault::At(self.at, "after top-level value")),
                    Err(_) => Ok(()),
                };
            }
            let byte = self.peek()?;
            expect = self.step(byte, expect, &mut open)?;
        }
    }

    fn step(&mut self, byte: u8, expect: Expect, open: &mut Vec<bool>) -> Result<Expect, Fault> {
        let here = self.at;
        match (expect, byte) {
            (Expect::Key | Expect::KeyOrEnd, b'"') => self.string().map(|()| Expect::Colon),
            (Expect::KeyOrEnd, b'}') | (Expect::ValueOrEnd, b']') => {
                self.at += 1;
                open.pop();
                Ok(Expect::Rest)
            }
            (Expect::Key | Expect::KeyOrEnd, _) => {
                Err(Fault::At(here, "looking for beginning of object key string"))
            }
            (Expect::Colon, b':') => {
                self.at += 1;
                Ok(Expect::Value)
            }
            (Expect::Colon, _) => Err(Fault::At(here, "after object key")),
            (Expect::Rest, _) => self.rest(byte, open),
            (Expect::Value | Expect::ValueOrEnd, _) => self.value(byte, open),
        }
    }

    fn rest(&mut self, byte: u8, open: &mut Vec<bool>) -> Result<Expect, Fault> {
        let in_object = *open.last().expect("the top level was handled before");
        let here = self.at;
        self.at += 1;
        match (byte, in_object) {
            (b',', true) => Ok(Expect::Key),
            (b',', false) => Ok(Expect::Value),
            (b'}', true) | (b']', false) => {
                open.pop();
                Ok(Expect::Rest)
            }
            (_, true) => Err(Fault::At(here, "after object key:value pair")),
            (_, false) => Err(Fault::At(here, "after array element")),
        }
    }

    fn value(&mut self, byte: u8, open: &mut Vec<bool>) -> Result<Expect, Fault> {
        match byte {
            b'{' => {
                self.at += 1;
                open.push(true);
                return Ok(Expect::KeyOrEnd);
            }
            b'[' => {
                self.at += 1;
                open.push(false);
                return Ok(Expect::ValueOrEnd);
            }
            b'"' => self.string()?,
            b't' => self.word(
                b"true",
                [
                    "in literal true (expecting 'r')",
                    "in literal true (expecting 'u')",
                    "in literal true (expecting 'e')",
                    "",
                ],
            )?,
            b'f' => self.word(
                b"false",
                [
                    "in literal false (expecting 'a')",
                    "in literal false (expecting 'l')",
                    "in literal false (expecting 's')",
                    "in literal false (expecting 'e')",
                ],
            )?,
            b'n' => self.word(
                b"null",
                [
                    "in literal null (expecting 'u')",
                    "in literal null (expecting 'l')",
                    "in literal null (expecting 'l')",
                    "",
                ],
            )?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(Fault::At(self.at, "looking for beginning of value")),
        }
        Ok(Expect::Rest)
    }

    fn word(&mut self, word: &[u8], contexts: [&'static str; 4]) -> Result<(), Fault> {
        self.at += 1;
        for (expect, context) in word[1..].iter().zip(contexts) {
            if self.peek()? != *expect {
                return Err(Fault::At(self.at, context));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => self.escape()?,
                0..0x20 => return Err(Fault::At(self.at, "in string literal")),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek()? {
            b'u' => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.peek()?.is_ascii_hexdigit() {
                        return Err(Fault::At(self.at, "in \\u hexadecimal character escape"));
                    }
                }
            }
            b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
            _ => return Err(Fault::At(self.at, "in string escape code")),
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.text[self.at] == b'-' {
            self.at += 1;
            if !self.peek()?.is_ascii_digit() {
                return Err(Fault::At(self.at, "in numeric literal"));
            }
        }
        if self.text[self.at] == b'0' {
            self.at += 1
        } else {
            self.digits()
        }
        if self.peek().is_ok_and(|b| b == b'.') {
            self.at += 1;
            if !self.peek()?.is_ascii_digit() {
                return Err(Fault::At(self.at, "after decimal point in numeric literal"));
            }
            self.digits();
        }
        if self.peek().is_ok_and(|b| b == b'e' || b == b'E') {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            if !self.peek()?.is_ascii_digit() {
                return Err(Fault::At(self.at, "in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek().is_ok_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn space(&mut self) {
        while self.peek().is_ok_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::End)
    }
}

/// One byte as Go quotes it.
fn quoted(text: &[u8], at: usize) -> String {
    match text[at] {
        b'\'' => r"'\''".to_string(),
        b'"' => "'\"'".to_string(),
        b'\\' => r"'\\'".to_string(),
        b'\n' => r"'\n'".to_string(),
        b'\r' => r"'\r'".to_string(),
        b'\t' => r"'\t'".to_string(),
        byte @ 0x20..0x7f => format!("'{}'", char::from(byte)),
        byte @ (0..0x20 | 0x7f) => format!("'\\x{byte:02x}'"),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_json_is_explained_as_go_explains_it() {
        for (text, expect) in [
            ("", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            (r#"{"a":1"#, "unexpected end of JSON input"),
            ("hello", "invalid character 'h' looking for beginning of value"),
            (r#"{"a":1} x"#, "invalid character 'x' after top-level value"),
            (r#"{"a" 1}"#, "invalid character '1' after object key"),
            (r#"{"a":1 "b":2}"#, "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            (r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string"),
            ("{a:1}", "invalid character 'a' looking for beginning of object key string"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("\"\n\"", r"invalid character '\n' in string literal"),
            (r#""\q""#, "invalid character 'q' in string escape code"),
            ("01", "invalid character '1' after top-level value"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
        ] {
            assert_eq!(explain(text.as_bytes(), "nothing found"), expect, "{text}");
        }
    }
}
