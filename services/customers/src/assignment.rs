//! Which member a live code shows a person: drawn by weight, and the same at every scan (D63).

use contracts::{CodeId, ContactId, MemberId};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// A member a person may be assigned to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Seat {
    pub(crate) member_id: MemberId,
    /// What the contact sees.
    pub(crate) alias: String,
    pub(crate) weight: u32,
}

/// What an earlier scan of the same code by the same person left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) contact_id: ContactId,
    pub(crate) member_id: MemberId,
    pub(crate) alias: String,
    pub(crate) has_left: bool,
}

/// What a scan does to an assignment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Seen before: the same member as ever.
    Stay(Assigned),
    /// First scan: drawn now, kept from now on.
    First(Seat),
    /// The member has left: the one move to another.
    Move { from: Assigned, to: Seat },
}

/// Decides what a person's scan of a code does; `None` when there is nobody to show.
pub(crate) fn turn(
    code_id: CodeId,
    external_id: &str,
    earlier: Option<Assigned>,
    seats: &[Seat],
) -> Option<Turn> {
    let drawn = || draw(code_id, external_id, seats).cloned();
    match earlier {
        Some(earlier) if !earlier.has_left => Some(Turn::Stay(earlier)),
        Some(from) => drawn().map(|to| Turn::Move { from, to }),
        None => drawn().map(Turn::First),
    }
}

/// Draws one of `seats`, each with a chance in proportion to its weight.
///
/// Weighted rendezvous hashing: every seat gets a score that depends on nothing but code, person and member,
/// and the best wins. So ten first scans at once agree without talking to each other, and when a member
/// leaves, only the people drawn to them are drawn anew.
fn draw<'a>(code_id: CodeId, external_id: &str, seats: &'a [Seat]) -> Option<&'a Seat> {
    seats.iter().filter(|seat| seat.weight > 0).max_by(|a, b| {
        let by_score = score(code_id, external_id, a).total_cmp(&score(code_id, external_id, b));
        by_score.then(a.member_id.cmp(&b.member_id))
    })
}

/// `ln(u) / weight` with `u` uniform in (0, 1): the greatest of these belongs to a seat with probability
/// weight / sum of weights (exponential clocks, the first to ring wins).
fn score(code_id: CodeId, external_id: &str, seat: &Seat) -> f64 {
    let mut hash = Sha256::new();
    hash.update(code_id.0);
    hash.update(seat.member_id.0);
    hash.update(external_id);
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
    // 53 bits are what a double holds exactly; the half keeps 0 and 1 out.
    let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
    let uniform = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
    uniform.ln() / f64::from(seat.weight)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn seat(member: u128, weight: u32) -> Seat {
        Seat {
            member_id: MemberId(Uuid::from_u128(member)),
            alias: format!("member {member}"),
            weight,
        }
    }

    fn code(n: u128) -> CodeId {
        CodeId(Uuid::from_u128(n))
    }

    fn drawn(code_id: CodeId, person: &str, seats: &[Seat]) -> MemberId {
        draw(code_id, person, seats).unwrap().member_id
    }

    /// Pearson's statistic of 10,000 people against the weights.
    fn chi_square(code_id: CodeId, seats: &[Seat]) -> f64 {
        const PEOPLE: u32 = 10_000;
        let mut counts = vec![0_u32; seats.len()];
        for person in 0..PEOPLE {
            let member = drawn(code_id, &format!("wx-{person}"), seats);
            counts[seats.iter().position(|seat| seat.member_id == member).unwrap()] += 1;
        }
        let total: u32 = seats.iter().map(|seat| seat.weight).sum();
        let terms = seats.iter().zip(&counts).map(|(seat, &count)| {
            let expected = f64::from(PEOPLE) * f64::from(seat.weight) / f64::from(total);
            (f64::from(count) - expected).powi(2) / expected
        });
        terms.sum()
    }

    #[test]
    fn ten_thousand_scanners_fit_the_weights() {
        // The bounds are the 99.9 % quantiles of chi-square with (seats − 1) degrees of freedom; people and
        // codes are fixed, so the test always sees the same draws.
        let even: Vec<_> = (1..=3).map(|n| seat(n, 1)).collect();
        assert!(chi_square(code(1), &even) < 13.82);
        let skewed = [seat(1, 1), seat(2, 2), seat(3, 7)];
        assert!(chi_square(code(2), &skewed) < 13.82);
        let many: Vec<_> = (1..=10).map(|n| seat(n, n as u32)).collect();
        assert!(chi_square(code(3), &many) < 27.88);
    }

    #[test]
    fn the_statistic_notices_wrong_weights() {
        let weighed: Vec<_> = [seat(1, 1), seat(2, 1)].into();
        let mut claimed = weighed.clone();
        claimed[0].weight = 2;
        let mut counts = [0_f64; 2];
        for person in 0..10_000 {
            let first = drawn(code(1), &format!("wx-{person}"), &weighed) == weighed[0].member_id;
            counts[usize::from(!first)] += 1.0;
        }
        let expected = [10_000.0 * 2.0 / 3.0, 10_000.0 / 3.0];
        let statistic: f64 = (0..2)
            .map(|n| (counts[n] - expected[n]).powi(2) / expected[n])
            .sum();
        assert!(statistic > 10.83, "{statistic}");
    }

    fn assigned(member: u128, has_left: bool) -> Assigned {
        let contact_id = ContactId(Uuid::from_u128(77));
        Assigned {
            contact_id,
            member_id: seat(member, 1).member_id,
            alias: "小丸子".to_owned(),
            has_left,
        }
    }

    #[test]
    fn a_person_seen_before_stays_even_when_the_seats_have_changed() {
        let stays = turn(code(1), "wx", Some(assigned(9, false)), &[seat(1, 1)]);
        assert_eq!(stays, Some(Turn::Stay(assigned(9, false))));
    }

    #[test]
    fn whose_member_left_is_moved_where_a_newcomer_would_be_drawn() {
        let seats = [seat(1, 1), seat(2, 1), seat(3, 1)];
        let Some(Turn::First(drawn)) = turn(code(1), "wx", None, &seats) else {
            panic!("not drawn")
        };
        let moves = turn(code(1), "wx", Some(assigned(9, true)), &seats);
        assert_eq!(
            moves,
            Some(Turn::Move {
                from: assigned(9, true),
                to: drawn
            })
        );
    }

    #[test]
    fn nobody_left_means_nobody_shown() {
        assert_eq!(turn(code(1), "wx", Some(assigned(1, true)), &[]), None);
        assert_eq!(turn(code(1), "wx", None, &[]), None);
    }

    proptest! {
        #[test]
        fn only_those_of_a_leaver_are_drawn_anew(
            person in "[a-z0-9]{1,20}",
            weights in prop::collection::vec(1_u32..=1000, 2..8),
            leaver in any::<prop::sample::Index>(),
        ) {
            let seats: Vec<_> = (1..).zip(weights).map(|(n, weight)| seat(n, weight)).collect();
            let before = drawn(code(1), &person, &seats);
            let mut rest = seats.clone();
            let gone = rest.remove(leaver.index(seats.len()));
            let after = drawn(code(1), &person, &rest);
            prop_assert!(after == before || before == gone.member_id);
        }

        #[test]
        fn the_draw_does_not_depend_on_the_order_of_seats(
            person in "\\PC{1,20}",
            weights in prop::collection::vec(1_u32..=1000, 1..8),
        ) {
            let mut seats: Vec<_> = (1..).zip(weights).map(|(n, weight)| seat(n, weight)).collect();
            let before = drawn(code(1), &person, &seats);
            seats.reverse();
            prop_assert_eq!(drawn(code(1), &person, &seats), before);
        }
    }
}
