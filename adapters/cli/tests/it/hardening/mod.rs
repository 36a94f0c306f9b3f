//! Every bad input and every fault that a server on the open internet meets, over real sockets, against the program itself.
//!
//! Each row attacks a server of its own, and asserts what comes back; that a bystander, another connection with a live query, is told
//! of each commit before, during and after the attack, and of nothing else; that what the server holds is what it held before, and
//! that its memory does not grow with the attacks; that a metric has counted them; that the log has a line of them, and nothing
//! secret. What came of it is a table, printed at the end and written to `hardening.md` in cargo's folder for tests:
//!
//! ```text
//! cargo test -p liveset-cli --test it hardening:: -- --nocapture
//! ```
#![cfg(target_os = "linux")]
#![allow(unreachable_pub, reason = "a test has no outside")]

mod authentication;
mod case;
mod expressions;
mod floods;
mod frames;
mod handshake;
mod host;
mod json;
mod process;
mod readers;
mod table;
mod tenants;

/// The rows, in the order of the table: each is a test, and there is no other way into the table.
macro_rules! rows {
    ($($name:literal => $module:ident::$test:ident;)+) => {
        const ROWS: &[&str] = &[$($name),+];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                table::run($name, $module::$test(table::Row($name))).await;
            }
        )+
    };
}

rows! {
    "silent TCP, slow handshake" => handshake::silent_tcp;
    "bad key, version, upgrade, method, host; large headers" => handshake::bad_handshake;
    "wrong Origin" => handshake::wrong_origin;
    "no auth in time, drip-fed auth, pings only" => authentication::no_auth_in_time;
    "wrong token" => authentication::wrong_token;
    "expiry or revocation while connected" => authentication::expiry_and_revocation;
    "two tenants, same query" => tenants::two_tenants;
    "message over the limit, whole, fragmented or compressed" => frames::message_over_the_limit;
    "endless fragments, empty continuations, 1-byte fragments" => frames::endless_fragments;
    "reserved bits or opcode, unmasked frame, long control frame, orphan continuation" => frames::broken_frames;
    "invalid UTF-8, also across fragments" => frames::invalid_utf8;
    "ping flood from a client that does not read" => frames::ping_flood;
    "half-open TCP" => readers::half_open;
    "JSON nested 128 / 1,000,000 deep; array for object; duplicate keys; trailing bytes" => json::malformed_json;
    "expression with 10,000 parentheses, long `not` chains, 1,000,000-item lists" => expressions::huge_expressions;
    "NaN, Infinity, 1e400, -0, 2^53+1, 2^63, 2^64, 400 digits" => expressions::odd_numbers;
    "1 MB id; quotes, control characters, U+2028 in ids" => json::odd_ids;
    "subscription flood; create/destroy a million times" => floods::subscriptions;
    "destroy while the initial data is being sent" => readers::destroy_while_sending;
    "slow reader with 10,000 diffs pending" => readers::slow_reader;
    "client that never reads its initial data" => readers::never_reads;
    "10,000 reconnect at once" => floods::reconnect;
    "wall clock jumps ± 1 h" => process::clock_jumps;
    "panic in a task, worker stalled, out of file descriptors" => process::faults;
    "SIGTERM" => process::sigterm;
}

/// Not a test: a service with code of its own, which some rows attack, in a process of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the server of other tests"]
async fn host() {
    host::serve().await;
}
