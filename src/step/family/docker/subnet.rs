//! Addresses and subnets: the many ways to write the same one.

use std::net::IpAddr;

/// An address, or a subnet with its prefix length, in the form in which the engine shows it; other text as it is.
pub fn canonical(text: &str) -> String {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    match (address.parse::<IpAddr>(), bits.map(str::parse::<u8>)) {
        (Ok(address), None) => address.to_string(),
        (Ok(address), Some(Ok(bits))) => format!("{address}/{bits}"),
        _ => text.to_owned(),
    }
}

/// The subnet that is meant where `text` has bits behind its prefix (`10.0.0.5/24`), which newer engines refuse and
/// older ones keep as they are.
pub fn without_host(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u32>().ok()?);
    let net: IpAddr = match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or_default();
            std::net::Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or_default();
            std::net::Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    };
    (net != address).then(|| format!("{net}/{bits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_all() {
        for (text, wanted) in [
            ("10.0.0.1", "10.0.0.1"),
            ("FD00:0:0::1", "fd00::1"),
            ("fd00:0000::/064", "fd00::/64"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("x/8", "x/8"),
        ] {
            assert_eq!(canonical(text), wanted);
        }
        assert_eq!(without_host("10.20.0.5/24").as_deref(), Some("10.20.0.0/24"));
        assert_eq!(without_host("fd00::1/64").as_deref(), Some("fd00::/64"));
        for good in ["10.20.0.0/24", "10.20.0.5/32", "0.0.0.0/0", "fd00::/64", "::/0", "x", "10.0.0.1/33"] {
            assert_eq!(without_host(good), None, "{good}");
        }
    }
}
