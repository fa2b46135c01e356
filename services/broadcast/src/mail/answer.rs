//! What a mail server's answer says, and of whom: one recipient, or everybody.

use crate::failure::Failure;

/// How far an e-mail got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is no connection yet, or it does not let us in.
    Connecting,
    /// It has been told who writes.
    Sender,
    /// It has been told to whom.
    Recipient,
    /// It is being given the e-mail, or was.
    Content,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Content => "content",
        }
    }

    /// Whether the recipient was named: before that nothing can be theirs.
    pub(crate) const fn is_named(self) -> bool {
        matches!(self, Self::Recipient | Self::Content)
    }

    /// Whether the recipient may have got it, whatever was answered.
    pub(crate) const fn is_handed(self) -> bool {
        matches!(self, Self::Content)
    }
}

/// What a refusal at a stage says: `code` is the reply's, and its text may begin with a finer one (RFC 3463).
///
/// Before the recipient is named no refusal can be theirs: the server is away, and kills nobody. After that 5xx is the
/// recipient's end, unless it wants us to log in, and 4xx passes: it is the recipient's own when it tells of the mailbox
/// or its address, else the server's (too much mail, no space, greylisting, going down), which never kills.
pub(crate) fn failure_of(stage: Stage, code: u16, text: &str) -> Failure {
    let (subject, detail) = finer(text).unzip();
    match (stage, code) {
        (Stage::Connecting, _) | (Stage::Sender, 500..) | (_, 530 | 534 | 535 | 538) => Failure::Unreachable,
        (Stage::Sender, _) | (_, 421) => Failure::Busy,
        (Stage::Recipient | Stage::Content, ..500) => match subject {
            Some(1 | 2) => Failure::Erred,
            None if code == 450 => Failure::Erred,
            _ => Failure::Busy,
        },
        (Stage::Recipient | Stage::Content, _) => match (subject, detail) {
            (Some(1), Some(1..=3 | 6 | 10)) | (Some(2), Some(1)) => Failure::Gone,
            _ => Failure::Refused,
        },
    }
}

/// Subject and detail of `5.1.1 no such user`.
fn finer(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().next()?.split('.');
    let (class, subject, detail) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if numbers.next().is_some() || !matches!(class, "4" | "5") {
        return None;
    }
    Some((subject.parse().ok()?, detail.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_are_the_recipients_or_the_servers() {
        for (stage, code, text, failure) in [
            (
                Stage::Connecting,
                535,
                "5.7.8 wrong password",
                Failure::Unreachable,
            ),
            (
                Stage::Connecting,
                421,
                "too many connections",
                Failure::Unreachable,
            ),
            (Stage::Sender, 451, "4.3.0 later", Failure::Busy),
            (Stage::Sender, 550, "5.1.8 who are you", Failure::Unreachable),
            (Stage::Sender, 530, "5.7.0 log in first", Failure::Unreachable),
            (Stage::Recipient, 530, "log in first", Failure::Unreachable),
            (Stage::Recipient, 421, "4.7.0 too much", Failure::Busy),
            (Stage::Recipient, 450, "mailbox busy", Failure::Erred),
            (Stage::Recipient, 450, "4.2.1 mailbox busy", Failure::Erred),
            (Stage::Recipient, 450, "4.7.1 greylisted", Failure::Busy),
            (Stage::Recipient, 451, "later", Failure::Busy),
            (Stage::Recipient, 452, "4.2.2 mailbox full", Failure::Erred),
            (Stage::Content, 452, "4.3.1 no space", Failure::Busy),
            (Stage::Content, 454, "Throttling failure", Failure::Busy),
            (Stage::Recipient, 550, "5.1.1 no such user", Failure::Gone),
            (Stage::Recipient, 550, "5.1.10 null MX", Failure::Gone),
            (Stage::Recipient, 550, "5.2.1 closed", Failure::Gone),
            (Stage::Recipient, 550, "no", Failure::Refused),
            (Stage::Recipient, 552, "5.2.2 over quota", Failure::Refused),
            (Stage::Content, 554, "5.7.1 spam", Failure::Refused),
            (Stage::Content, 554, "5.1.1.1 odd", Failure::Refused),
        ] {
            assert_eq!(failure_of(stage, code, text), failure, "{stage:?} {code} {text}");
        }
    }

    proptest! {
        /// No answer before the recipient is named kills, nor does any that passes by itself at once.
        #[test]
        fn only_a_refusal_of_the_recipient_is_final(code in 400u16..600, text in "([45](\\.[0-9]{1,3}){0,3})?.{0,10}") {
            for stage in [Stage::Connecting, Stage::Sender] {
                prop_assert!(failure_of(stage, code, &text).is_the_receivers());
            }
            for stage in [Stage::Recipient, Stage::Content] {
                prop_assert!(code >= 500 || !failure_of(stage, code, &text).is_final());
            }
        }
    }
}
