//! How long a client waits for what.

use std::time::Duration;

/// How long a client waits for what. The defaults are for people who look at the rows.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Timing {
    /// For a token, for a connection with its handshake, and for the server to take a message. Default: 10 s.
    pub patience: Duration,
    /// Silence of the server after which it is asked for a sign of life. Default: 10 s.
    pub silence: Duration,
    /// How long that may take before the connection counts as lost. Default: 4 s.
    pub answer: Duration,
    /// The longest pause before the first attempt to connect again; it doubles from attempt to attempt. A pause is by chance between nothing
    /// and that, because many clients are cut off at once. Default: 0.5 s.
    pub first_pause: Duration,
    /// The longest of all pauses. Default: 15 s.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            patience: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            answer: Duration::from_secs(4),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(15),
        }
    }
}
