//! Who changed what: a row for each state change, added with it and never changed.

use std::borrow::Cow;
use std::fmt::Display;

use chassis::auth::{Admin, Agent, ContactOrOperator, ContactSelf, Operator, Owner, Reviewer};
use chassis::telemetry;
use contracts::{ContactId, Envelope, MemberId, stream_of};
use uuid::Uuid;

use crate::Tx;

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    Member(MemberId),
    Reviewer(Uuid),
    Contact(ContactId),
    /// A service, whose event or call led to it.
    Service(String),
    /// This service by itself: the loop or rule of this name.
    System(&'static str),
    /// Somebody at this command of the service's program.
    CommandLine(&'static str),
}

impl Actor {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Member(_) => "member",
            Self::Reviewer(_) => "reviewer",
            Self::Contact(_) => "contact",
            Self::Service(_) => "service",
            Self::System(_) => "system",
            Self::CommandLine(_) => "command_line",
        }
    }

    fn id(&self) -> String {
        match self {
            Self::Member(member) => member.to_string(),
            Self::Reviewer(reviewer) => reviewer.to_string(),
            Self::Contact(contact) => contact.to_string(),
            Self::Service(name) => name.clone(),
            Self::System(name) | Self::CommandLine(name) => (*name).to_owned(),
        }
    }
}

macro_rules! members {
    ($($caller:ident)*) => { $(
        impl From<$caller> for Actor {
            fn from(caller: $caller) -> Self {
                Self::Member(caller.member)
            }
        }
    )* };
}

members! { Agent Operator Admin Owner }

impl From<Reviewer> for Actor {
    fn from(caller: Reviewer) -> Self {
        Self::Reviewer(caller.reviewer)
    }
}

impl From<ContactSelf> for Actor {
    fn from(caller: ContactSelf) -> Self {
        Self::Contact(caller.contact)
    }
}

impl From<ContactOrOperator> for Actor {
    fn from(caller: ContactOrOperator) -> Self {
        match caller {
            ContactOrOperator::Contact(contact) => contact.into(),
            ContactOrOperator::Operator(operator) => operator.into(),
        }
    }
}

/// The service that told of the event.
impl From<&Envelope> for Actor {
    fn from(envelope: &Envelope) -> Self {
        Self::Service(stream_of(&envelope.name).unwrap_or_default().to_lowercase())
    }
}

/// One state change, as it will stand there for good: it holds ids and the program's own words, nothing personal.
#[derive(Debug)]
pub struct Entry {
    actor: Actor,
    action: &'static str,
    subject_id: String,
    note: Option<Cow<'static, str>>,
}

impl Entry {
    /// Adds why or how, in words that no erasure will ever have to find.
    pub fn note(&mut self, note: impl Into<Cow<'static, str>>) {
        self.note = Some(note.into());
    }
}

impl Tx {
    /// Leaves a row that says who did what, if the transaction commits. `action` is `<subject's kind>.<what happened>`.
    ///
    /// It is written with the next event recorded, in the same statement; what is left at the commit takes one more.
    pub fn audit(
        &mut self,
        actor: impl Into<Actor>,
        action: &'static str,
        subject_id: impl Display,
    ) -> &mut Entry {
        self.audited.push_mut(Entry {
            actor: actor.into(),
            action,
            subject_id: subject_id.to_string(),
            note: None,
        })
    }

    /// Writes what has been left so far, as the tenant the transaction acts for now.
    pub(crate) async fn write_audited(&mut self) -> Result<(), sqlx::Error> {
        if self.audited.is_empty() {
            return Ok(());
        }
        let columns = Columns::from(std::mem::take(&mut self.audited));
        sqlx::query(
            "insert into audit_entry (tenant_id, actor_kind, actor_id, action, subject_id, note, trace_id)
             select current_setting('shequn.tenant')::uuid, actor_kind, actor_id, action, subject_id, note,
               split_part($6, '-', 2)
             from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) with ordinality
               as entry (actor_kind, actor_id, action, subject_id, note, n)
             order by n",
        )
        .bind(columns.actor_kinds)
        .bind(columns.actor_ids)
        .bind(columns.actions)
        .bind(columns.subject_ids)
        .bind(columns.notes)
        .bind(telemetry::current_traceparent())
        .execute(&mut **self)
        .await
        .map(drop)
    }
}

/// Entries as a statement takes them.
#[derive(Default)]
pub(crate) struct Columns {
    pub(crate) actor_kinds: Vec<&'static str>,
    pub(crate) actor_ids: Vec<String>,
    pub(crate) actions: Vec<&'static str>,
    pub(crate) subject_ids: Vec<String>,
    pub(crate) notes: Vec<Option<Cow<'static, str>>>,
}

impl From<Vec<Entry>> for Columns {
    fn from(entries: Vec<Entry>) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.actor_kinds.push(entry.actor.kind());
            columns.actor_ids.push(entry.actor.id());
            columns.actions.push(entry.action);
            columns.subject_ids.push(entry.subject_id);
            columns.notes.push(entry.note);
        }
        columns
    }
}
