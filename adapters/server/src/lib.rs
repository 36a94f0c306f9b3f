//! The Liveset server: live queries and events over WebSocket and HTTP, from one binary.
