//! A contact has read a message.

use chassis::auth::ContactSelf;
use contracts::MessageId;

use crate::State;
use crate::error::Error;
use crate::message::Message;
use crate::store;

pub(crate) async fn read_message(
    state: &State,
    contact: ContactSelf,
    message: MessageId,
) -> Result<Message, Error> {
    let mut tx = state.db.begin(contact.tenant).await?;
    let read = store::inbox::read(&mut *tx, message, contact.contact, state.clock.now()).await?;
    let (message, is_first) = read.ok_or(Error::MessageUnknown)?;
    if is_first {
        tx.audit(contact, "message.read", message.message_id);
    }
    let links = store::tenant::links(&mut *tx, &state.public_url, contact.tenant).await?;
    tx.commit().await?;
    Ok(message.with_way_out(contact.contact, links.as_ref()))
}
