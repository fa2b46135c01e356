//! The keys that sign logins: which one signs now, which ones are published, when a new one is due.

use chassis::auth::{Jwks, Kind, SigningKey};
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use uuid::Uuid;

/// A key signs this long before another takes over.
const TERM: SignedDuration = SignedDuration::from_hours(30 * 24);
/// A new key is published this long before it signs: longer than the ten minutes after which a
/// verifier fetches the set again, so that none meets a key it does not know.
pub(crate) const LEAD: SignedDuration = SignedDuration::from_mins(15);
/// A key stays published this long after the last token it signed has expired.
const LINGER: SignedDuration = SignedDuration::from_hours(1);

/// A key and the moment it begins to sign.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub key: SigningKey,
    pub signs_from: Timestamp,
}

/// What a key is made of.
pub(crate) struct Seed {
    pub kid: String,
    pub bytes: [u8; 32],
    pub signs_from: Timestamp,
}

/// All keys that still matter, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring {
    keys: Vec<Key>,
}

impl Seed {
    /// A new key's material, to sign after `lead`.
    #[must_use]
    pub(crate) fn new(lead: SignedDuration, now: Timestamp) -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let signs_from = later(now, lead);
        Self {
            kid: format!("login-{}", Uuid::now_v7().simple()),
            bytes,
            signs_from,
        }
    }
}

impl Keyring {
    #[must_use]
    pub(crate) fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_by(|a, b| (a.signs_from, a.key.kid()).cmp(&(b.signs_from, b.key.kid())));
        Self { keys }
    }

    /// The key that signs now: the one that began last.
    #[must_use]
    pub(crate) fn signing(&self, now: Timestamp) -> Option<&SigningKey> {
        self.keys
            .iter()
            .rev()
            .find(|key| key.signs_from <= now)
            .map(|key| &key.key)
    }

    /// The public keys that verifiers may meet or are about to.
    #[must_use]
    pub(crate) fn published(&self, now: Timestamp) -> Jwks {
        let past = self.past(now).len();
        Jwks {
            keys: self.keys[past..].iter().map(|key| key.key.jwk()).collect(),
        }
    }

    /// The ids of keys whose last token has long expired: to be deleted.
    #[must_use]
    pub(crate) fn outlived(&self, now: Timestamp) -> Vec<String> {
        self.past(now)
            .iter()
            .map(|key| key.key.kid().to_owned())
            .collect()
    }

    /// The lead a new key gets, when one is due; the first gets none.
    #[must_use]
    pub(crate) fn due(&self, now: Timestamp) -> Option<SignedDuration> {
        let Some(newest) = self.keys.last() else {
            return Some(SignedDuration::ZERO);
        };
        let announce = later(newest.signs_from, TERM - LEAD);
        (announce <= now).then_some(LEAD)
    }

    /// A key signs until its successor does; then its tokens live on for their ten minutes.
    fn past(&self, now: Timestamp) -> &[Key] {
        let tokens = SignedDuration::from_secs(Kind::Member.life_secs_max());
        let is_past = |successor: &Key| later(successor.signs_from, tokens + LINGER) <= now;
        let count = self
            .keys
            .iter()
            .skip(1)
            .take_while(|successor| is_past(successor))
            .count();
        &self.keys[..count]
    }
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(mins: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + mins * 60).unwrap()
    }

    fn ring(mins: &[i64]) -> Keyring {
        let key = |(n, mins): (usize, &i64)| Key {
            key: SigningKey::from_seed(format!("k{n}"), &[n as u8; 32]),
            signs_from: at(*mins),
        };
        Keyring::new(mins.iter().enumerate().map(key).collect())
    }

    fn published(ring: &Keyring, mins: i64) -> Vec<String> {
        ring.published(at(mins))
            .keys
            .into_iter()
            .map(|jwk| jwk.kid)
            .collect()
    }

    #[test]
    fn the_first_key_signs_at_once() {
        assert_eq!(Keyring::default().due(at(0)), Some(SignedDuration::ZERO));
        assert!(Keyring::default().signing(at(0)).is_none());
        let ring = ring(&[0]);
        assert_eq!(ring.signing(at(0)).unwrap().kid(), "k0");
        assert_eq!(published(&ring, 0), ["k0"]);
    }

    #[test]
    fn a_successor_is_published_before_it_signs_and_its_predecessor_after() {
        let ring = ring(&[0, 100]);
        assert_eq!(published(&ring, 85), ["k0", "k1"]);
        assert_eq!(ring.signing(at(99)).unwrap().kid(), "k0");
        assert_eq!(ring.signing(at(100)).unwrap().kid(), "k1");
        assert_eq!(published(&ring, 100 + 69), ["k0", "k1"]);
        assert_eq!(published(&ring, 100 + 70), ["k1"]);
        assert_eq!(ring.outlived(at(100 + 70)), ["k0"]);
    }

    #[test]
    fn a_key_is_due_in_time_to_be_announced() {
        let month = 30 * 24 * 60;
        let ring = ring(&[0]);
        assert_eq!(ring.due(at(month - 16)), None);
        assert_eq!(ring.due(at(month - 15)), Some(LEAD));
        assert_eq!(Seed::new(LEAD, at(month - 15)).signs_from, at(month));
    }

    proptest! {
        /// Whatever the history, a token verifies for as long as it lives.
        #[test]
        fn the_key_of_a_living_token_is_published(
            starts in prop::collection::vec(0..2_000_i64, 1..8), signed in 0..3_000_i64, age in 0..=10_i64
        ) {
            let ring = ring(&starts);
            let Some(key) = ring.signing(at(signed)) else { return Ok(()) };
            prop_assert!(published(&ring, signed + age).contains(&key.kid().to_owned()));
        }
    }
}
