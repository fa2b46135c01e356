//! Request bodies that are refused in a way the client gets to see.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, SizeHint};

const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

/// A body whose unread rest is still read, in the background and within limits, once nobody
/// wants it: a server that answers and closes while the client writes resets the connection, and
/// the reset can overtake the answer.
pub(super) struct Lingering(Body);

impl Lingering {
    pub(super) fn new(body: Body) -> Self {
        Self(body)
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.0.is_end_stream() {
            return;
        }
        let mut rest = Limited::new(std::mem::take(&mut self.0), DISCARDED_BYTES_MAX);
        let discard = async move { while let Some(Ok(_)) = rest.frame().await {} };
        tokio::spawn(tokio::time::timeout(DISCARDING_MAX, discard));
    }
}
