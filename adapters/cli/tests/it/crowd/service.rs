//! The service: the library with all limits at their defaults, and one question more.

use std::process::Command;
use std::time::SystemTime;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use liveset::{AuthError, Grant, Limits, Liveset, SetDef, from_fn};
use liveset_server::http::HttpOptions;
use liveset_server::{accept, http};
use tokio::net::TcpListener;

use crate::support::{Server, TOKEN};

/// The steps of one hold of the lock, by default.
pub const HOLD_STEPS: u64 = 100_000;
/// Says that this process is to serve.
const SERVES: &str = "CROWD_SERVES";

/// Starts the service: this test binary again, as one of its tests.
pub fn start() -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "crowd::host", "--ignored", "--nocapture"]).env(SERVES, "1");
    Server::run(command, tempfile::tempdir().expect("a folder"))
}

/// What the other process does. Tokens are subjects.
pub async fn serve() {
    if std::env::var_os(SERVES).is_none() {
        return;
    }
    let limits = Limits::default();
    assert_eq!(limits.engine.hold_steps, HOLD_STEPS);
    let authenticator = from_fn(|token| async move {
        match token.expose() {
            "" => Err(AuthError::Refused),
            TOKEN => Ok(Grant::new("writer")),
            subject => {
                let far = SystemTime::now() + std::time::Duration::from_secs(86_400);
                Ok(Grant::new(subject).read_only().expires(far))
            }
        }
    });
    let builder = Liveset::builder().set(SetDef::new("orders")).limits(limits).authenticator(authenticator);
    let liveset = builder.build().expect("the service is right");
    let options = HttpOptions {
        metrics: Some(http::install_recorder().expect("the only recorder")),
        ..HttpOptions::default()
    };
    let of = liveset.clone();
    let delay = get(move |Path(subject): Path<String>| async move {
        let delay = of.subject(&subject).delay;
        format!(r#"{{"holds":{},"steps":{}}}"#, delay.holds, delay.steps)
    });
    let router = http::router(liveset, options, Router::new().route("/delay/{subject}", delay));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    // What runs tests may have begun a line.
    println!("\nlistening on http://{}", listener.local_addr().expect("an address"));
    let front = accept::Front::new(router, accept::AcceptLimits::default());
    accept::serve(listener, front, None, std::future::pending()).await;
}
