//! How many files the process may have open: each connection is one.

use crate::accept::AcceptLimits;

/// What the process has open besides connections: its log, its listener, files that it reads, and some to spare.
const OTHERS: usize = 64;

/// Raises the process's limit as far as it may, and lowers what does not fit into it, with a warning.
pub fn fit(limits: AcceptLimits) -> AcceptLimits {
    let Some(files) = raise() else { return limits };
    let fitting = fitting(limits.clone(), files);
    if fitting.http.max_connections < limits.http.max_connections {
        tracing::warn!(
            files,
            max_connections = limits.http.max_connections,
            taken = fitting.http.max_connections,
            "the process may not open as many files as `max_connections` needs: raise its limit (`ulimit -n`, `LimitNOFILE`)"
        );
    }
    fitting
}

fn fitting(mut limits: AcceptLimits, files: usize) -> AcceptLimits {
    let connections = files.saturating_sub(OTHERS).max(files / 2);
    if limits.http.max_connections.saturating_add(limits.max_turned_away) > connections {
        limits.max_turned_away = limits.max_turned_away.min(connections / 16);
        limits.http.max_connections = limits.http.max_connections.min(connections - limits.max_turned_away);
        // Connections that say nothing are not to have all places.
        limits.http.max_handshakes = limits.http.max_handshakes.min(limits.http.max_connections.div_ceil(2));
    }
    limits
}

/// Raises the soft limit to the hard one. Returns what it is then; `None` where there is none.
#[cfg(unix)]
pub fn raise() -> Option<usize> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // macOS refuses a soft limit without end, and so do other systems beyond one of their own.
    let wanted = maximum.map_or(1 << 20, |maximum| maximum.min(1 << 20));
    if current.is_none_or(|current| current >= wanted) {
        return current.and_then(|current| usize::try_from(current).ok());
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => usize::try_from(wanted).ok(),
        Err(error) => {
            tracing::debug!(%error, "the limit of open files stays as it is");
            current.and_then(|current| usize::try_from(current).ok())
        }
    }
}

/// Raises the soft limit to the hard one. There is none here.
#[cfg(not(unix))]
pub fn raise() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HttpLimits;

    #[test]
    fn connections_fit_into_the_limit_of_files() {
        let limits = AcceptLimits::default();
        assert_eq!(fitting(limits.clone(), 1 << 20), limits);
        assert_eq!(fitting(limits.clone(), 11_088), limits);
        for files in [0, 1, 2, 20, 64, 65, 128, 256, 1_024, 11_087] {
            let fitting = fitting(limits.clone(), files);
            let all = fitting.http.max_connections + fitting.max_turned_away;
            assert!(all <= files.saturating_sub(OTHERS).max(files / 2), "{files}: {all}");
            assert!(fitting.http.max_connections >= files / 3, "{files}");
            assert!(fitting.http.max_handshakes <= fitting.http.max_connections, "{files}");
        }
        let few = AcceptLimits::from(HttpLimits::default().max_connections(10));
        assert_eq!(fitting(few.clone(), 256).http.max_connections, 10);
    }
}
