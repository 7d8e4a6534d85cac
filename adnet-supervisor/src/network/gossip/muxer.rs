//! The router's share of a link: one session, in whose streams it talks to the peer's router.
//!
//! The link stays ours. When the router lets go of the muxer, only the session ends.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Instant,
};

use futures::{AsyncRead, AsyncWrite, FutureExt, future::BoxFuture};
use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use quinn::{Connection, ConnectionError, RecvStream, SendStream, WriteError};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot},
    time::Sleep,
};

use super::{
    pace::Pace,
    stream::{self, Header},
};

/// Why a session ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionEnd {
    #[error("link lost: {0}")]
    Link(#[from] ConnectionError),
    #[error("the peer's router let go of the session")]
    PeerLeft,
    #[error("stream not opened: {0}")]
    Open(#[from] WriteError),
}

/// A QUIC stream as libp2p wants it, read no faster than its link's pace.
pub struct GossipStream {
    pub send: SendStream,
    pub recv: RecvStream,
    pub pace: Arc<Mutex<Pace>>,
    rest: Option<Pin<Box<Sleep>>>,
}

impl GossipStream {
    pub fn new(send: SendStream, recv: RecvStream, pace: Arc<Mutex<Pace>>) -> Self {
        let rest = None;
        Self {
            send,
            recv,
            pace,
            rest,
        }
    }
}

type IoPoll<T> = Poll<std::io::Result<T>>;

impl AsyncRead for GossipStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> IoPoll<usize> {
        let this = self.get_mut();
        if let Some(rest) = &mut this.rest {
            ready!(rest.as_mut().poll(cx));
            this.rest = None;
        }
        let bytes = ready!(AsyncRead::poll_read(Pin::new(&mut this.recv), cx, buf))?;
        let mut pace = this.pace.lock().expect("no panic under this lock");
        let rest = pace.spend(bytes, Instant::now());
        this.rest = rest.map(|rest| Box::pin(tokio::time::sleep(rest)));
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncWrite for GossipStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> IoPoll<usize> {
        AsyncWrite::poll_write(Pin::new(&mut self.get_mut().send), cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> IoPoll<()> {
        AsyncWrite::poll_flush(Pin::new(&mut self.get_mut().send), cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> IoPoll<()> {
        AsyncWrite::poll_close(Pin::new(&mut self.get_mut().send), cx)
    }
}

/// See the module.
pub struct Muxer {
    connection: Connection,
    /// Goes before what is said in each of our streams.
    header: Header,
    pace: Arc<Mutex<Pace>>,
    inbound: mpsc::Receiver<GossipStream>,
    opening: Option<BoxFuture<'static, Result<GossipStream, SessionEnd>>>,
    end: BoxFuture<'static, SessionEnd>,
    ended: Option<SessionEnd>,
    /// Dropped with the muxer, which is how the end is noticed.
    _held: oneshot::Sender<()>,
}

impl Muxer {
    /// `peer_left` tells that the peer's router has let go of this session.
    pub fn new(
        connection: Connection,
        header: Header,
        pace: Arc<Mutex<Pace>>,
        inbound: mpsc::Receiver<GossipStream>,
        peer_left: Arc<Notify>,
        held: oneshot::Sender<()>,
    ) -> Self {
        let watched = connection.clone();
        let end = async move {
            tokio::select! {
                reason = watched.closed() => SessionEnd::Link(reason),
                () = peer_left.notified() => SessionEnd::PeerLeft,
            }
        };
        Self {
            connection,
            header,
            pace,
            inbound,
            opening: None,
            end: end.boxed(),
            ended: None,
            _held: held,
        }
    }
}

impl StreamMuxer for Muxer {
    type Substream = GossipStream;
    type Error = SessionEnd;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<GossipStream, SessionEnd>> {
        match ready!(self.inbound.poll_recv(cx)) {
            Some(stream) => Poll::Ready(Ok(stream)),
            None => Poll::Pending, // the link is at its end; `poll` tells why
        }
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<GossipStream, SessionEnd>> {
        let (connection, header, pace) = (self.connection.clone(), self.header, self.pace.clone());
        let opening = self.opening.get_or_insert_with(|| {
            let open = async move {
                let (send, recv) = stream::open(&connection, header).await?;
                Ok(GossipStream::new(send, recv, pace))
            };
            open.boxed()
        });
        let opened = ready!(opening.poll_unpin(cx));
        self.opening = None;
        Poll::Ready(opened)
    }

    /// Ends the session, not the link; `Drop` tells the peer.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Poll::Ready(Ok(()))
    }

    /// The only function that is called unconditionally, hence the one that reports the end.
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, SessionEnd>> {
        if self.ended.is_none() {
            self.ended = Some(ready!(self.end.poll_unpin(cx)));
        }
        Poll::Ready(Err(self.ended.clone().expect("set above")))
    }
}

impl Drop for Muxer {
    /// On its own timeouts the router drops the muxer without `poll_close`, so the goodbye is said
    /// here. Without it the peer's router would believe in the session for ever.
    fn drop(&mut self) {
        if self.ended.is_none()
            && self.connection.close_reason().is_none()
            && let Ok(runtime) = Handle::try_current()
        {
            let connection = self.connection.clone();
            let Header { topic, epoch, .. } = self.header;
            runtime.spawn(async move { stream::say_bye(&connection, topic, epoch).await });
        }
    }
}
