//! What happens: one operation a file, each with its transaction on one screen.

mod mature;
mod publish_plan;
mod take_in;

#[cfg(test)]
pub(crate) use mature::mature_due;
pub(crate) use mature::mature_until_stopped;
pub(crate) use publish_plan::publish_plan;
pub(crate) use take_in::{Outcome, Receipt, take_in};
