//! The suite over the whole set: real processes on the local stack.

mod containers;
mod contracts;
mod failure;
mod isolation;
mod journeys;
mod manifests;
mod observability;
mod scene;
mod spans;
mod workspace;
