//! Stories that run through several services, on the set all tests share.

mod befriend;
mod broadcast;
mod commission;
mod control;
mod demo;
mod groups;
mod posts;
mod tail;
mod trace;
mod words;
mod zones;
