//! The figures of this process, as the system tells them; 0 where it does not.

use std::time::Duration;

use liveset_cli::load::process::Usage;

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

/// Bytes of memory that this process holds.
pub(super) fn resident() -> u64 {
    crate::measure::resident().unwrap_or(0)
}

/// The most bytes of memory that this process has held.
pub(super) fn most_resident() -> u64 {
    Usage::of(std::process::id()).map_or(0, |usage| usage.peak)
}

/// Bytes as megabytes.
pub(super) fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
