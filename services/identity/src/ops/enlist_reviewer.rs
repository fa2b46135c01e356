//! The platform gets a reviewer, from its command line.

use anyhow::Context;
use chassis::{Clock, Settings};
use secrecy::{ExposeSecret, SecretString};

use crate::member::Email;
use crate::password::{Hasher, Password};
use crate::store;

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
    store::reviewer::enlist(&pool, email, &hash, Clock::system().now())
        .await
        .context("could not write the reviewer")
}
