//! Two mass messages to the same contacts, in memory, with the decisions of the claim: whoever is called is called by one
//! of them, and a cap is held if and only if a call was started, or may have been.

use contracts::ContactId;
use proptest::prelude::*;
use testkit::Dice;
use uuid::Uuid;

use crate::cap::not_among;
use crate::chunk::{is_poison, never_handed};

const CONTACTS: usize = 7;
const SUB_BATCH: usize = 2;
const ATTEMPTS_MAX: i32 = 3;
const HISTORIES: usize = 100_000;

/// How a claim ends after some sub-batches with receipts.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Complete,
    /// The worker dies, before or after it has called another sub-batch.
    Dies {
        has_called: bool,
    },
    /// It is told to stop before another call.
    GivesBack,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Claim { mass: usize, settled: usize, end: End },
    Cancel(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        2 => Just(End::Complete),
        3 => any::<bool>().prop_map(|has_called| End::Dies { has_called }),
        2 => Just(End::GivesBack),
    ];
    prop_oneof![
        9 => (0..2usize, 0..3usize, end).prop_map(|(mass, settled, end)| Step::Claim { mass, settled, end }),
        1 => (0..2usize).prop_map(Step::Cancel),
    ]
}

/// One of the two: a chunk of everybody.
#[derive(Clone, Debug, Default)]
struct Mass {
    ended: Vec<ContactId>,
    called: Vec<ContactId>,
    /// Whom a claim that ended without a word may have called.
    doubtful: Vec<ContactId>,
    attempts: i32,
    is_cancelled: bool,
}

#[derive(Debug)]
struct World {
    contacts: Vec<ContactId>,
    holder: Vec<Option<usize>>,
    masses: [Mass; 2],
}

impl World {
    fn new() -> Self {
        Self {
            contacts: (1..=CONTACTS as u128)
                .map(|n| ContactId(Uuid::from_u128(n)))
                .collect(),
            holder: vec![None; CONTACTS],
            masses: Default::default(),
        }
    }

    fn cap(&mut self, contact: ContactId) -> &mut Option<usize> {
        let i = self.contacts.binary_search(&contact).unwrap();
        &mut self.holder[i]
    }

    fn unended(&self, mass: usize) -> Vec<ContactId> {
        let mut ended = self.masses[mass].ended.clone();
        ended.sort_unstable();
        not_among(&self.contacts, &ended)
    }

    fn give_back(&mut self, mass: usize, contacts: &[ContactId]) {
        for contact in contacts {
            self.cap(*contact).take_if(|holder| *holder == mass);
        }
    }

    fn claim(&mut self, mass: usize, settled: usize, end: End) {
        let (unended, earlier) = (self.unended(mass), self.masses[mass].attempts);
        if unended.is_empty() {
            return;
        }
        if self.masses[mass].is_cancelled || is_poison(earlier, ATTEMPTS_MAX) {
            let unsent = never_handed(&unended, earlier, SUB_BATCH).to_vec();
            self.give_back(mass, &unsent);
            self.masses[mass].ended.extend(unended);
            return;
        }
        let allowed: Vec<_> = unended
            .iter()
            .copied()
            .filter(|contact| *self.cap(*contact).get_or_insert(mass) == mass)
            .collect();
        let capped = not_among(&unended, &allowed);
        let one = &mut self.masses[mass];
        one.ended.extend(capped);
        one.attempts += 1;
        let mut sub_batches = allowed.chunks(SUB_BATCH);
        for contacts in sub_batches
            .by_ref()
            .take(if end == End::Complete { CONTACTS } else { settled })
        {
            one.called.extend(contacts);
            one.ended.extend(contacts);
            one.attempts = 1;
        }
        let next = sub_batches.next().unwrap_or_default();
        match end {
            End::Complete => one.attempts = 0,
            End::Dies { has_called } => {
                one.called.extend(next.iter().filter(|_| has_called));
                one.doubtful.extend(next);
            }
            End::GivesBack => {
                let is_in_doubt = earlier > 0 && settled == 0;
                one.attempts = if is_in_doubt { (one.attempts - 1).max(1) } else { 0 };
            }
        }
    }

    fn check(&mut self) {
        for contact in self.contacts.clone() {
            let callers: Vec<_> = (0..2)
                .filter(|mass| self.masses[*mass].called.contains(&contact))
                .collect();
            assert!(callers.len() <= 1, "{:?} is called by both", contact);
            let holder = *self.cap(contact);
            assert!(
                callers.iter().all(|mass| holder == Some(*mass)),
                "{:?} is called without its cap",
                contact
            );
        }
    }

    /// Held means called, or in doubt.
    fn check_end(&mut self) {
        for contact in self.contacts.clone() {
            if let Some(holder) = *self.cap(contact) {
                let mass = &self.masses[holder];
                assert!(
                    mass.called.contains(&contact) || mass.doubtful.contains(&contact),
                    "{:?} is held for nothing",
                    contact
                );
            }
        }
    }
}

fn play(steps: impl IntoIterator<Item = Step>) {
    let mut world = World::new();
    for step in steps {
        match step {
            Step::Claim { mass, settled, end } => world.claim(mass, settled, end),
            Step::Cancel(mass) => world.masses[mass].is_cancelled = true,
        }
        world.check();
    }
    for mass in 0..2 {
        world.claim(mass, 0, End::Complete);
        assert!(world.unended(mass).is_empty());
    }
    world.check();
    world.check_end();
}

proptest! {
    #[test]
    fn a_cap_is_held_for_a_call(steps in prop::collection::vec(step(), 1..25)) {
        play(steps);
    }
}

/// As many as there is no time for to draw with care: nothing shrinks here.
#[test]
fn a_cap_is_held_for_a_call_in_a_hundred_thousand_histories() {
    let seed = Dice::any_seed();
    println!("seed {seed}");
    let dice = Dice::new(seed);
    let draw = || {
        let end = match dice.within(0..7) {
            0..2 => End::Complete,
            2..5 => End::Dies {
                has_called: dice.within(0..2) == 0,
            },
            _ => End::GivesBack,
        };
        let mass = dice.within(0..2);
        match dice.within(0..10) {
            0 => Step::Cancel(mass),
            _ => Step::Claim {
                mass,
                settled: dice.within(0..3),
                end,
            },
        }
    };
    for _ in 0..HISTORIES {
        play((0..dice.within(1..25)).map(|_| draw()).collect::<Vec<_>>());
    }
}
