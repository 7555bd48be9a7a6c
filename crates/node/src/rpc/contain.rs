//! A layer around every call: panics end the call and not the node, calls end, and all errors speak with one voice.
//!
//! Refuses to let a library's words about bad bytes out, and to hold an answer for a peer that will not take it.

use super::status::{Refused, outward};
use crate::limits::{Counters, Limits};
use crate::listener::{Caller, Fate};
use http_body::{Body as _, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::AbortHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Bytes, http};
use tower::{Layer, Service};

/// A call panicked. What it said stays in the panic; it may speak of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Runs `future` to its end or to its panic.
pub(crate) async fn contained<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |cx| {
        // Nothing is used again after a panic: the future is dropped.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// The layer.
#[derive(Clone)]
pub(crate) struct Contain {
    limits: Arc<Limits>,
    counters: Arc<Counters>,
}

impl Contain {
    pub(super) fn new(limits: &Limits, counters: Arc<Counters>) -> Self {
        Self { limits: Arc::new(limits.clone()), counters }
    }

    /// A deposit has a pace of its own; this only bounds it whole.
    fn time_for(&self, path: &str) -> Duration {
        if path == super::server::DEPOSIT { self.limits.deposit_longest } else { self.limits.call }
    }

    /// The answer to a fetch waits for what comes, and has a pace of its own; this only bounds it whole.
    fn time_for_answer(&self, path: &str) -> Duration {
        let fetch = self.limits.fetch_hold.saturating_add(self.limits.deposit_longest);
        if path == super::mailboxes::FETCH { fetch } else { self.limits.call }
    }
}

impl<S> Layer<S> for Contain {
    type Service = Contained<S>;

    fn layer(&self, inner: S) -> Contained<S> {
        Contained { inner, rules: self.clone() }
    }
}

/// A service inside the layer.
#[derive(Clone)]
pub(crate) struct Contained<S> {
    inner: S,
    rules: Contain,
}

type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<S> Service<http::Request<Body>> for Contained<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Answer {
        if request.uri().path() == HEALTH_WATCH {
            let refused = Refused::NotOffered;
            refused.count(&self.rules.counters);
            return Box::pin(std::future::ready(Ok(Status::from(refused).into_http())));
        }
        let line = request.extensions().get::<Caller>().map(|caller| Arc::clone(&caller.line));
        let time = self.rules.time_for(request.uri().path());
        let limit = self.rules.time_for_answer(request.uri().path());
        let rules = self.rules.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = match tokio::time::timeout(time, contained(answer)).await {
                Ok(Ok(Ok(response))) => one_voice(response, &rules.counters),
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(Panicked)) => {
                    rules.counters.panics.add();
                    tracing::error!("a call panicked and was ended: this is a bug");
                    Status::from(Refused::Broken).into_http()
                }
                Err(_) => {
                    rules.counters.too_slow.add();
                    Status::from(Refused::TooSlow).into_http()
                }
            };
            Ok(response.map(|body| Body::new(Timed::new(body, limit, line, rules.counters))))
        })
    }
}

/// An answer without end, which nobody here needs: whoever wants to know asks again.
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Errors that came as headers are said in our own words, and counted, whoever found them: a codec before any call began,
/// or the call. Only the status itself is kept: no metadata, no details.
fn one_voice(response: http::Response<Body>, counters: &Counters) -> http::Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => {
            let refused = outward(&status);
            refused.count(counters);
            Status::from(refused).into_http()
        }
        _ => response,
    }
}

/// An answer on its way out. A peer that leaves no window for it loses its line.
struct Timed {
    body: Body,
    watch: Option<AbortHandle>,
}

impl Timed {
    fn new(body: Body, time: Duration, line: Option<Arc<Fate>>, counters: Arc<Counters>) -> Self {
        // A body without window is never polled, so the clock cannot be in here.
        let watch = line.filter(|_| !body.is_end_stream()).map(|line| {
            let watch = async move {
                tokio::time::sleep(time).await;
                counters.answers_not_taken.add();
                line.hang_up();
            };
            tokio::spawn(watch).abort_handle()
        });
        Self { body, watch }
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_before_or_after_a_wait_is_contained() {
        assert_eq!(contained(async { 7 }).await, Ok(7));
        let at_once = contained(async { assert_eq!(1, 2, "planted") });
        assert_eq!(at_once.await, Err(Panicked));
        let later = contained(async {
            tokio::task::yield_now().await;
            assert_eq!(1, 2, "planted");
        });
        assert_eq!(later.await, Err(Panicked));
    }
}
