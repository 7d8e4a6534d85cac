//! Room in memory for large answers while their clients take them.
//!
//! An answer is kept until its client has taken all of it, and a client may be slow (see `stall`). So what
//! all large answers of one API hold together is counted in bytes, and an answer for which there is no room
//! is dropped and refused by name. As of connections, one address may hold half of it all.
//!
//! hyper lets go of a body when it has its last bytes, which may wait for the client long after. So the room
//! goes with the bytes themselves, over HTTP; a WebSocket keeps it until a message was taken.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use prometheus::IntCounter;

use super::envelope::ApiError;
use super::rate_limit::Client;

/// What the large answers of one API hold together, at most: eight of the largest that there are (32 MiB, of
/// JSON-RPC), four of them for one address. A node has gigabytes for its state, and this beside it.
pub(super) const BYTES_MAX: usize = 256 << 20;
/// Answers up to here are not counted: the number of connections bounds them. Nearly all are shorter.
const FREE_BYTES_MAX: usize = 64 << 10;

/// The large answers of one API that are on their way. Cheap to clone; all clones count together.
#[derive(Clone)]
pub(super) struct Outgoing(Arc<Shared>);

struct Shared {
    bytes_max: usize,
    refused: IntCounter,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// Without those that hold nothing.
    per_client: BTreeMap<Client, usize>,
}

/// Room for one answer, which is free again when this is dropped.
pub struct Room {
    outgoing: Outgoing,
    client: Client,
    bytes: usize,
}

impl Outgoing {
    pub fn new(bytes_max: usize, refused: IntCounter) -> Self {
        let held = Mutex::default();
        Self(Arc::new(Shared {
            bytes_max,
            refused,
            held,
        }))
    }

    /// Room for nothing yet.
    pub fn room(&self, client: Client) -> Room {
        Room {
            outgoing: self.clone(),
            client,
            bytes: 0,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        let held = self.0.held.lock();
        held.expect("nobody panics while counting bytes")
    }
}

impl Held {
    /// Whether there was room.
    fn take(&mut self, client: Client, bytes: usize, bytes_max: usize) -> bool {
        let of_client = self.per_client.get(&client).copied().unwrap_or(0);
        let left = bytes_max.saturating_sub(self.bytes);
        let left_of_client = (bytes_max / 2).saturating_sub(of_client);
        if bytes > left.min(left_of_client) {
            return false;
        }
        self.bytes += bytes;
        self.per_client.insert(client, of_client + bytes);
        true
    }

    fn give_back(&mut self, client: Client, bytes: usize) {
        self.bytes -= bytes;
        if let Some(of_client) = self.per_client.get_mut(&client) {
            *of_client -= bytes;
            if *of_client == 0 {
                self.per_client.remove(&client);
            }
        }
    }
}

impl Room {
    /// Makes this room large enough for an answer of so many bytes; it never gets smaller.
    ///
    /// # Errors
    /// `OVERLOADED` if there is not enough left. The room is then as it was.
    pub fn hold(&mut self, bytes: usize) -> Result<(), ApiError> {
        if bytes <= FREE_BYTES_MAX.max(self.bytes) {
            return Ok(());
        }
        let bytes_max = self.outgoing.0.bytes_max;
        let more = bytes - self.bytes;
        if !self.outgoing.held().take(self.client, more, bytes_max) {
            self.outgoing.0.refused.inc();
            let message = "the node is busy with large answers: ask again in a moment, or for less";
            return Err(ApiError::new("OVERLOADED", message));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// The answer, which holds room until its bytes are written. One that is made while it is sent has no
    /// length and needs no room: `streams` bounds those.
    ///
    /// # Errors
    /// `OVERLOADED` if there is no room; the answer is gone.
    pub(super) fn carry(mut self, response: Response) -> Result<Response, ApiError> {
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        self.hold(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        if self.bytes == 0 {
            return Ok(response);
        }
        let room = Arc::new(self);
        Ok(response.map(|body| Body::new(HeldBody { body, room })))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.outgoing.held().give_back(self.client, self.bytes);
        }
    }
}

/// A body whose bytes hold the room, wherever they wait.
struct HeldBody {
    body: Body,
    room: Arc<Room>,
}

struct HeldBytes {
    bytes: Bytes,
    _room: Arc<Room>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl hyper::body::Body for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let room = &self.room;
        let hold = |bytes: Bytes| {
            let _room = Arc::clone(room);
            Bytes::from_owner(HeldBytes { bytes, _room })
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(hold))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    /// Without it hyper would send the answer in chunks.
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use http::StatusCode;
    use http_body_util::BodyExt;

    const LARGE: usize = FREE_BYTES_MAX + 1;

    fn outgoing(bytes_max: usize) -> Outgoing {
        let refused = IntCounter::new("refused", "Refused answers.");
        Outgoing::new(bytes_max, refused.expect("a name"))
    }

    fn client(n: u8) -> Client {
        Client::V4([n; 4])
    }

    fn room_for(outgoing: &Outgoing, n: u8, bytes: usize) -> Result<Room, ApiError> {
        let mut room = outgoing.room(client(n));
        room.hold(bytes).map(|()| room)
    }

    fn answer(bytes: usize) -> Response {
        Response::new(Body::from(vec![b'x'; bytes]))
    }

    #[test]
    fn one_address_gets_half_and_all_together_no_more_than_there_is() {
        let outgoing = outgoing(4 * LARGE);
        let first = room_for(&outgoing, 1, LARGE).expect("room");
        let second = room_for(&outgoing, 1, LARGE).expect("half is for one address");
        let refusal = room_for(&outgoing, 1, LARGE).err().expect("it has half");
        assert_eq!(refusal.code, "OVERLOADED");
        let other = room_for(&outgoing, 2, 2 * LARGE).expect("the other half");
        assert!(room_for(&outgoing, 3, LARGE).is_err(), "all is taken");
        assert!(room_for(&outgoing, 3, FREE_BYTES_MAX).is_ok(), "it is free");
        assert!(room_for(&outgoing, 3, usize::MAX).is_err());
        assert_eq!(outgoing.0.refused.get(), 3);
        drop(first);
        let third = room_for(&outgoing, 3, LARGE).expect("room again");
        drop((second, other, third));
        assert_eq!(outgoing.held().bytes, 0);
        assert!(outgoing.held().per_client.is_empty());
    }

    #[test]
    fn a_room_grows_and_stays_as_it_was_where_it_cannot() {
        let outgoing = outgoing(4 * LARGE);
        let mut room = outgoing.room(client(1));
        for (bytes, held) in [(1, 0), (LARGE, LARGE), (2 * LARGE, 2 * LARGE)] {
            room.hold(bytes).expect("room");
            assert_eq!(outgoing.held().bytes, held);
        }
        assert!(room.hold(2 * LARGE + 1).is_err());
        assert_eq!(outgoing.held().bytes, 2 * LARGE);
        room.hold(1).expect("it has more");
        assert_eq!(outgoing.held().bytes, 2 * LARGE);
    }

    #[tokio::test]
    async fn an_answer_holds_its_room_until_the_last_of_its_bytes_is_gone() {
        let outgoing = outgoing(2 * LARGE);
        let carry = |bytes| outgoing.room(client(1)).carry(answer(bytes));
        let carried = carry(LARGE).expect("room");
        let length = carried.body().size_hint().exact();
        assert_eq!(length, Some(LARGE as u64), "it is not sent in chunks");
        let mut body = carried.into_body();
        let frame = body.frame().await.expect("a frame").expect("no error");
        let bytes = frame.into_data().expect("bytes");
        assert_eq!(bytes, vec![b'x'; LARGE]);
        assert!(body.is_end_stream());
        drop(body);

        let refused = carry(LARGE).expect_err("it is held").into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let told = to_bytes(refused.into_body(), 1000).await.expect("short");
        let told = std::str::from_utf8(&told).expect("text");
        assert!(told.contains(r#""code":"OVERLOADED""#), "{told}");
        assert!(carry(FREE_BYTES_MAX).is_ok(), "small ones are free");

        let last = bytes.slice(LARGE - 1..);
        drop(bytes);
        assert!(carry(LARGE).is_err(), "one byte waits still");
        drop(last);
        assert!(carry(LARGE).is_ok());
        assert_eq!(outgoing.held().bytes, 0);
    }
}
