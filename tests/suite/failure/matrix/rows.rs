//! The rows of the fault matrix.

use std::time::Duration;

use super::crowd::Mass::{self, Enterprise, Member};
use super::fault::{Fault, KILLS, MIXED_MAX};

pub(crate) struct Row {
    /// Number and name, as in the matrix.
    pub(crate) name: &'static str,
    /// What is sent to everybody at once.
    pub(crate) masses: &'static [Mass],
    pub(crate) fault: Fault,
    /// Until the rate is back, from the fault or, where it lasts, from its end.
    pub(crate) back_within: Option<Duration>,
    /// Repetitions that no answer of the receiver asked for.
    pub(crate) repeats_max: usize,
    /// Whether hints may be missing from the work queue.
    pub(crate) loses_hints: bool,
    /// At least and at most so many contacts.
    pub(crate) contacts_min: usize,
    pub(crate) contacts_max: usize,
    /// Each with a crowd of its own; the fault is the first one's.
    pub(crate) tenants: usize,
}

/// Three caps for each contact, and a mass message too many for one of them.
const USUAL: &[Mass] = &[Enterprise, Member(0), Member(0), Member(1)];
/// Beside the enterprise's, which the fault itself posts.
const BESIDE: &[Mass] = &[Member(0), Member(1)];
const EIGHT: &[Mass] = &[
    Enterprise,
    Member(0),
    Enterprise,
    Member(0),
    Enterprise,
    Member(0),
    Enterprise,
    Member(0),
];
const CRASH_REPEATS: usize = 50;

const fn row(name: &'static str, fault: Fault, back_secs: u64, repeats_max: usize) -> Row {
    let back_within = match back_secs {
        0 => None,
        secs => Some(Duration::from_secs(secs)),
    };
    Row {
        name,
        masses: USUAL,
        fault,
        back_within,
        repeats_max,
        loses_hints: false,
        contacts_min: 0,
        contacts_max: usize::MAX,
        tenants: 1,
    }
}

impl Row {
    const fn of(self, masses: &'static [Mass]) -> Self {
        Self { masses, ..self }
    }

    const fn that_loses_hints(self) -> Self {
        Self {
            loses_hints: true,
            ..self
        }
    }

    const fn for_few(self, contacts_max: usize) -> Self {
        Self { contacts_max, ..self }
    }

    const fn for_many(self, contacts_min: usize) -> Self {
        Self { contacts_min, ..self }
    }

    const fn beside(self, neighbours: usize) -> Self {
        Self {
            tenants: 1 + neighbours,
            ..self
        }
    }

    /// How many contacts it has, of those that were asked for.
    pub(crate) fn contacts(&self, asked: usize) -> usize {
        asked.clamp(self.contacts_min, self.contacts_max)
    }

    /// How many caps of a contact there are to be held in the end.
    pub(crate) fn caps(&self) -> usize {
        let of = |wanted: &[Mass]| self.masses.iter().any(|mass| wanted.contains(mass));
        let posts_one = matches!(
            self.fault,
            Fault::CrashAcceptAndResolve | Fault::SubmitHundredfold
        );
        usize::from(of(&[Enterprise]) || posts_one)
            + usize::from(of(&[Member(0)]))
            + usize::from(of(&[Member(1)]))
    }
}

pub(crate) const ROWS: &[Row] = &[
    row("0 no fault", Fault::None, 0, 0),
    row("1 kill one worker", Fault::KillWorkers(1), 35, CRASH_REPEATS),
    row("2 kill all workers", Fault::KillWorkers(3), 40, 3 * CRASH_REPEATS),
    row(
        "3a crash before T1",
        Fault::CrashWorker("broadcast-before-t1", (2, 4)),
        35,
        0,
    ),
    row(
        "3b crash after T1",
        Fault::CrashWorker("broadcast-after-t1", (2, 4)),
        35,
        0,
    ),
    row(
        "3c crash after send",
        Fault::CrashWorker("broadcast-after-send", (5, 14)),
        35,
        CRASH_REPEATS,
    ),
    row(
        "3d crash after T2",
        Fault::CrashWorker("broadcast-after-t2", (5, 14)),
        35,
        0,
    ),
    row(
        "3e crash before ack",
        Fault::CrashWorker("broadcast-before-ack", (2, 4)),
        35,
        0,
    ),
    row("4 kill the dispatcher", Fault::KillDispatcher, 10, 0),
    row("5 kill the API", Fault::CrashAcceptAndResolve, 0, 0).of(BESIDE),
    row("6 kill each other service", Fault::KillOthers, 15, 0),
    row("7 roll the workers", Fault::RollWorkers, 0, 0),
    row("8 stop a worker", Fault::StopWorker, 35, CRASH_REPEATS),
    row("9 kill NATS", Fault::KillNats, 10, CRASH_REPEATS).that_loses_hints(),
    row("11 wipe the streams", Fault::WipeStreams, 60, CRASH_REPEATS).that_loses_hints(),
    row(
        "12 restart and kill Postgres",
        Fault::RestartPostgres,
        15,
        CRASH_REPEATS,
    ),
    row(
        "14 cut off from NATS",
        Fault::PartitionFromNats,
        10,
        CRASH_REPEATS,
    ),
    row(
        "15 cut off from Postgres",
        Fault::PartitionFromPostgres,
        10,
        CRASH_REPEATS,
    ),
    row("16 bad lines", Fault::BadLines, 0, CRASH_REPEATS).for_few(500),
    row("17 three of every message", Fault::TripleMessages, 0, 0),
    row("18 submitted a hundredfold", Fault::SubmitHundredfold, 0, 0).of(BESIDE),
    row("19 eight to the same", Fault::None, 0, 0).of(EIGHT),
    row("20 a wrong clock", Fault::WrongClock, 0, 0),
    // Its rate is compared with row 0's on the same set, once the slow one is known: sent in 20 s or more.
    row("21 a slow account", Fault::SlowAccount, 0, 0)
        .beside(1)
        .for_many(6_000),
    row("22 an unwilling receiver", Fault::UnwillingSink, 0, 0).for_few(150),
    row("23a a poison recipient", Fault::PoisonRecipient, 0, 0),
    row("23b a poison chunk", Fault::PoisonChunk, 0, 5 * CRASH_REPEATS).of(&[Enterprise]),
    row("26 stopped at random", Fault::StopMany, 0, 0)
        .of(&[])
        .for_few(1_000),
];

/// D73: 50,000 recipients.
pub(crate) const HUNDRED_KILLS: Row = row(
    "D73 a hundred kills",
    Fault::KillWorkersOften,
    0,
    KILLS * CRASH_REPEATS,
);
pub(crate) const HUNDRED_KILLS_CONTACTS: usize = 12_500;

/// Of `make soak` alone.
pub(crate) const MIX: Row = row("27 a mix", Fault::Mix, 0, MIXED_MAX * 3 * CRASH_REPEATS)
    .that_loses_hints()
    .beside(4);

/// Each of these needs other servers.
pub(crate) const WITH_CLUSTER: &[Row] = &[
    row(
        "10a lose the leader of three",
        Fault::LoseLeader,
        10,
        CRASH_REPEATS,
    )
    .that_loses_hints(),
    row("10b lose two of three", Fault::LoseQuorum, 10, CRASH_REPEATS).that_loses_hints(),
];
pub(crate) const WITH_STANDBY: &[Row] = &[row("13 fail over", Fault::FailOver, 30, CRASH_REPEATS)];
pub(crate) const WITH_SMALL_DISKS: &[Row] = &[
    row("24a no room for NATS", Fault::FillNats, 30, CRASH_REPEATS).that_loses_hints(),
    row("24b no room for Postgres", Fault::FillPostgres, 30, CRASH_REPEATS),
];
