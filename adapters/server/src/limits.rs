//! The limits of this package: `[limits.http]`, `[limits.drain]` and `[limits.jwt]`.

use std::time::Duration;

use liveset_core::model::{Limit, limits};

limits! {
    /// `[limits.http]`: the limits of the service's own sockets.
    pub struct HttpLimits in "http" {
        max_connections: usize = 10_000, Needed,
            "open connections, WebSockets included" => "503 with `Retry-After`; inside TLS, closed";
        max_connections_per_address: usize = 256, Needed,
            "of these, from one address: one /64 of IPv6" => "503 with `Retry-After`; inside TLS, closed";
        max_handshakes: usize = 1_024, Needed,
            "connections that have not sent the head of a request yet" => "503 with `Retry-After`; inside TLS, closed";
        max_handshakes_per_address: usize = 64, Needed,
            "of these, from one address" => "503 with `Retry-After`; inside TLS, closed";
        connections_per_second: u32 = 2_000, Needed,
            "connections opened per second, on average" => "503 with `Retry-After`; inside TLS, closed";
        connection_burst: u32 = 10_000, Needed,
            "of these, at once" => "503 with `Retry-After`; inside TLS, closed";
        count_loopback: bool = false,
            "whether loopback is an address like others: a proxy on this machine speaks for many" => "";
        header_timeout: Duration = Duration::from_secs(5), Needed,
            "the TLS handshake, the head of a request, and idling before one" => "closed";
        max_header_bytes: usize = 16 * 1024,
            "the head of a request; at least 8 KiB" => "431";
        write_timeout: Duration = Duration::from_secs(10), Needed,
            "how long a client may take no byte of its answers; WebSockets have `transport.write_timeout`" => "closed";
        max_body_bytes: usize = 8 * 1024 * 1024,
            "a body; of a stream of commits, a line; that of a query is also limited by `session.message_bytes`" => "413";
        body_timeout: Duration = Duration::from_secs(30), Needed,
            "how long a body may take to arrive; of a stream of commits, a line, and the time without a byte" => "408";
        lines_waiting: usize = 256, One,
            "commits of a stream that were read and wait to be stored" => "no more are read until then";
        requests_per_second: u32 = 10_000, Needed,
            "requests with a good token, of one subject, per second on average" => "429 with `Retry-After`";
        request_burst: u32 = 20_000, Needed,
            "of these, at once" => "429 with `Retry-After`";
        queries_at_once: usize = 4, One,
            "queries that are answered at once" => "they wait; turns go round by subject";
        queries_per_subject: usize = 64, One,
            "queries of one subject that are answered or wait" => "`OVERLOADED`, 503";
        exports: usize = 4, One,
            "sets that are read whole at once, one by each subject" => "`OVERLOADED`, 503";
        shutdown_timeout: Duration = Duration::from_secs(10),
            "how long connections may take to end once the server has told them that it stops" => "cut";
    }
}

limits! {
    /// `[limits.drain]`: what SIGTERM does. SIGINT closes all connections at once.
    pub struct DrainLimits in "drain" {
        wait: Duration = Duration::from_secs(5),
            "how long a server that stops still serves everybody, while `/readyz` says 503; less if no connection is left" => "connections are closed";
        spread: Duration = Duration::from_secs(15),
            "the time over which it closes WebSockets then, evenly" => "";
    }
}

limits! {
    /// `[limits.jwt]`: JSON Web Tokens, and the keys behind an address.
    pub struct JwtLimits in "jwt" {
        max_token_bytes: usize = 8 * 1024, Needed,
            "a token" => "refused";
        keys_max_age: Duration = Duration::from_secs(600),
            "the age of the keys of `jwks_url`" => "the next token makes them be fetched again, and is judged by the old ones";
        keys_max_stale: Duration = Duration::from_secs(24 * 60 * 60),
            "their age while they cannot be fetched; not less than `keys_max_age`" => "no token can be judged: `OVERLOADED`, 1013; over HTTP 503";
        keys_min_interval: Duration = Duration::from_secs(10),
            "from the start of one fetch to the next" => "no fetch: a token with an unknown key is refused, or gets `OVERLOADED` if the last fetch failed";
        keys_timeout: Duration = Duration::from_secs(5), Needed,
            "a fetch" => "`OVERLOADED`. Keep it under `session.auth_timeout`, or `AUTH_TIMEOUT` comes first";
    }
}

/// A request was refused by a limit of the service's own.
pub(crate) fn count_refusal(limit: &Limit) {
    metrics::counter!("liveset_limit_refusals_total", "limit" => limit.full_name).increment(1);
}

/// Which cap a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Connections,
    ConnectionsOfAddress,
    Handshakes,
    HandshakesOfAddress,
    Rate,
}

impl Full {
    /// All of them.
    pub(crate) const ALL: [Full; 5] = [
        Full::Connections,
        Full::ConnectionsOfAddress,
        Full::Handshakes,
        Full::HandshakesOfAddress,
        Full::Rate,
    ];

    /// For people and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Full::Connections => "connections",
            Full::ConnectionsOfAddress => "connections of one address",
            Full::Handshakes => "handshakes",
            Full::HandshakesOfAddress => "handshakes of one address",
            Full::Rate => "new connections",
        }
    }
}
