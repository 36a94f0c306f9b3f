//! Live queries and events over WebSocket inside your own service.
