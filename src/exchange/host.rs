//! The name by which a client calls the server: `Host`, `:authority`, or the target in absolute form.
//!
//! Pure. The server refuses what is no name, and foreign names where it listens on the loopback alone; the lab's guard
//! asks which names are the loopback's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::dev::RequestHead;
use actix_web::http::Version;
use actix_web::http::header::HOST;

/// Returns the names by which a request calls the server, each perhaps with a port: `Host`, and the target if it is in
/// absolute form (RFC 9112 §3.2.2). Over HTTP/1.0 there may be none. An error says what is wrong with them.
pub(crate) fn names(head: &RequestHead) -> Result<Vec<&str>, String> {
    let mut hosts = head.headers.get_all(HOST).map(|host| host.to_str().unwrap_or("\u{fffd}"));
    let (host, another) = (hosts.next(), hosts.next());
    if another.is_some() {
        return Err("the Host field is given twice; give it once".to_owned());
    }
    if host.is_none() && head.version > Version::HTTP_10 {
        return Err("there is no Host field; give one with the name of the server".to_owned());
    }
    let target = head.uri.authority().map(|authority| authority.as_str());
    let names: Vec<_> = [host, target].into_iter().flatten().collect();
    match names.iter().find(|name| parts(name).is_none()) {
        Some(name) => Err(format!(
            "{name:?} does not name a server; write Host as name or name:port, without anything else"
        )),
        None => Ok(names),
    }
}

/// Splits `name` or `name:port`; `None` if it is neither (RFC 3986 §3.2.2, but not empty and without a user).
pub(crate) fn parts(authority: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let (literal, _) = authority.split_at(authority.len() - after.len());
            (literal, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(name, port)| (name, Some(port))),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=".contains(c);
    if name.is_empty() || !(name.starts_with('[') || name.chars().all(plain)) {
        return None;
    }
    match port {
        // A colon without a port means the default port.
        None | Some("") => Some((name, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((name, Some(port.parse().ok()?)))
        }
        Some(_) => None,
    }
}

/// Tells whether a name, with or without a port, means this machine in every browser: `localhost` and names below it
/// (RFC 6761 §6.3), `127.0.0.0/8`, `[::1]`. Other spellings of these addresses do not count.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let Some((name, _)) = parts(authority) else { return false };
    let lower = name.to_ascii_lowercase();
    lower == "localhost"
        || lower.strip_suffix(".localhost").is_some_and(|below| !below.is_empty())
        || name == "[::1]"
        || name.parse::<Ipv4Addr>().is_ok_and(|address| IpAddr::V4(address).is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        for (authority, name, port) in [
            ("lab.example", "lab.example", None),
            ("lab.example:8080", "lab.example", Some(8080)),
            ("my_host", "my_host", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[::1]", "[::1]", None),
            ("[fd00::2]:8080", "[fd00::2]", Some(8080)),
            ("lab.example:", "lab.example", None),
        ] {
            assert_eq!(parts(authority), Some((name, port)), "{authority}");
        }
        for authority in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@lab.example",
            "lab.example:http",
            "lab.example:80:80",
            "lab.example:65536",
            "[::1",
            "[::1]x",
            "[lab]",
            "::1",
            "http://lab.example",
            "lab\u{e9}",
            "a?b",
            "a#b",
            "a\\b",
            "[::1]:x",
            "<a>",
            "lab.example:+80",
        ] {
            assert_eq!(parts(authority), None, "{authority:?}");
        }
    }

    #[test]
    fn only_plain_names_of_the_loopback_are_its_names() {
        for name in [
            "localhost",
            "LocalHost:1",
            "127.0.0.1",
            "127.1.2.3:8080",
            "[::1]",
            "[::1]:8080",
            "lab.localhost",
            "a.b.LOCALHOST:8080",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "",
            ":8080",
            "localhost.evil.example",
            "localhost.",
            ".localhost",
            "evillocalhost",
            "localhost:80:80",
            "a@localhost",
            "localhost@evil.example",
            "127.0.0.1.evil.example:80",
            "127.1",
            "0177.0.0.1",
            "2130706433",
            "0.0.0.0",
            "128.0.0.1",
            "::1",
            "[::ffff:127.0.0.1]",
            "[::1].evil.example",
            "lab.example",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
