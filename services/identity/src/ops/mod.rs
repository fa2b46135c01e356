//! What happens: one operation per file, each with its transaction in sight.

pub(crate) mod enlist_reviewer;
pub(crate) mod join;
pub(crate) mod leave;
pub(crate) mod log_in;
pub(crate) mod log_in_reviewer;
pub(crate) mod log_out;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod resubmit;
pub(crate) mod review;
pub(crate) mod rotate_keys;
