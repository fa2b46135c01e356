//! The mail server that takes e-mails further, as one URL says it.

use std::fmt;
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

const CONNECT_SECS_MAX: u64 = 5;
const PORT: u16 = 587;
const PORT_WRAPPED: u16 = 465;

/// Why a URL is no mail server's. Never contains the URL, which holds a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("it is malformed: {0}")]
    Malformed(#[from] url::ParseError),
    #[error("its scheme is not smtps (TLS from the start) or smtp (STARTTLS)")]
    Scheme,
    #[error("it names no host")]
    Host,
    #[error("its query is not `tls=none`, or nothing")]
    Query,
    #[error("it has a password that nothing would encrypt; leave `tls=none` out")]
    Bare,
    #[error("it has a user without a password, or characters that are not UTF-8")]
    Credentials,
    #[error("TLS is not to be had here")]
    Tls,
}

/// How the connection is kept from others' eyes.
#[derive(Clone)]
enum Security {
    /// TLS from the start.
    Wrapped(TlsParameters),
    /// STARTTLS, or nothing is sent at all.
    Upgraded(TlsParameters),
    /// Not at all: a relay beside us, or in development.
    None,
}

/// Where e-mails are handed over.
#[derive(Clone)]
pub(crate) struct Server {
    host: String,
    port: u16,
    security: Security,
    credentials: Option<Credentials>,
    /// How we introduce ourselves.
    name: ClientId,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// `smtps://user:password@host:465` or `smtp://user:password@host:587`, which insists on STARTTLS; with `?tls=none`
    /// nothing is encrypted, so that a password needs development.
    pub(crate) fn parse(url: &str, own_domain: &str, dev: bool) -> Result<Self, ServerError> {
        let url: Url = url.trim().parse()?;
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        if host.is_empty() {
            return Err(ServerError::Host);
        }
        let is_bare = match url.query() {
            None => false,
            Some("tls=none") => true,
            Some(_) => return Err(ServerError::Query),
        };
        let tls = || TlsParameters::new(host.clone()).map_err(|_| ServerError::Tls);
        let (security, port) = match (url.scheme(), is_bare) {
            ("smtps", false) => (Security::Wrapped(tls()?), PORT_WRAPPED),
            ("smtp", false) => (Security::Upgraded(tls()?), PORT),
            ("smtp", true) => (Security::None, PORT),
            ("smtps", true) => return Err(ServerError::Query),
            _ => return Err(ServerError::Scheme),
        };
        let credentials = credentials(&url)?;
        if is_bare && credentials.is_some() && !dev {
            return Err(ServerError::Bare);
        }
        Ok(Self {
            port: url.port().unwrap_or(port),
            host,
            security,
            credentials,
            name: ClientId::Domain(own_domain.to_owned()),
        })
    }

    /// A connection on which e-mails can be handed over at once.
    pub(crate) async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let wrapped = match &self.security {
            Security::Wrapped(tls) => Some(tls.clone()),
            Security::Upgraded(_) | Security::None => None,
        };
        let (place, wait) = (
            (self.host.as_str(), self.port),
            Duration::from_secs(CONNECT_SECS_MAX),
        );
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(place, Some(wait), &self.name, wrapped, None).await?;
        if let Security::Upgraded(tls) = &self.security {
            connection.starttls(tls.clone(), &self.name).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await?;
        }
        Ok(connection)
    }
}

fn credentials(url: &Url) -> Result<Option<Credentials>, ServerError> {
    let plain = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(String::from).map_err(|_| ServerError::Credentials)
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) | (_, None) => Err(ServerError::Credentials),
        (user, Some(password)) => Ok(Some(Credentials::new(plain(user)?, plain(password)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str, dev: bool) -> Result<Server, ServerError> {
        Server::parse(url, "shop.example", dev)
    }

    #[test]
    fn one_url_says_where_and_how() {
        for (url, host, port) in [
            ("smtps://mail.example", "mail.example", 465),
            ("smtp://mail.example", "mail.example", 587),
            ("smtp://127.0.0.1:2525?tls=none", "127.0.0.1", 2525),
            ("smtp://[::1]:25?tls=none", "::1", 25),
        ] {
            let server = parse(url, false).unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port));
            assert!(server.credentials.is_none());
        }
        let server = parse("smtps://a%40b:p%3A%2F%20%E9%9B%A8@mail.example", false).unwrap();
        let expected = Credentials::new("a@b".to_owned(), "p:/ 雨".to_owned());
        assert!(server.credentials == Some(expected));
        assert!(matches!(server.security, Security::Wrapped(_)));
        let server = parse("smtp://a:b@mail.example", false).unwrap();
        assert!(matches!(server.security, Security::Upgraded(_)));
    }

    #[test]
    fn nothing_else_is_a_server_and_no_password_goes_out_bare() {
        for (url, error) in [
            ("https://mail.example", ServerError::Scheme),
            ("smtp://", ServerError::Host),
            ("smtp:mail.example", ServerError::Host),
            ("smtp://mail.example?tls=opportunistic", ServerError::Query),
            ("smtps://mail.example?tls=none", ServerError::Query),
            ("smtp://a:b@mail.example?tls=none", ServerError::Bare),
            ("smtps://a@mail.example", ServerError::Credentials),
            ("smtps://a:%FF@mail.example", ServerError::Credentials),
        ] {
            assert_eq!(parse(url, false).unwrap_err(), error, "{url}");
        }
        assert!(matches!(
            parse("mail.example", false),
            Err(ServerError::Malformed(_))
        ));
        assert!(parse("smtp://a:b@127.0.0.1:25?tls=none", true).is_ok());
    }
}
