//! Counts of a session: what happened, and what waits.

/// What happened in a [`Session`](super::Session) so far: counts that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SessionStats {
    /// Messages that came.
    pub messages_in: u64,
    /// Messages that were handed to the transport.
    pub messages_out: u64,
    /// Events dropped because too many or too large ones waited, counted once for each subscription.
    pub events_dropped: u64,
    /// Changes of live queries that were folded because the client was slow.
    pub changes_folded: u64,
    /// Messages answered with `INVALID_MESSAGE`.
    pub invalid: u64,
}

impl std::ops::SubAssign for SessionStats {
    fn sub_assign(&mut self, other: SessionStats) {
        let SessionStats { messages_in, messages_out, events_dropped, changes_folded, invalid } = other;
        self.messages_in -= messages_in;
        self.messages_out -= messages_out;
        self.events_dropped -= events_dropped;
        self.changes_folded -= changes_folded;
        self.invalid -= invalid;
    }
}

impl std::ops::AddAssign for SessionStats {
    fn add_assign(&mut self, other: SessionStats) {
        let SessionStats { messages_in, messages_out, events_dropped, changes_folded, invalid } = other;
        self.messages_in += messages_in;
        self.messages_out += messages_out;
        self.events_dropped += events_dropped;
        self.changes_folded += changes_folded;
        self.invalid += invalid;
    }
}

/// What waits in a [`Session`](super::Session) for its transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Backlog {
    /// Answers and other control messages.
    pub control: usize,
    /// Bytes of those.
    pub control_bytes: usize,
    /// Event messages.
    pub events: usize,
    /// Bytes of those, as [`SessionLimits::event_bytes`](crate::SessionLimits::event_bytes) counts them.
    pub event_bytes: usize,
    /// Changes of live queries (initial rows do not count: they are shared).
    pub changes: usize,
    /// Bytes of those: the nodes as they were and as they are, and the ids as they are written.
    pub bytes: usize,
    /// Bytes of initial rows, of the live queries whose rows are not all sent.
    pub initial_bytes: usize,
}

impl std::ops::AddAssign for Backlog {
    fn add_assign(&mut self, other: Backlog) {
        let Backlog { control, control_bytes, events, event_bytes, changes, bytes, initial_bytes } = other;
        self.initial_bytes += initial_bytes;
        self.control += control;
        self.control_bytes += control_bytes;
        self.events += events;
        self.event_bytes += event_bytes;
        self.changes += changes;
        self.bytes += bytes;
    }
}

impl std::ops::SubAssign for Backlog {
    fn sub_assign(&mut self, other: Backlog) {
        let Backlog { control, control_bytes, events, event_bytes, changes, bytes, initial_bytes } = other;
        self.initial_bytes -= initial_bytes;
        self.control -= control;
        self.control_bytes -= control_bytes;
        self.events -= events;
        self.event_bytes -= event_bytes;
        self.changes -= changes;
        self.bytes -= bytes;
    }
}
