//! The services' own keys, to sign whatever an attacker might try, and what a peer may show.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chassis::Clock;
use chassis::auth::{Claims, Jwks, Role, SigningKey};
use contracts::{ContactId, MemberId, TenantId};
use testkit::Stack;

pub(crate) struct Keyring {
    /// By service.
    keys: BTreeMap<String, SigningKey>,
    /// A key that nobody published.
    stranger: SigningKey,
    /// Of a peer that only plays itself in these tests.
    peer: &'static str,
}

impl Keyring {
    pub(crate) fn load(stack: &Stack) -> anyhow::Result<Self> {
        let peers = std::fs::read_to_string(&stack.process("identity").env["SHEQUN_PEER_KEYS"])?;
        let peers: Jwks = serde_json::from_str(&peers)?;
        let key = |jwk: &chassis::auth::Jwk| {
            let service = jwk.iss.clone().context("a peer key names its service")?;
            let pem = std::fs::read_to_string(&stack.process(&service).env["SHEQUN_SIGNING_KEY"])?;
            let key = SigningKey::from_pem(&jwk.kid, &pem)?;
            anyhow::Ok((service, key))
        };
        Ok(Self {
            keys: peers.keys.iter().map(key).collect::<anyhow::Result<_>>()?,
            stranger: SigningKey::from_seed("stranger-1", &[7; 32]),
            peer: "groups",
        })
    }

    /// What `caller` shows to `target` while it acts for a tenant.
    pub(crate) fn service(&self, caller: &str, target: &str, tenant: TenantId) -> String {
        self.keys[caller].sign(&Claims::service(caller, target, tenant, now()))
    }

    /// Tokens that prove nothing to `target`, each with what is wrong with it.
    pub(crate) fn forgeries(&self, target: &str, tenant: TenantId) -> Vec<(&'static str, Option<String>)> {
        let peer = &self.keys[self.peer];
        let owner = Claims::member(tenant, MemberId::new(), Role::Owner, now());
        let contact = Claims::contact(tenant, ContactId::new(), now());
        let service = Claims::service(self.peer, target, tenant, now());
        let day_secs = 24 * 3600;
        let aged = |claims: &Claims| Claims {
            iat: claims.iat - day_secs,
            exp: claims.exp - day_secs,
            ..claims.clone()
        };
        let signed = |what, key: &SigningKey, claims: &Claims| (what, Some(key.sign(claims)));
        vec![
            ("no token", None),
            ("a garbage token", Some("garbage".to_owned())),
            ("a token of three garbage parts", Some("e30.e30.e30".to_owned())),
            signed("an owner's token by an unknown key", &self.stranger, &owner),
            signed("an owner's token by a service's key", peer, &owner),
            signed(
                "an owner's token by a service in its own name",
                peer,
                &Claims {
                    iss: self.peer.to_owned(),
                    ..owner.clone()
                },
            ),
            signed(
                "a contact's token by another service than customers",
                peer,
                &contact,
            ),
            signed("a service's token by an unknown key", &self.stranger, &service),
            signed(
                "a service's token in another one's name",
                peer,
                &Claims {
                    iss: "customers".to_owned(),
                    sub: "customers".to_owned(),
                    ..service.clone()
                },
            ),
            signed(
                "a service's token for another service",
                peer,
                &Claims {
                    aud: vec!["elsewhere".to_owned()],
                    ..service.clone()
                },
            ),
            signed(
                "a service's token for two services",
                peer,
                &Claims {
                    aud: vec![target.to_owned(), "elsewhere".to_owned()],
                    ..service.clone()
                },
            ),
            signed(
                "a service's token without a tenant",
                peer,
                &Claims {
                    tenant: None,
                    ..service.clone()
                },
            ),
            signed(
                "a service's token with a role",
                peer,
                &Claims {
                    role: Some(Role::Owner),
                    ..service.clone()
                },
            ),
            signed("an expired service's token", peer, &aged(&service)),
            signed(
                "a service's token that lives for a day",
                peer,
                &Claims {
                    exp: service.iat + day_secs,
                    ..service
                },
            ),
        ]
    }
}

pub(crate) fn now() -> jiff::Timestamp {
    Clock::system().now()
}
