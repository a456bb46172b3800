//! URLs, as Go parses them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Outcome, Row, no_overload, row};
use crate::error::EvalError;
use crate::text::quoted;
use crate::value::{Key, Map, Opaque, Text, UrlValue, Value};

pub(super) const ROWS: &[Row] = &[
    row("url", &[("string_to_url", "string -> URL")], |_, args| match &args[0] {
        Value::String(text) => match request_uri(text) {
            Ok(url) => Ok(Value::Library(Opaque::Url(Arc::new(url)))),
            Err(error) => {
                Err(EvalError::Message(format!("URL parse error during conversion from string: {error}")))
            }
        },
        _ => no_overload(),
    }),
    row("isURL", &[("is_url_string", "string -> bool")], |_, args| match &args[0] {
        Value::String(text) => Ok(Value::Bool(request_uri(text).is_ok())),
        _ => no_overload(),
    }),
    row("getScheme", &[("url_get_scheme", ".URL -> string")], |_, args| part(args, |url| &url.scheme)),
    row("getHost", &[("url_get_host", ".URL -> string")], |_, args| part(args, |url| &url.host)),
    row("getHostname", &[("url_get_hostname", ".URL -> string")], |_, args| part(args, |url| &url.hostname)),
    row("getPort", &[("url_get_port", ".URL -> string")], |_, args| part(args, |url| &url.port)),
    row("getEscapedPath", &[("url_get_escaped_path", ".URL -> string")], |_, args| {
        part(args, |url| &url.path)
    }),
    row("getQuery", &[("url_get_query", ".URL -> map(string, list(string))")], |_, args| match args {
        [Value::Library(Opaque::Url(url))] => {
            let mut query: BTreeMap<Key<'_>, Vec<Value<'_>>> = BTreeMap::new();
            for (key, value) in &url.query {
                let key = Key::Text(Text::Shared(key.as_str().into()));
                query.entry(key).or_default().push(Value::text(value.as_str()));
            }
            let query = query.into_iter().map(|(key, values)| (key, Value::list(values))).collect();
            Ok(Value::Map(Map::Made(Arc::new(query))))
        }
        _ => no_overload(),
    }),
];

fn part<'a>(args: &[Value<'a>], of: impl Fn(&UrlValue) -> &String) -> Outcome<'a> {
    match args {
        [Value::Library(Opaque::Url(url))] => Ok(Value::text(of(url).as_str())),
        _ => no_overload(),
    }
}

/// An absolute URL or an absolute path. The messages are Go's.
pub(super) fn request_uri(text: &str) -> Result<UrlValue, String> {
    parse(text).map_err(|why| format!("parse {}: {why}", quoted(text)))
}

fn parse(text: &str) -> Result<UrlValue, String> {
    if text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() {
        return Err("empty url".to_owned());
    }
    let (scheme, after) = scheme(text)?;
    if scheme.is_empty() && !after.starts_with('/') {
        return Err("invalid URI for request".to_owned());
    }
    let rest = after.split_once('#').map_or(after, |(rest, _)| rest);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = UrlValue {
        scheme,
        host: String::new(),
        hostname: String::new(),
        port: String::new(),
        path: String::new(),
        query: parse_query(query),
        text: text.to_owned(),
    };
    if !url.scheme.is_empty() && !rest.starts_with('/') {
        // Opaque: `mailto:someone`.
        return Ok(url);
    }
    let mut path = rest;
    if let Some(authority) =
        rest.strip_prefix("//").filter(|rest| !url.scheme.is_empty() || !rest.starts_with('/'))
    {
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        set_host(&mut url, &authority[..end])?;
    }
    url.path = escaped_path(path)?;
    Ok(url)
}

fn scheme(text: &str) -> Result<(String, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn set_host(url: &mut UrlValue, authority: &str) -> Result<(), String> {
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
            if !user.bytes().all(allowed) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            host
        }
        None => authority,
    };
    let (name, port) = if let Some(inside) = host.strip_prefix('[') {
        let end = inside.rfind(']').ok_or("missing ']' in host")?;
        (&inside[..end], &inside[end + 1..])
    } else {
        let colon = host.rfind(':').unwrap_or(host.len());
        (&host[..colon], &host[colon..])
    };
    let digits =
        port.strip_prefix(':').map_or(port.is_empty(), |digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if !digits {
        return Err(format!("invalid port {} after host", quoted(port)));
    }
    let allowed =
        |b: u8| !b.is_ascii() || b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"%".contains(&b);
    if let Some(wrong) = host.chars().find(|c| c.is_ascii() && !allowed(*c as u8)) {
        return Err(format!("invalid character {} in host name", quoted(&wrong.to_string())));
    }
    url.host = unescape(host)?;
    url.hostname = unescape(name)?;
    url.port = port.trim_start_matches(':').to_owned();
    Ok(())
}

/// What `%xx` stands for; wrong ones are an error.
fn unescape(text: &str) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        if bytes[at] != b'%' {
            out.push(bytes[at]);
            at += 1;
            continue;
        }
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => out.push(byte),
            None => {
                let wrong = String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 3)]).into_owned();
                return Err(format!("invalid URL escape {}", quoted(&wrong)));
            }
        }
        at += 3;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// The path as it was written, if that is a valid encoding; otherwise encoded.
fn escaped_path(path: &str) -> Result<String, String> {
    unescape(path)?;
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"!$&'()*+,;=:@[]-_.~/%".contains(&b);
    if path.bytes().all(valid) {
        return Ok(path.to_owned());
    }
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"$&+,/:;=@-_.~%".contains(&b);
    let mut out = String::with_capacity(path.len() + 8);
    for b in path.bytes() {
        if keep(b) {
            out.push(b as char);
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    Ok(out)
}

/// Pairs that are not well formed are left out.
fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| unescape(&text.replace('+', " ")).ok();
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key)?, decode(value)?))
        })
        .collect()
}
