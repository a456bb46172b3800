//! The two files that say how this machine resolves names. (hosts(5), resolv.conf(5))

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const DNS: u16 = 53;
/// As the resolver's own limits.
const SERVERS_MAX: usize = 3;
const SEARCH_MAX: usize = 32;
const NDOTS_MAX: usize = 15;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    pub(super) servers: Vec<SocketAddr>,
    pub(super) search: Vec<String>,
    pub(super) ndots: usize,
    pub(super) timeout_s: u64,
    pub(super) attempts: u32,
}

/// The addresses that a hosts file gives a name, IPv4 first.
pub(super) fn addresses(hosts: &str, host: &str) -> Vec<IpAddr> {
    let host = host.trim_end_matches('.');
    let mut found: Vec<IpAddr> = hosts
        .lines()
        .filter_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
        })
        .collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

pub(super) fn resolv_conf(text: &str) -> ResolvConf {
    let mut conf =
        ResolvConf { servers: Vec::new(), search: Vec::new(), ndots: 1, timeout_s: 5, attempts: 2 };
    for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") if conf.servers.len() < SERVERS_MAX => {
                let address = words.next().and_then(|word| word.parse::<IpAddr>().ok());
                conf.servers.extend(address.map(|ip| SocketAddr::new(ip, DNS)));
            }
            Some("search" | "domain") => {
                conf.search = words.take(SEARCH_MAX).map(|word| word.trim_matches('.').to_string()).collect();
                conf.search.retain(|domain| !domain.is_empty());
            }
            Some("options") => words.for_each(|option| conf.set(option)),
            _ => {}
        }
    }
    if conf.servers.is_empty() {
        conf.servers.push((Ipv4Addr::LOCALHOST, DNS).into());
    }
    conf
}

impl ResolvConf {
    fn set(&mut self, option: &str) {
        let Some((name, value)) = option.split_once(':') else { return };
        let Ok(value) = value.parse::<u32>() else { return };
        match name {
            "ndots" => self.ndots = (value as usize).min(NDOTS_MAX),
            "timeout" => self.timeout_s = u64::from(value.clamp(1, 30)),
            "attempts" => self.attempts = value.clamp(1, 5),
            _ => {}
        }
    }

    /// The names to ask for, in order: with few dots the search list comes first.
    pub(super) fn candidates(&self, host: &str) -> Vec<String> {
        let plain = format!("{}.", host.trim_end_matches('.'));
        if host.ends_with('.') {
            return vec![plain];
        }
        let mut all: Vec<String> = self.search.iter().map(|domain| format!("{plain}{domain}.")).collect();
        if host.matches('.').count() >= self.ndots {
            all.insert(0, plain);
        } else {
            all.push(plain);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_files_are_read() {
        let hosts =
            "127.0.0.1 localhost\n::1 localhost # loop\n# 10.0.0.1 no\n10.0.0.2\tHook hook.example\nx hook\n";
        let check = |name: &str, want: &[&str]| {
            let got: Vec<String> = addresses(hosts, name).iter().map(ToString::to_string).collect();
            assert_eq!(got, want, "{name}");
        };
        check("localhost", &["127.0.0.1", "::1"]);
        check("hook.example.", &["10.0.0.2"]);
        check("hook", &["10.0.0.2"]);
        check("no", &[]);
        check("loop", &[]);
    }

    #[test]
    fn resolver_configurations_are_read() {
        let conf = resolv_conf(
            "; c\nsearch a.test b.test.\nnameserver 10.0.0.10\nnameserver bad\noptions ndots:5 timeout:1 x attempts:0\n",
        );
        assert_eq!(conf.servers, ["10.0.0.10:53".parse().expect("an address")]);
        assert_eq!((conf.ndots, conf.timeout_s, conf.attempts), (5, 1, 1));
        assert_eq!(conf.candidates("x.y"), ["x.y.a.test.", "x.y.b.test.", "x.y."]);
        assert_eq!(conf.candidates("x."), ["x."]);
        let plain = resolv_conf("search a.test");
        assert_eq!(plain.candidates("x.y"), ["x.y.", "x.y.a.test."]);
        assert_eq!(plain.servers, ["127.0.0.1:53".parse().expect("an address")]);
    }
}
