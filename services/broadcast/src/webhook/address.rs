//! Which addresses may be called: https, and nothing but the public internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use url::{Host, Url};

const URL_BYTES_MAX: usize = 2_000;

/// Why a URL can't be a webhook.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("it is longer than {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is malformed: {0}")]
    Malformed(#[from] url::ParseError),
    #[error("its scheme is {0}, not https")]
    Scheme(String),
    #[error("it carries a user name or password")]
    Credentials,
    #[error("its port is 0")]
    Port,
    #[error("its host is not public")]
    NotPublic,
    #[error("it has characters that no call can carry")]
    Characters,
}

/// A URL that may be called. A host name is looked at again when it is resolved, at every connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    url: Url,
    /// The same, as calls have it.
    uri: Uri,
}

impl Target {
    /// In development plain http and private addresses are targets as well.
    pub(crate) fn parse(text: &str, dev: bool) -> Result<Self, UrlError> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let mut url: Url = text.trim().parse()?;
        url.set_fragment(None);
        match url.scheme() {
            "https" => {}
            "http" if dev => {}
            other => return Err(UrlError::Scheme(other.to_owned())),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        if url.port() == Some(0) {
            return Err(UrlError::Port);
        }
        let is_public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(ip.into()),
            Some(Host::Ipv6(ip)) => is_public(ip.into()),
            Some(Host::Domain(name)) => is_public_name(name),
            None => false,
        };
        if !is_public && !dev {
            return Err(UrlError::NotPublic);
        }
        let uri = url.as_str().parse().map_err(|_| UrlError::Characters)?;
        Ok(Self { url, uri })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// Whether a name can be one of the public DNS: it has a dot, and does not end in what is set aside for private use.
fn is_public_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let Some((_, last)) = name.rsplit_once('.') else {
        return false;
    };
    let is_set_aside = [
        "localhost",
        "local",
        "internal",
        "onion",
        "test",
        "invalid",
        "lan",
        "home",
        "corp",
    ]
    .contains(&last);
    !last.is_empty() && !is_set_aside && last != "arpa"
}

/// Whether an address is on the public internet: nothing of ours, of a neighbour's, or of a cloud's inside.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || (a == 100 && (64..128).contains(&b)) // carrier-grade NAT
        || (a == 192 && b == 0 && c == 0) // IETF protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (b == 18 || b == 19)) // benchmarking
        || a >= 224) // multicast, reserved, broadcast
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Mapped, NAT64 and 6to4 carry an IPv4 address that is connected to in the end.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Of 2000::/3, the only range handed out: neither Teredo and its like (2001::/23) nor documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_https_to_public_hosts() {
        for url in [
            "https://crm.example.com/x",
            "https://93.184.216.34:8443/",
            "https://[2606:4700::1]/",
        ] {
            assert!(Target::parse(url, false).is_ok(), "{url}");
        }
        for url in [
            "http://crm.example.com/",
            "ftp://crm.example.com/",
            "https://user@crm.example.com/",
            "https://:pw@crm.example.com/",
            "https://localhost/",
            "https://api.localhost./",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://017700000001/",
            "https://10.0.0.8/",
            "https://169.254.169.254/latest",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd00::1]/",
            "crm.example.com",
            "",
        ] {
            assert!(Target::parse(url, false).is_err(), "{url}");
        }
        assert!(Target::parse("http://127.0.0.1:9000/sink", true).is_ok());
        assert_eq!(
            Target::parse(&format!("https://a.example/{}", "x".repeat(2000)), false),
            Err(UrlError::TooLong)
        );
    }

    #[test]
    fn private_ranges_are_not_public() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.8.8.8",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.3.4",
            "198.18.0.1",
            "198.51.100.2",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:192.168.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::127.0.0.1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "1.1.1.1",
            "100.63.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    /// What URLs are made of, and what they are forged with.
    const PIECES: [&str; 32] = [
        "https://",
        "https:",
        "http://",
        "HTTPS://",
        "crm.example.com",
        "localhost",
        "postgres",
        "127.0.0.1",
        "8.8.8.8",
        "0x7f",
        "0177",
        "2130706433",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[2606:4700::1]",
        "[",
        "]",
        "%31",
        "%00",
        "。",
        "１",
        ".",
        ":",
        "443",
        "0",
        "@",
        "/",
        "\\",
        "#",
        "?",
        "\t",
        "-",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn whatever_is_accepted_is_https_to_a_public_host(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..9)) {
            let text: String = pieces.concat();
            if let Ok(target) = Target::parse(&text, false) {
                let url = target.url();
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(url.username().is_empty() && url.password().is_none() && url.port() != Some(0));
                let is_fine = match url.host() {
                    Some(Host::Ipv4(ip)) => is_public(ip.into()),
                    Some(Host::Ipv6(ip)) => is_public(ip.into()),
                    Some(Host::Domain(name)) => name.contains('.') && name.parse::<IpAddr>().is_err(),
                    None => false,
                };
                prop_assert!(is_fine, "{url}");
                prop_assert_eq!(Target::parse(url.as_str(), false), Ok(target.clone()), "and stays so");
            }
        }

        #[test]
        fn arbitrary_text_is_no_trouble(text in ".{0,60}") {
            let _ = Target::parse(&text, false);
            let _ = Target::parse(&format!("https://{text}"), true);
        }

        #[test]
        fn an_address_within_another_is_judged_like_itself(bits: u32) {
            let (ip, [a, b, c, d]) = (Ipv4Addr::from(bits), bits.to_be_bytes().map(u16::from));
            let (high, low) = (a << 8 | b, c << 8 | d);
            for outer in [
                ip.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(is_public(outer.into()), is_public(ip.into()), "{}", outer);
            }
            prop_assert!(!is_public(Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low).into()));
        }
    }
}
