//! S6, TLS between services: without the certificate that belongs to the token nobody is served, nobody but the service
//! meant is called, and new certificates are taken up by a running process.

mod authority;
mod door;
mod replica;
mod stage;

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use client::{Answer, Api};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use testkit::{Stack, eventually};
use tonic::Code;
use tonic::transport::Endpoint;

use self::authority::{Authority, Files, Pair};
use self::door::{Door, Host, Met};
use self::replica::{Replica, command, words_of};
use self::stage::{Caller, Stage, code, dial, keys_from, shake};
use crate::scene::Scene;

#[tokio::test(flavor = "multi_thread")]
async fn s6_only_the_holder_of_the_right_certificate_is_served() -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let (ours, theirs) = (&stage.ours, Authority::new()?);
    let (groups, broadcast) = (ours.sign("groups")?, ours.sign("broadcast")?);
    let mut right = stage.caller(Some(&groups), "groups")?;
    ensure!(right.get_contact().await?.is_ok(), "the right one is refused");

    let (expired, early) = (ours.expired("groups")?, ours.not_yet_valid("groups")?);
    let (foreign, server) = (theirs.sign("groups")?, ours.for_servers_only("groups")?);
    for (what, shown) in [
        ("no certificate", None),
        ("another authority's", Some(&foreign)),
        ("an expired one", Some(&expired)),
        ("one that is not valid yet", Some(&early)),
        ("one for servers", Some(&server)),
    ] {
        let mut caller = stage.caller(shown, "groups")?;
        refused_at_the_door(&stage, &mut caller).await.context(what)?;
    }
    let plain = Endpoint::from_shared(format!("http://{}", stage.customers.grpc()))?.connect_lazy();
    let mut plain = stage.caller_on(plain, "groups")?;
    refused_at_the_door(&stage, &mut plain).await.context("no TLS")?;

    // Both may ask for a contact, each in its own name.
    for (shown, token) in [(&broadcast, "groups"), (&groups, "broadcast")] {
        let answer = stage.caller(Some(shown), token)?.get_contact().await?;
        ensure!(
            code(&answer) == Code::Unauthenticated,
            "the token of {token} is answered {answer:?}"
        );
    }
    let answer = stage
        .caller(Some(&broadcast), "broadcast")?
        .stream_audience()
        .await?;
    ensure!(code(&answer) == Code::Ok, "{answer:?}");
    let answer = right.stream_audience().await?;
    ensure!(
        code(&answer) == Code::PermissionDenied,
        "the wrong method is answered {answer:?}"
    );
    "garbage".clone_into(&mut right.token);
    let answer = right.get_contact().await?;
    ensure!(
        code(&answer) == Code::Unauthenticated,
        "a certificate alone is answered {answer:?}"
    );
    Ok(())
}

/// No request gets through, and the service counts the handshake it refused.
async fn refused_at_the_door(stage: &Stage, caller: &mut Caller) -> anyhow::Result<()> {
    const REFUSED: &str = "tls_handshakes_refused_total";
    let before = stage.customers.figure(REFUSED).await?;
    let answer = caller.get_contact().await?;
    // What a service answers has no source: it comes from the other end.
    let is_broken_off = answer
        .as_ref()
        .is_err_and(|status| std::error::Error::source(status).is_some());
    ensure!(is_broken_off, "it is answered {answer:?}");
    eventually(async || {
        let now = stage.customers.figure(REFUSED).await?;
        ensure!(now > before, "{now} handshakes refused");
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_a_service_calls_nobody_but_the_one_it_means() -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    let (ours, theirs) = (&stage.ours, Authority::new()?);
    let door = Door::open(Host::Service(stage.customers.grpc())).await?;
    let first = ours.sign("groups")?;
    let groups = stage.groups(&door, &first).await?;
    let series = stage.scene.series(10).await?;
    let mut description = stage.stack.description().clone();
    let ports = description
        .processes
        .get_mut("groups")
        .map(|process| &mut process.ports);
    ports
        .context("groups")?
        .insert("http".to_owned(), groups.http_port());
    stage.scene.api = Api::of(&description);
    stage
        .scene
        .join(&series, &stage.contact)
        .await
        .context("the right customers")?;

    for (what, shown) in [
        ("another service", ours.sign("broadcast")?),
        ("another authority's", theirs.sign("customers")?),
        ("an expired one", ours.expired("customers")?),
    ] {
        door.lead_to(Host::Impostor(ours.server(&shown)?));
        let met = eventually(async || {
            let answer = join(&stage, &series).await?;
            let met = door.met();
            ensure!(answer.status == 503 && !met.is_empty(), "{met:?}, {answer:?}");
            anyhow::Ok(met)
        });
        let met = met.await.context(what)?;
        let is_refused = |met: &Met| matches!(met, Met::Refused(_));
        ensure!(met.iter().all(is_refused), "{what}: {met:?}");
    }
    door.lead_to(Host::Service(stage.customers.grpc()));
    eventually(async || stage.scene.join(&series, &stage.contact).await).await?;

    // What groups shows is swapped under it.
    door.lead_to(Host::Impostor(ours.server(&ours.sign("customers")?)?));
    shows(&door, &stage, &series, &first)
        .await
        .context("the first certificate")?;
    let second = ours.sign("groups")?;
    groups.files.swap(&second, &ours.pem())?;
    shows(&door, &stage, &series, &second)
        .await
        .context("the second certificate")
}

/// Once, whatever is answered.
async fn join(stage: &Stage, series: &str) -> anyhow::Result<Answer> {
    let path = format!("/v1/series/{series}/join");
    let ask = stage.scene.api.post("groups", &path).token(&stage.contact.token);
    ask.json(&serde_json::json!({})).send().await
}

/// Waits until groups shows this certificate to whom it takes for customers.
async fn shows(door: &Door, stage: &Stage, series: &str, pair: &Pair) -> anyhow::Result<()> {
    eventually(async || {
        let host = door.host();
        door.lead_to(host); // a connection that is there keeps its certificate
        let answer = join(stage, series).await?;
        ensure!(answer.status == 503, "{answer:?}");
        let met = door.met();
        let shown = Met::Shown(Some(pair.certificate.clone()));
        ensure!(met.contains(&shown), "{} callers, and none shows it", met.len());
        anyhow::Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_new_files_are_taken_up_without_a_restart() -> anyhow::Result<()> {
    const FAILURES: &str = "tls_reload_failures_total";
    let mut stage = Stage::set().await?;
    let (ours, next) = (&stage.ours, Authority::new()?);
    let customers = &stage.customers;
    let client = ours.client(Some(&ours.sign("groups")?))?;
    let second = ours.sign("customers")?;
    ensure!(served(customers, &client).await? != second.certificate);
    customers.files.swap(&second, &ours.pem())?;
    serves(customers, &client, &second)
        .await
        .context("the second certificate")?;
    ensure!(customers.figure("tls_certificate_expires_at_seconds").await? == second.ends_at as f64);
    ensure!(customers.figure(FAILURES).await? == 0.0);

    let third = ours.sign("customers")?;
    let broken = [
        third.with_key_of(&second),
        ours.sign("groups")?,
        ours.expired("customers")?,
        next.sign("customers")?,
    ];
    for broken in broken {
        let before = customers.figure(FAILURES).await?;
        customers.files.swap(&broken, &ours.pem())?;
        eventually(async || {
            let failures = customers.figure(FAILURES).await?;
            ensure!(failures > before, "{failures} failures");
            anyhow::Ok(())
        })
        .await?;
        ensure!(
            served(customers, &client).await? == second.certificate,
            "a broken one is shown"
        );
    }
    // Another authority: first both are believed, then the new one signs, and its clients come in.
    let both = ours.pem() + &next.pem();
    customers.files.swap(&third, &both)?;
    serves(customers, &client, &third)
        .await
        .context("both authorities")?;
    let newcomer = next.sign("groups")?;
    let channel = dial(customers.grpc(), ours.client(Some(&newcomer))?)?;
    let answer = stage.caller_on(channel, "groups")?.get_contact().await?;
    ensure!(answer.is_ok(), "a client of the new authority: {answer:?}");
    let fourth = next.sign("customers")?;
    customers.files.swap(&fourth, &next.pem())?;
    serves(customers, &next.client(Some(&newcomer))?, &fourth)
        .await
        .context("the new authority")?;
    let mut old = stage.caller(Some(&ours.sign("groups")?), "groups")?;
    ensure!(old.get_contact().await?.is_err(), "the old authority is believed");
    stage.customers.still_runs()
}

/// The certificate that is shown to a new caller.
async fn served(customers: &Replica, client: &Arc<ClientConfig>) -> anyhow::Result<CertificateDer<'static>> {
    let stream = shake(customers.grpc(), client.clone()).await?;
    let shown = stream.get_ref().1.peer_certificates();
    shown
        .and_then(|chain| chain.first().cloned())
        .context("no certificate is shown")
}

async fn serves(customers: &Replica, client: &Arc<ClientConfig>, pair: &Pair) -> anyhow::Result<()> {
    eventually(async || {
        ensure!(
            served(customers, client).await? == pair.certificate,
            "another certificate is shown"
        );
        anyhow::Ok(())
    })
    .await
}

/// Whoever could put keys of his own in the place of identity's would log in as anybody.
#[tokio::test(flavor = "multi_thread")]
async fn s6_keys_of_logins_come_from_identity_alone() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    let identity = Replica::start(&stack, "identity", &ours.sign("identity")?, &ours, &[]).await?;
    let door = Door::open(Host::Impostor(ours.server(&ours.sign("customers")?)?)).await?;
    let env = [
        keys_from(door.address),
        ("SHEQUN_CUSTOMERS_GRPC", "https://127.0.0.1:1".to_owned()),
    ];
    let groups = Replica::start(&stack, "groups", &ours.sign("groups")?, &ours, &env).await?;
    for host in [
        ours.sign("customers")?,
        theirs.sign("identity")?,
        ours.expired("identity")?,
    ] {
        door.lead_to(Host::Impostor(ours.server(&host)?));
        eventually(async || {
            ensure!(!door.met().is_empty(), "nobody comes");
            anyhow::Ok(())
        })
        .await?;
        let met = door.met();
        ensure!(met.iter().all(|met| matches!(met, Met::Refused(_))), "{met:?}");
        let told = groups.answers(503).await?;
        ensure!(told["checks"]["identity"] != "ok", "{told}");
    }
    door.lead_to(Host::Service(identity.grpc()));
    groups.answers(200).await?;
    let scene = Scene::set(&stack, 1).await?;
    let series = format!("http://127.0.0.1:{}/v1/series", groups.http_port());
    let answer = testkit::http()
        .get(series)
        .bearer_auth(&scene.operator.token)
        .send()
        .await?;
    ensure!(answer.status() == 200, "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s6_settings_that_do_not_fit_stop_the_start() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let ours = Authority::new()?;
    let (right, another) = (
        Files::new(&ours.sign("groups")?, &ours.pem())?,
        Files::new(&ours.sign("customers")?, &ours.pem())?,
    );
    let plain = |name| vec![(name, "http://127.0.0.1:1".to_owned())];
    let secured = |name| vec![(name, "https://127.0.0.1:1".to_owned())];
    let (keys, peer) = ("SHEQUN_IDENTITY_URL", "SHEQUN_CUSTOMERS_GRPC");
    for (what, env, words) in [
        ("two of three", right.env()[1..].to_vec(), "set all or none"),
        (
            "plain keys",
            [right.env(), plain(keys), secured(peer)].concat(),
            "SHEQUN_IDENTITY_URL can't be used",
        ),
        (
            "a plain peer",
            [right.env(), secured(keys), plain(peer)].concat(),
            "address of customers can't be used",
        ),
        (
            "keys over https, no files",
            secured(keys),
            "needs SHEQUN_TLS_CERT",
        ),
        (
            "a peer over https, no files",
            secured(peer),
            "needs SHEQUN_TLS_CERT",
        ),
        ("another's certificate", another.env(), "does not name groups"),
    ] {
        let mut command = command(&stack, "groups")?;
        command.envs(env);
        let told = words_of(command).await.context(what)?;
        ensure!(told.contains(words), "{what}: it says {told}");
    }
    Ok(())
}
