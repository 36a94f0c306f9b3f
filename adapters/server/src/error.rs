//! Why a server did not start, or ended.

use crate::config::ConfigError;
use crate::ndjson::FileError;
use crate::tls::TlsError;

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A path of the configuration cannot be printed.
    #[error("the configuration cannot be printed: {0}")]
    Print(#[from] toml::ser::Error),
    /// Nobody could connect.
    #[error(
        "there are no tokens, so nobody could connect: add `tokens = [{{ token = \"…\", subject = \"…\" }}]` under \
         [auth] of the configuration, a section [jwt], or --token SUBJECT=TOKEN (to try things out, there is `liveset demo`)"
    )]
    NoTokens,
    /// JSON Web Tokens cannot be verified.
    #[error("[jwt] {0}")]
    Jwt(String),
    /// The file of the store cannot be opened, copied or closed.
    #[error("{0}")]
    Store(String),
    /// A resource of the configuration is wrong.
    #[error("resource {path:?}: {message}")]
    Resource {
        /// Its path.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The sets or limits do not make a server.
    #[error(transparent)]
    Build(#[from] liveset::BuildError),
    /// What a set should hold cannot be loaded.
    #[error(transparent)]
    Load(#[from] FileError),
    /// The certificate or its key is wrong.
    #[error("[tls] {0}")]
    Tls(#[from] TlsError),
    /// What was read again is not to be used by a server that runs.
    #[error("{0}")]
    Reload(&'static str),
    /// The address cannot be listened to.
    #[error("cannot listen on {address}: {source}{}", what_to_do(address, source))]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Something that the system should give was not given.
    #[error("{what}: {source}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The recorder of the metrics cannot be installed.
    #[error("cannot record metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// What helps where an address cannot be listened to.
fn what_to_do(address: &str, source: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::AddrInUse => {
            let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
            let other = port.parse::<u16>().map_or(0, |port| port.wrapping_add(1));
            format!(
                "\nanother program listens there: stop it, or take another port, as --listen {host}:{other} \
                 (port 0 takes a free one)"
            )
        }
        ErrorKind::AddrNotAvailable => {
            "\nthis machine has no such address: 127.0.0.1 is for programs on it alone, 0.0.0.0 for everyone who \
             reaches it"
                .into()
        }
        ErrorKind::PermissionDenied => {
            "\nmost systems keep ports below 1024 for root: take a higher one with --listen".into()
        }
        _ => String::new(),
    }
}
