//! Showing what real recipients would get. It changes nothing, and nothing of the recipients is kept.

use chassis::auth::Agent;
use contracts::{BroadcastId, ContactId, GroupId, MemberId, TaskId};
use uuid::Uuid;

use super::accept::check_lists;
use super::address::people;
use super::resolve::posts::Posts;
use super::resolve::source::Source;
use crate::State;
use crate::audience::Audience;
use crate::broadcast::said;
use crate::content::Content;
use crate::content::letter::{Personal, Sender, Unwritten};
use crate::content::reader::Person;
use crate::content::said::Said;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::post::{PostIn, To, check_words};
use crate::preview::{Preview, PreviewBroadcast, SHOWN_MAX};
use crate::split::Entry;
use crate::store;
use crate::task::Recipient;

/// For the contacts named, or for some of the audience.
pub(crate) async fn preview(
    state: &State,
    agent: Agent,
    command: &PreviewBroadcast,
) -> Result<Vec<Preview>, Error> {
    command.check_starter(agent.role)?;
    command.check_recipients()?;
    let same = said(command.text.as_deref(), command.content.as_ref())?;
    let sender = command.sender(agent);
    if let Some(post_in) = &command.post_in {
        check_words(command.content.as_ref())?;
        return posts(state, agent, command, post_in, &same).await;
    }
    let sampled;
    let contacts = match command.contact_ids.contacts() {
        [] => {
            let audience = command.audience.clone().unwrap_or_default();
            sampled = sample(state, agent, &audience, sender).await?;
            sampled.as_slice()
        }
        named => named,
    };
    let people = people(state, agent.tenant, contacts, sender).await?;
    let unknown = contacts
        .iter()
        .find(|contact| !people.iter().any(|it| it.contact == **contact && it.is_friend));
    if let Some(&contact) = unknown {
        return Err(Error::ContactUnknown(contact));
    }
    let show = |person: Person| show(state, agent, command.content.as_ref(), &same, person);
    Ok(people.into_iter().map(show).collect())
}

/// For the first recipients of a member's own share, from her.
pub(crate) async fn preview_task(state: &State, agent: Agent, task: TaskId) -> Result<Vec<Preview>, Error> {
    let mut tx = state.db.read(agent.tenant).await?;
    let broadcast = store::task::broadcast_of(&mut *tx, task, agent.member)
        .await?
        .ok_or(Error::TaskUnknown)?;
    let broadcast = store::broadcast::find(&mut *tx, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    let rows_max = i64::try_from(SHOWN_MAX).unwrap_or(i64::MAX);
    let (member, id) = (agent.member, broadcast.broadcast_id);
    let recipients = store::task::recipients(&mut *tx, task, member, id, None, rows_max).await?;
    drop(tx);
    let same = Said {
        language: broadcast.content.as_ref().map(Content::language),
        text: broadcast.text,
        attachments: broadcast.attachments,
    };
    if broadcast.to == To::Groups {
        let show = |it: Recipient| Preview::new(it.contact_id, Some(agent.member), posted(&same, it.state));
        return Ok(recipients.into_iter().map(show).collect());
    }
    let contacts: Vec<_> = recipients.iter().map(|recipient| recipient.contact_id).collect();
    let mut people = people(state, agent.tenant, &contacts, Some(agent.member)).await?;
    let content = broadcast.content.as_ref();
    let show_one = |contact| {
        let place = people.iter().position(|it| it.contact == contact && it.is_friend);
        match place.map(|place| people.swap_remove(place)) {
            Some(person) => show(state, agent, content, &same, person),
            None => Preview::new(contact, Some(agent.member), Err(Unwritten::Gone)),
        }
    };
    Ok(contacts.into_iter().map(show_one).collect())
}

fn show(state: &State, agent: Agent, content: Option<&Content>, same: &Said, person: Person) -> Preview {
    let (contact, member) = (person.contact, person.member);
    let written = match content {
        None => Ok(same.clone()),
        Some(content) => {
            let sender = Sender {
                signer: state.signer.clone(),
                tenant: agent.tenant,
                // Of nothing that was sent: an order that comes by this link is nobody's.
                broadcast: BroadcastId(Uuid::nil()),
                member: member.unwrap_or(agent.member),
                links: None,
            };
            Personal::new(content.clone(), sender, vec![person]).write(contact)
        }
    };
    Preview::new(contact, member, written)
}

/// The groups named, or some of those it would be posted in: all get the same, each from its owner.
async fn posts(
    state: &State,
    agent: Agent,
    command: &PreviewBroadcast,
    post_in: &PostIn,
    same: &Said,
) -> Result<Vec<Preview>, Error> {
    let shown = match command.contact_ids.contacts() {
        [] => post_in.clone(),
        named => PostIn {
            groups: named.iter().map(|group| GroupId(group.0)).collect(),
            ..PostIn::default()
        },
    };
    let speaks = (agent.member, command.sender(agent));
    let mut posts = Posts::new(state, agent.tenant, speaks, &shown, None);
    let mut entries = vec![];
    while entries.len() < SHOWN_MAX
        && let Some(page) = posts.next().await?
    {
        entries.extend(page.entries);
    }
    let step = entries.len().div_ceil(SHOWN_MAX).max(1);
    let show = |entry: Entry| Preview::new(entry.contact, Some(entry.member), posted(same, entry.ends));
    Ok(entries.into_iter().step_by(step).map(show).collect())
}

/// The words of all, unless it is known already that the group can't be posted in.
fn posted(same: &Said, end: Option<Outcome>) -> Result<Said, Unwritten> {
    match end {
        Some(Outcome::NotAFriend) => Err(Unwritten::NoGroup),
        _ => Ok(same.clone()),
    }
}

/// Some of the audience, from all over its first page.
async fn sample(
    state: &State,
    agent: Agent,
    audience: &Audience,
    sender: Option<MemberId>,
) -> Result<Vec<ContactId>, Error> {
    let mut tx = state.db.read(agent.tenant).await?;
    check_lists(&mut tx, audience).await?;
    drop(tx);
    let mut source = Source::new(state, agent.tenant, (agent.member, sender), audience, None);
    let mut contacts = vec![];
    while contacts.is_empty()
        && let Some(page) = source.next().await?
    {
        let friends = page
            .entries
            .into_iter()
            .filter(|entry| entry.ends != Some(Outcome::NotAFriend));
        contacts.extend(friends.map(|entry| entry.contact));
    }
    let step = contacts.len().div_ceil(SHOWN_MAX).max(1);
    Ok(contacts.into_iter().step_by(step).collect())
}
