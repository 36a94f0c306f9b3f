//! Every limit in one place: those of this package, and the ones of the packages below it.

use std::time::Duration;

use liveset_core::SessionLimits;
use liveset_engine::EngineLimits;
use liveset_hub::HubLimits;

/// All limits of a [`Liveset`](crate::Liveset). The defaults are those that the documentation names.
///
/// ```
/// let mut limits = liveset::Limits::default();
/// limits.transport.write_timeout = std::time::Duration::from_secs(5);
/// ```
///
#[doc = include_str!("limits.md")]
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Limits {
    /// Sets, nodes, expressions, windows.
    pub engine: EngineLimits,
    /// One connection's conversation: deadlines, queues, rates, the size of a message.
    pub session: SessionLimits,
    /// What connections and watchers share.
    pub hub: HubLimits,
    /// Frames and sockets.
    pub transport: TransportLimits,
    /// Tokens that are refused.
    pub auth: AuthLimits,
}

impl Limits {
    /// A limit that is 0, with which nothing would go on.
    pub(crate) fn zero(&self) -> Option<&'static str> {
        let Limits { engine, session, hub, transport, auth } = self;
        let zeros = [
            ("engine.max_window", engine.max_window == 0),
            ("engine.slice_rows", engine.slice_rows == 0),
            ("engine.hold_steps", engine.hold_steps == 0),
            ("engine.shards", engine.shards == 0),
            ("session.rate_limited_in_a_row", session.rate_limited_in_a_row == 0),
            ("session.invalid_in_a_row", session.invalid_in_a_row == 0),
            ("session.event_queue", session.event_queue == 0),
            ("session.chunk_rows", session.chunk_rows == 0),
            ("hub.filling_per_subject", hub.filling_per_subject == 0),
            ("transport.max_fragments", transport.max_fragments == 0),
            ("transport.batch_bytes", transport.batch_bytes == 0),
            ("transport.write_bytes", transport.write_bytes == 0),
            ("auth.failures_per_address", auth.failures_per_address == 0),
        ];
        zeros.into_iter().find_map(|(name, is_zero)| is_zero.then_some(name))
    }
}

/// How often tokens from one address may be refused before no more are looked at for a while: guessing is slowed down, and so is a
/// client that comes back with a bad token again and again.
///
/// Only refusals count. Beyond the limit every token of the address is refused unseen: `RATE_LIMITED`, close 1008; over HTTP, 429
/// with `Retry-After`. Connections that are authenticated are not concerned unless they authenticate again. What is not told its
/// [`ClientAddress`](crate::ClientAddress) is not counted.
///
/// ```
/// let mut limits = liveset::Limits::default();
/// limits.auth.failures_per_address = 5;
/// limits.auth.failure_interval = std::time::Duration::from_secs(10);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthLimits {
    /// How many refusals are borne at once, from one address: one /64 of IPv6. Default 20; at least 1.
    pub failures_per_address: u32,
    /// After how long one of them is forgiven. 0 bears any number. Default 3 s.
    pub failure_interval: Duration,
    /// How many addresses are remembered; with more, those that are forgiven soonest are forgotten. Default 16,384.
    pub addresses: usize,
    /// Whether loopback is an address like others; otherwise it is not counted, because a proxy on this machine speaks for many.
    /// Default false.
    pub count_loopback: bool,
}

impl Default for AuthLimits {
    fn default() -> Self {
        Self {
            failures_per_address: 20,
            failure_interval: Duration::from_secs(3),
            addresses: 16_384,
            count_loopback: false,
        }
    }
}

/// Limits of the transport. The size of a message is the session's: a message is refused while it is being read.
///
/// ```
/// let mut limits = liveset::Limits::default();
/// limits.transport.max_fragments = 16;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransportLimits {
    /// The most frames that one message may come in; more closes the connection with 1009. Default 1,024.
    pub max_fragments: usize,
    /// Pings and pongs of the transport that a client may send each second; more, beyond the burst, closes the
    /// connection with 1008. Default 50.
    pub control_frames_per_second: u32,
    /// How many of them may come at once. Default 100.
    pub control_burst: u32,
    /// About how many bytes are written at once: frames are gathered up to here and sent in one write. A single
    /// message may be larger. Default 32 KiB.
    pub batch_bytes: usize,
    /// How many bytes of diffs are copied for a connection while its socket is still taking what came before; with more they wait
    /// in its session, where they fold. 0 sends everything by way of the session. Default 32 KiB.
    pub outbox_bytes: usize,
    /// A connection that takes less than [`write_bytes`](Self::write_bytes) in this time, while something waits for it, is given up,
    /// with 1013 if it can still be told. One that is slow but takes more is served at its pace. Default 60 s.
    pub write_timeout: Duration,
    /// How much that is. What a connection takes goes into the buffers of the kernel first: keep those small, as the front page of
    /// this crate says. Default 16 KiB; at least 1.
    pub write_bytes: usize,
    /// How long each step of closing a connection may take: for what was queued when the peer closed, for our close frame,
    /// and for the answer to it, while what still arrives is read and thrown away. Default 2 s.
    pub close_timeout: Duration,
    /// Over how long a shutdown closes the connections, one after the other in a random order, so that clients do not all
    /// come back at once: at most half the deadline of the shutdown; 0 closes all at once. Default 1 s.
    pub shutdown_spread: Duration,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            max_fragments: 1_024,
            control_frames_per_second: 50,
            control_burst: 100,
            batch_bytes: 32 * 1024,
            outbox_bytes: 32 * 1024,
            write_timeout: Duration::from_secs(60),
            write_bytes: 16 * 1024,
            close_timeout: Duration::from_secs(2),
            shutdown_spread: Duration::from_secs(1),
        }
    }
}
