//! What a request's transport says of its sender: addresses and agent, bounded.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::USER_AGENT;

const AGENT_MAX: usize = 1024;
/// A chain of proxies is not longer; a header that claims so is cut.
const ADDRESSES_MAX: usize = 64;

/// The way that a request came: as proxies tell it, and at last the address that it came from.
pub(crate) fn addresses(headers: &HeaderMap, remote: Option<IpAddr>) -> Vec<IpAddr> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok();
    let forwarded = text("x-forwarded-for").split(',').filter_map(parse);
    let mut all: Vec<IpAddr> = forwarded.take(ADDRESSES_MAX).collect();
    if let Some(real) = parse(text("x-real-ip"))
        && !all.contains(&real)
    {
        all.push(real);
    }
    if let Some(remote) = remote.map(|remote| remote.to_canonical())
        && all.last() != Some(&remote)
    {
        all.push(remote);
    }
    all
}

pub(crate) fn agent(headers: &HeaderMap) -> String {
    let agent =
        headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default();
    match agent.char_indices().find(|(place, c)| place + c.len_utf8() > AGENT_MAX) {
        Some((end, _)) => format!("{}...TRUNCATED", &agent[..end]),
        None => agent.into_owned(),
    }
}

/// The client's own id of the request, or a new one.
pub(crate) fn audit_id(headers: &HeaderMap) -> String {
    const MAX: usize = 64;
    let given = headers.get("audit-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.is_empty() {
        return uuid::Uuid::new_v4().as_hyphenated().to_string();
    }
    given.chars().take(MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)], remote: Option<&str>, want: &[&str]) {
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        let got = addresses(&pairs.collect(), remote.map(|ip| ip.parse().expect("an address")));
        assert_eq!(got.iter().map(ToString::to_string).collect::<Vec<_>>(), want);
    }

    #[test]
    fn addresses_are_told_as_upstream_tells_them() {
        check(&[], Some("10.0.0.1"), &["10.0.0.1"]);
        check(&[], None, &[]);
        let forwarded = ("x-forwarded-for", "1.1.1.1, bad, 2.2.2.2");
        check(&[forwarded], Some("10.0.0.1"), &["1.1.1.1", "2.2.2.2", "10.0.0.1"]);
        check(&[forwarded], Some("2.2.2.2"), &["1.1.1.1", "2.2.2.2"]);
        check(&[forwarded, ("x-real-ip", "1.1.1.1")], None, &["1.1.1.1", "2.2.2.2"]);
        check(&[("x-real-ip", "3.3.3.3")], Some("::ffff:10.0.0.1"), &["3.3.3.3", "10.0.0.1"]);
    }

    #[test]
    fn long_agents_and_ids_are_cut() {
        let headers = |name: &'static str, value: String| {
            HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().expect("a value"))])
        };
        assert_eq!(agent(&headers("user-agent", "kubectl".into())), "kubectl");
        let cut = agent(&headers("user-agent", "x".repeat(2000)));
        assert_eq!(cut.len(), 1024 + "...TRUNCATED".len());
        assert_eq!(audit_id(&headers("audit-id", "a".repeat(80))).len(), 64);
        assert_eq!(audit_id(&HeaderMap::new()).len(), 36);
    }
}
