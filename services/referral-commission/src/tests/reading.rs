//! What can be read of the ledger.

use contracts::ContactId;
use contracts::referral::v1::GetBalancesRequest;
use contracts::referral::v1::referral_service_server::ReferralService as _;
use jiff::Timestamp;

use super::{DELIVERED_AT, House, delivered, paid, paid_by, refunded};
use crate::engine::PersonId;
use crate::statement::{Credit, Period, Statement};
use crate::store;

async fn statement(house: &House, from: Option<&str>, to: Option<&str>) -> Statement {
    let person: PersonId = "p1".parse().unwrap();
    let instant = |text: Option<&str>| text.map(|text| text.parse::<Timestamp>().unwrap());
    let period = Period::new(instant(from), instant(to)).unwrap();
    let mut tx = house.state.db.read(house.tenant_id).await.unwrap();
    let openings = match period.from {
        Some(from) => store::statement::opening(&mut *tx, &person, from).await.unwrap(),
        None => Vec::new(),
    };
    let lines = store::statement::lines(&mut *tx, &person, &period, 500)
        .await
        .unwrap();
    let credit = |row: store::journal::PersonBalance| {
        (
            row.currency,
            Credit {
                held_minor: row.held,
                available_minor: row.available,
            },
        )
    };
    Statement::new(person, period, openings.into_iter().map(credit).collect(), lines)
}

#[tokio::test]
async fn i21_statements_add_up_and_chain() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    house.take_in(delivered("O-1", DELIVERED_AT)).await;
    house
        .take_in(refunded("O-1", "r1", "2026-04-01T00:00:00Z", 39_800))
        .await;
    let months = [
        (None, Some("2026-03-01T00:00:00+08:00")),
        (
            Some("2026-03-01T00:00:00+08:00"),
            Some("2026-04-01T00:00:00+08:00"),
        ),
        (Some("2026-04-01T00:00:00+08:00"), None),
    ];
    let mut closing = Credit::default();
    let mut kinds = Vec::new();
    for (from, to) in months {
        let month = statement(&house, from, to).await.currencies.remove(0);
        assert_eq!(month.opening, closing, "consecutive statements chain");
        assert!(month.lines.iter().all(|line| line.why.minor() > 0));
        kinds.push(
            month
                .lines
                .iter()
                .map(|line| line.kind.clone())
                .collect::<Vec<_>>(),
        );
        closing = month.closing;
    }
    assert_eq!(kinds, [["sale"; 2], ["maturity"; 2], ["refund"; 2]]);
    assert_eq!(closing, Credit::default());
    let whole = statement(&house, None, None).await.currencies.remove(0);
    assert_eq!((whole.lines.len(), whole.closing), (6, Credit::default()));
}

#[tokio::test]
async fn a_contact_is_named_by_either_id() {
    let house = House::open().await;
    let contact_id = ContactId::new();
    let mut tx = house.state.db.begin(house.tenant_id).await.unwrap();
    store::person::put(&mut *tx, house.tenant_id, contact_id, &"p1".parse().unwrap())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    house.take_in(paid("O-1")).await;
    house.take_in(paid_by("O-2", &contact_id.to_string())).await;
    assert_eq!(house.books().await["HELD:p1"], -37_960);

    let mut asked = tonic::Request::new(GetBalancesRequest {
        person: contact_id.to_string(),
    });
    asked.extensions_mut().insert(chassis::auth::Caller::Service {
        service: "customers".to_owned(),
        tenant: house.tenant_id,
    });
    let balances = house
        .state
        .get_balances(asked)
        .await
        .unwrap()
        .into_inner()
        .balances;
    assert_eq!(balances.len(), 1);
    let balance = &balances[0];
    assert_eq!(
        (
            balance.person.as_str(),
            balance.held_minor,
            balance.available_minor
        ),
        ("p1", 37_960, 0)
    );
}

#[tokio::test]
async fn a_reader_sees_one_moment() {
    let house = House::open().await;
    house.take_in(paid("O-1")).await;
    let mut tx = house.state.db.read(house.tenant_id).await.unwrap();
    store::freeze(&mut *tx).await.unwrap();
    let classes = store::journal::classes(&mut *tx).await.unwrap();
    house.take_in(paid("O-2")).await;
    let accounts = store::journal::accounts(&mut *tx, None, 10).await.unwrap();
    let sum = |class: &str| classes.iter().find(|c| c.class == class).unwrap().balance.minor;
    let account = |name: &str| accounts.iter().find(|a| a.account == name).unwrap().balance.minor;
    assert_eq!((sum("CLR"), sum("COM")), (account("CLR"), account("COM")));
    assert_eq!(account("CLR"), 39_800);
}

#[tokio::test]
async fn commissions_come_in_pages() {
    let house = House::open().await;
    for order in ["O-1", "O-2"] {
        house.take_in(paid(order)).await;
    }
    let mut tx = house.state.db.read(house.tenant_id).await.unwrap();
    let mut seen = Vec::new();
    let mut after = None;
    while let Some(commission) = store::accrual::page(&mut *tx, None, after.as_ref(), 1)
        .await
        .unwrap()
        .into_iter()
        .next()
    {
        assert_eq!(commission.why.minor(), commission.amount.minor, "I18");
        after = Some(commission.place());
        seen.push(format!("{} {}", commission.order, commission.rule));
    }
    assert_eq!(seen, ["O-1 R1", "O-1 R2", "O-2 R1", "O-2 R2"]);
    let nobody: PersonId = "nobody".parse().unwrap();
    assert!(
        store::accrual::page(&mut *tx, Some(&nobody), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}
