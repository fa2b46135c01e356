//! The platform gets a reviewer, from its command line.

use anyhow::Context;
use chassis::{Clock, Settings};
use outbox::{Actor, Database};
use secrecy::{ExposeSecret, SecretString};

use crate::member::Email;
use crate::password::{Hasher, Password, PasswordHash};
use crate::store;
use crate::tenant::NOBODY;

/// Adds the reviewer, or changes the password of one. Connects as the schema's owner: the service
/// that runs can read reviewers, and make none.
pub(crate) async fn enlist_reviewer(
    settings: &Settings,
    email: &Email,
    password: &SecretString,
) -> anyhow::Result<()> {
    let password = Password::try_from(password.expose_secret().to_owned())?;
    let hash = Hasher::new(1).hash(password).await?;
    let pool = chassis::pool::owner_pool(settings)?;
    write(&Database::new(pool), email, &hash)
        .await
        .context("could not write the reviewer")
}

async fn write(db: &Database, email: &Email, hash: &PasswordHash) -> Result<(), sqlx::Error> {
    let mut tx = db.begin(NOBODY).await?;
    store::reviewer::enlist(&mut *tx, email, hash, Clock::system().now()).await?;
    if let Some(enlisted) = store::reviewer::credentials(&mut *tx, email).await? {
        tx.audit(
            Actor::CommandLine("reviewer add"),
            "reviewer.enlisted",
            enlisted.reviewer_id,
        );
    }
    tx.commit().await
}
