//! The service as a library. What the program does is tested in `adapters/cli`.

mod commit_streams;
mod health;
mod metrics_described;
mod protocol_errors;
mod replace;
mod sources;
#[allow(unreachable_pub, dead_code, reason = "these tests use a part of it")]
#[path = "../../../cli/tests/it/support/ws.rs"]
mod ws;

use std::time::Duration;

const TOKEN: &str = "writer-token";
/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
