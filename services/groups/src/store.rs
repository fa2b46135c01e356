//! What groups remembers: one free function per statement.

pub(crate) mod group;
pub(crate) mod seat;
pub(crate) mod series;
pub(crate) mod tenant;
