//! Whence a request comes, as far as that can be known.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::FromRequestParts;
use http::request::Parts;

const FORWARDED_FOR: &str = "x-forwarded-for";
/// What one customer of a network provider has of IPv6 addresses.
const NETWORK_BITS: u32 = 64;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) IpAddr);

/// The client behind a request: the other end of its connection, and who the proxies in between say came before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    remote: Option<IpAddr>,
    /// The nearest last. Whatever stands before what our own proxies wrote may be made up.
    forwarded: Vec<Option<IpAddr>>,
}

impl Origin {
    /// The client's address behind so many proxies of our own; of IPv6 its network. None when it can't be known.
    #[must_use]
    pub fn behind(&self, proxies: u8) -> Option<IpAddr> {
        let address = match usize::from(proxies).checked_sub(1) {
            None => self.remote,
            Some(before) => self.forwarded.iter().rev().nth(before).copied().flatten(),
        };
        address.map(network)
    }
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let lines = parts.headers.get_all(FORWARDED_FOR).iter();
        let words = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
        Ok(Self {
            remote: parts.extensions.get::<Remote>().map(|remote| remote.0),
            forwarded: words.map(|word| word.trim().parse().ok()).collect(),
        })
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host_bits = u128::BITS - NETWORK_BITS;
            Ipv6Addr::from_bits(address.to_bits() >> host_bits << host_bits).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    async fn origin(forwarded: &[&str]) -> Origin {
        let mut request = Request::get("/");
        for line in forwarded {
            request = request.header(FORWARDED_FOR, *line);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        parts.extensions.insert(Remote("192.0.2.1".parse().unwrap()));
        Origin::from_request_parts(&mut parts, &()).await.unwrap()
    }

    fn at(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[tokio::test]
    async fn only_what_own_proxies_wrote_is_believed() {
        let forged = origin(&["10.0.0.1, 198.51.100.7", "203.0.113.9"]).await;
        assert_eq!(forged.behind(0), at("192.0.2.1"));
        assert_eq!(forged.behind(1), at("203.0.113.9"));
        assert_eq!(forged.behind(2), at("198.51.100.7"));
        assert_eq!(forged.behind(4), None);
        assert_eq!(origin(&[]).await.behind(1), None);
        assert_eq!(origin(&["unknown"]).await.behind(1), None);
        assert_eq!(Origin::default().behind(0), None);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client() {
        let one = origin(&["2001:db8:1:2:3:4:5:6"]).await.behind(1);
        assert_eq!(one, at("2001:db8:1:2::"));
        assert_eq!(origin(&["2001:db8:1:2::1"]).await.behind(1), one);
        assert_eq!(origin(&["::ffff:192.0.2.1"]).await.behind(1), at("192.0.2.1"));
    }
}
