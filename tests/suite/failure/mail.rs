//! A worker killed between what a mail server took and its receipts. Nobody can ask the server what it took, so those it
//! had handed over get their e-mail again, under the same id: decisions/0010 of broadcast.

use std::collections::BTreeSet;

use anyhow::ensure;
use serde_json::json;
use testkit::{MailServer, Set};
use uuid::Uuid;

use crate::scene::Scene;

const CONTACTS: usize = 60;
/// What a killed worker may repeat.
const REPEATS_MAX: usize = 50;
const SENDER: &str = "hi@shop.example";

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_e_mails_taken_and_no_receipt() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join(format!("shequn-mail-{}", Uuid::now_v7()));
    std::fs::create_dir(&folder)?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let mut server = MailServer::start_wrapped(&["shop", "right"], &certificate, &key)?;
    let url = format!("smtps://shop:right@127.0.0.1:{}", server.port());
    let env = [
        ("SHEQUN_LEASE_SECS", "3".to_owned()),
        ("SHEQUN_MAIL_FROM", SENDER.to_owned()),
        ("SHEQUN_SMTP_URL", url),
        // The only one they trust.
        ("SSL_CERT_FILE", certificate.display().to_string()),
    ];
    let mut set = Set::start_with("mail", &env).await?;
    let scene = Scene::set(set.stack(), 2).await?;
    let contacts = scene.scan_many(CONTACTS).await?;
    let addresses = contacts.iter().enumerate();
    let rows = addresses.map(|(n, contact)| format!("{},陈晨,c{n}@example.cn\n", contact.external_id));
    let file = format!("external_id,name,email\n{}", rows.collect::<String>());
    let import = scene.api.post("customers", "/v1/imports");
    import
        .token(&scene.operator.token)
        .body("text/csv", file)
        .ok()
        .await?;

    set.terminate("broadcast-worker-2").await?;
    set.terminate("broadcast-worker-1").await?;
    set.run("broadcast-worker-1", Some("broadcast-after-send=1*return"))
        .await?;
    let broadcast = scene
        .broadcast(&scene.operator, "enterprise", json!({"channel": "email"}))
        .await?;
    scene.confirm_all(&broadcast, &contacts).await?;
    let status = set.died("broadcast-worker-1").await?;
    ensure!(!status.success(), "the worker ended without an abort: {status}");
    let before = server.emails()?.len();
    ensure!(before > 0, "it was killed before it sent anything");
    set.run("broadcast-worker-1", None).await?;
    let outcome = scene.finished(&broadcast).await?;
    ensure!(outcome["outcomes"]["delivered"] == CONTACTS, "{outcome}");

    let emails = server.emails()?;
    let ids: BTreeSet<_> = emails.iter().map(|email| email.header("Message-ID")).collect();
    let people: BTreeSet<_> = emails.iter().flat_map(|email| &email.to).collect();
    ensure!(
        (ids.len(), people.len()) == (CONTACTS, CONTACTS),
        "{ids:?} to {people:?}"
    );
    let repeats = emails.len() - CONTACTS;
    ensure!(
        (1..=REPEATS_MAX).contains(&repeats),
        "{repeats} e-mails were repeated"
    );
    ensure!(emails.iter().all(|email| email.sender == SENDER));
    Ok(std::fs::remove_dir_all(folder)?)
}
