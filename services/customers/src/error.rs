//! What can go wrong in customers, and how each is told: one enum, one table.

use chassis::{Class, Problem};
use outbox::RecordError;
use outbox::request::RequestError;

use crate::import::ROWS_MAX;
use crate::import::file::FileError;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no live code has this token")]
    TokenUnknown,
    #[error("there is no such live code")]
    CodeUnknown,
    #[error("there is no such contact")]
    ContactUnknown,
    #[error("this member does not follow this contact")]
    FollowUnknown,
    #[error("there is no such import")]
    ImportUnknown,
    #[error("the tenant is not verified yet")]
    TenantUnverified,
    #[error("everybody who could look after this contact has left")]
    NobodyLeft,
    #[error("the same person scanned too often at the same moment")]
    ScanContended,
    #[error("a live code has 1 to 100 members")]
    CodeMembers,
    #[error("a weight is 1 to 1000")]
    Weight { index: usize },
    #[error("the member stands here twice")]
    MemberTwice { index: usize },
    #[error("nobody on the staff has this id")]
    MemberUnknown { index: usize },
    #[error("there are more than 20 tags")]
    TooManyTags { field: &'static str },
    #[error("a tag is both added and removed")]
    TagAddedAndRemoved,
    #[error("it is for the member whose follow it is, or for an operator")]
    NotYourFollow,
    #[error("the talk is said to be in the future")]
    TalkAhead,
    #[error("a contacts file is CSV")]
    NotCsv,
    #[error("the file has more than {ROWS_MAX} rows")]
    TooManyRows,
    #[error("an import with this key is under way")]
    ImportRunning,
    #[error("the service stops; the batches so far are written")]
    Stopping,
    #[error("a later run of this import has taken over")]
    ImportTakenOver,
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("event not recorded")]
    Record(#[from] RecordError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("picture not drawn")]
    Picture(#[from] qrcode::types::QrError),
    #[error("import ended before its answer")]
    ImportCutOff(#[from] tokio::task::JoinError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use Class::{
            Conflict, Forbidden, Invalid, NotFound, Refused, TooLarge, Unavailable, UnsupportedMedia,
        };
        let detail = error.to_string();
        let problem = |class, code, remedy: &str| Problem::new(class, code, detail).remedy(remedy);
        match error {
            Error::TokenUnknown => problem(NotFound, "code_unknown", "scan the code again").field("code"),
            Error::CodeUnknown => problem(NotFound, "code_unknown", "see the list of codes"),
            Error::ContactUnknown => problem(NotFound, "contact_unknown", "see the list of contacts"),
            Error::FollowUnknown => problem(NotFound, "follow_unknown", "see the contact's follows"),
            Error::ImportUnknown => problem(NotFound, "import_unknown", "take the id the upload answered"),
            Error::TenantUnverified => problem(
                Refused,
                "tenant_unverified",
                "wait until a reviewer has verified the tenant",
            ),
            Error::NobodyLeft => problem(Refused, "nobody_left", "let an agent join the tenant"),
            Error::ScanContended => problem(Unavailable, "scan_contended", "scan again"),
            Error::CodeMembers => {
                problem(Invalid, "code_members_out_of_range", "name 1 to 100 members").field("members")
            }
            Error::Weight { index } => {
                problem(Invalid, "weight_out_of_range", "give a weight from 1 to 1000")
                    .field(format!("members[{index}].weight"))
            }
            Error::MemberTwice { index } => problem(Invalid, "member_twice", "name each member once")
                .field(format!("members[{index}].member_id")),
            Error::MemberUnknown { index } => problem(
                Invalid,
                "member_unknown",
                "name members who have not left; one who just joined is known in a moment",
            )
            .field(format!("members[{index}].member_id")),
            Error::TooManyTags { field } => {
                problem(Invalid, "too_many_tags", "name at most 20 tags").field(field)
            }
            Error::TagAddedAndRemoved => problem(
                Invalid,
                "tag_added_and_removed",
                "name each tag in `add` or in `remove`",
            )
            .field("remove"),
            Error::NotYourFollow => problem(Forbidden, "not_your_follow", "ask the member or an operator"),
            Error::TalkAhead => problem(
                Invalid,
                "talk_in_the_future",
                "give the time of the talk with its offset, or leave it out for now",
            )
            .field("at"),
            Error::NotCsv => problem(
                UnsupportedMedia,
                "content_type_not_csv",
                "send `Content-Type: text/csv`",
            )
            .field("Content-Type"),
            Error::TooManyRows => problem(
                TooLarge,
                "too_many_rows",
                "import the rest from a second file; the rows before are imported",
            ),
            Error::ImportRunning => problem(
                Conflict,
                "import_running",
                "look at its progress, or repeat it later",
            )
            .field("Idempotency-Key"),
            Error::Stopping => problem(Unavailable, "stopping", "send the file again under the same key"),
            Error::ImportTakenOver => problem(
                Conflict,
                "import_taken_over",
                "look at the progress of the later run",
            ),
            Error::File(error) => file_problem(error),
            Error::Request(RequestError::OtherBody) => problem(
                Conflict,
                "idempotency_key_reused",
                "use another key for another request",
            )
            .field("Idempotency-Key"),
            Error::Request(RequestError::Database(error)) | Error::Record(RecordError::Database(error)) => {
                Self::from_sqlx(error)
            }
            Error::Database(error) => Self::from_sqlx(error),
            Error::Request(error) => Self::internal(error),
            Error::Record(error) => Self::internal(error),
            Error::Picture(error) => Self::internal(error),
            Error::ImportCutOff(error) => Self::internal(error),
        }
    }
}

fn file_problem(error: FileError) -> Problem {
    let detail = error.to_string();
    let problem = |class, code, remedy: &str| Problem::new(class, code, detail).remedy(remedy);
    match error {
        FileError::Header(_) => problem(
            Class::Invalid,
            "csv_header_malformed",
            "name the columns in the first line: external_id, name, and any of phone, email, birth_month, tags, zone",
        ),
        FileError::RowTooLarge { .. } => problem(
            Class::Invalid,
            "csv_row_too_large",
            "look for a double quote that is not closed",
        ),
        FileError::TooLarge => problem(
            Class::TooLarge,
            "body_too_large",
            "import in parts of at most 256 MiB",
        ),
        FileError::Broken(error) => problem(
            Class::Invalid,
            "body_unreadable",
            "send the file again under the same key",
        )
        .caused_by(error),
    }
}
