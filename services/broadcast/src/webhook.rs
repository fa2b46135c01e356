//! Where a tenant's own system takes mass messages: which addresses may be called, and what their answers mean.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::{Host, Url};
use utoipa::ToSchema;

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
    #[error("its host is not public")]
    NotPublic,
}

/// A URL that may be called. A host name is looked at again when it is resolved, at every connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target(Url);

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
        let is_public = match url.host() {
            Some(Host::Ipv4(ip)) => is_public(ip.into()),
            Some(Host::Ipv6(ip)) => is_public(ip.into()),
            Some(Host::Domain(name)) => !name.is_empty() && !is_local_name(name),
            None => false,
        };
        if !is_public && !dev {
            return Err(UrlError::NotPublic);
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    ["localhost", "local", "internal"]
        .iter()
        .any(|local| name == *local || name.ends_with(&format!(".{local}")))
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

/// What a receiver's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receipt {
    Taken,
    /// Not now.
    Again,
    /// Never; a redirect is one as well.
    Refused,
}

impl Receipt {
    pub(crate) const fn of(status: u16) -> Self {
        match status {
            200..300 => Self::Taken,
            408 | 425 | 429 | 500..600 => Self::Again,
            _ => Self::Refused,
        }
    }
}

/// How long to wait before attempt `attempts + 1`: what the receiver asks for, up to a bound, else
/// 0.2, 0.8, 3.2, 12.8 s.
pub(crate) fn back_off(attempts: u32, asked: Option<Duration>, bound: Duration) -> Duration {
    let own = Duration::from_millis(200 << (2 * attempts.saturating_sub(1).min(6)));
    asked.unwrap_or(own).min(bound)
}

/// `Retry-After`: seconds or a date.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

/// Where mass messages go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"url": "https://crm.example.com/shequn"}))]
pub(crate) struct SetWebhook {
    /// An https URL of a public host.
    #[schema(max_length = 2000)]
    pub url: String,
}

/// The tenant's webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Webhook {
    pub url: String,
    #[schema(value_type = String, format = DateTime)]
    pub set_at: Timestamp,
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn statuses_and_waits() {
        assert_eq!(Receipt::of(204), Receipt::Taken);
        for status in [301, 308, 400, 404, 410] {
            assert_eq!(Receipt::of(status), Receipt::Refused);
        }
        for status in [408, 425, 429, 500, 503] {
            assert_eq!(Receipt::of(status), Receipt::Again);
        }
        let bound = Duration::from_secs(10);
        assert_eq!(back_off(1, None, bound), Duration::from_millis(200));
        assert_eq!(back_off(3, None, bound), Duration::from_millis(3_200));
        assert_eq!(back_off(9, None, bound), bound);
        assert_eq!(
            back_off(1, Some(Duration::from_secs(2)), bound),
            Duration::from_secs(2)
        );
        assert_eq!(back_off(1, Some(Duration::from_secs(3_600)), bound), bound);
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }
}
