//! What broadcast remembers: one free function per statement.
//!
//! Statements that insert many rows under a key others insert too do so in the key's order, and those that change many
//! chunks pick them in theirs: two of them can then wait for each other, but never in a circle.

pub(crate) mod account;
pub(crate) mod broadcast;
pub(crate) mod cap;
pub(crate) mod chunk;
pub(crate) mod click;
pub(crate) mod consent;
pub(crate) mod dead;
pub(crate) mod dispatch;
pub(crate) mod forecast;
pub(crate) mod held_out;
pub(crate) mod inbox;
pub(crate) mod lease;
pub(crate) mod list;
pub(crate) mod old;
pub(crate) mod policy;
pub(crate) mod quiet;
pub(crate) mod receipt;
pub(crate) mod receiver;
pub(crate) mod resolve;
pub(crate) mod task;
pub(crate) mod tenant;
