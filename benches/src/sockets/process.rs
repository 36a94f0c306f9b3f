//! What the system says of this process.

use std::{fs, time::Duration};

/// As many open files as the hard limit lets be.
pub(super) fn raise_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // Where that is refused, connections will fail and say so.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// CPU time of all threads of this process.
pub(super) fn cpu_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

/// Bytes of memory that this process holds; 0 where the system does not say.
pub(super) fn resident() -> u64 {
    crate::measure::resident().unwrap_or(0)
}

/// The most bytes of memory that this process has held.
pub(super) fn most_resident() -> u64 {
    status_line("/proc/self/status", "VmHWM:").map_or(0, |kib| kib * 1_024)
}

/// How often threads of this process gave up the CPU because they had nothing to do.
pub(super) fn waits() -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of =
        |path: std::path::PathBuf| status_line(path.join("status").to_str()?, "voluntary_ctxt_switches:");
    threads.filter_map(|thread| of(thread.path())).sum()
}

fn status_line(path: &str, name: &str) -> Option<u64> {
    let status = fs::read_to_string(path).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes as megabytes.
pub(super) fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
