//! Panics of futures that stay where they happened.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

pub(crate) use liveset_hub::contain::{Panicked, contain};

/// Awaits `future`, and gives an error where it panics. It is not polled again then.
pub(crate) async fn contain_future<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match contain(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}
