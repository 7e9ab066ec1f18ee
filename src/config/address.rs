//! Addresses and host names as users write them, and the arithmetic of IPv4 and IPv6 networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is wrong with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// A lower-case fragment.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Checks an address or name to connect to.
pub(crate) fn check_host(text: &str) -> Result<(), Wrong> {
    let wrong = |message: String, help: &str| Wrong { message, help: Some(help.to_owned()) };
    if text.is_empty() {
        return Err(wrong("the address is empty".into(), "write an IP address or a host name"));
    }
    if text.starts_with('-') {
        return Err(wrong(format!("{text:?} is not an address"), "it would be taken for an option of ssh"));
    }
    if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if let Some((host, _)) = text.rsplit_once('@') {
        let help = format!("write the user {host:?} as `user = ...`");
        return Err(wrong(format!("{text:?} has a user in it"), &help));
    }
    if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(Wrong {
            message: format!("{text:?} is not an IPv4 address"),
            help: Some(ipv4_help(text)),
        });
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && (!host.contains(':') || without_brackets(host).is_some())
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(wrong(format!("{text:?} has a port in it"), &format!("write `port = {port}` beside it")));
    }
    // A scoped address, `fe80::1%eth0`.
    if let Some((ip, zone)) = text.split_once('%')
        && ip.parse::<Ipv6Addr>().is_ok()
        && !zone.is_empty()
    {
        return Ok(());
    }
    if is_host_name(text) {
        return Ok(());
    }
    if text.contains("{{") {
        return Err(wrong(format!("{text:?} is not an address"), "templates are not rendered here"));
    }
    Err(wrong(
        format!("{text:?} is not an address or host name"),
        "host names have letters, digits, `-` and `.`",
    ))
}

/// The address in an IPv6 address as it stands in a URL, `[2001:db8::1]`.
pub(crate) fn without_brackets(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (ip, zone) = inner.split_once('%').unwrap_or((inner, "0"));
    (ip.parse::<Ipv6Addr>().is_ok() && !zone.is_empty()).then_some(inner)
}

/// Whether `text` may be a host name: labels of letters, digits, `-` and `_`, up to 63 characters each.
pub(crate) fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn ipv4_help(text: &str) -> String {
    let octets: Vec<&str> = text.split('.').collect();
    let too_large = |o: &&&str| o.parse::<u16>().map_or(true, |n| n > 255);
    match octets.iter().find(too_large) {
        Some(octet) if octets.len() == 4 && !octet.is_empty() => {
            let mut help = format!("{octet} is larger than 255");
            if octet.len() == 4 {
                help = format!("{help}: one digit too many?");
            }
            help
        }
        _ => "an IPv4 address has four numbers from 0 to 255 with dots between".into(),
    }
}

/// A network in the form `ADDRESS/PREFIX`, its host bits as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    /// The address as written.
    pub address: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// Reads `192.168.0.0/24`, `192.168.0.0/255.255.255.0` or `fd00::/64`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = if let Ok(prefix) = prefix.parse::<u8>() {
            prefix
        } else {
            let mask = u32::from(prefix.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4())?);
            let ones = mask.leading_ones();
            (mask.count_ones() == ones).then_some(())?;
            u8::try_from(ones).ok()?
        };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// The network's own address: all host bits zero.
    pub(crate) fn base(self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                Ipv4Addr::from(u32::from(a) & mask).into()
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                Ipv6Addr::from(u128::from(a) & mask).into()
            }
        }
    }

    /// The same network without host bits.
    pub(crate) fn canonical(self) -> Self {
        Self { address: self.base(), ..self }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_typing_errors() {
        for good in
            ["192.168.158.144", "fd00::1", "[fd00::1]", "fe80::1%eth0", "nfs-01", "a.example.org", "1host"]
        {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for (bad, help) in [
            ("192.168.158.1434", "1434 is larger than 255: one digit too many?"),
            ("192.168.158.256", "256 is larger than 255"),
            ("192.168.158", "an IPv4 address has four numbers from 0 to 255 with dots between"),
            ("host:22", "write `port = 22` beside it"),
            ("[fd00::1]:22", "write `port = 22` beside it"),
            ("root@host", "write the user \"root\" as `user = ...`"),
            ("-oProxyCommand=x", "it would be taken for an option of ssh"),
            ("", "write an IP address or a host name"),
            ("a b", "host names have letters, digits, `-` and `.`"),
        ] {
            assert_eq!(check_host(bad).unwrap_err().help.unwrap(), help, "{bad}");
        }
    }

    #[test]
    fn reads_networks() {
        for (network, canonical) in [
            ("192.168.158.143/24", "192.168.158.0/24"),
            ("10.0.0.0/255.255.0.0", "10.0.0.0/16"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.0.0.1/32", "10.0.0.1/32"),
            ("fd00:1::5/64", "fd00:1::/64"),
        ] {
            assert_eq!(Network::parse(network).unwrap().canonical().to_string(), canonical);
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "x/24", "10.0.0/24"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
