//! What a friend finds in their own inbox.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use testkit::eventually_within;

use crate::crowd::each;
use crate::run::Run;
use crate::screen::Bar;
use crate::stickers::Friend;

/// News travels by events; a welcome is due within 20 s (D65).
const DELIVERY: Duration = Duration::from_secs(20);

/// The messages of one friend.
pub(crate) struct Inbox {
    items: Vec<Value>,
}

impl Inbox {
    /// Reads it as the friend does.
    async fn read(run: &Run<'_>, friend: &Friend) -> anyhow::Result<Self> {
        let items = run.api.all("broadcast", "/v1/inbox", &friend.token).await?;
        Ok(Self { items })
    }

    /// How many messages of a kind: `welcome`, `greeting`, `member`, `enterprise`.
    pub(crate) fn of_kind(&self, kind: &str) -> usize {
        self.items.iter().filter(|item| item["kind"] == kind).count()
    }

    /// How many mass messages with this text, from this member.
    pub(crate) fn of_text(&self, text: &str, member_id: &str) -> usize {
        let is_it = |item: &&Value| item["text"] == text && item["from_member"] == member_id;
        self.items.iter().filter(is_it).count()
    }
}

/// Reads everybody's.
pub(crate) async fn all(run: &Run<'_>, bar: &Bar, friends: &[Friend]) -> anyhow::Result<Vec<Inbox>> {
    each(bar, friends, async |friend| Inbox::read(run, friend).await).await
}

/// Reads everybody's once these kinds of message have come.
pub(crate) async fn once_there(
    run: &Run<'_>,
    bar: &Bar,
    friends: &[Friend],
    kinds: &[&str],
) -> anyhow::Result<Vec<Inbox>> {
    each(bar, friends, async |friend| {
        eventually_within(DELIVERY, async || {
            let inbox = Inbox::read(run, friend).await?;
            for kind in kinds {
                ensure!(
                    inbox.of_kind(kind) > 0,
                    "no {kind} has come to {}",
                    friend.contact_id
                );
            }
            Ok(inbox)
        })
        .await
    })
    .await
}
