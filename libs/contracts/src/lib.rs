//! The words services share: generated messages and clients, events and their subjects, ids,
//! header names. Nothing here does I/O or decides anything.

mod event;
pub mod header;
mod id;
pub mod packed;
mod request_key;

pub use event::{EVENT_NAMES, Envelope, EnvelopeError, Event, stream_of, subject_filter};
pub use id::{
    BroadcastId, CodeId, ContactId, ContactListId, GroupId, ImportId, MemberId, MessageId, SeriesId, TaskId,
    TenantId,
};
pub use request_key::RequestKey;

/// The compiled descriptors of everything in `proto/`, for reflection and contract tests.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! packages {
    ($($service:ident),*) => {
        $(
            #[allow(clippy::all, missing_docs, unreachable_pub)]
            pub mod $service {
                pub mod v1 {
                    include!(concat!(env!("OUT_DIR"), "/shequn.", stringify!($service), ".v1.rs"));
                }
            }
        )*
    };
}

packages!(types, identity, groups, customers, broadcast, referral);
