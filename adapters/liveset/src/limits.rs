//! Every limit in one place: those of this package, and the ones of the packages below it.

use std::time::Duration;

use liveset_core::SessionLimits;
use liveset_core::model::{Floor, Limit, LimitParts, LimitSet, LimitValue, read_limit_parts};
use liveset_engine::EngineLimits;
use liveset_hub::HubLimits;
use serde::{Deserialize, Deserializer};

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

impl LimitParts for Limits {
    fn parts(&self) -> Vec<&dyn LimitSet> {
        let Limits { engine, session, hub, transport, auth } = self;
        vec![auth, transport, session, hub, engine, &engine.json, &engine.query]
    }

    fn part_mut(&mut self, part: &str) -> Option<&mut dyn LimitSet> {
        let Limits { engine, session, hub, transport, auth } = self;
        Some(match part {
            "auth" => auth,
            "transport" => transport,
            "session" => session,
            "hub" => hub,
            "engine" => engine,
            "json" => &mut engine.json,
            "query" => &mut engine.query,
            _ => return None,
        })
    }
}

/// Each part under its name. What is missing has its default; a name that is none and a value that does not fit are errors that name the
/// limit. Lengths of time are strings.
///
/// ```
/// let limits: liveset::Limits =
///     serde_json::from_str(r#"{"session": {"auth_timeout": "3s", "live_queries": 16}, "json": {"nesting": 8}}"#)?;
/// assert_eq!((limits.session.auth_timeout.as_secs(), limits.session.live_queries), (3, 16));
/// assert_eq!((limits.engine.json.nesting, limits.session.subscriptions), (8, 256));
/// let error = serde_json::from_str::<liveset::Limits>(r#"{"session": {"live_querys": 16}}"#).unwrap_err();
/// assert!(error.to_string().starts_with("unknown field `live_querys`, expected one of `auth_timeout`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
impl<'de> Deserialize<'de> for Limits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limits, D::Error> {
        let mut limits = Limits::default();
        read_limit_parts(&mut limits, deserializer)?;
        Ok(limits)
    }
}

impl Limits {
    /// Takes over those of others that can change while an endpoint is used; see [`Liveset::set_limits`](crate::Liveset::set_limits).
    pub fn take_changeable(&mut self, others: &Limits) {
        self.session.take_changeable(&others.session);
        self.hub.take_changeable(&others.hub);
    }

    /// A limit that is 0, with which nothing would go on.
    pub(crate) fn zero(&self) -> Option<String> {
        self.parts().into_iter().find_map(|part| {
            let is_zero = |limit: &&Limit| {
                limit.floor == Floor::One && part.value(limit.name).is_some_and(LimitValue::is_zero)
            };
            let limit = part.declared().iter().find(is_zero)?;
            Some(format!("{}.{}", part.part(), limit.name))
        })
    }
}

liveset_core::model::limits! {
    /// Refusals of tokens from one address before no more are looked at for a while: guessing is slowed down, and so is a
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
    pub struct AuthLimits in "auth" {
        failures_per_address: u32 = 20, One,
            "refused tokens at once, from one address: one /64 of IPv6" => "`RATE_LIMITED`, 1008; over HTTP 429 with `Retry-After`; no token of the address is looked at";
        failure_interval: Duration = Duration::from_secs(3),
            "the time after which one of them is forgiven; 0 is no limit" => "";
        addresses: usize = 16_384,
            "addresses that are remembered" => "those that are forgiven soonest are forgotten";
        count_loopback: bool = false,
            "whether loopback is an address like others" => "";
    }
}

liveset_core::model::limits! {
    /// Limits of the transport. The size of a message is the session's: a message is refused while it is being read.
    ///
    /// ```
    /// let mut limits = liveset::Limits::default();
    /// limits.transport.max_fragments = 16;
    /// ```
    pub struct TransportLimits in "transport" {
        max_fragments: usize = 1_024, One,
            "frames of one message" => "`MESSAGE_TOO_LARGE`, 1009";
        control_frames_per_second: u32 = 50,
            "WebSocket pings and pongs, per second on average" => "1008";
        control_burst: u32 = 100,
            "of these, at once" => "1008";
        batch_bytes: usize = 32 * 1024, One,
            "bytes of one write; a single message may be larger" => "the next write";
        /// Bytes of diffs that are copied for a connection while its socket is still taking what came
        /// before; with more they wait in its session, where they fold. 0 sends everything by way of the
        /// session.
        outbox_bytes: usize = 32 * 1024,
            "changes copied for a connection while its socket takes others; 0 copies none" => "they wait in the session, and fold";
        /// A connection that takes less than [`write_bytes`](Self::write_bytes) in this time, while something
        /// waits for it, is given up, with 1013 if it can still be told. One that is slow but takes more is
        /// served at its pace.
        write_timeout: Duration = Duration::from_secs(60), Needed,
            "the time in which a connection has to take `transport.write_bytes` while something waits for it" => "1013";
        /// How much that is. What a connection takes goes into the buffers of the kernel first: keep those
        /// small, as the front page of this crate says. At least 1.
        write_bytes: usize = 16 * 1024, One,
            "the bytes it has to take in that time" => "1013";
        /// The time that each step of closing a connection may take: for what was queued when the peer closed, for
        /// our close frame, and for the answer to it, while what still arrives is read and thrown away.
        close_timeout: Duration = Duration::from_secs(2),
            "each step of closing" => "the socket is closed";
    }
}
