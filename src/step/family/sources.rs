//! What can be mounted: names of devices, and of directories on servers, in all their spellings.

use std::net::{IpAddr, Ipv6Addr};

/// Takes `HOST:/PATH` apart; an IPv6 address stands in brackets.
pub fn split_remote(source: &str) -> Option<(&str, &str)> {
    let (host, path) = match source.strip_prefix('[').and_then(|s| s.split_once("]:")) {
        Some((host, path)) => (host, path),
        None => source.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    (!host.is_empty() && path.starts_with('/') && !source.contains(char::is_whitespace))
        .then_some((host, path))
}

/// The source without needless slashes and, of a tag, without quotes.
pub fn normal_source(source: &str) -> String {
    if let Some((tag, value)) = source.split_once('=').filter(|(tag, _)| TAGS.contains(tag)) {
        return format!("{tag}={}", value.trim_matches(['"', '\'']));
    }
    let at = split_remote(source).map_or(0, |(_, path)| source.len() - path.len());
    let (head, path) = source.split_at(at);
    if !path.starts_with('/') || path.starts_with("//") && head.is_empty() {
        return source.trim_end_matches('/').to_owned(); // Not a path, or `//SERVER/SHARE`.
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("{head}/{}", parts.join("/"))
}

/// An address without its zone, `fe80::1%eth0`.
pub fn address(text: &str) -> Option<IpAddr> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(a, z)| (a, Some(z)));
    match zone {
        Some(_) => address.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => address.parse().ok(),
    }
}

/// Whether two names of a server are the same, however they are written.
pub fn same_server(one: &str, other: &str) -> bool {
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.')),
    }
}

/// How a device can be named but by its path.
pub const TAGS: [&str; 5] = ["UUID", "LABEL", "PARTUUID", "PARTLABEL", "ID"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_source_are_equal() {
        for (one, other) in [
            ("srv:/a/", "srv:/a"),
            ("srv:/", "srv:/"),
            ("srv://a//b", "srv:/a/b"),
            ("[2001:db8::1]:/x/", "[2001:db8::1]:/x"),
            ("LABEL=\"a b\"", "LABEL=a b"),
            ("UUID='1'", "UUID=1"),
            ("/dev//sda1", "/dev/sda1"),
            ("//srv/share/", "//srv/share"),
            ("tmpfs", "tmpfs"),
        ] {
            assert_eq!(normal_source(one), other, "{one}");
        }
        assert_eq!(split_remote("[fe80::1%eth0]:/x"), Some(("fe80::1%eth0", "/x")));
        assert_eq!(split_remote("/a:/b"), None);
        for (one, other, same) in [
            ("2001:db8:0::1", "2001:DB8::1", true),
            ("fe80::1%eth0", "fe80::1", true),
            ("NFS-01.example.", "nfs-01.example", true),
            ("10.0.0.1", "10.0.0.10", false),
        ] {
            assert_eq!(same_server(one, other), same, "{one} {other}");
        }
    }
}
