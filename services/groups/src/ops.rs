//! What happens: one operation a file, each with its transaction on one screen.

mod join;
mod leave;
mod open_group;
mod open_series;

pub(crate) use join::{Door, join};
pub(crate) use leave::leave;
pub(crate) use open_group::open_group;
pub(crate) use open_series::open_series;
