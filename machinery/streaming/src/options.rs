//! What a remote command is asked to attach.

use serde::{Deserialize, Serialize};

/// Which streams a remote command has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteCommandOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// The size of a terminal, as it travels on the resize stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    #[serde(rename = "Width")]
    pub width: u16,
    #[serde(rename = "Height")]
    pub height: u16,
}

impl RemoteCommandOptions {
    /// Reads a query, with the API's names (`stdin`, `stdout`, `stderr`, `tty`) or the kubelet's (`input`, `output`,
    /// `error`, `tty`). `1` and `true` are true. With a terminal there is no stderr.
    pub fn from_query(query: &str) -> Self {
        let mut options = Self::default();
        for (name, value) in form_pairs(query) {
            let on = matches!(value.as_ref(), "1" | "t" | "T" | "true" | "TRUE" | "True");
            match name.as_ref() {
                "stdin" | "input" => options.stdin |= on,
                "stdout" | "output" => options.stdout |= on,
                "stderr" | "error" => options.stderr |= on,
                "tty" => options.tty |= on,
                _ => {}
            }
        }
        if options.tty {
            options.stderr = false;
        }
        options
    }

    /// Whether any stream is asked for; upstream refuses a request without.
    pub fn any(&self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// The pairs of a query string, decoded.
pub(crate) fn form_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[at], hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_with_both_vocabularies() {
        let check = |query: &str, want: [bool; 4]| {
            let o = RemoteCommandOptions::from_query(query);
            assert_eq!([o.stdin, o.stdout, o.stderr, o.tty], want, "{query}");
        };
        check("", [false; 4]);
        check("command=ls&command=-l&stdin=true&stdout=true&stderr=true", [true, true, true, false]);
        check("input=1&output=1&error=1&tty=0", [true, true, true, false]);
        check("stdin=true&stdout=true&stderr=true&tty=true", [true, true, false, true]);
        check("stdin=false&%73tdout=tr%75e", [false, true, false, false]);
    }

    #[test]
    fn form_pairs_decode_and_survive_nonsense() {
        let pairs: Vec<_> = form_pairs("a=b+c&d=%41%zz%&&e").collect();
        let want = [("a", "b c"), ("d", "A%zz%"), ("e", "")].map(|(n, v)| (n.to_string(), v.to_string()));
        assert_eq!(pairs, want);
    }
}
