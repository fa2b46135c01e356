//! What may be asked for, and who may do what when.

use serde_json::json;

use super::*;

fn command(kind: &str) -> AcceptBroadcast {
    serde_json::from_value(json!({
        "kind": kind, "title": "t", "text": "x", "audience": {}, "channel": "inbox"
    }))
    .unwrap()
}

#[test]
fn the_whole_tenant_is_for_operators() {
    assert!(command("member").check_starter(Role::Agent).is_ok());
    assert!(matches!(
        command("enterprise").check_starter(Role::Agent),
        Err(Error::OperatorNeeded)
    ));
    assert!(command("enterprise").check_starter(Role::Operator).is_ok());
}

#[test]
fn it_says_one_thing() {
    assert_eq!(command("member").said().unwrap(), Said::plain("x"));
    let content = json!({"language": "zh", "variants": {"zh": {"text": "{{contact.name|亲}}"}}});
    let content: Content = serde_json::from_value(content).unwrap();
    assert_eq!(said(None, Some(&content)).unwrap().text, "亲");
    assert!(matches!(said(None, None), Err(Error::SaysNothing)));
    assert!(matches!(said(Some("x"), Some(&content)), Err(Error::SaysTwice)));
}

#[test]
fn an_answer_kept_by_a_version_before_posts_still_decodes() {
    let own = Broadcast::accept(
        &command("member"),
        Said::plain("x"),
        MemberId::new(),
        Timestamp::UNIX_EPOCH,
    );
    let mut kept = serde_json::to_value(&own).unwrap();
    for field in ["to", "post_in"] {
        kept.as_object_mut().unwrap().remove(field).unwrap();
    }
    assert_eq!(serde_json::from_value::<Broadcast>(kept).unwrap(), own);
}

#[test]
fn tags_and_rate_are_bounded() {
    assert!(serde_json::from_value::<Tags>(json!(vec!["a"; 20])).is_ok());
    assert!(serde_json::from_value::<Tags>(json!(vec!["a"; 21])).is_err());
    assert!(serde_json::from_value::<RatePerS>(json!(10_000)).is_ok());
    assert!(serde_json::from_value::<RatePerS>(json!(0)).is_err());
    assert!(serde_json::from_value::<HeldOutPpm>(json!(500_000)).is_ok());
    assert!(serde_json::from_value::<HeldOutPpm>(json!(500_001)).is_err());
}

#[test]
fn a_starter_or_an_operator_cancels_what_is_not_over() {
    let starter = MemberId::new();
    let mut own = Broadcast::accept(
        &command("member"),
        Said::plain("x"),
        starter,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(own.cancel(starter, Role::Agent).unwrap(), Some(State::Cancelling));
    assert!(matches!(
        own.cancel(MemberId::new(), Role::Agent),
        Err(Error::OperatorNeeded)
    ));
    assert_eq!(
        own.cancel(MemberId::new(), Role::Operator).unwrap(),
        Some(State::Cancelling)
    );
    own.state = State::Cancelling;
    assert_eq!(own.cancel(starter, Role::Agent).unwrap(), None);
    own.state = State::Finished;
    assert!(matches!(
        own.cancel(starter, Role::Agent),
        Err(Error::BroadcastFinished)
    ));
}

#[test]
fn a_starter_or_an_operator_pauses_and_resumes_what_is_not_over() {
    let starter = MemberId::new();
    let mut own = Broadcast::accept(
        &command("member"),
        Said::plain("x"),
        starter,
        Timestamp::UNIX_EPOCH,
    );
    let (pause, resume) = (
        |own: &Broadcast| own.pause(starter, Role::Agent),
        |own: &Broadcast| own.resume(starter, Role::Agent),
    );
    for (state, is_paused) in [
        (State::Resolving, false),
        (State::Running, false),
        (State::Paused, true),
    ] {
        own.state = state;
        assert_eq!(pause(&own).unwrap(), !is_paused);
        assert_eq!(resume(&own).unwrap(), is_paused);
        assert!(own.pause(MemberId::new(), Role::Operator).is_ok());
        let stranger = own.resume(MemberId::new(), Role::Agent);
        assert!(matches!(stranger, Err(Error::OperatorNeeded)));
    }
    for state in [State::Cancelling, State::Cancelled] {
        own.state = state;
        assert!(matches!(pause(&own), Err(Error::BroadcastCancelled)));
        assert!(matches!(resume(&own), Err(Error::BroadcastCancelled)));
    }
    own.state = State::Finished;
    assert!(matches!(resume(&own), Err(Error::BroadcastFinished)));
}

#[test]
fn an_audience_rests_for_a_minute_at_most() {
    let secs = |failures| rest_before_turn(failures).as_secs();
    assert_eq!([0, 1, 2, 6, 7, 1_000].map(secs), [0, 1, 2, 32, 60, 60]);
}

#[test]
fn it_ends_once() {
    assert_eq!(State::Running.end(), Some(State::Finished));
    assert_eq!(State::Cancelling.end(), Some(State::Cancelled));
    for state in [State::Resolving, State::Paused, State::Finished, State::Cancelled] {
        assert_eq!(state.end(), None);
    }
}
