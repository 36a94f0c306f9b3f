//! A service with code of its own around the library: an authenticator and a policy that panic or block, tokens that expire, and a
//! clock that is moved by hand. What the program itself cannot be made to do.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::post;
use liveset::{Access, AuthError, Clock, Grant, Limits, Liveset, Policy, Principal, Query, SetDef, from_fn};
use liveset_server::http::HttpOptions;
use liveset_server::{accept, http, log};
use tokio::net::TcpListener;

use super::case::lean;
use crate::support::{Server, TOKEN};

/// How long authentication may take, in milliseconds; also says that this process is to serve.
const AUTH_TIMEOUT: &str = "HARDENING_AUTH_TIMEOUT";

/// The authenticator panics over it.
pub const PANICS: &str = "s3cret-panic";
/// The authenticator blocks its thread over it, until the next `POST /release`.
pub const STALLS: &str = "s3cret-stall";
/// The authenticator accepts it for so many milliseconds.
pub const EXPIRES: &str = "s3cret-expires-";
/// The policy panics over queries of it.
pub const BOMBS: &str = "bombs";

/// Starts the service: this test binary again, as one of its tests.
pub fn start(auth_timeout: Duration) -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command
        .args(["--exact", "hardening::host", "--ignored", "--nocapture"])
        .env(AUTH_TIMEOUT, auth_timeout.as_millis().to_string());
    Server::run(lean(command), tempfile::tempdir().expect("a folder"))
}

/// What the other process does.
pub async fn serve() {
    let Ok(auth_timeout) = std::env::var(AUTH_TIMEOUT) else { return };
    log::start("info,liveset=debug,liveset_server=debug", log::Format::Text);
    let mut limits = Limits::default();
    limits.session.auth_timeout = Duration::from_millis(auth_timeout.parse().expect("milliseconds"));
    let released = Arc::new(AtomicU32::new(0));
    let authenticator = from_fn({
        let released = Arc::clone(&released);
        move |token| {
            let released = Arc::clone(&released);
            async move { judge(token.expose(), &released) }
        }
    });
    let liveset = Liveset::builder()
        .set(SetDef::new("bystander"))
        .set(SetDef::new("orders"))
        .set(SetDef::new(BOMBS))
        .limits(limits)
        .clock(Clock::Commits)
        .authenticator(authenticator)
        .policy(Faulty)
        .build()
        .expect("the service is right");
    let options = HttpOptions {
        metrics: Some(http::install_recorder().expect("the only recorder")),
        ..HttpOptions::default()
    };
    let release = post(move || async move {
        released.fetch_add(1, Ordering::Relaxed);
    });
    let router = http::router(liveset, options, Router::new().route("/release", release));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // What runs tests may have begun a line.
    println!("\nlistening on http://{}", listener.local_addr().expect("an address"));
    let front = accept::Front::new(router, accept::AcceptLimits::default());
    accept::serve(listener, front, None, std::future::pending()).await;
}

fn judge(token: &str, released: &AtomicU32) -> Result<Grant, AuthError> {
    assert!(token != PANICS, "a fault of the host's");
    let before = released.load(Ordering::Relaxed);
    while token == STALLS && released.load(Ordering::Relaxed) == before {
        // Not awaited: that is the fault.
        std::thread::sleep(Duration::from_millis(5));
    }
    match token.strip_prefix(EXPIRES).map(str::parse) {
        Some(Ok(millis)) => {
            Ok(Grant::new("guest").expires(SystemTime::now() + Duration::from_millis(millis)))
        }
        _ if token == TOKEN || token == STALLS => Ok(Grant::new("writer")),
        _ => Err(AuthError::Refused),
    }
}

/// A policy with a fault.
struct Faulty;

impl Policy for Faulty {
    fn may_subscribe(&self, _: &Principal, _: &str, _: &[Arc<str>]) -> bool {
        true
    }

    fn may_query(&self, _: &Principal, query: &Query) -> bool {
        assert_ne!(query.set, BOMBS, "a fault of the host's");
        true
    }

    fn access(&self, _: &Principal, _: &str) -> Access {
        Access::All
    }

    fn may_write(&self, _: &Principal) -> bool {
        true
    }
}
