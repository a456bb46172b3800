//! Names to addresses as resolv.conf says it. A static binary has no getaddrinfo, and an image of one file no libc.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;

const PATIENCE: Duration = Duration::from_secs(2);
/// Without EDNS an answer is no longer (RFC 1035).
const ANSWER_BYTES_MAX: usize = 512;

#[derive(Debug, Default, PartialEq, Eq)]
struct Conf {
    servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
}

/// The first address of a name; an address is its own.
pub(crate) async fn resolve(host: &str) -> Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let text = tokio::fs::read_to_string("/etc/resolv.conf").await.context("read /etc/resolv.conf")?;
    let conf = parse(&text);
    let mut last = None;
    for name in candidates(host, &conf) {
        for server in &conf.servers {
            match tokio::time::timeout(PATIENCE, ask(&name, *server)).await {
                Ok(Ok(Some(address))) => return Ok(address.into()),
                Ok(Ok(None)) => break,
                Ok(Err(e)) => last = Some(e.context(format!("ask {server} for {name}"))),
                Err(_) => last = Some(anyhow::anyhow!("{server} does not answer")),
            }
        }
    }
    match last {
        Some(e) => Err(e),
        None => bail!("{host}: no such name"),
    }
}

fn parse(text: &str) -> Conf {
    let mut conf = Conf { ndots: 1, ..Conf::default() };
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => conf.servers.extend(words.next().and_then(|w| w.parse::<IpAddr>().ok())),
            Some("search") => conf.search = words.map(str::to_string).collect(),
            Some("options") => {
                for word in words {
                    if let Some(n) = word.strip_prefix("ndots:").and_then(|n| n.parse().ok()) {
                        conf.ndots = n;
                    }
                }
            }
            _ => {}
        }
    }
    conf
}

/// The names to try, in order: with enough dots as it is first, else through the search list first.
fn candidates(host: &str, conf: &Conf) -> Vec<String> {
    if host.ends_with('.') {
        return vec![host.to_string()];
    }
    let mut out: Vec<String> = conf.search.iter().map(|domain| format!("{host}.{domain}.")).collect();
    let at = if host.matches('.').count() >= conf.ndots { 0 } else { out.len() };
    out.insert(at, format!("{host}."));
    out
}

async fn ask(name: &str, server: IpAddr) -> Result<Option<Ipv4Addr>> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(name)?, RecordType::A));
    let own: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await?;
    socket.connect((server, 53)).await?;
    socket.send(&question.to_vec()?).await?;
    let mut buffer = [0; ANSWER_BYTES_MAX];
    loop {
        let n = socket.recv(&mut buffer).await?;
        // An answer to another question is not for us.
        match Message::from_vec(&buffer[..n]) {
            Ok(answer) if answer.metadata.id == question.metadata.id => return Ok(first_address(&answer)),
            _ => {}
        }
    }
}

fn first_address(answer: &Message) -> Option<Ipv4Addr> {
    answer.answers.iter().find_map(|record| match &record.data {
        RData::A(a) => Some(a.0),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tried_in_the_order_of_resolv_conf() {
        let conf =
            parse("search a.svc.test svc.test\nnameserver 10.96.0.10\noptions ndots:5 timeout:1\n# x\n");
        assert_eq!(conf.servers, [IpAddr::from([10, 96, 0, 10])]);
        assert_eq!(candidates("api", &conf), ["api.a.svc.test.", "api.svc.test.", "api."]);
        assert_eq!(candidates("api.", &conf), ["api."]);
        assert_eq!(candidates("a.b", &Conf { ndots: 1, ..parse("search t") }), ["a.b.", "a.b.t."]);
    }
}
