//! Who is asking: tokens, the keys they are checked with, and the callers they prove.

mod caller;
mod fetch;
mod keys;
mod middleware;
mod seal;
mod signer;
pub mod token;
mod verifier;

pub use caller::{
    Admin, Agent, Caller, ContactOrOperator, ContactSelf, Operator, Owner, Reviewer, Role, Staff,
};
pub use keys::{JWKS_PATH, Jwk, Jwks, KeyError, SigningKey};
pub use middleware::{authenticate, bearer};
pub use seal::{SEALED_IDS_MAX, Seals};
pub use signer::Signer;
pub use token::{Claims, Kind};
pub use verifier::{KeySource, Verifier};
