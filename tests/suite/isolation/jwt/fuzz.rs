//! Tokens mangled at random, right and wrong ones: none proves anybody but whom the right ones are for (S16).

use std::str::from_utf8;

use anyhow::{Context as _, ensure};
use chassis::Clock;
use chassis::auth::{Caller, Jwks, KeySource, Role, Verifier};
use futures::executor::block_on;
use testkit::{Stack, fuzz};
use tokio::sync::watch;

use super::LOGIN_KID;
use super::cases::Forge;

const TARGET: &str = "broadcast";

#[test]
fn mangled_tokens_prove_nobody_else() -> anyhow::Result<()> {
    let stack = Stack::shared()?;
    let forge = Forge::new(&stack, TARGET, LOGIN_KID, "https://stranger.example/jwks.json")?;
    let published = Jwks {
        keys: vec![serde_json::from_value(forge.login.jwk())?],
    };
    let (_publisher, keys) = watch::channel(published);
    let peers = &stack.process(TARGET).env["SHEQUN_PEER_KEYS"];
    let verifier = Verifier::new(TARGET, peers.as_ref(), KeySource::Local(keys), Clock::system())?;
    let prove = |token: &str| block_on(verifier.verify(token)).ok();
    let (right, wrong) = (forge.right(), forge.wrong()?);
    let callers = [
        Caller::Member {
            tenant: forge.tenant,
            member: forge.member,
            role: Role::Owner,
        },
        Caller::Service {
            service: forge.peer_name.to_owned(),
            tenant: forge.tenant,
        },
    ];
    for (token, caller) in right.iter().zip(&callers) {
        let proven = prove(token).context("a right token is refused")?;
        ensure!(proven == *caller, "{proven:?}");
    }
    for (what, token) in &wrong {
        let proven = from_utf8(token).ok().and_then(prove);
        ensure!(proven.is_none(), "{what} proves {proven:?}");
    }
    let wrong = wrong.iter().map(|(_, token)| token.as_slice());
    let seeds: Vec<_> = right.iter().map(String::as_bytes).chain(wrong).collect();
    let inputs = fuzz(&seeds, |input| {
        let Some(caller) = from_utf8(input).ok().and_then(prove) else {
            return;
        };
        assert!(callers.contains(&caller), "it proves {caller:?}");
    });
    println!("{inputs} tokens");
    Ok(())
}
