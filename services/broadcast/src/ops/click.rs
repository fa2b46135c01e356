//! Somebody follows a short link: they are led on at once, and counted a little later.
//!
//! Cost: to follow, one statement that reads two rows. To count, one statement for the clicks on each mass message of up
//! to 500 at a time: two rows of each contact's first click, and a row of figures for each link.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::State;
use crate::click::{Click, Token};
use crate::content::letter::Sender;
use crate::content::short::Target;
use crate::error::Error;
use crate::store;

const CLICKS_MAX: usize = 500;
/// Nobody reads a message and follows a link in so short a time; what scans messages as they arrive does.
const EARLY: Duration = Duration::from_secs(2);

/// Where the link leads, if it is one of ours. A forged one, one of an old key and one of a content without such a link look
/// the same.
pub(crate) async fn follow(state: &State, token: &Token, is_bot: bool) -> Result<String, Error> {
    let mut tx = state.db.read(token.tenant).await?;
    let (keys, content) = store::click::behind(&mut *tx, token)
        .await?
        .ok_or(Error::LinkUnknown)?;
    drop(tx);
    if !token.is_signed(&keys) {
        return Err(Error::LinkUnknown);
    }
    let target = content.as_ref().and_then(|content| content.target(token.link));
    let url = match target.ok_or(Error::LinkUnknown)? {
        Target::Url(url) => url,
        Target::Shop(url) => {
            let sender = Sender {
                signer: state.signer.clone(),
                tenant: token.tenant,
                broadcast: token.broadcast,
                member: token.member,
                links: None,
            };
            sender.shop_link(url, token.contact)
        }
    };
    state.clicks.note(Click {
        tenant: token.tenant,
        broadcast: token.broadcast,
        contact: token.contact,
        link: token.link,
        at: state.clock.now(),
        is_bot,
    });
    Ok(url)
}

/// Counts some clicks; false when there are none.
pub(crate) async fn count_clicks(state: &State) -> Result<bool, Error> {
    let mut by_broadcast: BTreeMap<_, Vec<Click>> = BTreeMap::new();
    for click in state.clicks.take(CLICKS_MAX) {
        let of = (click.tenant, click.broadcast);
        by_broadcast.entry(of).or_default().push(click);
    }
    let mut failed = None;
    let has_worked = !by_broadcast.is_empty();
    for ((tenant, broadcast), clicks) in by_broadcast {
        let counted = async {
            let mut tx = state.db.begin(tenant).await?;
            store::click::count(&mut *tx, tenant, broadcast, &clicks, EARLY.as_secs_f64()).await?;
            tx.commit().await
        };
        if let Err(error) = counted.await {
            // They come again; who was counted although it was not known is counted twice, and known once.
            clicks.into_iter().for_each(|click| state.clicks.note(click));
            failed = Some(error);
        }
    }
    failed.map_or(Ok(has_worked), |error| Err(error.into()))
}
