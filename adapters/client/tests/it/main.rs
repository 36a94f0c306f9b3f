//! The client against the real endpoint, over sockets: one behaviour a file.

mod connection;
mod events;
mod live;
mod operations;
mod own_writes;
mod schedules;
mod support;
mod tls;
