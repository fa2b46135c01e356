//! Logins, sessions and the keys that sign them.

use super::*;

#[tokio::test]
async fn of_a_hundred_refreshes_with_one_token_one_succeeds_and_the_session_ends() {
    let bench = bench().await;
    bench.brand("hanasaki").await;
    let tokens = bench
        .log_in("hanasaki", "owner@hanasaki.example", PASSWORD)
        .await
        .unwrap();
    let token = refresh_token(&tokens);
    let outcomes = join_all((0..100).map(|_| bench.refresh(&token))).await;
    let renewed: Vec<&Tokens> = outcomes.iter().flatten().collect();
    assert_eq!(renewed.len(), 1);
    let heir = bench.refresh(&refresh_token(renewed[0])).await;
    assert!(
        matches!(heir, Err(Error::RefreshTokenInvalid)),
        "whoever got it first"
    );
}

#[tokio::test]
async fn a_session_goes_on_by_refreshing_and_ends_by_logging_out() {
    let bench = bench().await;
    bench.brand("hanasaki").await;
    let mut token = refresh_token(
        &bench
            .log_in("hanasaki", "owner@hanasaki.example", PASSWORD)
            .await
            .unwrap(),
    );
    for _ in 0..3 {
        token = refresh_token(&bench.refresh(&token).await.unwrap());
    }
    log_out::log_out(&bench.state, body(json!({"refresh_token": &token})))
        .await
        .unwrap();
    assert!(matches!(
        bench.refresh(&token).await,
        Err(Error::RefreshTokenInvalid)
    ));
}

#[tokio::test]
async fn refused_logins_look_alike_until_they_are_too_many() {
    let bench = bench().await;
    bench.brand("hanasaki").await;
    let unknown = [
        ("hanasaki", "nobody@hanasaki.example"),
        ("no-such-brand", "owner@hanasaki.example"),
    ];
    for (slug, email) in unknown {
        let refused = bench.log_in(slug, email, PASSWORD).await;
        assert!(matches!(refused, Err(Error::CredentialsWrong)));
    }
    for _ in 0..3 {
        let refused = bench
            .log_in("hanasaki", "owner@hanasaki.example", "not this one")
            .await;
        assert!(matches!(refused, Err(Error::CredentialsWrong)));
    }
    let throttled = bench.log_in("hanasaki", "owner@hanasaki.example", PASSWORD).await;
    assert!(matches!(
        throttled,
        Err(Error::Throttled {
            retry_after_secs: 800..=900
        })
    ));
}

#[tokio::test]
async fn processes_that_start_together_share_one_key() {
    let bench = bench().await;
    let State { db, seal, clock, .. } = &bench.state;
    sqlx::query("delete from signing_key")
        .execute(&bench.database.superuser)
        .await
        .unwrap();
    let made = (0..5).map(|_| rotate_keys(db, seal, Rotation::WhenDue, clock.now()));
    let rings: Vec<_> = join_all(made).await.into_iter().map(Result::unwrap).collect();
    let kids = bench.see("select kid from signing_key").await;
    assert_eq!(kids.len(), 1);
    for ring in rings {
        assert_eq!(ring.signing(clock.now()).unwrap().kid(), kids[0]);
    }
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_even_when_its_secret_is() {
    let bench = bench().await;
    let State { db, clock, .. } = &bench.state;
    let before = bench.see("select kid from signing_key").await;
    let other = seal("t");
    assert!(matches!(
        load(db, &other).await,
        Err(Error::Seal(SealError::Broken(_)))
    ));
    let ring = rotate_keys(db, &other, Rotation::Withdraw, clock.now())
        .await
        .unwrap();
    let published = ring.published(clock.now()).keys;
    assert_eq!(published.len(), 1);
    assert_ne!(published[0].kid, before[0]);
}

#[tokio::test]
async fn the_running_service_makes_no_reviewers() {
    let bench = bench().await;
    let insert = "insert into reviewer values (gen_random_uuid(), 'me@platform.example', 'x', now())";
    let denied = sqlx::query(insert)
        .execute(&bench.database.pool)
        .await
        .unwrap_err();
    assert!(denied.to_string().contains("permission denied"), "{denied}");
}

#[tokio::test]
async fn a_member_keeps_a_bounded_number_of_sessions() {
    let bench = bench().await;
    let owner = bench.brand("hanasaki").await;
    let now = bench.state.clock.now();
    let mut tx = bench.state.db.begin(owner.tenant).await.unwrap();
    let end = crate::session::end(now);
    for _ in 0..crate::session::PER_MEMBER_MAX + 5 {
        let session = Uuid::now_v7();
        store::session::insert(&mut *tx, owner.tenant, owner.member, session, now, end)
            .await
            .unwrap();
    }
    store::session::tidy(&mut *tx, owner.member, now).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.see("select count(*)::text from session").await, ["100"]);

    let mut tx = bench.state.db.begin(owner.tenant).await.unwrap();
    store::session::tidy(&mut *tx, owner.member, end).await.unwrap();
    store::session::tidy(&mut *tx, MemberId::new(), end)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.see("select count(*)::text from session").await, ["0"]);
}
