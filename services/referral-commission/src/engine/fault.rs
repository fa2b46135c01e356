//! What is wrong with a plan or an event somebody sent, and where.

/// The first flaw found in a draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flaw}")]
pub(crate) struct Fault {
    /// Path of the field: `version[0].rule[2].pays`.
    pub(crate) field: String,
    pub(crate) flaw: Flaw,
}

/// The kinds of flaw.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("{0}")]
    Wrong(String),
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    #[error("is missing for an event of this type")]
    Missing,
    #[error("does not belong to an event of this type")]
    Superfluous,
    /// The future may be edited, the past may not (I17).
    #[error("{0}")]
    RewritesPast(&'static str),
}

impl Flaw {
    pub(super) fn at(self, field: impl Into<String>) -> Fault {
        Fault {
            field: field.into(),
            flaw: self,
        }
    }
}

/// A value or a relation that can't be.
pub(super) fn wrong(field: impl Into<String>, what: impl Into<String>) -> Fault {
    Flaw::Wrong(what.into()).at(field)
}

/// Refuses lists that are empty or longer than `max`.
pub(super) fn within(field: &str, len: usize, max: usize) -> Result<(), Fault> {
    if (1..=max).contains(&len) {
        return Ok(());
    }
    Err(wrong(field, format!("holds {len} items; give 1 to {max}")))
}
