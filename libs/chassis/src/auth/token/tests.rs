//! Which tokens are refused, and why.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use jsonwebtoken::crypto;
use serde_json::{Value, json};

use super::*;
use crate::auth::SigningKey;

const NOW: i64 = 1_900_000_000;
const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const MEMBER: MemberId = MemberId(Uuid::from_u128(2));
const CONTACT: ContactId = ContactId(Uuid::from_u128(3));

/// Everybody's keys: identity's for logins, and each service's own.
const KEYS: [(&str, u8); 4] = [("login", 1), ("identity", 2), ("customers", 3), ("groups", 4)];

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn seed(kid: &str) -> [u8; 32] {
    [KEYS.iter()
        .find(|(name, _)| *name == kid)
        .map_or(99, |(_, seed)| *seed); 32]
}

fn trusted(kid: &str) -> Option<TrustedKey> {
    KEYS.iter().find(|(name, _)| *name == kid)?;
    let issuer = if kid == "login" {
        Issuer::Login
    } else {
        Issuer::Peer(kid.to_owned())
    };
    TrustedKey::new(&SigningKey::from_seed(kid, &seed(kid)).jwk(), issuer)
}

/// What a verifier of `customers` makes of a token.
fn verdict(token: &str) -> Result<Caller, Fault> {
    let key = trusted(&kid(token)?).ok_or(Fault::KeyUnknown)?;
    open(token, &key, "customers", now())
}

fn private(kid: &str) -> EncodingKey {
    let key = ed25519_dalek::SigningKey::from_bytes(&seed(kid));
    EncodingKey::from_ed_der(key.to_pkcs8_der().unwrap().as_bytes())
}

fn part(json: impl ToString) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Signs anything, as someone who holds the key may.
fn forge(header: &Value, claims: impl ToString, signer: &str) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let signature = crypto::sign(message.as_bytes(), &private(signer), Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

fn header(kid: &str) -> Value {
    json!({"typ": "JWT", "alg": "EdDSA", "kid": kid})
}

fn claims(kind: Kind) -> (&'static str, Value) {
    let (kid, claims) = match kind {
        Kind::Member => ("login", Claims::member(TENANT, MEMBER, Role::Agent, now())),
        Kind::Reviewer => ("login", Claims::reviewer(Uuid::from_u128(4), now())),
        Kind::Service => ("groups", Claims::service("groups", "customers", TENANT, now())),
        Kind::Contact => ("customers", Claims::contact(TENANT, CONTACT, now())),
    };
    (kid, serde_json::to_value(claims).unwrap())
}

/// A token that is right but for one claim; `null` takes the claim away.
fn with(kind: Kind, claim: &str, value: Value) -> String {
    let (kid, mut claims) = claims(kind);
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(claim)),
        value => claims[claim] = value,
    }
    forge(&header(kid), claims, kid)
}

/// A right member's token under another header.
fn under(header: Value) -> String {
    forge(&header, claims(Kind::Member).1, "login")
}

/// A token of a kind, signed by somebody with their own name on it.
fn signed_by(kind: Kind, kid: &str) -> String {
    let mut claims = claims(kind).1;
    claims["iss"] = if kid == "login" {
        LOGIN_ISSUER.into()
    } else {
        kid.into()
    };
    forge(&header(kid), claims, kid)
}

#[test]
fn right_tokens_prove_their_callers() {
    let expected = [
        (
            Kind::Member,
            Caller::Member {
                tenant: TENANT,
                member: MEMBER,
                role: Role::Agent,
            },
        ),
        (
            Kind::Reviewer,
            Caller::Reviewer {
                reviewer: Uuid::from_u128(4),
            },
        ),
        (
            Kind::Service,
            Caller::Service {
                service: "groups".to_owned(),
                tenant: TENANT,
            },
        ),
        (
            Kind::Contact,
            Caller::Contact {
                tenant: TENANT,
                contact: CONTACT,
            },
        ),
    ];
    for (kind, caller) in expected {
        let (kid, claims) = claims(kind);
        assert_eq!(verdict(&forge(&header(kid), &claims, kid)), Ok(caller.clone()));
        let signed = SigningKey::from_seed(kid, &seed(kid));
        assert_eq!(
            verdict(&signed.sign(&serde_json::from_value(claims).unwrap())),
            Ok(caller)
        );
    }
}

#[test]
fn clocks_may_differ_a_little() {
    assert!(verdict(&with(Kind::Member, "nbf", (NOW + 30).into())).is_ok());
    let late = |secs| {
        let (kid, claims) = claims(Kind::Member);
        open(
            &forge(&header(kid), claims, kid),
            &trusted(kid).unwrap(),
            "groups",
            now() + jiff::SignedDuration::from_secs(secs),
        )
    };
    assert!(late(600 + 29).is_ok());
    assert_eq!(late(600 + 30), Err(Fault::Expired));
    assert!(late(-30).is_ok());
    assert_eq!(late(-31), Err(Fault::NotYet));
}

#[test]
fn forged_forms_are_refused() {
    let (_, member) = claims(Kind::Member);
    let right = under(header("login"));
    let (message, signature) = right.rsplit_once('.').unwrap();
    let tampered = message.replacen(&part(&member)[..40], &part(json!({"x": 1}))[..9], 1);
    let public = SigningKey::from_seed("login", &seed("login")).jwk();
    let hmac = |secret: &[u8]| {
        let header = Header {
            kid: Some("login".to_owned()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &member, &EncodingKey::from_secret(secret)).unwrap()
    };
    let cases = [
        ("empty", String::new(), Fault::Malformed),
        ("garbage", "garbage".to_owned(), Fault::Malformed),
        ("dots", "..".to_owned(), Fault::Malformed),
        ("not base64", format!("%.{}", &right[4..]), Fault::Malformed),
        ("four parts", format!("{right}.{signature}"), Fault::Malformed),
        (
            "oversized",
            format!("{right}{}", "A".repeat(TOKEN_BYTES_MAX)),
            Fault::TooLong,
        ),
        (
            "alg none",
            format!(
                "{}.{}.",
                part(json!({"alg": "none", "kid": "login"})),
                part(&member)
            ),
            Fault::Malformed,
        ),
        (
            "alg HS256 with the public key",
            hmac(&public.ed25519().unwrap()),
            Fault::Algorithm,
        ),
        (
            "alg HS256 with its text",
            hmac(public.x.as_deref().unwrap().as_bytes()),
            Fault::Algorithm,
        ),
        (
            "alg RS256",
            under(json!({"alg": "RS256", "kid": "login"})),
            Fault::Algorithm,
        ),
        ("alg missing", under(json!({"kid": "login"})), Fault::Malformed),
        (
            "crit",
            under(json!({"alg": "EdDSA", "kid": "login", "crit": ["b64"], "b64": false})),
            Fault::Malformed,
        ),
        ("kid missing", under(json!({"alg": "EdDSA"})), Fault::KeyMissing),
        ("kid of nobody", under(header("nobody")), Fault::KeyUnknown),
        ("kid empty", under(header("")), Fault::KeyUnknown),
        ("kid as a path", under(header("../login")), Fault::KeyUnknown),
        (
            "kid of somebody else",
            under(header("customers")),
            Fault::Signature,
        ),
        (
            "signed by a stranger",
            forge(&header("login"), &member, "nobody"),
            Fault::Signature,
        ),
        (
            "key brought along",
            forge(
                &json!({"alg": "EdDSA", "kid": "login", "jku": "https://example.com"}),
                &member,
                "nobody",
            ),
            Fault::Signature,
        ),
        (
            "signature truncated",
            right[..right.len() - 6].to_owned(),
            Fault::Signature,
        ),
        ("signature missing", format!("{message}."), Fault::Signature),
        (
            "claims tampered with",
            format!("{tampered}.{signature}"),
            Fault::Signature,
        ),
        (
            "claims not JSON",
            forge(&header("login"), "claims", "login"),
            Fault::Malformed,
        ),
        (
            "a claim twice",
            forge(
                &header("login"),
                member.to_string().replacen('{', r#"{"role":"owner","#, 1),
                "login",
            ),
            Fault::Malformed,
        ),
    ];
    for (name, token, fault) in cases {
        assert_eq!(verdict(&token), Err(fault), "{name}");
    }
}

#[test]
fn wrong_claims_are_refused() {
    use Kind::{Contact, Member, Reviewer, Service};
    let null = Value::Null;
    let cases = [
        (Member, "iss", null.clone(), Fault::Malformed),
        (Member, "aud", null.clone(), Fault::Malformed),
        (Member, "sub", null.clone(), Fault::Malformed),
        (Member, "exp", null.clone(), Fault::Malformed),
        (Member, "iat", null.clone(), Fault::Malformed),
        (Member, "jti", null.clone(), Fault::Malformed),
        (Member, "kind", null.clone(), Fault::Malformed),
        (Member, "tenant", null.clone(), Fault::Tenant),
        (Member, "role", null.clone(), Fault::Role),
        (Member, "iss", "customers".into(), Fault::Issuer),
        (Service, "iss", "customers".into(), Fault::Issuer),
        (Member, "aud", "customers".into(), Fault::Malformed),
        (Member, "aud", json!([]), Fault::Audience),
        (Member, "aud", json!(["groups"]), Fault::Audience),
        (Service, "aud", json!(["broadcast"]), Fault::Audience),
        (Service, "aud", json!(["customers", "broadcast"]), Fault::Audience),
        (Member, "exp", (NOW - 30).into(), Fault::Life),
        (Member, "exp", (NOW + 601).into(), Fault::Life),
        (Reviewer, "exp", (NOW + 601).into(), Fault::Life),
        (Service, "exp", (NOW + 301).into(), Fault::Life),
        (Contact, "exp", (NOW + 30 * 24 * 3600 + 1).into(), Fault::Life),
        (Member, "exp", NOW.to_string().into(), Fault::Malformed),
        (Member, "exp", (NOW as f64 + 0.5).into(), Fault::Malformed),
        (Member, "exp", u64::MAX.into(), Fault::Malformed),
        (Member, "iat", i64::MIN.into(), Fault::Life),
        (Member, "iat", (NOW + 31).into(), Fault::NotYet),
        (Member, "nbf", (NOW + 31).into(), Fault::NotYet),
        (Member, "nbf", "soon".into(), Fault::Malformed),
        (Member, "sub", "alice".into(), Fault::Subject),
        (Reviewer, "sub", "alice".into(), Fault::Subject),
        (Contact, "sub", "alice".into(), Fault::Subject),
        (Service, "sub", "customers".into(), Fault::Subject),
        (Member, "tenant", "yunji".into(), Fault::Malformed),
        (Reviewer, "tenant", json!(TENANT), Fault::Tenant),
        (Service, "tenant", null.clone(), Fault::Tenant),
        (Contact, "tenant", null, Fault::Tenant),
        (Member, "role", "root".into(), Fault::Malformed),
        (Reviewer, "role", "owner".into(), Fault::Role),
        (Service, "role", "owner".into(), Fault::Role),
        (Contact, "role", "owner".into(), Fault::Role),
        (Member, "kind", "system".into(), Fault::Malformed),
        (Member, "kind", "service".into(), Fault::Kind),
        (Service, "kind", "member".into(), Fault::Kind),
    ];
    for (kind, claim, value, fault) in cases {
        assert_eq!(
            verdict(&with(kind, claim, value.clone())),
            Err(fault),
            "{kind:?} {claim} = {value}"
        );
    }
}

#[test]
fn a_key_signs_only_the_kinds_of_its_owner() {
    for kid in KEYS.map(|(kid, _)| kid) {
        for kind in [Kind::Member, Kind::Reviewer, Kind::Contact] {
            let owner = if kind == Kind::Contact {
                "customers"
            } else {
                "login"
            };
            let verdict = verdict(&signed_by(kind, kid));
            // Identity's own service key is no key for logins either.
            assert_eq!(
                verdict.err(),
                (kid != owner).then_some(Fault::Kind),
                "{kind:?} by {kid}"
            );
        }
    }
    assert_eq!(verdict(&signed_by(Kind::Service, "login")), Err(Fault::Kind));
}
