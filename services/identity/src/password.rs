//! Passwords: what a new one must be like, and hashing that can exhaust neither memory nor CPU.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use crate::error::Error;

const CHARS_MIN: usize = 10;
const CHARS_MAX: usize = 128;
/// How long a login waits for its turn; who is served later would have gone away.
const WAIT_SECS_MAX: u64 = 5;

/// OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT_BYTES: usize = 16;
/// More than 32 MiB, reserved and mostly not touched: what is larger, glibc maps and unmaps. Of
/// smaller pieces it keeps the last for each thread that ever hashed, 19 MiB each.
const MEMORY_RESERVED_KIB: usize = 33 * 1024;

/// The hash of a password nobody has, with the parameters above: verified where there is no
/// account, so that its absence takes as long as a wrong password.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2hlcXVuLW5vYm9keXMtcHc$\
                       3FJ9s6dT3pCEcsyZ0dGFkpA0z8iV8bD5uJ3QKq1x2Yk";

/// A password somebody chooses: 10 to 128 characters.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = "password", min_length = 10, max_length = 128)]
pub(crate) struct Password(SecretString);

/// A password somebody claims to be theirs; whether it is, is all that counts.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = "password", max_length = 128)]
pub(crate) struct Attempt(SecretString);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordUnfit {
    #[error("password is shorter than {CHARS_MIN} characters; a sentence is easy to remember")]
    TooShort,
    #[error("password is longer than {CHARS_MAX} characters")]
    TooLong,
    #[error("password contains a control character, such as a tab; leave it out")]
    Control,
}

/// The same characters, however the keyboard composed them.
fn composed(raw: &str) -> Result<SecretString, PasswordUnfit> {
    // Counted first, so that a megabyte is not composed only to be refused.
    if raw.chars().count() > CHARS_MAX * 4 {
        return Err(PasswordUnfit::TooLong);
    }
    let composed: String = raw.nfc().collect();
    if composed.chars().any(char::is_control) {
        return Err(PasswordUnfit::Control);
    }
    if composed.chars().count() > CHARS_MAX {
        Err(PasswordUnfit::TooLong)
    } else {
        Ok(composed.into())
    }
}

impl TryFrom<String> for Password {
    type Error = PasswordUnfit;

    fn try_from(raw: String) -> Result<Self, PasswordUnfit> {
        let password = composed(&raw)?;
        if password.expose_secret().chars().count() < CHARS_MIN {
            return Err(PasswordUnfit::TooShort);
        }
        Ok(Self(password))
    }
}

impl TryFrom<String> for Attempt {
    type Error = PasswordUnfit;

    fn try_from(raw: String) -> Result<Self, PasswordUnfit> {
        composed(&raw).map(Self)
    }
}

/// An argon2id hash with its salt and parameters, as a PHC string.
#[derive(Clone, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct PasswordHash(String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Hashes a few passwords at a time, off the threads that serve requests.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
}

impl Hasher {
    #[must_use]
    pub(crate) fn new(hashes_max: u16) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(hashes_max.into())),
        }
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let turn = self.turn().await?;
        let hash = tokio::task::spawn_blocking(move || {
            let hash = hash(&password);
            // Held until the work is done, even when the request that asked for it is gone.
            drop(turn);
            hash
        });
        hash.await.map_err(Error::internal)?.map_err(Error::internal)
    }

    /// Whether the password is the one hashed before. Takes the same time without a hash.
    ///
    /// # Errors
    /// When too many wait already.
    pub(crate) async fn matches(&self, attempt: Attempt, hash: Option<PasswordHash>) -> Result<bool, Error> {
        let turn = self.turn().await?;
        metrics::counter!("identity_password_checks_total").increment(1);
        let verified = tokio::task::spawn_blocking(move || {
            let known = hash.is_some();
            let fits = verify(&attempt, hash.as_ref().map_or(NOBODYS, |hash| &hash.0));
            drop(turn);
            fits.map(|fits| fits && known)
        });
        verified.await.map_err(Error::internal)?.map_err(Error::internal)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(Duration::from_secs(WAIT_SECS_MAX), turn).await;
        turn.map_err(|_| Error::TooManyHashes)?.map_err(Error::internal)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn hash(password: &Password) -> Result<PasswordHash, Failure> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    let phc = argon2::PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(Salt::new(&salt)?),
        hash: Some(derive(&password.0, &salt, params)?),
    };
    Ok(PasswordHash(phc.to_string()))
}

/// With the parameters of the hash, so that stronger ones can come in without a migration.
fn verify(attempt: &Attempt, phc: &str) -> Result<bool, Failure> {
    let known = argon2::PasswordHash::new(phc)?;
    if known.algorithm != ARGON2ID_IDENT || known.version != Some(Version::V0x13.into()) {
        return Err("a stored password hash is not argon2id".into());
    }
    let salt = known.salt.ok_or("a stored password hash has no salt")?;
    let derived = derive(&attempt.0, &salt, Params::try_from(&known)?)?;
    // `Output` compares in constant time.
    Ok(known.hash == Some(derived))
}

fn derive(password: &SecretString, salt: &[u8], params: Params) -> Result<Output, Failure> {
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(MEMORY_RESERVED_KIB * 1024 / Block::SIZE));
    memory.resize(blocks, Block::default());
    let mut key = [0; Params::DEFAULT_OUTPUT_LEN];
    let argon2id = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2id.hash_password_into_with_memory(
        password.expose_secret().as_bytes(),
        salt,
        &mut key,
        &mut memory,
    )?;
    Ok(Output::new(&key)?)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    fn password(raw: &str) -> Password {
        Password::try_from(raw.to_owned()).unwrap()
    }

    fn attempt(raw: &str) -> Attempt {
        Attempt::try_from(raw.to_owned()).unwrap()
    }

    #[tokio::test]
    async fn the_password_matches_and_no_other_does() {
        let hasher = Hasher::new(1);
        // Composed and decomposed forms of the same kana.
        let hash = hasher.hash(password("さくらが咲いたら会おう")).await.unwrap();
        assert!(
            hash.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.0
        );
        // The crate's own verifier agrees.
        let phc = argon2::PasswordHash::new(&hash.0).unwrap();
        assert_eq!(
            Argon2::default().verify_password("さくらが咲いたら会おう".as_bytes(), &phc),
            Ok(())
        );
        let typed = "さくらか\u{3099}咲いたら会おう";
        assert!(hasher.matches(attempt(typed), Some(hash.clone())).await.unwrap());
        assert!(
            !hasher
                .matches(attempt("さくらが咲いたら会わない"), Some(hash))
                .await
                .unwrap()
        );
    }

    #[tokio::test]
    async fn nobody_logs_in_without_an_account() {
        assert!(!Hasher::new(1).matches(attempt(""), None).await.unwrap());
    }

    #[test]
    fn nobodys_hash_costs_what_everybodys_does() {
        let hash = argon2::PasswordHash::new(NOBODYS).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
        assert_eq!(hash.hash.unwrap().len(), Params::DEFAULT_OUTPUT_LEN);
    }

    #[test]
    fn a_password_has_ten_to_128_characters() {
        let chars = |count| Password::try_from("密".repeat(count)).map(drop);
        assert_eq!(chars(9), Err(PasswordUnfit::TooShort));
        assert_eq!(chars(10), Ok(()));
        assert_eq!(chars(128), Ok(()));
        assert_eq!(chars(129), Err(PasswordUnfit::TooLong));
        assert_eq!(
            Password::try_from("a\tb".repeat(9)).map(drop),
            Err(PasswordUnfit::Control)
        );
        assert_eq!(
            Attempt::try_from("x".repeat(1_000_000)).map(drop),
            Err(PasswordUnfit::TooLong)
        );
    }

    #[test]
    fn a_password_is_not_logged() {
        assert!(!format!("{:?}{:?}", password("correct horse"), attempt("correct horse")).contains("horse"));
    }
}
