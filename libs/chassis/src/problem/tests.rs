//! What a client sees of a problem, over HTTP and gRPC.

use http_body_util::BodyExt;

use super::*;

async fn body(response: Response) -> Body {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_problem_says_field_and_remedy() {
    let problem = Problem::new(
        Class::Invalid,
        "weight_out_of_range",
        "weight is 0, at least 1 is needed",
    )
    .field("members[0].weight")
    .remedy("give a weight between 1 and 100");
    let response = problem.into_response();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = body(response).await;
    assert_eq!(body.r#type, "urn:shequn:problem:weight_out_of_range");
    assert_eq!(body.field.as_deref(), Some("members[0].weight"));
    assert_eq!(body.remedy.as_deref(), Some("give a weight between 1 and 100"));
}

#[tokio::test]
async fn internals_stay_inside() {
    let response = Problem::from_sqlx(sqlx::Error::ColumnNotFound("secret".to_owned())).into_response();
    assert_eq!(response.status(), 500);
    assert!(!format!("{:?}", body(response).await).contains("secret"));
    let status = Status::from(Problem::internal("secret"));
    assert!(!format!("{status:?}").contains("secret"));
}

#[test]
fn an_absent_database_is_unavailable_for_a_second() {
    for error in [
        sqlx::Error::PoolTimedOut,
        sqlx::Error::PoolClosed,
        sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
    ] {
        let response = Problem::from_sqlx(error).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
    }
    for state in ["57P01", "57P03", "53100", "53300", "08006", "40P01", "57014"] {
        assert!(is_passing_state(state), "{state}");
    }
    for state in ["23505", "42P01", "22P02", "42501"] {
        assert!(!is_passing_state(state), "{state}");
    }
}

#[test]
fn a_challenge_goes_with_401() {
    let response = Problem::new(Class::Unauthenticated, "token_missing", "no token").into_response();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[test]
fn grpc_carries_code_and_field() {
    let status = Status::from(Problem::new(Class::Refused, "group_full", "no seat left").field("group_id"));
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.metadata().get("code").unwrap(), "group_full");
    assert_eq!(status.metadata().get("field").unwrap(), "group_id");
}

#[test]
fn a_peer_that_is_away_makes_us_unavailable() {
    assert_eq!(
        Problem::from_peer(Status::unavailable("gone")).class,
        Class::Unavailable
    );
    assert_eq!(
        Problem::from_peer(Status::deadline_exceeded("slow")).class,
        Class::Unavailable
    );
    let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::UnexpectedEof)));
    assert_eq!(broken.code(), Code::Unknown);
    assert_eq!(Problem::from_peer(broken).class, Class::Unavailable);
    for told in [Status::permission_denied("no"), Status::unknown("what")] {
        assert_eq!(Problem::from_peer(told).class, Class::Internal);
    }
}

#[test]
fn the_log_sees_the_whole_chain() {
    let problem = Problem::internal(sqlx::Error::Io(std::io::Error::other("disk on fire")));
    assert_eq!(
        chain(&problem),
        "something went wrong on our side: error communicating with database: disk on fire: disk on fire"
    );
}
