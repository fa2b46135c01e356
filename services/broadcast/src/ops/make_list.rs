//! Making a list of contacts from a file as it streams in.
//!
//! The body can't be hashed before it is read; the list is written in one transaction at its end, so an upload that is cut
//! off leaves nothing, and can be sent again under the same key.

use axum::body::{Body, Bytes};
use chassis::auth::Operator;
use contracts::{ContactListId, RequestKey};
use futures::{Stream, StreamExt as _};
use outbox::request;
use sha2::{Digest as _, Sha256};

use crate::State;
use crate::error::Error;
use crate::list::{ContactList, IdFile};
use crate::store;

pub(crate) async fn make_list(
    state: &State,
    operator: Operator,
    key: String,
    body: Body,
) -> Result<ContactList, Error> {
    let (contacts, fingerprint) = read(body.into_data_stream()).await?;
    let key = RequestKey { key, fingerprint };
    let now = state.clock.now();
    let mut tx = state.db.begin(operator.tenant).await?;
    if let Some(answer) = request::earlier(&mut tx, &key).await? {
        return Ok(answer);
    }
    let list = ContactList {
        list_id: ContactListId::new(),
        contacts: i32::try_from(contacts.len()).unwrap_or(i32::MAX),
        made_at: now,
    };
    store::list::forget_old(&mut *tx).await?;
    store::list::insert(&mut tx, operator.tenant, &list, &contacts).await?;
    tx.audit(operator, "contact_list.made", list.list_id);
    request::keep(&mut tx, &key, &list).await?;
    tx.commit().await?;
    Ok(list)
}

/// The contacts of a file, and SHA-256 of what was asked with it.
async fn read(
    mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin,
) -> Result<(Vec<contracts::ContactId>, [u8; 32]), Error> {
    let mut hash = Sha256::new_with_prefix("POST\n/v1/contact-lists\n");
    let mut file = IdFile::default();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(Error::BodyBroken)?;
        hash.update(&bytes);
        file.push(&bytes)?;
    }
    Ok((file.finish()?, hash.finalize().into()))
}
