//! The tokens that prove nothing, each with what is wrong with it.

use contracts::{MemberId, TenantId};
use serde_json::{Value, json};
use testkit::Stack;

use super::forge::{Key, contact, hmac, malleated, member, part, public_pem, respelt, service, with};
use crate::isolation::keys::now;

const DAY_SECS: i64 = 24 * 3600;
/// Longer than a token may be, and shorter than a header may be.
const HUGE_BYTES: usize = 6_000;

/// What is wrong, and the token: bytes, for not all are text.
pub(super) type Case = (String, Vec<u8>);

/// Everybody's keys, at one service.
pub(super) struct Forge {
    /// Signs logins: a test's own, which the replicas are told to believe.
    pub(super) login: Key,
    /// Signs for `groups`, or at groups for `broadcast`.
    pub(super) peer: Key,
    pub(super) peer_name: &'static str,
    /// Signs for customers, and so for contacts.
    pub(super) customers: Key,
    /// Nobody knows it.
    pub(super) stranger: Key,
    pub(super) target: String,
    pub(super) tenant: TenantId,
    /// For whom the right login is.
    pub(super) member: MemberId,
    /// Where a stranger publishes a key of the login's name.
    pub(super) strangers_url: String,
}

impl Forge {
    pub(super) fn new(
        stack: &Stack,
        target: &str,
        login_kid: &str,
        strangers_url: &str,
    ) -> anyhow::Result<Self> {
        let peer_name = if target == "groups" { "broadcast" } else { "groups" };
        Ok(Self {
            login: Key::from_seed(login_kid, super::LOGIN_SEED),
            peer: Key::of(stack, peer_name)?,
            peer_name,
            customers: Key::of(stack, "customers")?,
            stranger: Key::from_seed(login_kid, super::STRANGER_SEED),
            target: target.to_owned(),
            tenant: TenantId::new(),
            member: MemberId::new(),
            strangers_url: strangers_url.to_owned(),
        })
    }

    /// Tokens that are right, always for the same two: whoever refuses one of them refuses everything.
    pub(super) fn right(&self) -> [String; 2] {
        let member = with(member(self.tenant), "sub", json!(self.member));
        let service = self.service();
        [
            self.login.sign(self.login.header(), member),
            self.peer.sign(self.peer.header(), service),
        ]
    }

    pub(super) fn wrong(&self) -> anyhow::Result<Vec<Case>> {
        let mut cases = self.headers()?;
        cases.extend(self.claims());
        cases.extend(self.forms()?);
        Ok(cases)
    }

    fn service(&self) -> Value {
        service(self.peer_name, &self.target, self.tenant)
    }

    /// What the first part says about how to check the rest.
    fn headers(&self) -> anyhow::Result<Vec<Case>> {
        let (login, stranger, claims) = (&self.login, &self.stranger, member(self.tenant));
        let url = &self.strangers_url;
        let unsigned = |alg: &str| {
            format!(
                "{}.{}.",
                part(json!({"alg": alg, "kid": login.kid})),
                part(&claims)
            )
        };
        let header = |name: &str, value: Value| with(login.header(), name, value);
        let own = |name: &str, value: Value| login.sign(header(name, value), &claims);
        let brought = |name: &str, value: Value| stranger.sign(header(name, value), &claims);
        let public = login.public();
        let x = login.jwk()["x"].as_str().unwrap_or_default().to_owned();
        let twice = login.header().to_string().replacen('{', r#"{"kid":"nobody","#, 1);
        let cases = [
            ("alg none", unsigned("none")),
            ("alg None", unsigned("None")),
            ("alg empty", unsigned("")),
            ("alg none over a right signature", own("alg", json!("none"))),
            (
                "alg HS256 with the public key",
                hmac(&login.kid, &claims, &public)?,
            ),
            (
                "alg HS256 with the public key's text",
                hmac(&login.kid, &claims, x.as_bytes())?,
            ),
            (
                "alg HS256 with the public key's PEM",
                hmac(&login.kid, &claims, public_pem(public).as_bytes())?,
            ),
            ("alg RS256", own("alg", json!("RS256"))),
            ("alg ES256", own("alg", json!("ES256"))),
            ("alg in small letters", own("alg", json!("eddsa"))),
            ("alg a list", own("alg", json!(["EdDSA"]))),
            ("alg missing", own("alg", Value::Null)),
            ("kid missing", own("kid", Value::Null)),
            ("kid empty", own("kid", json!(""))),
            ("kid unknown", own("kid", json!("nobody-1"))),
            ("kid of a peer", own("kid", json!(self.peer.kid))),
            ("kid a number", own("kid", json!(1))),
            ("kid a path", own("kid", json!("../../../../etc/passwd"))),
            ("kid a URL", brought("kid", json!(url))),
            ("kid a query", own("kid", json!("' or '1'='1"))),
            (
                "kid with a line end",
                own("kid", json!(format!("{}\n", login.kid))),
            ),
            ("kid of 2,000 letters", own("kid", json!("k".repeat(2_000)))),
            ("kid twice", login.sign(twice, &claims)),
            ("jku of a stranger", brought("jku", json!(url))),
            ("x5u of a stranger", brought("x5u", json!(url))),
            ("jwk of a stranger", brought("jwk", stranger.jwk())),
            ("x5c of a stranger", brought("x5c", json!([part("certificate")]))),
            ("crit", own("crit", json!(["exp"]))),
            (
                "crit with b64",
                login.sign(with(header("crit", json!(["b64"])), "b64", json!(false)), &claims),
            ),
            ("header not JSON", login.sign("header", &claims)),
        ];
        Ok(cases
            .map(|(what, token)| (what.to_owned(), token.into_bytes()))
            .into())
    }

    /// Rightly signed, by somebody who may not say that.
    fn claims(&self) -> Vec<Case> {
        let now = now().as_second();
        let (m, s, c) = (member(self.tenant), self.service(), contact(self.tenant));
        let null = Value::Null;
        let spoilt = [
            (&m, "aud", null.clone()),
            (&m, "exp", null.clone()),
            (&m, "iat", null.clone()),
            (&m, "sub", null.clone()),
            (&m, "iss", null.clone()),
            (&m, "jti", null.clone()),
            (&m, "kind", null.clone()),
            (&m, "tenant", null.clone()),
            (&m, "role", null.clone()),
            (&m, "exp", json!(now - 31)),
            (&m, "exp", json!(now + 11 * 60)),
            (&m, "exp", json!(now + 3650 * DAY_SECS)),
            (&m, "exp", json!(i64::MAX)),
            (&m, "exp", json!(u64::MAX)),
            (&m, "exp", json!("tomorrow")),
            (&m, "exp", json!(-1)),
            (&m, "nbf", json!(now + 120)),
            (&m, "iat", json!(now + 120)),
            (&m, "iat", json!(i64::MIN)),
            (&m, "iss", json!("customers")),
            (&m, "iss", json!("https://identity")),
            (&m, "aud", json!(["elsewhere"])),
            (&m, "aud", json!([])),
            (&m, "aud", json!("*")),
            (&m, "aud", json!(self.target)),
            (&m, "tenant", json!("hanasaki")),
            (&m, "tenant", json!([self.tenant])),
            (&m, "sub", json!("alice")),
            (&m, "role", json!("root")),
            (&m, "role", json!(["owner"])),
            (&m, "kind", json!("system")),
            (&m, "kind", json!("service")),
            (&m, "kind", json!("contact")),
            (&s, "aud", json!([self.target, "elsewhere"])),
            (&s, "aud", json!(["elsewhere"])),
            (&s, "sub", json!("identity")),
            (&s, "iss", json!("identity")),
            (&s, "exp", json!(now + 6 * 60)),
            (&s, "tenant", null),
            (&s, "role", json!("owner")),
            (&s, "kind", json!("member")),
            (&s, "kind", json!("reviewer")),
            (&c, "exp", json!(now + 31 * DAY_SECS)),
            (&c, "kind", json!("member")),
        ];
        let mut cases: Vec<Case> = Vec::new();
        for (claims, claim, value) in spoilt {
            let key = self.of(claims);
            let token = key.sign(key.header(), with(claims.clone(), claim, value.clone()));
            cases.push((
                format!("{} {claim} = {value}", claims["kind"]),
                token.into_bytes(),
            ));
        }
        let twice = m.to_string().replacen('{', r#"{"role":"owner","#, 1);
        let signed = |key: &Key, claims: &Value| key.sign(key.header(), claims).into_bytes();
        let as_peer = with(
            with(m.clone(), "iss", json!(self.peer_name)),
            "sub",
            json!(self.peer_name),
        );
        let of_login = with(
            with(s.clone(), "iss", json!("identity")),
            "sub",
            json!("identity"),
        );
        cases.extend([
            (
                "a claim twice".to_owned(),
                self.login.sign(self.login.header(), twice).into_bytes(),
            ),
            (
                "claims not JSON".to_owned(),
                self.login.sign(self.login.header(), "claims").into_bytes(),
            ),
            (
                "claims a list".to_owned(),
                self.login.sign(self.login.header(), "[]").into_bytes(),
            ),
            ("a service signs for a member".to_owned(), signed(&self.peer, &m)),
            (
                "a service signs for a member in its own name".to_owned(),
                signed(&self.peer, &as_peer),
            ),
            (
                "a login's key signs for a service".to_owned(),
                signed(&self.login, &s),
            ),
            (
                "a login's key signs for a service of its own".to_owned(),
                signed(&self.login, &of_login),
            ),
            (
                "another than customers signs for a contact".to_owned(),
                signed(&self.peer, &c),
            ),
            (
                "a login's key signs for a contact".to_owned(),
                signed(&self.login, &c),
            ),
            ("an expired service".to_owned(), signed(&self.peer, &aged(&s))),
            (
                "an expired contact".to_owned(),
                signed(&self.customers, &with(aged(&c), "exp", json!(now - 31))),
            ),
        ]);
        cases
    }

    /// Right claims in a form no right token has.
    fn forms(&self) -> anyhow::Result<Vec<Case>> {
        let [right, service] = self.right();
        let other = self.login.sign(self.login.header(), member(TenantId::new()));
        let parts: Vec<&str> = right.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            anyhow::bail!("{right} has not three parts")
        };
        let foreign = other.rsplit('.').next().unwrap_or_default();
        let peers = service.rsplit('.').next().unwrap_or_default();
        let zeros = "A".repeat(signature.len());
        let cases = [
            ("nothing", String::new()),
            ("dots", "..".to_owned()),
            ("a word", "garbage".to_owned()),
            ("only a header", header.to_owned()),
            ("no signature", format!("{header}.{claims}")),
            ("an empty signature", format!("{header}.{claims}.")),
            ("a signature of zeros", format!("{header}.{claims}.{zeros}")),
            (
                "another token's signature",
                format!("{header}.{claims}.{foreign}"),
            ),
            ("a peer's signature", format!("{header}.{claims}.{peers}")),
            (
                "a signature that lacks a byte",
                right[..right.len() - 2].to_owned(),
            ),
            ("half a token", right[..right.len() / 2].to_owned()),
            (
                "claims that lack a byte",
                format!("{header}.{}.{signature}", &claims[..claims.len() - 2]),
            ),
            ("an extra part", format!("{right}.{signature}")),
            ("five parts", format!("{right}.{header}.{claims}")),
            ("padding", format!("{header}.{claims}.{signature}==")),
            ("padding in the header", format!("{header}=.{claims}.{signature}")),
            ("a space inside", format!("{header} .{claims}.{signature}")),
            ("quotes around", format!("\"{right}\"")),
            ("two schemes", format!("Bearer {right}")),
            ("the signature in other letters", respelt(&right)),
            ("the signature's other half", malleated(&right)?),
            (
                "signed by a stranger",
                self.stranger.sign(self.login.header(), member(self.tenant)),
            ),
            ("a huge token", format!("{right}{}", "A".repeat(HUGE_BYTES))),
            (
                "a huge claim",
                self.login.sign(
                    self.login.header(),
                    with(member(self.tenant), "note", json!("n".repeat(HUGE_BYTES))),
                ),
            ),
        ];
        let mut cases: Vec<Case> = cases
            .map(|(what, token)| (what.to_owned(), token.into_bytes()))
            .into();
        for (what, bytes) in [
            ("not UTF-8", b"\xff\xfe".as_slice()),
            ("half a character", b"\xe8\x8a"),
        ] {
            let token = [right.as_bytes(), bytes].concat();
            cases.push((what.to_owned(), token));
        }
        Ok(cases)
    }

    /// Who signs such claims rightly.
    fn of(&self, claims: &Value) -> &Key {
        match claims["kind"].as_str() {
            Some("service") => &self.peer,
            Some("contact") => &self.customers,
            _ => &self.login,
        }
    }
}

/// The same a day ago.
fn aged(claims: &Value) -> Value {
    let ago = |claim: &str| json!(claims[claim].as_i64().unwrap_or_default() - DAY_SECS);
    with(with(claims.clone(), "iat", ago("iat")), "exp", ago("exp"))
}
