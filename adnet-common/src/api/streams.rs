//! Answers that are made while they are sent: piece by piece, as the client takes them.
//!
//! The next piece is made when the connection asks for it, so a slow client holds one piece in memory
//! and no thread, and one that takes nothing is cut off by the connection's own guard. What bounds the
//! rest are places: a few streams at a time, at most half of them for one address, and an end in time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;

use super::clients::{Connections, Place};
use super::envelope::ApiError;
use super::rate_limit::Client;

/// The streams of one kind that an API sends at a time.
#[derive(Clone)]
pub struct Streams {
    places: Connections,
    time_max: Duration,
}

/// A place for one stream.
pub struct StreamPlace {
    _place: Place,
    /// The stream ends in order at the first piece after this time.
    pub until: Instant,
}

/// What a stream does next.
pub enum Piece {
    Data(Vec<u8>),
    /// It ends here, in order.
    End,
    /// It breaks off, so that the client sees that something is missing.
    Broken,
}

impl Streams {
    pub fn new(max: u64, time_max: Duration) -> Self {
        Self {
            places: Connections::new(max),
            time_max,
        }
    }

    /// # Errors
    /// `OVERLOADED` if there is no place, or none for this address.
    pub fn admit(&self, peer: SocketAddr) -> Result<StreamPlace, ApiError> {
        let place = self.places.try_place(Client::from(peer.ip()));
        let busy = || ApiError::new("OVERLOADED", "too many streams are open: try again later");
        Ok(StreamPlace {
            _place: place.ok_or_else(busy)?,
            until: Instant::now() + self.time_max,
        })
    }
}

impl StreamPlace {
    /// The body of an answer: `step` makes each piece from the state that the last one left.
    pub fn body<S, F, Fut>(self, state: S, step: F) -> Body
    where
        S: Send + 'static,
        F: Fn(S) -> Fut + Send + 'static,
        Fut: Future<Output = (Piece, S)> + Send + 'static,
    {
        Body::new(StreamBody {
            next: Some(Box::pin(step(state))),
            step,
            place: self,
        })
    }
}

struct StreamBody<F, Fut> {
    step: F,
    /// `None` after the end.
    next: Option<Pin<Box<Fut>>>,
    place: StreamPlace,
}

/// Nothing in it is pinned but the boxed future.
impl<F, Fut> Unpin for StreamBody<F, Fut> {}

impl<S, F, Fut> hyper::body::Body for StreamBody<F, Fut>
where
    F: Fn(S) -> Fut,
    Fut: Future<Output = (Piece, S)>,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(next) = &mut self.next else {
            return Poll::Ready(None);
        };
        let (piece, state) = ready!(next.as_mut().poll(cx));
        self.next = None;
        match piece {
            Piece::Data(bytes) => {
                if Instant::now() < self.place.until {
                    self.next = Some(Box::pin((self.step)(state)));
                }
                Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
            }
            Piece::End => Poll::Ready(None),
            Piece::Broken => {
                let why = "the node could not make the rest of the answer";
                Poll::Ready(Some(Err(io::Error::other(why))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;

    fn peer(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 1))
    }

    async fn count_down(n: u8) -> (Piece, u8) {
        match n.checked_sub(1) {
            Some(rest) => (Piece::Data(vec![n]), rest),
            None => (Piece::End, 0),
        }
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_the_place_is_free_afterwards() {
        let streams = Streams::new(2, Duration::from_secs(60));
        let body = streams.admit(peer(1)).expect("room").body(3, count_down);
        assert!(streams.admit(peer(1)).is_err(), "half is for one address");
        let _other = streams.admit(peer(2)).expect("room for another");
        assert!(streams.admit(peer(3)).is_err(), "two in all");
        let all = to_bytes(body, 100).await.expect("it ends");
        assert_eq!(&all[..], [3, 2, 1]);
        assert!(streams.admit(peer(1)).is_ok());
    }

    #[tokio::test]
    async fn a_stream_ends_in_time_and_a_broken_one_is_no_whole_answer() {
        let streams = Streams::new(2, Duration::ZERO);
        let body = streams.admit(peer(1)).expect("room").body(3, count_down);
        let cut = to_bytes(body, 100).await.expect("it ends in order");
        assert_eq!(&cut[..], [3]);
        let broken = |n: u8| async move { (Piece::Broken, n) };
        let body = streams.admit(peer(1)).expect("room").body(1, broken);
        assert!(to_bytes(body, 100).await.is_err());
    }
}
