//! A new key for signing logins.

use chassis::auth::SigningKey;
use jiff::{SignedDuration, Timestamp};
use outbox::{Actor, Database};

use crate::error::Error;
use crate::keyring::{Key, Keyring, Seed};
use crate::seal::Seal;
use crate::store::{self, signing_key::SealedKey};
use crate::tenant::NOBODY;

/// How a new key comes in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rotation {
    /// When the ring says that one is due.
    WhenDue,
    /// Now, to sign after this time.
    After(SignedDuration),
    /// Now, to sign at once; all others go.
    Withdraw,
}

/// The keys as they are stored, opened.
pub(crate) async fn load(db: &Database, seal: &Seal) -> Result<Keyring, Error> {
    let mut everyone = db.begin_everyone().await?;
    open(store::signing_key::all(&mut *everyone).await?, seal)
}

/// Makes a key if the rotation asks for one, and forgets those that outlived their tokens.
#[tracing::instrument(name = "identity.rotate_keys", skip_all)]
pub(crate) async fn rotate_keys(
    db: &Database,
    seal: &Seal,
    rotation: Rotation,
    now: Timestamp,
) -> Result<Keyring, Error> {
    let mut tx = db.begin(NOBODY).await?;
    store::signing_key::hold(&mut *tx).await?;
    let mut sealed = store::signing_key::all(&mut *tx).await?;
    let gone = match rotation {
        // Without opening them: they may be sealed under a secret that is lost.
        Rotation::Withdraw => sealed.iter().map(|key| key.kid.clone()).collect(),
        Rotation::WhenDue | Rotation::After(_) => Vec::new(),
    };
    sealed.retain(|key| !gone.contains(&key.kid));
    let ring = open(sealed, seal)?;
    let lead = match rotation {
        Rotation::WhenDue => ring.due(now),
        Rotation::After(lead) => Some(lead),
        Rotation::Withdraw => Some(SignedDuration::ZERO),
    };
    let Some(lead) = lead else { return Ok(ring) };

    let seed = Seed::new(lead, now);
    let sealed_seed = seal.seal(&seed.kid, &seed.bytes)?;
    let key = SealedKey {
        kid: seed.kid.clone(),
        sealed_seed,
        signs_from: seed.signs_from,
    };
    store::signing_key::insert(&mut *tx, &key).await?;
    store::signing_key::delete(&mut *tx, &[gone, ring.outlived(now)].concat()).await?;
    let stored = store::signing_key::all(&mut *tx).await?;
    let actor = match rotation {
        Rotation::WhenDue => Actor::System("signing keys"),
        Rotation::After(_) | Rotation::Withdraw => Actor::CommandLine("keys rotate"),
    };
    let entry = tx.audit(actor, "signing_key.made", &seed.kid);
    if matches!(rotation, Rotation::Withdraw) {
        entry.note("all others are withdrawn");
    }
    tx.commit().await?;
    tracing::info!(kid = seed.kid, signs_from = %seed.signs_from, "made a key for signing logins");
    open(stored, seal)
}

fn open(sealed: Vec<SealedKey>, seal: &Seal) -> Result<Keyring, Error> {
    let open = |sealed: SealedKey| {
        let seed = seal.open(&sealed.kid, &sealed.sealed_seed)?;
        let seed = seed.as_slice().try_into().map_err(Error::internal)?;
        Ok(Key {
            key: SigningKey::from_seed(sealed.kid, seed),
            signs_from: sealed.signs_from,
        })
    };
    sealed
        .into_iter()
        .map(open)
        .collect::<Result<_, Error>>()
        .map(Keyring::new)
}
