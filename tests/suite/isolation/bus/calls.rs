//! What there is to try on the bus, generated from the edges, and which user may do it.

use contracts::EVENT_NAMES;

use super::wire::Attempt;
use crate::isolation::edges::{Durable, Edges};

/// Nobody's names, for what doesn't exist yet.
const NO_STREAM: &str = "UNHEARD";
const NO_DURABLE: &str = "unheard";
const NO_EVENT: &str = "Unheard";

// The API subjects of nats-server 2.15 (`strings nats-server | grep JS.API` tells those of another).
const STREAM_VERBS: [&str; 12] = [
    "CREATE",
    "UPDATE",
    "INFO",
    "DELETE",
    "PURGE",
    "MSG.GET",
    "MSG.DELETE",
    "SNAPSHOT",
    "RESTORE",
    "PEER.REMOVE",
    "PEER.EVACUATE",
    "LEADER.STEPDOWN",
];
const CONSUMER_VERBS: [&str; 10] = [
    "CREATE",
    "INFO",
    "MSG.NEXT",
    "DELETE",
    "PAUSE",
    "UNPIN",
    "RESET",
    "PEER.REMOVE",
    "PEER.EVACUATE",
    "LEADER.STEPDOWN",
];
const OF_ACCOUNT: [&str; 13] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.ACCOUNT.PURGE.x",
    "$JS.API.ACCOUNT.STREAM.MOVE.x.y",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.SERVER.REMOVE",
    "$JS.API.SERVER.STREAM.MOVE.x.y",
    "$JS.API.STREAM.CANCEL",
    "$JS.API.META.RESCUE",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.$G.JSZ",
    "$SYS.REQ.USER.INFO",
];
const TOO_WIDE: [&str; 9] = [
    ">",
    "*",
    "shequn.>",
    "_INBOX.>",
    "_INBOX.*",
    "$JS.>",
    "$JS.API.>",
    "$JS.EVENT.>",
    "$SYS.>",
];

/// One thing to try, in the words of the model.
enum Call<'a> {
    Event {
        stream: &'a str,
    },
    Stream {
        verb: &'a str,
        stream: &'a str,
    },
    Consumer {
        verb: &'a str,
        stream: &'a str,
        name: &'a str,
        filter: Filter,
    },
    Ack {
        name: &'a str,
    },
    Account {
        subject: &'a str,
    },
    Listen {
        inbox_of: Option<&'a str>,
    },
    Other,
}

/// How the subject of a consumer call relates to the durable's one filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Filter {
    Own,
    Another,
    None,
}

/// A case: who tries what, and whether it must work.
pub(super) struct Case {
    pub(super) attempt: Attempt,
    pub(super) allowed: bool,
    /// Whether somebody answers when it works.
    pub(super) answered: bool,
}

/// Every case of one user.
pub(super) fn cases(edges: &Edges, user: &str, users: &[&str]) -> Vec<Case> {
    let mut attempts = Vec::new();
    events(edges, &mut attempts);
    streams(edges, &mut attempts);
    consumers(edges, &mut attempts);
    attempts.extend(OF_ACCOUNT.map(|subject| publish(subject.to_owned(), Call::Account { subject })));
    for other in users {
        attempts.push(publish(format!("_INBOX.{other}.x"), Call::Other));
        let listen = Call::Listen {
            inbox_of: Some(*other),
        };
        attempts.push((Attempt::Subscribe(format!("_INBOX.{other}.>")), listen));
    }
    for subject in TOO_WIDE
        .into_iter()
        .chain(edges.streams().map(|(_, subjects)| subjects))
    {
        attempts.push((
            Attempt::Subscribe(subject.to_owned()),
            Call::Listen { inbox_of: None },
        ));
    }
    let case = |(attempt, call): (Attempt, Call<'_>)| Case {
        attempt,
        allowed: allowed(edges, user, &call),
        answered: match call {
            Call::Ack { .. } | Call::Listen { .. } => false,
            Call::Consumer {
                verb: "MSG.NEXT",
                stream,
                name,
                ..
            } => lives_at(edges, name, stream),
            _ => true,
        },
    };
    attempts.into_iter().map(case).collect()
}

type Attempts<'a> = Vec<(Attempt, Call<'a>)>;

fn publish(subject: String, call: Call<'_>) -> (Attempt, Call<'_>) {
    (Attempt::Publish(subject), call)
}

fn events<'a>(edges: &'a Edges, attempts: &mut Attempts<'a>) {
    for (stream, subjects) in edges.streams() {
        let prefix = subjects.trim_end_matches('>');
        let known = EVENT_NAMES.iter().filter_map(|name| name.strip_prefix(prefix));
        for event in known.chain([NO_EVENT]) {
            attempts.push(publish(
                format!("{prefix}{event}.tenant.key"),
                Call::Event { stream },
            ));
        }
    }
    attempts.push(publish(
        "shequn.unheard.v1.Unheard.tenant.key".to_owned(),
        Call::Other,
    ));
    attempts.push(publish("anything".to_owned(), Call::Other));
}

fn streams<'a>(edges: &'a Edges, attempts: &mut Attempts<'a>) {
    let streams = edges.streams().map(|(stream, _)| stream);
    for stream in streams.chain([NO_STREAM]) {
        for verb in STREAM_VERBS {
            attempts.push(publish(
                format!("$JS.API.STREAM.{verb}.{stream}"),
                Call::Stream { verb, stream },
            ));
        }
        for subject in [
            format!("$JS.API.DIRECT.GET.{stream}"),
            format!("$JS.API.DIRECT.GET.{stream}.shequn.identity.v1.TenantVerified"),
            format!("$JS.API.CONSUMER.NAMES.{stream}"),
            format!("$JS.API.CONSUMER.LIST.{stream}"),
            // Legacy forms, in which the body alone names the consumer.
            format!("$JS.API.CONSUMER.CREATE.{stream}"),
        ] {
            attempts.push(publish(subject, Call::Other));
        }
    }
}

fn consumers<'a>(edges: &'a Edges, attempts: &mut Attempts<'a>) {
    for (durable, Durable { stream, event }) in edges.durables() {
        let streams = edges.streams().map(|(stream, _)| stream);
        for at in streams {
            for verb in CONSUMER_VERBS {
                let filter = if verb == "CREATE" {
                    Filter::None
                } else {
                    Filter::Own
                };
                let call = Call::Consumer {
                    verb,
                    stream: at,
                    name: durable,
                    filter,
                };
                attempts.push(publish(format!("$JS.API.CONSUMER.{verb}.{at}.{durable}"), call));
            }
        }
        let at = format!("{stream}.{durable}");
        let create = |filter| Call::Consumer {
            verb: "CREATE",
            stream,
            name: durable,
            filter,
        };
        for (subjects, filter) in [
            (format!("{event}.>"), Filter::Own),
            (format!("{event}.tenant.>"), Filter::Own),
            (format!("{event}{NO_EVENT}.>"), Filter::Another),
            (">".to_owned(), Filter::Another),
            ("shequn.>".to_owned(), Filter::Another),
            (event.clone(), Filter::Another),
        ] {
            attempts.push(publish(
                format!("$JS.API.CONSUMER.CREATE.{at}.{subjects}"),
                create(filter),
            ));
        }
        attempts.push(publish(
            format!("$JS.API.CONSUMER.DURABLE.CREATE.{at}"),
            Call::Other,
        ));
        attempts.push(publish(
            format!("$JS.ACK.{at}.1.1.1.1.0"),
            Call::Ack { name: durable },
        ));
        attempts.push(publish(format!("$JS.FC.{at}.x"), Call::Other));
    }
    for (stream, subjects) in edges.streams() {
        for verb in CONSUMER_VERBS {
            // Ephemeral consumers name their filter when they are made, and not again.
            let (tail, filter) = if verb == "CREATE" {
                (format!(".{subjects}"), Filter::Another)
            } else {
                (String::new(), Filter::None)
            };
            let call = Call::Consumer {
                verb,
                stream,
                name: NO_DURABLE,
                filter,
            };
            attempts.push(publish(
                format!("$JS.API.CONSUMER.{verb}.{stream}.{NO_DURABLE}{tail}"),
                call,
            ));
        }
        attempts.push(publish(
            format!("$JS.ACK.{stream}.{NO_DURABLE}.1.1.1.1.0"),
            Call::Ack { name: NO_DURABLE },
        ));
    }
}

/// The rule: own events, own streams, own durables under their one filter; `tail` looks at everything and holds
/// ephemeral consumers.
fn allowed(edges: &Edges, user: &str, call: &Call<'_>) -> bool {
    let service = edges.service.get(user);
    let owns = |stream: &str| service.is_some_and(|service| service.streams.contains_key(stream));
    let durable = |name: &str| service.and_then(|service| service.durables.get(name));
    let listens = |stream: &str| {
        service.is_some_and(|service| service.durables.values().any(|durable| durable.stream == stream))
    };
    let tails = |stream: &str| user == "tail" && edges.tail.streams.iter().any(|tailed| tailed == stream);
    match *call {
        Call::Event { stream } => owns(stream),
        Call::Stream { verb: "INFO", stream } => owns(stream) || listens(stream) || tails(stream),
        Call::Stream { verb, stream } => verb == "CREATE" && owns(stream),
        Call::Consumer {
            verb,
            stream,
            name,
            filter,
        } => {
            let own = durable(name).is_some_and(|durable| durable.stream == stream)
                && matches!(verb, "CREATE" | "INFO" | "MSG.NEXT")
                && filter == Filter::Own;
            own || tails(stream) && tail_may(verb, lives_at(edges, name, stream))
        }
        Call::Ack { name } => durable(name).is_some(),
        Call::Account { subject } => subject == "$JS.API.INFO",
        Call::Listen { inbox_of } => inbox_of == Some(user),
        Call::Other => false,
    }
}

/// Whatever it likes with its own, whose names nobody knows; a durable it may only look at.
fn tail_may(verb: &str, durable: bool) -> bool {
    match verb {
        "INFO" => true,
        "CREATE" | "MSG.NEXT" | "DELETE" => !durable,
        _ => false,
    }
}

fn lives_at(edges: &Edges, durable: &str, stream: &str) -> bool {
    edges
        .durables()
        .any(|(name, at)| name == durable && at.stream == stream)
}
