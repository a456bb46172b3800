//! IP addresses and CIDR blocks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Outcome, Row, ip_fault, no_overload, row};
use crate::error::EvalError;
use crate::text::quoted;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    row("ip", &[("string_to_ip", "string -> IP"), ("cidr_ip", ".CIDR -> IP")], |_, args| match &args[0] {
        Value::String(text) => {
            parse_ip(text).map(|ip| Value::Library(Opaque::Ip(ip))).map_err(EvalError::Message)
        }
        Value::Library(Opaque::Cidr(ip, _)) => Ok(Value::Library(Opaque::Ip(*ip))),
        _ => no_overload(),
    }),
    row("isIP", &[("is_ip", "string -> bool")], |_, args| match &args[0] {
        Value::String(text) => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => no_overload(),
    }),
    row("ip.isCanonical", &[("ip_is_canonical", "string -> bool")], |_, args| match &args[0] {
        Value::String(text) => {
            parse_ip(text).map(|ip| Value::Bool(ip.to_string() == **text)).map_err(EvalError::Message)
        }
        _ => no_overload(),
    }),
    row("family", &[("ip_family", ".IP -> int")], |_, args| {
        about(args, |ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))
    }),
    row("isUnspecified", &[("ip_is_unspecified", ".IP -> bool")], |_, args| {
        about(args, |ip| Value::Bool(ip.is_unspecified()))
    }),
    row("isLoopback", &[("ip_is_loopback", ".IP -> bool")], |_, args| {
        about(args, |ip| Value::Bool(ip.is_loopback()))
    }),
    row("isLinkLocalMulticast", &[("ip_is_link_local_multicast", ".IP -> bool")], |_, args| {
        about(args, |ip| {
            Value::Bool(match ip {
                IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
                IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
            })
        })
    }),
    row("isLinkLocalUnicast", &[("ip_is_link_local_unicast", ".IP -> bool")], |_, args| {
        about(args, |ip| Value::Bool(is_link_local(ip)))
    }),
    row("isGlobalUnicast", &[("ip_is_global_unicast", ".IP -> bool")], |_, args| {
        about(args, |ip| {
            let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local(ip);
            Value::Bool(!special && *ip != IpAddr::V4(Ipv4Addr::BROADCAST))
        })
    }),
    row("cidr", &[("string_to_cidr", "string -> CIDR")], |_, args| match &args[0] {
        Value::String(text) => block(text).map(cidr),
        _ => no_overload(),
    }),
    row("isCIDR", &[("is_cidr", "string -> bool")], |_, args| match &args[0] {
        Value::String(text) => Ok(Value::Bool(parse_cidr(text).is_ok())),
        _ => no_overload(),
    }),
    row(
        "containsIP",
        &[("cidr_contains_ip_string", ".CIDR, string -> bool"), ("cidr_contains_ip_ip", ".CIDR, IP -> bool")],
        |_, args| match args {
            [Value::Library(Opaque::Cidr(ip, prefix)), Value::Library(Opaque::Ip(other))] => {
                Ok(Value::Bool(contains((*ip, *prefix), *other)))
            }
            [Value::Library(Opaque::Cidr(ip, prefix)), Value::String(text)] => {
                let other = parse_ip(text).map_err(EvalError::Message)?;
                Ok(Value::Bool(contains((*ip, *prefix), other)))
            }
            _ => no_overload(),
        },
    ),
    row(
        "containsCIDR",
        &[
            ("cidr_contains_cidr_string", ".CIDR, string -> bool"),
            ("cidr_contains_cidr", ".CIDR, CIDR -> bool"),
        ],
        |_, args| {
            let (ip, prefix, (other, longer)) = match args {
                [Value::Library(Opaque::Cidr(ip, prefix)), Value::Library(Opaque::Cidr(other, longer))] => {
                    (ip, prefix, (*other, *longer))
                }
                [Value::Library(Opaque::Cidr(ip, prefix)), Value::String(text)] => (ip, prefix, block(text)?),
                _ => return no_overload(),
            };
            Ok(Value::Bool(*prefix <= longer && contains((*ip, *prefix), other)))
        },
    ),
    row("prefixLength", &[("cidr_prefix_length", ".CIDR -> int")], |_, args| match args {
        [Value::Library(Opaque::Cidr(_, prefix))] => Ok(Value::Int(i64::from(*prefix))),
        _ => no_overload(),
    }),
    row("masked", &[("cidr_masked", ".CIDR -> CIDR")], |_, args| match args {
        [Value::Library(Opaque::Cidr(ip, prefix))] => Ok(cidr((masked(*ip, *prefix), *prefix))),
        _ => no_overload(),
    }),
];

fn about<'a>(args: &[Value<'a>], tell: impl Fn(&IpAddr) -> Value<'a>) -> Outcome<'a> {
    match args {
        [Value::Library(Opaque::Ip(ip))] => Ok(tell(ip)),
        _ => no_overload(),
    }
}

fn cidr<'a>((ip, prefix): (IpAddr, u8)) -> Value<'a> {
    Value::Library(Opaque::Cidr(ip, prefix))
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// Neither zones nor IPv4 addresses mapped into IPv6.
fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if let Some((address, _)) = text.split_once('%')
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Err(format!("IP address {} with zone value is not allowed", quoted(text)));
    }
    let ip: IpAddr = text.parse().map_err(|_| {
        let why = ip_fault::explain(text);
        format!("IP Address {} parse error during conversion from string: {why}", quoted(text))
    })?;
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {} is not allowed", quoted(text)))
        }
        ip => Ok(ip),
    }
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = |why: &str| {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({}): {why}",
            quoted(text)
        )
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let ip: IpAddr = address.parse().map_err(|_| wrong(&ip_fault::explain(address)))?;
    let canonical = !bits.is_empty()
        && bits.bytes().all(|b| b.is_ascii_digit())
        && (bits.len() == 1 || !bits.starts_with('0'));
    let prefix: Option<u8> = bits.parse().ok().filter(|_| canonical);
    let prefix = prefix.ok_or_else(|| wrong(&format!("bad bits after slash: {}", quoted(bits))))?;
    if prefix > if ip.is_ipv4() { 32 } else { 128 } {
        return Err(wrong("prefix length out of range"));
    }
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(format!("IPv4-mapped IPv6 address {} is not allowed", quoted(text)))
        }
        ip => Ok((ip, prefix)),
    }
}

fn block(text: &str) -> Result<(IpAddr, u8), EvalError> {
    parse_cidr(text).map_err(|error| {
        EvalError::Message(format!("network address parse error during conversion from string: {error}"))
    })
}

fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(ip) & mask))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(ip) & mask))
        }
    }
}

fn contains((ip, prefix): (IpAddr, u8), other: IpAddr) -> bool {
    ip.is_ipv4() == other.is_ipv4() && masked(ip, prefix) == masked(other, prefix)
}
