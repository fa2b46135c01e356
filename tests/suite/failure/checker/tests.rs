//! The checker fails on each kind of violation, and on nothing else.

use std::time::Duration;

use super::*;

/// Three recipients: two delivered, one capped.
struct Story {
    run: Run,
    contacts: [Uuid; 3],
    member: Uuid,
    noon: Timestamp,
}

impl Story {
    fn new() -> Self {
        let [tenant, broadcast, member] = [(); 3].map(|()| Uuid::new_v4());
        let contacts = [(); 3].map(|()| Uuid::new_v4());
        let noon: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
        let call = |contact: &Uuid| Call {
            key: format!("msg-{contact}"),
            kind: Kind::Member,
            tenant,
            broadcast,
            member,
            contact: *contact,
            started: noon,
            arrived: noon,
            told: Told::Taken,
        };
        let told = |delivered, capped| Progress {
            audience: 3,
            outcomes: [("delivered".to_owned(), delivered), ("capped".to_owned(), capped)].into(),
        };
        let account = Account {
            broadcast,
            snapshot: contacts.into(),
            progress: vec![told(0, 0), told(1, 0), told(2, 1)],
            receipts: contacts
                .into_iter()
                .zip(["delivered", "delivered", "capped"].map(str::to_owned))
                .collect(),
            stops: vec![],
        };
        Self {
            run: Run {
                calls: contacts[..2].iter().map(call).collect(),
                accounts: vec![account],
                zone: TimeZone::UTC,
                repeats_max: 0,
            },
            contacts,
            member,
            noon,
        }
    }

    /// The same contact again, under another key and of another mass message of which it is the only recipient.
    fn again(&mut self, kind: Kind, member: Uuid, hours_later: i64) {
        let mut call = self.run.calls[0].clone();
        (call.key, call.broadcast) = ("another".to_owned(), Uuid::new_v4());
        (call.kind, call.member) = (kind, member);
        call.arrived = self.noon + SignedDuration::from_hours(hours_later);
        self.run.accounts.push(Account {
            broadcast: call.broadcast,
            snapshot: [call.contact].into(),
            progress: vec![Progress {
                audience: 1,
                outcomes: [("delivered".to_owned(), 1)].into(),
            }],
            receipts: vec![(call.contact, "delivered".to_owned())],
            stops: vec![],
        });
        self.run.calls.push(call);
    }

    fn account(&mut self) -> &mut Account {
        &mut self.run.accounts[0]
    }

    /// Exactly one violation is found, and it says so.
    fn is_caught(&self, invariant: &str, words: &str) {
        let found: Vec<_> = self.run.violations().iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(invariant) && found[0].contains(words),
            "{found:?}"
        );
    }
}

#[test]
fn a_good_run_is_good() {
    assert_eq!(Story::new().run.violations(), []);
}

#[test]
fn a_recipient_without_an_end() {
    let mut story = Story::new();
    story.account().receipts.pop();
    story.account().progress.pop();
    story.account().progress[1]
        .outcomes
        .insert("delivered".to_owned(), 2);
    story.is_caught("V1", "has no end");
}

#[test]
fn a_recipient_with_two_ends() {
    let mut story = Story::new();
    let capped = story.contacts[2];
    story.account().receipts.push((capped, "dead".to_owned()));
    story.account().progress[2].outcomes.insert("dead".to_owned(), 1);
    story.is_caught("V1", "ended twice");
}

#[test]
fn an_end_that_is_none() {
    let mut story = Story::new();
    story.account().receipts[2].1 = "lost".to_owned();
    story.account().progress[2].outcomes.remove("capped");
    story.is_caught("V1", "which is no end");
}

#[test]
fn a_delivery_that_never_arrived() {
    let mut story = Story::new();
    story.run.calls.pop();
    story.is_caught("V1", "the receiver never took it");
    let mut story = Story::new();
    story.run.calls[1].told = Told::CutOff;
    story.is_caught("V1", "the receiver never took it");
}

#[test]
fn a_call_to_somebody_suppressed() {
    let mut story = Story::new();
    let mut call = story.run.calls[0].clone();
    (call.contact, call.key) = (story.contacts[2], "third".to_owned());
    story.run.calls.push(call);
    story.is_caught("V1", "called all the same");
}

#[test]
fn a_call_to_a_stranger() {
    let mut story = Story::new();
    let mut call = story.run.calls[0].clone();
    (call.contact, call.key) = (Uuid::new_v4(), "stranger".to_owned());
    story.run.calls.push(call);
    story.is_caught("V1", "not for them");
}

#[test]
fn an_audience_that_is_not_the_snapshot() {
    let mut story = Story::new();
    story.account().progress[2].audience = 4;
    story.is_caught("V1", "the audience is 4");
}

#[test]
fn a_repetition_without_a_reason() {
    let mut story = Story::new();
    let call = story.run.calls[0].clone();
    story.run.calls.push(call);
    story.is_caught("V2", "1 repeated calls");
    story.run.repeats_max = 1;
    assert_eq!(story.run.violations(), []);
}

#[test]
fn a_repetition_that_was_asked_for() {
    for told in [Told::Again, Told::CutOff, Told::TakenTooLate] {
        let mut story = Story::new();
        let call = story.run.calls[0].clone();
        story.run.calls[0].told = told;
        story.run.calls.push(call);
        assert_eq!(story.run.violations(), [], "{told:?}");
    }
}

#[test]
fn two_keys_for_one_effect() {
    let mut story = Story::new();
    // Otherwise the second key breaks the cap as well.
    story.run.calls[0].told = Told::Again;
    let mut call = story.run.calls[0].clone();
    (call.key, call.told) = ("other".to_owned(), Told::Taken);
    story.run.calls.push(call);
    let found = story.run.violations();
    assert!(
        matches!(found[..], [Violation::Effect(_), Violation::Cap(_)]),
        "{found:?}"
    );
}

#[test]
fn one_key_for_two_effects() {
    let mut story = Story::new();
    story.run.calls[1].key = story.run.calls[0].key.clone();
    let found = story.run.violations();
    assert!(
        found
            .iter()
            .any(|v| matches!(v, Violation::Effect(what) if what.starts_with("key"))),
        "{found:?}"
    );
}

#[test]
fn two_of_a_member_in_a_day() {
    let mut story = Story::new();
    story.again(Kind::Member, story.member, 11);
    story.is_caught("V3", "got 2");
    let mut story = Story::new();
    story.again(Kind::Member, story.member, 12);
    assert_eq!(story.run.violations(), [], "the next day");
    let mut story = Story::new();
    story.again(Kind::Member, Uuid::new_v4(), 0);
    assert_eq!(story.run.violations(), [], "another member");
    let mut story = Story::new();
    story.again(Kind::Enterprise, story.member, 0);
    assert_eq!(story.run.violations(), [], "another kind");
}

#[test]
fn two_of_the_enterprise_in_a_week() {
    // The fourth of March 2026 is a Wednesday: the week ends in four and a half days.
    for (hours_later, is_broken) in [(4 * 24 + 11, true), (4 * 24 + 12, false)] {
        let mut story = Story::new();
        for call in &mut story.run.calls {
            call.kind = Kind::Enterprise;
        }
        story.again(Kind::Enterprise, Uuid::new_v4(), hours_later);
        if is_broken {
            story.is_caught("V3", "got 2");
        } else {
            assert_eq!(story.run.violations(), []);
        }
    }
}

#[test]
fn a_day_is_the_tenants() {
    let mut story = Story::new();
    story.again(Kind::Member, story.member, 5);
    story.is_caught("V3", "got 2");
    story.run.zone = TimeZone::get("Asia/Shanghai").unwrap();
    assert_eq!(story.run.violations(), [], "midnight in Shanghai is at 16:00 UTC");
}

#[test]
fn a_counter_that_goes_back() {
    let mut story = Story::new();
    story.account().progress[0]
        .outcomes
        .insert("delivered".to_owned(), 2);
    story.is_caught("V5", "delivered went from 2 to 1");
}

#[test]
fn a_last_word_that_is_not_the_recount() {
    let mut story = Story::new();
    story.account().progress[2]
        .outcomes
        .insert("delivered".to_owned(), 3);
    story.is_caught("V5", "3 are said to be delivered, 2 are");
}

#[test]
fn a_call_after_the_stop() {
    let mut story = Story::new();
    let second = SignedDuration::from_secs(1);
    story.run.calls[0].started = story.noon + second * 2;
    story.run.calls[0].arrived = story.noon + second * 2;
    story.account().stops = vec![(story.noon, None)];
    story.run.calls[1].started = story.noon - second;
    story.is_caught("V6", "stopped at");
    story.account().stops = vec![(story.noon, Some(story.noon + second))];
    assert_eq!(story.run.violations(), [], "resumed before");
    story.account().stops = vec![(story.noon + second, None)];
    assert_eq!(story.run.violations(), [], "within the second");
}

#[test]
fn the_rate_is_back_when_it_is() {
    let start: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
    let at = |millis: i64| start + SignedDuration::from_millis(millis);
    // A hundred a second for five seconds, nothing for three, then forty for two, then a hundred.
    let arrivals: Vec<_> = (0..500)
        .map(|i| at(i * 10))
        .chain((0..80).map(|i| at(8_000 + i * 25)))
        .chain((0..300).map(|i| at(10_000 + i * 10)))
        .collect();
    let back = back_after(&arrivals, at(5_000), at(13_000)).unwrap();
    assert!((4.0..5.3).contains(&back.as_secs_f64()), "{back:?}");
    // What never comes back is over at the end.
    let back = back_after(&arrivals[..580], at(5_000), at(10_500)).unwrap();
    assert_eq!(back.as_secs_f64(), 5.5);
    assert_eq!(back_after(&arrivals, start, at(1)), None);
    // Three seconds of nothing, or five of less than half.
    let dip = |share| {
        longest_dip(&arrivals, at(5_000), at(13_000), share)
            .unwrap()
            .as_secs_f64()
    };
    assert!((3.0..3.1).contains(&dip(0.3)), "{}", dip(0.3));
    assert!((4.0..5.3).contains(&dip(0.5)), "{}", dip(0.5));
}

#[test]
fn a_steady_rate_is_that_of_the_middle() {
    let start: Timestamp = "2026-03-04T12:00:00Z".parse().unwrap();
    let at = |millis: i64| start + SignedDuration::from_millis(millis);
    // Ten a second for ten seconds, a hundred for ten, and stragglers.
    let arrivals: Vec<_> = (0..100)
        .map(|i| at(i * 100))
        .chain((0..1_000).map(|i| at(10_000 + i * 10)))
        .chain((0..100).map(|i| at(20_000 + i * 1_000)))
        .collect();
    let rate = |settling| steady_rate(&arrivals, Duration::from_secs(settling));
    for settling in [0, 13] {
        let steady = rate(settling).unwrap();
        assert!((99.0..102.0).contains(&steady), "{steady}");
    }
    assert_eq!(rate(19), None, "that is all but over");
    assert_eq!(steady_rate(&[], Duration::ZERO), None);
}
