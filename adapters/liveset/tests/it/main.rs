//! Connections on tokio, over sockets and in memory: one behaviour a file.

mod auth_failures;
mod authentication;
mod close_frames;
mod closing;
mod commits;
mod concurrency;
mod conversation;
mod deadlines;
mod disconnects;
mod live_stream;
mod message_limits;
mod panics;
mod parsed;
mod pauses;
mod ping_flood;
mod reads;
mod replace;
mod runtime;
mod segments;
mod shards;
mod shutdown;
mod slices;
mod slow_reader;
mod sources;
mod support;
mod transport_violations;
