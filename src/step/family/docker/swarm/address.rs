//! Addresses as the engine takes them: an IP address or the name of an interface, mostly with an optional port.

use std::net::IpAddr;

use crate::step::{Context, Invalid};

/// `Ok` if `address` is an IP address (without port).
pub fn is_ip(address: &str) -> bool {
    address.parse::<std::net::IpAddr>().is_ok()
}

/// `address` with `port`, as the API wants it: IPv6 in brackets.
pub fn with_port(address: &str, port: u16) -> String {
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// `address` without its port, if it has one.
pub fn without_port(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// Sets an address to advertise that was left out to the host's own in the inventory.
///
/// The daemon takes an IP address or the name of an interface, each with or without a port; it does not look
/// up names of hosts.
pub fn complete_address(advertise: &mut Option<String>, context: &Context<'_>) -> Option<Invalid> {
    let help = "give an IP address or the name of an interface that the other nodes reach";
    if advertise.is_none() {
        let address = &context.host().login.address;
        if !is_ip(address) {
            return Some(
                Invalid::new(
                    "",
                    format!("`advertise_addr` is missing, and {address:?} is not an IP address"),
                )
                .help(help),
            );
        }
        *advertise = Some(address.clone());
    }
    let address = advertise.as_deref().unwrap_or_default();
    let unusable = !is_address(address)
        || is_ip_that(without_port(address), |ip| ip.is_unspecified() || ip.is_multicast());
    unusable.then(|| {
        Invalid::new("advertise_addr", format!("{address:?} is no address that others can reach")).help(help)
    })
}

/// Checks the addresses of a step that need not be reached from outside.
pub fn check_addresses(listen: Option<&str>, data_path: Option<&str>) -> Vec<Invalid> {
    let mut invalid = Vec::new();
    if let Some(address) = listen.filter(|a| !is_address(a)) {
        invalid.push(
            Invalid::new("listen_addr", format!("{address:?} is no address to listen on"))
                .help("give an IP address or the name of an interface, as in \"0.0.0.0:2377\""),
        );
    }
    let of_host = |a: &str| is_address(a) && without_port(a) == a && !is_ip_that(a, |ip| ip.is_unspecified());
    if let Some(address) = data_path.filter(|a| !of_host(a)) {
        invalid.push(
            Invalid::new("data_path_addr", format!("{address:?} is no address of a host"))
                .help("give an IP address or the name of an interface, without a port"),
        );
    }
    invalid
}

fn is_ip_that(host: &str, test: impl FnOnce(IpAddr) -> bool) -> bool {
    host.parse().is_ok_and(test)
}

/// Whether this is an IP address or could be the name of an interface, with a port or without.
fn is_address(address: &str) -> bool {
    let host = without_port(address);
    let port = address.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    let port = port.or_else(|| address.rsplit_once("]:").map(|(_, port)| port));
    if port.is_some_and(|p| p.parse::<u16>().is_err()) {
        return false;
    }
    let like_ip = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let interface =
        !like_ip && host.len() < 16 && !host.contains(['/', ':']) && !host.contains(char::is_whitespace);
    is_ip(host) || interface
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_what_cannot_be_one() {
        for good in
            ["10.0.0.1", "10.0.0.1:2377", "eth0", "bond0.100:2377", "::1", "[fd00::1]:2377", "0.0.0.0:2377"]
        {
            assert!(is_address(good), "{good}");
        }
        for bad in
            ["", "999.1.1.1", "10.0.0.1:99999", "eth0:x", "a b", "an-interface-name", "10.0.0.0/8", "[::1]:x"]
        {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
