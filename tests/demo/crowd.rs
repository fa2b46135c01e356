//! Many people doing the same thing at once, a bounded number at a time.

use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::screen::Bar;

/// Requests under way at once: enough to keep two cores busy, below what the services refuse.
const AT_ONCE: usize = 16;

/// Lets everybody act, each counted on the bar; answers in the people's order, or the first failure.
pub(crate) async fn each<'a, T, R>(
    bar: &Bar,
    people: &'a [T],
    act: impl AsyncFn(&'a T) -> anyhow::Result<R>,
) -> anyhow::Result<Vec<R>> {
    stream::iter(people)
        .map(|person| act(person))
        .buffered(AT_ONCE)
        .inspect_ok(|_| bar.tick())
        .try_collect()
        .await
}
