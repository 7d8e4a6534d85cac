//! The QUIC endpoint of one chain: limits, timers, and what must survive a restart.

use std::{net::UdpSocket, sync::Arc, time::Duration};

use adnet_common::chain_id::ChainId;
use quinn::{
    ClientConfig, Connecting, Connection, Endpoint, EndpointConfig, IdleTimeout, ServerConfig,
    TokioRuntime, TransportConfig, ValidationTokenConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator; // quinn does not re-export it
use ring::hmac;
use rustls::pki_types::CertificateDer;

use super::{
    error::{LinkError, NetworkError},
    identity::{Identity, PeerId, peer_of_spki},
    tls::{Presented, TlsIdentity},
};

/// A dead peer is noticed after this long at the latest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// quinn sends no keep-alives unless told to; a third of the timeout survives two lost packets.
/// It also bounds how long a peer's restart goes unnoticed: the next packet is answered by reset.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Bytes that one stream may have in flight: bounds what a slow reader costs us.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Streams that a peer may have open before both hellos are said: that of the hello itself.
const STREAMS_BEFORE_HELLO: u32 = 1;
/// Streams that a linked peer may have open at a time: its hello, one per framed class, and
/// messages under way.
const STREAMS_OF_TRUSTED: u32 = 16;
const STREAMS_OF_UNKNOWN: u32 = 8;
/// Bidirectional streams of gossip, from either side: one per topic, and a few more after errors.
const GOSSIP_STREAMS: u32 = 8;
/// Handshakes that may wait for our attention, and the bytes kept for them.
const INCOMING_MAX: usize = 64;
const INCOMING_BYTES_MAX: u64 = 32 << 10;
const INCOMING_BYTES_TOTAL_MAX: u64 = 1 << 20;

/// Unacknowledged bytes that a connection keeps for sending. Must be no less than what all streams
/// may have in flight together: a full window makes consensus wait, whatever its priority.
const fn send_window_bytes(streams: u32) -> u64 {
    // The streams of gossip may be opened by both sides.
    (streams as u64 + 2 * GOSSIP_STREAMS as u64) * STREAM_WINDOW_BYTES as u64
}

fn transport() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("10 s fit into a QUIC varint of ms");
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(STREAMS_BEFORE_HELLO))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        // The connection's own window is shared by all streams, so a full one would stop
        // consensus; memory is bounded by the number of streams times the stream window.
        .receive_window(VarInt::MAX)
        .send_window(send_window_bytes(STREAMS_OF_UNKNOWN))
        .datagram_receive_buffer_size(None);
    config
}

/// One UDP socket, both roles.
pub struct QuicEndpoint {
    pub endpoint: Endpoint,
    tls: TlsIdentity,
    transport: Arc<TransportConfig>,
}

impl QuicEndpoint {
    /// Takes over a bound socket. Must be called within a tokio runtime.
    pub fn new(
        identity: &Identity,
        chain: ChainId,
        alpn: Vec<u8>,
        socket: UdpSocket,
    ) -> Result<Self, NetworkError> {
        let tls = TlsIdentity::new(identity, alpn)?;
        let transport = Arc::new(transport());
        let crypto = QuicServerConfig::try_from(tls.server()?)?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        let mut no_tokens = ValidationTokenConfig::default();
        no_tokens.sent(0);
        server
            .transport_config(transport.clone())
            .validation_token_config(no_tokens)
            .migration(false)
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);

        // Both keys come from the identity, so that a restarted node answers packets of its
        // former life with a reset that the peer recognises. With quinn's defaults (random per
        // process) the peer would wait for the idle timeout instead.
        let reset_secret = identity.derive(&format!("adnet quic reset {chain}"));
        let reset_key = hmac::Key::new(hmac::HMAC_SHA256, reset_secret.as_slice());
        let cid_secret = identity.derive(&format!("adnet quic connection id {chain}"));
        let cid_key = *cid_secret.first_chunk().expect("32 bytes begin with 8");
        let cid_key = u64::from_le_bytes(cid_key);
        let mut config = EndpointConfig::new(Arc::new(reset_key));
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));

        let endpoint = Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
            .map_err(|source| NetworkError::Socket { chain, source })?;
        Ok(Self {
            endpoint,
            tls,
            transport,
        })
    }

    /// Starts a handshake that succeeds only with the key expected.
    pub fn connect(
        &self,
        to: std::net::SocketAddr,
        expected: PeerId,
        presented: Presented,
    ) -> Result<Connecting, LinkError> {
        let tls = self.tls.client(expected, presented);
        let crypto = QuicClientConfig::try_from(tls.map_err(NetworkError::from)?)
            .map_err(NetworkError::from)?;
        let mut client = ClientConfig::new(Arc::new(crypto));
        client.transport_config(self.transport.clone());
        // The name is a formality: it is neither sent (no SNI) nor checked.
        Ok(self.endpoint.connect_with(client, to, "adnet.invalid")?)
    }
}

/// The key that the other side has proved to hold.
pub fn peer_of(connection: &Connection) -> Option<PeerId> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    peer_of_spki(chain.first()?)
}

/// Widens the limits of a connection whose peer has said an agreeable hello.
pub fn admit(connection: &Connection, trusted: bool) {
    let streams = match trusted {
        true => STREAMS_OF_TRUSTED,
        false => STREAMS_OF_UNKNOWN,
    };
    connection.set_send_window(send_window_bytes(streams));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(streams));
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(GOSSIP_STREAMS));
}
